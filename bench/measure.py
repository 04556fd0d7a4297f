"""Fresh processes, measured in turns.

This program's own memory must stay small: Linux counts into a child's peak what its parent held when it started the child.
So only the standard library is imported here, and what needs more runs as a child.
"""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# ru_maxrss counts bytes on macOS and KiB on Linux.
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024

Sample = dict[str, float]  # metric, its unit at the end of its name -> value of one process
Series = dict[str, list[float]]  # metric -> values of all repeats


class BenchError(Exception):
    """Ends the program with its text as the only line."""


def report(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Finished:
    """A process that ended well. wall_ms: from its start to its end; peak_mb: the most memory it held, in 10^6 bytes."""

    wall_ms: float
    peak_mb: float
    stdout: str


def run(command: list[str]) -> Finished:
    with tempfile.TemporaryFile("w+") as errors:
        start = time.monotonic()
        try:
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True)
        except OSError as error:
            raise BenchError(f"cannot run {command[0]}: {error}; `make build` makes it") from error
        with process.stdout:
            stdout = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall_ms = (time.monotonic() - start) * 1e3
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            errors.seek(0)
            said = errors.read().strip().splitlines() or ["it said nothing"]
            raise BenchError(f"{' '.join(command)}: exit status {process.returncode}: {said[-1]}")
    return Finished(wall_ms, usage.ru_maxrss * MAXRSS_UNIT / 1e6, stdout)


def alternate(
    label: str,
    variants: dict[str, Callable[[], Sample]],
    repeats: int,
    warm_up: dict[str, Callable[[], Sample]] | None = None,
) -> dict[str, Series]:
    """Measures A B A B ..., so that what slows the machine for a while slows all; the first round does not count.

    warm_up: what that round runs instead, where the variants take long.
    """
    series: dict[str, Series] = {variant: {} for variant in variants}
    for repeat in range(repeats + 1):
        report(f"{label}: {f'repeat {repeat} of {repeats}' if repeat else 'warm-up'}")
        for variant, measure in (warm_up or variants).items() if repeat == 0 else variants.items():
            sample = measure()
            if repeat == 0:
                continue
            for metric, value in sample.items():
                series[variant].setdefault(metric, []).append(value)
    return series


def medians(series: dict[str, Series]) -> dict[str, Sample]:
    return {variant: {metric: statistics.median(values) for metric, values in of.items()} for variant, of in series.items()}


def cpu_model() -> str:
    """The processor's name as the system gives it."""
    if sys.platform == "darwin":
        return subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True).stdout.strip()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def circumstances(sluice: Path) -> dict:
    """What a figure means nothing without. memory_mb is in 10^6 bytes; load_average is the system's, before measuring."""
    return {
        "commit": git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(git("status", "--porcelain", "--untracked-files=no")),
        "sluice": run([str(sluice), "--version"]).stdout.strip(),
        "mlx": version("mlx"),
        "mlx_lm": version("mlx-lm"),
        "machine": {
            "cpu": cpu_model(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "memory_mb": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e6,
            "system": platform.platform(),
            "load_average": os.getloadavg(),
        },
    }
