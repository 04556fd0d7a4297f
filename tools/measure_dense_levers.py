#!/usr/bin/env python3
"""What it costs Gemma 3 to leave neurons out, and to be quantized with one scale a tensor: perplexity on held-out texts.

    tools/measure_dense_levers.py GGUF TEXTS [--sluice build/release/bin/sluice] [--texts 1] [--tokens 256]

TEXTS is a heldout.json (tests/models/tiny-moe has one). Fixed neurons are chosen on the tokens that follow the measured ones.
Docs: docs/compression.md.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from compression.coders import entropy
from compression.gemma3 import Gemma3
from compression.levers import affine
from compression.streams import tensor_quantized

ROOT = Path(__file__).resolve().parents[1]


def read_texts(file: Path, model: Path, sluice: Path, per_domain: int) -> list[np.ndarray]:
    by_domain: dict[str, list[str]] = {}
    for entry in json.loads(file.read_text()):
        by_domain.setdefault(entry["domain"], []).append(entry["text"])
    chosen = [text for texts in by_domain.values() for text in texts[:per_domain]]
    command = [sluice, "tokenize", model, "--json", "-p"]
    outputs = [subprocess.run([*command, text], capture_output=True, check=True).stdout for text in chosen]
    return [np.array(json.loads(output)["tokens"]) for output in outputs]


class FewNeurons:
    """As levers.FewNeurons; also counts how many of a token's neurons the token before used, too."""

    def __init__(self, model: Gemma3, kept: float, by: str, energy: np.ndarray | None = None):
        self.reach = [np.linalg.norm(model.weights[f"blk.{layer}.ffn_down"], axis=0) for layer in range(model.n_layers)]
        self.kept, self.by, self.energy = kept, by, energy
        self.again = self.used = 0

    def __call__(self, layer: int, gate: np.ndarray, up: np.ndarray) -> np.ndarray:
        h = gate * up
        if self.by == "fixed":
            weight = np.broadcast_to(np.sqrt(self.energy[layer]) * self.reach[layer], h.shape)
        else:
            weight = np.abs(h if self.by == "product" else gate) * self.reach[layer]
        n = round(self.kept * h.shape[1])
        chosen = weight >= np.partition(weight, -n, axis=1)[:, -n, None]
        self.again += int((chosen[1:] & chosen[:-1]).sum())
        self.used += int(chosen[1:].sum())
        return np.where(chosen, h, 0)


class Energy:
    """Keeps each neuron's sum of squares."""

    def __init__(self, model: Gemma3):
        self.energy = np.zeros((model.n_layers, model.weights["blk.0.ffn_up"].shape[0]))

    def __call__(self, layer: int, gate: np.ndarray, up: np.ndarray) -> np.ndarray:
        h = gate * up
        self.energy[layer] += (h * h).sum(axis=0)
        return h


class Bench:
    def __init__(self, model: Gemma3, texts: list[np.ndarray]):
        self.model, self.texts = model, texts
        self.base = self.losses(model.weights, None)

    def losses(self, weights: dict[str, np.ndarray], few) -> list[np.ndarray]:
        return [self.model.losses(tokens, weights, few) for tokens in self.texts]

    def row(self, weights: dict[str, np.ndarray], few) -> str:
        losses = self.losses(weights, few)
        worse = np.array([(a - b).mean() for a, b in zip(losses, self.base, strict=True)])
        every, base = np.concatenate(losses).mean(), np.concatenate(self.base).mean()
        error = worse.std(ddof=1) / len(worse) ** 0.5
        return f"{np.exp(every):.4g} | {np.expm1(every - base):+.1%} ± {error:.1%}"


def requantized(weights: dict[str, np.ndarray], quantize) -> dict[str, np.ndarray]:
    """The matrices of the layers; embedding and norms as they are."""
    return {name: quantize(w) if w.ndim == 2 and name.startswith("blk.") else w for name, w in weights.items()}


def measured_bits(weights: dict[str, np.ndarray], bits: int) -> float:
    """Mean entropy of the codes with one scale a tensor."""
    matrices = [w for name, w in weights.items() if w.ndim == 2 and name.startswith("blk.")]
    each = [entropy(np.bincount(tensor_quantized(w, bits)[0].reshape(-1), minlength=2**bits)[None]) for w in matrices]
    return float(np.average(each, weights=[w.size for w in matrices]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf", type=Path)
    parser.add_argument("heldout", type=Path)
    parser.add_argument("--sluice", type=Path, default=ROOT / "build/release/bin/sluice")
    parser.add_argument("--texts", type=int, default=1, help="of each domain")
    parser.add_argument("--tokens", type=int, default=256, help="of each text")
    args = parser.parse_args()
    model = Gemma3(args.gguf)
    texts = read_texts(args.heldout, args.gguf, args.sluice, args.texts)
    bench = Bench(model, [t[: args.tokens] for t in texts])
    base = np.concatenate(bench.base).mean()
    print(f"{len(texts)} texts, {sum(map(len, bench.texts))} tokens, perplexity {np.exp(base):.2f}\n")

    print("| matrices of the layers | bits a weight, coded | perplexity | against the file |\n|---|---|---|---|")
    for bits in (8, 5, 4):
        weights = requantized(model.weights, lambda w, bits=bits: tensor_quantized(w, bits)[1])
        coded = measured_bits(model.weights, bits)
        print(f"| uint{bits}, one scale a tensor | {coded:.2f} | {bench.row(weights, None)} |", flush=True)
    for bits in (5, 4, 3, 2):
        weights = requantized(model.weights, lambda w, bits=bits: affine(w, bits))
        print(f"| MLX {bits}-bit, groups of 64, not coded | {bits + 0.5:.2f} | {bench.row(weights, None)} |", flush=True)

    print("dense: neurons", file=sys.stderr)
    energy = Energy(model)
    for tokens in texts:
        model.losses(tokens[args.tokens : 2 * args.tokens], model.weights, energy)
    print("\n| neurons kept | chosen by | read of gate, up, down | used by the token before | perplexity | against all |")
    print("|---" * 6 + "|")
    for by, spared in (("product", 1), ("gate", 2), ("fixed", 3)):
        for kept in (0.75, 0.5, 0.25, 0.1):
            few = FewNeurons(model, kept, by, energy.energy)
            row = bench.row(model.weights, few)
            print(f"| {kept:.0%} | {by} | {1 - (1 - kept) * spared / 3:.0%} | {few.again / few.used:.0%} | {row} |", flush=True)


if __name__ == "__main__":
    main()
