#!/usr/bin/env python3
"""Replays router traces under every eviction policy: a Markdown table on stdout, the curves as a picture.

    tools/replay_trace.py TRACE... [--picture docs/pictures/expert-cache-policy.png]

The traces are what `sluice run --record-trace` or tools/record_router_trace.py write; build/release/bin/replay_trace does the work.
Figures are means over the traces, which must have equally many experts.
"""

import argparse
import json
import subprocess
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SHARES = (3 / 32, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 3 / 4)  # of all experts, in the table


def replay(traces: list[Path]) -> tuple[np.ndarray, dict[str, np.ndarray], float]:
    """Returns shares of all experts that are resident [C], for each policy its mean hit rates [C], one token's share."""
    program = ROOT / "build/release/bin/replay_trace"
    results = json.loads(subprocess.run([program, *traces], capture_output=True, text=True, check=True).stdout)
    first = results[0]
    if any(r["experts"] != first["experts"] or r["capacities"] != first["capacities"] for r in results):
        raise SystemExit("replay_trace.py: error: the traces have different numbers of experts")
    rates = {name: np.mean([r["hit_rates"][name] for r in results], axis=0) for name in first["hit_rates"]}
    return np.array(first["capacities"]) / first["experts"], rates, first["cycle"] / first["experts"]


def print_table(shares: np.ndarray, rates: dict[str, np.ndarray]) -> None:
    columns = [int(np.argmin(abs(shares - share))) for share in SHARES]
    print("| resident | " + " | ".join(f"{shares[c]:.0%}" for c in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name in sorted(rates, key=lambda name: rates[name][columns[2]]):
        print(f"| {name} | " + " | ".join(f"{rates[name][c]:.3f}" for c in columns) + " |")


def draw(shares: np.ndarray, rates: dict[str, np.ndarray], cycle: float, picture: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5), dpi=110)
    for name in sorted(rates, key=lambda name: -rates[name].mean()):
        bound = name == "belady"
        axes.plot(100 * shares, rates[name], marker=".", color="black" if bound else None, linestyle="--" if bound else "-",
                  label="Belady (knows the future)" if bound else name)  # fmt: skip
    axes.axvline(100 * cycle, color="grey", linestyle=":", label="one token's experts")
    axes.set(xlabel="experts in memory, %", ylabel="hit rate", xlim=(0, 100), ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.tight_layout()
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("traces", type=Path, nargs="+")
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    shares, rates, cycle = replay(args.traces)
    print_table(shares, rates)
    if args.picture:
        draw(shares, rates, cycle, args.picture)


if __name__ == "__main__":
    main()
