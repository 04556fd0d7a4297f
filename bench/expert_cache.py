#!/usr/bin/env python3
"""What the expert cache of a really trained mixture finds in memory, by domain of its held-out texts: a Markdown table on stdout.

    bench/expert_cache.py [MODEL] [--tokens 400] [--texts 3]

MODEL is a checkpoint with heldout.json. Each text is computed token by token by `sluice logits`; a quarter, then half of the experts have
slots. lru, lfu (which never forgets) and belady are replayed on the same tokens' trace; "ours" is the program's default policy
without guesses, "share" how far it gets from lfu towards belady. With guesses: bytes that a layer had to wait for, the time it waited, and all bytes
that were read, as shares of those without.
"""

import argparse
import json
import tempfile
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from measure import ROOT, BenchError, report, run, run_as_program
from tokenizers import Tokenizer
from workplace import SLUICE, named_least

SHARES = (0.25, 0.5)
MOST_OFF = 1  # slots


@contextmanager
def logits_command(model: Path, tokens: list[int], *options: str) -> Iterator[list[str]]:
    with tempfile.TemporaryDirectory() as scratch:
        ids, out = Path(scratch, "ids.txt"), Path(scratch, "l.npy")
        ids.write_text(",".join(map(str, tokens)))
        yield [str(SLUICE), "logits", str(model), "--tokens", f"@{ids}", "--chunk", "1", "--out", str(out), "--json", *options]


def sluice_logits(model: Path, tokens: list[int], *options: str) -> dict:
    with logits_command(model, tokens, *options) as command:
        return json.loads(run(command).stdout)


def logits_with_slots(model: Path, tokens: list[int], n_slots: int, *options: str) -> dict:
    """Within a budget that gives about so many slots, found by trying: a process differs a little from run to run."""
    with logits_command(model, tokens, "--ram", "1") as command:
        budget = named_least(command) + 400_000
    for _ in range(16):
        try:
            told = sluice_logits(model, tokens, "--ram", str(budget), "--no-governor", *options)
        except BenchError:
            budget += 1 << 20  # in steps of which a process is counted
            continue
        plan = told["residency"]
        if abs(plan["expert_slots"] - n_slots) <= MOST_OFF:
            return told
        budget += (n_slots - plan["expert_slots"]) * plan["per_slot"]
    raise BenchError(f"no budget gives {n_slots} slots")


def plain_hits(demands: list[list[tuple[int, int]]], n_slots: int, forgets: bool) -> int:
    """LRU when it forgets, else LFU over all that was ever used; experts in use stay."""
    held: OrderedDict[tuple[int, int], None] = OrderedDict()
    uses: Counter[tuple[int, int]] = Counter()
    hits = 0
    for experts in demands:
        hits += sum(expert in held for expert in experts)
        for expert in experts:
            uses[expert] += 1
            held[expert] = None
            held.move_to_end(expert)
        while len(held) > n_slots:
            others = [expert for expert in held if expert not in experts]
            del held[others[0] if forgets else min(others, key=uses.__getitem__)]
    return hits


def belady_hits(demands: list[list[tuple[int, int]]], n_slots: int) -> int:
    uses: dict[tuple[int, int], list[int]] = {}
    for i, experts in reversed(list(enumerate(demands))):
        for expert in experts:
            uses.setdefault(expert, []).append(i)
    held: set[tuple[int, int]] = set()
    hits = 0
    for experts in demands:
        for expert in experts:
            uses[expert].pop()
        hits += sum(expert in held for expert in experts)
        held |= set(experts)
        while len(held) > n_slots:
            held.remove(max(held - set(experts), key=lambda e: uses[e][-1] if uses[e] else len(demands)))
    return hits


def measure(model: Path, texts: list[list[int]], share: float, n_all: int) -> dict[str, float]:
    n_slots, found = round(share * n_all), Counter()
    for tokens in texts:
        with tempfile.NamedTemporaryFile(suffix=".jsonl") as trace:
            alone = logits_with_slots(model, tokens, n_slots, "--no-prefetch", "--record-trace", trace.name)
            entries = [json.loads(line) for line in Path(trace.name).read_text().splitlines()[1:]]
        guessed = logits_with_slots(model, tokens, n_slots)
        slots = alone["residency"]["expert_slots"]
        demands = [[(layer, expert) for expert in experts] for _, layer, _, *experts in entries]
        alone, guessed = alone["residency"]["streaming"], guessed["residency"]["streaming"]
        found["demands"] += sum(map(len, demands))
        found["lru"] += plain_hits(demands, slots, forgets=True)
        found["lfu"] += plain_hits(demands, slots, forgets=False)
        found["belady"] += belady_hits(demands, slots)
        found["ours"] += alone["hits"]
        for name, run_of in (("alone", alone), ("guessed", guessed)):
            found[f"{name}_awaited"] += run_of["bytes_awaited"]
            found[f"{name}_read"] += run_of["bytes_read"]
            found[f"{name}_waited"] += run_of["stall_ms"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?", default=ROOT / "tests/models/tiny-moe")
    parser.add_argument("--tokens", type=int, default=400, help="of each text")
    parser.add_argument("--texts", type=int, default=3, help="of each domain")
    args = parser.parse_args()
    config = json.loads((args.model / "config.json").read_text())
    n_all = config["num_hidden_layers"] * config["num_experts"]
    tokenizer = Tokenizer.from_file(str(args.model / "tokenizer.json"))
    by_domain: dict[str, list[list[int]]] = {}
    for entry in json.loads((args.model / "heldout.json").read_text()):
        by_domain.setdefault(entry["domain"], []).append(tokenizer.encode(entry["text"]).ids[: args.tokens])
    print("| in memory | domain | lru | lfu | ours | belady | share | guesses: awaited | time waited | read |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for share in SHARES:
        for domain, texts in by_domain.items():
            report(f"{domain}, {share:.0%}")
            f = measure(args.model, texts[: args.texts], share, n_all)
            rate = {name: f[name] / f["demands"] for name in ("lru", "lfu", "ours", "belady")}
            towards = (rate["ours"] - rate["lfu"]) / (rate["belady"] - rate["lfu"])
            print(f"| {share:.0%} | {domain} | " + " | ".join(f"{rate[name]:.3f}" for name in rate) + f" | {towards:.0%} | "
                  f"{f['guessed_awaited'] / f['alone_awaited']:.2f} | {f['guessed_waited'] / f['alone_waited']:.2f} | {f['guessed_read'] / f['alone_read']:.2f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    run_as_program(main)
