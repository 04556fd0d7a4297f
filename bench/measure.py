"""Fresh processes, measured in turns."""

import mmap
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/harness"))
import limited  # noqa: E402

Sample = dict[str, float]  # metric, its unit at the end of its name -> value of one process
Series = dict[str, list[float]]  # metric -> values of all repeats


class BenchError(Exception):
    """Ends the program with its text as the only line."""


def report(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Finished:
    """A process that ended well. wall_ms: from its start to its end; in 10^6 bytes peak_mb, the most memory it held, and read_mb, from
    disk, None where the system does not count it.
    """

    wall_ms: float
    peak_mb: float
    read_mb: float | None
    stdout: str


def run(command: list[str], limit: int = 0) -> Finished:
    """limit: bytes of the memory cgroup it runs in, without swap; 0 for none."""
    done = limited.run(command, limit or None, cwd=ROOT)
    if limit and done.not_limited:
        raise BenchError(f"memory cannot be limited here: {done.not_limited}")
    if done.returncode != 0:
        said = "killed for memory" if done.out_of_memory else (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        where = f" in {limit / 1e6:.0f} MB" if limit else ""
        raise BenchError(f"{' '.join(command)}:{where} exit status {done.returncode}: {said}")
    return Finished(done.wall_s * 1e3, done.peak_rss / 1e6, None if done.read_bytes is None else done.read_bytes / 1e6, done.stdout)


def forget(files: list[Path]) -> None:
    """Empties the page cache of them: what is there already would not count in a cgroup."""
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def take_memory(n_bytes: int) -> None:
    """Takes memory, where it is free, and gives it back: what a virtual machine had free its host may have taken, and gives again slower than
    a disk reads.
    """
    n_bytes = min(n_bytes, os.sysconf("SC_AVPHYS_PAGES") * mmap.PAGESIZE // 4 * 3)
    with mmap.mmap(-1, n_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        if hasattr(mmap, "MADV_HUGEPAGE"):  # else it would be found again in small pages only
            memory.madvise(mmap.MADV_HUGEPAGE)
        for at in range(0, n_bytes, mmap.PAGESIZE):
            memory[at] = 1


def remember(files: list[Path]) -> None:
    """Brings them into the page cache."""
    buffer = bytearray(1 << 24)
    for path in files:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def read_ahead_setting(file: Path) -> Path | None:
    """Where Linux says how many KB a fault in a mapping of the file reads, None where it does not say."""
    device = file.stat().st_dev
    found = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    places = (place / "queue/read_ahead_kb" for place in (found, found.resolve().parent))  # a partition has its disk's
    return next((place for place in places if place.is_file()), None)


@contextmanager
def read_ahead(file: Path, kb: int) -> Iterator[int | None]:
    """Sets it for the whole disk, where that is allowed, and then back. Gives what it is, None where nobody knows."""
    setting = read_ahead_setting(file)
    if not setting:
        yield None
        return
    before = setting.read_text()
    try:
        setting.write_text(f"{kb}\n")
    except OSError:
        pass  # only root may
    try:
        yield int(setting.read_text())
    finally:
        if setting.read_text() != before:
            setting.write_text(before)


def alternate(
    label: str,
    variants: dict[str, Callable[[], Sample]],
    repeats: int,
    warm_up: dict[str, Callable[[], Sample]] | None = None,
) -> dict[str, Series]:
    """Measures A B A B ..., so that what slows the machine for a while slows all; the first round does not count.

    warm_up: what that round runs instead, where the variants take long; nothing where it is empty.
    """
    series: dict[str, Series] = {variant: {} for variant in variants}
    for repeat in range(repeats + 1):
        report(f"{label}: {f'repeat {repeat} of {repeats}' if repeat else 'warm-up'}")
        for variant, measure in (variants if repeat or warm_up is None else warm_up).items():
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


def run_as_program(bench: Callable[[], bool | None]) -> None:
    """Ends the process: with 1 and one line for what went wrong, with 1 when `bench` returns False."""
    try:
        done = bench()
    except (BenchError, OSError) as error:
        sys.exit(f"bench: error: {error}")
    except KeyboardInterrupt:
        sys.exit("bench: interrupted")
    sys.exit(1 if done is False else 0)
