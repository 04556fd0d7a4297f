#!/usr/bin/env python3
"""What lossy levers cost and save on a trained Qwen3-MoE: perplexity on held-out texts against bytes read from the disk.

    tools/measure_levers.py BF16 [--mlx tests/models/tiny-moe] [--picture docs/pictures/levers.png]

BF16 is the plain checkpoint with heldout.json, --mlx its copy in 4 bits, which is what all levers start from. Of each text, the
first 400 tokens are measured; what levers must know (use of experts, likeness) comes from the 800 after them, which favours the
levers. Bytes: a layer has room for a quarter or half of its experts at 4 bits, decision 004's policy. Docs: docs/compression.md.
"""

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from compression.levers import Adaptive, Calibration, FewNeurons, Merged, Pruned, Requantized, SkipMissing, TensorQuantized, TopK
from compression.pool import LRU, Pool
from compression.qwen3_moe import Lever, Model
from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parents[1]
WINDOW = 400  # tokens
ROOMS = (0.25, 0.5)  # shares of the experts that fit in memory
LFU = 16  # tokens: decision 004


@dataclass
class Texts:
    measured: list[np.ndarray]
    calibration: list[np.ndarray]


@dataclass
class Result:
    name: str
    losses: list[np.ndarray]  # of each text
    family: str = ""
    read: dict[float, float] = field(default_factory=dict)  # by room: experts' worth of 4-bit bytes that a token reads


def read_texts(checkpoint: Path, per_domain: int) -> Texts:
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    by_domain: dict[str, list[np.ndarray]] = {}
    for entry in json.loads((checkpoint / "heldout.json").read_text()):
        by_domain.setdefault(entry["domain"], []).append(np.array(tokenizer.encode(entry["text"]).ids))
    chosen = [tokens for texts in by_domain.values() for tokens in texts[:per_domain]]
    windows = [tokens[start : start + WINDOW] for start in (WINDOW, 2 * WINDOW) for tokens in chosen]
    return Texts([tokens[:WINDOW] for tokens in chosen], [w for w in windows if len(w) > 1])


class Recording:
    """Stands before a lever and keeps which experts each token used: [T, n_experts] a layer and text."""

    def __init__(self, lever: Lever):
        self.lever, self.weights, self.neurons = lever, lever.weights, lever.neurons
        self.used: list[list[np.ndarray]] = [[] for _ in range(lever.model.n_layers)]

    def route(self, layer: int, x: np.ndarray, gates: np.ndarray) -> np.ndarray:
        share = self.lever.route(layer, x, gates)
        self.used[layer].append(share > 0)
        return share


class Bench:
    def __init__(self, model: Model, texts: Texts):
        self.model, self.texts = model, texts
        self.tokens = sum(map(len, texts.measured))
        self.ones = np.ones((model.n_layers, model.n_experts))
        self.results: list[Result] = []  # the first is the baseline
        self.used: list[list[np.ndarray]] = []  # by the baseline

    def measure(self, family: str, name: str, lever: Lever, sizes: np.ndarray | None = None) -> Result:
        """sizes: [n_layers, n_experts], each expert's bytes over one's in 4 bits; no replay if a token's do not fit."""
        print(f"levers: {name}", file=sys.stderr)
        recording = Recording(lever)
        result = Result(name, [self.model.losses(tokens, recording) for tokens in self.texts.measured], family)
        self.used = self.used or recording.used
        sizes = self.ones if sizes is None else sizes
        if isinstance(lever, SkipMissing):
            pools = lever.pools
            result.read[pools[0].capacity / self.model.n_experts] = sum(p.read for p in pools) / self.tokens
        elif sizes.max() * self.model.n_experts_per_tok <= min(ROOMS) * self.model.n_experts:
            for room in ROOMS:
                result.read[room] = sum(p.read for p in self.replay(recording.used, room, sizes)) / self.tokens
        self.results.append(result)
        return result

    def replay(self, used: list[list[np.ndarray]], room: float, sizes: np.ndarray, half_life: float = LFU) -> list[Pool]:
        pools = [Pool(room * self.model.n_experts, layer_sizes, half_life) for layer_sizes in sizes]
        for pool, texts in zip(pools, used, strict=True):
            for token in np.concatenate(texts):
                wanted = np.flatnonzero(token)
                pool.count(wanted)
                pool.load(wanted)
        return pools

    def hit_rates(self, half_life: float) -> str:
        replays = [self.replay(self.used, room, self.ones, half_life) for room in ROOMS]
        return ", ".join(f"{sum(p.hits for p in pools) / sum(p.uses for p in pools):.3f}" for pools in replays)

    def print_split(self) -> None:
        """If memory held a part of each expert only, and so of more experts: every use reads the rest."""
        print("\n| part of an expert in memory | read a token, room for a quarter | for half | parts found, a quarter | half |")
        print("|---" * 5 + "|")
        for part in (1.0, 0.75, 0.5, 0.25):
            replays = [self.replay(self.used, room, part * self.ones) for room in ROOMS]
            uses = sum(p.uses for p in replays[0])
            read = [(sum(p.read for p in pools) + (1 - part) * uses) / self.tokens for pools in replays]
            found = [sum(p.hits for p in pools) / uses for pools in replays]
            print(f"| {part:.0%} | {read[0]:.2f} | {read[1]:.2f} | {found[0]:.3f} | {found[1]:.3f} |")

    def row(self, result: Result) -> str:
        """Perplexity; how much worse than the baseline, with the standard error over texts; bytes read against the baseline's."""
        base = self.results[0]
        worse = np.array([(a - b).mean() for a, b in zip(result.losses, base.losses, strict=True)])
        every = np.concatenate(result.losses).mean() - np.concatenate(base.losses).mean()
        error = worse.std(ddof=1) / len(worse) ** 0.5
        reads = " | ".join(f"{result.read[room] / base.read[room]:.2f}" if room in result.read else "-" for room in ROOMS)
        return f"{np.exp(np.concatenate(result.losses).mean()):.2f} | {np.expm1(every):+.1%} ± {error:.1%} | {reads}"

    def print_rows(self, *families: str) -> None:
        print("\n| lever | perplexity | against 4 bits | read, room for a quarter | for half |\n|---|---|---|---|---|")
        for result in self.results:
            if result.family in families:
                print(f"| {result.name} | {self.row(result)} |", flush=True)


