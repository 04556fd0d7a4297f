#!/usr/bin/env python3
"""Does Sluice stay within --ram? Runs models at budgets from the least that it accepts up, prints each process's peak and a verdict.

    make bench-budgets
    bench/budgets.py [--only NAME ...] [--budgets N] [--threads N] [--gemma FILE]

A run decodes 64 tokens, or prefills 512, or does so with keys and values of 4096 tokens reserved, in a memory cgroup of 1.5 times its
budget, so that one that takes more is seen to and is not killed; the middle budget runs once more in a cgroup of exactly that, where one
that takes more is killed. The least budget is the one that Sluice names when it refuses one byte; the others are as far from each other
as the last is from all the weights, or, where those are less than the least, from half as much again. The peak is the whole process's, as the system counted it.
Every sample goes to bench/results. $SLUICE_BIN names another binary than build/release/bin/sluice. It takes some minutes, most of them
to make the models (6 GB under build/peers); a busy machine changes no verdict. The exit status is 1 where one is NO.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from fnmatch import fnmatch
from pathlib import Path

from measure import ROOT, BenchError, circumstances, forget, limited, report, run_as_program
from peer_rows import DENSE, GEMMA, MOE_RANDOM
from tables import number
from workplace import SLUICE, built_at, check_not_rebuilt, fetched, files_of, named_least, tool, write

WINDOWS = "qwen3-synthetic-windows"
MODELS = (DENSE, WINDOWS, MOE_RANDOM, GEMMA)
WORKS = {
    "prefill": ("-p", "512", "-n", "0"),
    "decode": ("-p", "0", "-n", "64"),
    "reserve": ("-p", "512", "-n", "0", "--ctx", "4096", "--kv-reserve", "4096"),
}
ROOM = 1.5  # the cgroup's size in budgets
TIMEOUT_S = 600
HEAD = ["model", "--ram MB", "cgroup MB", "work", "peak RSS MB", "peak of the cgroup MB", "of the budget", "tok/s", "read MB", "held"]


@dataclass(frozen=True)
class Run:
    """Of one process. Sizes in bytes; what nobody counted is None."""

    model: str
    work: str
    ram: int
    cgroup: int
    returncode: int
    killed: bool
    peak_rss: int
    cgroup_peak: int | None
    read_bytes: int | None
    tps: float | None
    said: str

    @property
    def held(self) -> bool:
        return self.returncode == 0 and self.peak_rss <= self.ram

    def line(self) -> list[str]:
        ended = "yes" if self.held else "NO: killed for memory" if self.killed else f"NO: {self.said}" if self.said else "NO"
        peaks = [self.peak_rss, self.cgroup_peak]
        figures = [*(megabytes(peak) for peak in peaks), f"{self.peak_rss / self.ram:.0%}", number(self.tps) if self.tps else "-"]
        return [self.model, megabytes(self.ram), megabytes(self.cgroup), self.work, *figures, megabytes(self.read_bytes), ended]


def megabytes(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e6:.0f}"


def command(model: Path, work: str, ram: int, threads: int) -> list[str]:
    usual = ["-r", "1", "--no-warmup", "--no-probe", "--json", "--threads", str(threads)]  # probes read and hold what no model needs
    return [str(SLUICE), "bench", str(model), *WORKS[work], *usual, "--ram", str(ram)]


def least_budget(model: Path, work: str, threads: int) -> int:
    """In bytes. Raises BenchError where one byte is not refused.

    1 % more than what is named, which holds the process's size at that moment and is not the same the next time.
    """
    return named_least(command(model, work, 1, threads)) * 101 // 100


def budgets_of(least: int, weights: int, n: int) -> list[int]:
    most = weights if weights > least else least * 3 // 2
    return [least + (most - least) * i // n for i in range(n)]


def run_one(name: str, model: Path, work: str, ram: int, cgroup: int, threads: int) -> Run:
    forget(files_of(model))
    done = limited.run(command(model, work, ram, threads), cgroup, timeout_s=TIMEOUT_S, cwd=ROOT)
    if done.not_limited:
        raise BenchError(f"memory cannot be limited here: {done.not_limited}")
    told = json.loads(done.stdout) if done.returncode == 0 else {}
    said = "" if done.returncode == 0 else (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    counted = (done.returncode, done.out_of_memory, done.peak_rss, done.cgroup_peak, done.read_bytes)
    return Run(name, work, ram, cgroup, *counted, told.get("decode_tps" if work == "decode" else "prefill_tps"), said)


def runs_of(name: str, model: Path, n: int, threads: int) -> list[Run]:
    weights, runs = sum(path.stat().st_size for path in files_of(model)), []
    for work in WORKS:
        least = least_budget(model, work, threads)
        report(f"{name}, {work}: {megabytes(weights)} MB, at least {megabytes(least)} needed")
        budgets = budgets_of(least, weights, n)
        middle = budgets[len(budgets) // 2]
        for ram, cgroup in [*((ram, round(ROOM * ram)) for ram in budgets), (middle, middle)]:
            runs.append(run_one(name, model, work, ram, cgroup, threads))
            report(" | ".join(runs[-1].line()))
    return runs


def bench(options: argparse.Namespace) -> bool:
    """Returns whether every budget held."""
    started, clock = datetime.now(timezone.utc).isoformat(timespec="seconds"), time.monotonic()
    names = [name for name in MODELS if not options.only or any(fnmatch(name, pattern) for pattern in options.only)]
    if not names:
        raise BenchError(f"--only: no such model; there are {', '.join(MODELS)}")
    built, runs = built_at(), []
    result = {"started": started, **circumstances(SLUICE), "threads": options.threads}
    for name in names:
        if name == GEMMA:
            model = options.gemma.resolve() if options.gemma else fetched(GEMMA)
        else:
            model = Path(tool("tools/make_synthetic.py", str(ROOT / "build/peers/models"), "--only", name))
        runs += runs_of(name, model, options.budgets, options.threads)
    check_not_rebuilt(built)
    result |= {"seconds": time.monotonic() - clock, "runs": [asdict(run) | {"held": run.held} for run in runs]}
    path = write(result, "budgets-")
    lines = [HEAD, ["---"] * len(HEAD), *(run.line() for run in runs)]
    print("\n".join(f"| {' | '.join(line)} |" for line in lines))
    held = sum(run.held for run in runs)
    print(f"\n{held} of {len(runs)} held; Sluice {result['commit'][:7]}; {result['seconds']:.0f} s; every sample: {path.relative_to(ROOT)}")
    return held == len(runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help=f"of {', '.join(MODELS)}; patterns as in '*-moe*'")
    parser.add_argument("--budgets", type=int, default=5, help="of each model (default: 5)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--gemma", type=Path, help="Gemma 3 270M's GGUF (default: from the model store)")
    options = parser.parse_args()
    if options.budgets < 1 or options.threads < 1:
        parser.error("--budgets and --threads must be positive")
    run_as_program(lambda: bench(options))


if __name__ == "__main__":
    main()