def expert_sizes(bits: np.ndarray) -> np.ndarray:
    """Of groups of 64 with a scale and a bias of 16 bits each, over those of 4 bits."""
    return (bits + 0.5) / 4.5


def measure_bits(bench: Bench, source: Model, seen: Calibration) -> None:
    model = bench.model
    shape = (model.n_layers, model.n_experts)
    cold = np.stack([~np.isin(np.arange(shape[1]), seen.hot(layer, shape[1] // 2)) for layer in range(shape[0])])
    for bits in (3, 2):
        for origin, weights in (("bfloat16", source), ("the 4-bit copy", model)):
            for which, where in (("cold half", cold), ("all experts", np.ones(shape, bool))):
                chosen = np.where(where, bits, 4)
                lever = Requantized(model, weights, chosen)
                saved = 1 - expert_sizes(chosen).mean()
                name = f"{which} {bits}-bit, from {origin} ({saved:.0%} of the experts' bytes saved)"
                bench.measure("bits", name, lever, expert_sizes(chosen))
    for bits in (8, 4):
        name = f"uint{bits}, one scale a tensor, all matrices, from bfloat16"
        bench.measure("tensor", name, TensorQuantized(model, source, bits)).read.clear()  # docs/compression.md has the coded size


def measure_merging(bench: Bench, seen: Calibration) -> None:
    model = bench.model
    for share in (0.25, 0.5):
        n = round(share * model.n_experts)
        for how in ("mean", "aligned", "substitute"):
            bench.measure("merge", f"{share:.0%} merged away, {how}", Merged(model, seen, n, how))
        bench.measure("merge", f"{share:.0%} pruned, the least used", Pruned(model, seen, model.n_experts - n))


def measure_routing(bench: Bench) -> None:
    model = bench.model
    for k in (3, 2, 1):
        bench.measure("top-k", f"top {k}", TopK(model, k))
    for least in (0.1, 0.15, 0.2, 0.25):
        bench.measure("adaptive", f"leave out what weighs below {least}", Adaptive(model, least))
    for room in ROOMS:
        capacity = round(room * model.n_experts)
        for policy, half_life in (("LFU", LFU), ("LRU", LRU)):
            where = f"room {room}, {policy}"
            every = SkipMissing(model, capacity, half_life, ranks=0, later=True)
            bench.measure("skip later", f"skip all missing, read them for later ({where})", every)
            for ranks in (0, 1, 2, 3):
                lever = SkipMissing(model, capacity, half_life, ranks=ranks)
                bench.measure("skip rank", f"skip missing, wait for the first {ranks} ({where})", lever)
        for least in (0.1, 0.15, 0.2, 0.25, 0.3):
            lever = SkipMissing(model, capacity, LFU, ranks=1, least=least)
            bench.measure("skip weight", f"skip missing below {least}, wait for the first (room {room}, LFU)", lever)


def measure_neurons(bench: Bench, seen: Calibration) -> None:
    for by in ("product", "gate", "fixed"):
        for kept in (0.75, 0.5, 0.25):
            lever = FewNeurons(bench.model, seen, kept, by)
            name = f"{kept:.0%} of the neurons, by {by} ({lever.read():.0%} of an expert read)"
            bench.measure("neurons", name, lever).read.clear()  # what is in memory would be parts of experts, too


def print_likeness(seen: Calibration) -> None:
    layers, n = range(seen.model.n_layers), seen.model.n_experts
    pairs = np.triu_indices(n, 1)
    kinds = {
        "outputs": [seen.output_cosines(layer) for layer in layers],
        "weights": [seen.weight_cosines(layer, aligned=False) for layer in layers],
        "weights, neurons aligned": [seen.weight_cosines(layer, aligned=True) for layer in layers],
    }
    print("\n| cosine of two experts of a layer | mean | each one's nearest | the nearest pair |\n|---|---|---|---|")
    for name, cosines in kinds.items():
        nearest = [(c - 2 * np.eye(n)).max(axis=1) for c in cosines]
        mean = np.mean([c[pairs] for c in cosines])
        print(f"| {name} | {mean:.3f} | {np.mean(nearest):.3f} | {np.max(nearest):.3f} |")


def draw(bench: Bench, picture: Path) -> None:
    """What is worse against what is read, with room for a quarter."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    base, room = bench.results[0], ROOMS[0]
    labels = {
        "bits": "experts at fewer bits",
        "top-k": "top 3, 2, 1",
        "adaptive": "leave out light experts",
        "skip rank": "skip what is missing, wait for the first 0 to 3",
        "skip weight": "skip what is missing and light",
        "merge": "merge or prune experts",
    }
    figure, axes = plt.subplots(figsize=(8, 5), dpi=110)
    for family, label in labels.items():
        of_family = [r for r in bench.results if r.family == family and room in r.read]
        chosen = [r for r in of_family if "LRU" not in r.name and "4-bit copy" not in r.name]
        points = sorted((r.read[room] / base.read[room], np.concatenate(r.losses).mean()) for r in chosen)
        read, loss = np.array(points).T
        worse = 100 * np.expm1(loss - np.concatenate(base.losses).mean())
        axes.plot(100 * read, worse, marker="o", linestyle="" if family in ("bits", "merge") else "-", label=label)
    axes.set(xlabel="bytes read from the disk, % of the 4-bit model's", ylabel="perplexity worse by, %", xlim=(0, 105))
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(-0.3, 200)
    ticks = [0, 0.5, 1, 2, 5, 10, 20, 50, 100, 200]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", fontsize="small")
    figure.tight_layout()
    figure.savefig(picture, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bf16", type=Path)
    parser.add_argument("--mlx", type=Path, default=ROOT / "tests/models/tiny-moe")
    parser.add_argument("--texts", type=int, default=3, help="of each domain")
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    source, model = Model(args.bf16), Model(args.mlx)
    texts = read_texts(args.bf16, args.texts)
    seen = Calibration(model)
    for tokens in texts.calibration:
        model.losses(tokens, seen)

    bench = Bench(model, texts)
    base = bench.measure("base", "4 bits, as it is", Lever(model))
    plain = Lever(model)
    plain.weights = source.weights
    bench.measure("base", "bfloat16, as it is", plain, np.full((model.n_layers, model.n_experts), 16 / 4.5))
    read = " or ".join(f"{read:.2f}" for read in base.read.values())
    print(
        f"{len(texts.measured)} texts, {bench.tokens} tokens. With room for a quarter or half of all experts, a token reads {read}"
    )
    print(
        f"of its {model.n_layers * model.n_experts_per_tok}; hit rates: LFU {bench.hit_rates(LFU)}; LRU {bench.hit_rates(LRU)}."
    )
    print_likeness(seen)
    bench.print_split()
    measure_bits(bench, source, seen)
    measure_routing(bench)
    measure_merging(bench, seen)
    measure_neurons(bench, seen)
    for families in (
        ("base", "bits", "tensor"),
        ("top-k", "adaptive"),
        ("skip later", "skip rank", "skip weight"),
        ("merge", "neurons"),
    ):
        bench.print_rows(*families)
    if args.picture:
        draw(bench, args.picture)


if __name__ == "__main__":
    main()
