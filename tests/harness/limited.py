#!/usr/bin/env python3
"""Runs a command in a memory cgroup of its own, where the machine allows it, and tells what it took.

    tests/harness/limited.py [--limit SIZE] [--timeout SECONDS] [--report FILE] COMMAND...      SIZE as in 700MB, 2GB, 1.5GiB

    from limited import run
    finished = run(["sluice", "run", ...], limit=parse_size("2GB"))

The cgroup (v1 or v2) counts what the command touches first: its memory and the files' pages that it brings into the page cache, not
pages that were there before. Nothing of it is swapped. Without a cgroup the command runs all the same, and the report says why it was
not limited. The report is one line of JSON on stderr, or what FILE holds; the exit status is the command's, 128 + N after signal N.

A process of its own does this, so that it starts the command from a small memory: Linux counts into a child's peak what its parent
held when it started it. A peak below this program's own (about 14 MB) is therefore not seen.
"""

import argparse
import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

# ru_maxrss counts bytes on macOS and KiB on Linux.
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
PREFIX = "sluice-limited-"  # of a cgroup's name; then the process that made it


def parse_size(text: str) -> int:
    number = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    if not number or number[2].upper() not in UNITS:
        raise ValueError(f"{text!r} is not a size such as 700MB or 1.5GiB")
    return round(float(number[1]) * UNITS[number[2].upper()])


class NotLimited(Exception):
    """Its text says why this machine does not let us limit memory."""


@dataclass(frozen=True)
class Version:
    """The files of a memory cgroup. swap: what is written where, so that nothing is swapped."""

    limit: str
    swap: dict[str, str]
    peak: tuple[str, str]  # a file and a key in it; without a key the file holds the number alone
    hits: tuple[str, str]
    kills: tuple[str, str]


V1 = Version(
    limit="memory.limit_in_bytes",
    # Were both limits equal, what hits them would be counted in neither's failcnt.
    swap={"memory.swappiness": "0", "memory.memsw.limit_in_bytes": "{more_than_limit}"},
    peak=("memory.max_usage_in_bytes", ""),
    hits=("memory.failcnt", ""),
    kills=("memory.oom_control", "oom_kill"),
)
V2 = Version(
    limit="memory.max",
    swap={"memory.swap.max": "0"},
    peak=("memory.peak", ""),
    hits=("memory.events", "max"),
    kills=("memory.events", "oom_kill"),
)


def hierarchies(mountinfo: str, own: str) -> list[tuple[Version, Path]]:
    """Where a memory cgroup may be made, best first. mountinfo, own: of /proc/self/mountinfo and /proc/self/cgroup."""
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        (filesystem, _, options), mount = after.split(" ", 2), Path(before.split()[4])
        if filesystem == "cgroup" and "memory" in options.split(","):
            found.append((V1, mount))
        elif filesystem == "cgroup2":
            path = next((line[3:].strip("/") for line in own.splitlines() if line.startswith("0::")), "")
            # A user's session may not write to the top, but where systemd put it.
            found += [(V2, mount), *([(V2, (mount / path).parent)] if "/" in path else [])]
    return sorted(found, key=lambda place: place[0] is V2)  # where both are mounted, v1 has the memory


class Cgroup:
    """A fresh one, and its removal. Raises NotLimited where it cannot be made or would not limit."""

    def __init__(self, version: Version, parent: Path, limit: int) -> None:
        self.version = version
        self.directory = parent / f"{PREFIX}{os.getpid()}"
        try:
            self.directory.mkdir()
        except OSError as error:
            raise NotLimited(f"no cgroup in {parent}: {error.strerror}") from error
        try:
            self._write(version.limit, str(limit))
        except OSError as error:
            self.remove()
            raise NotLimited(f"no limit in {parent}: {version.limit}: {error.strerror}") from error
        for name, text in version.swap.items():
            try:
                self._write(name, text.format(more_than_limit=limit + 2**20))
            except OSError:
                pass  # a kernel without swap has no such file

    def _write(self, name: str, text: str) -> None:
        with open(self.directory / name, "r+") as file:  # never creates it
            file.write(text)

    def add(self, pid: int) -> None:
        try:
            self._write("cgroup.procs", str(pid))
        except OSError as error:
            raise NotLimited(f"cannot move into {self.directory}: {error.strerror}") from error

    def limit(self) -> int:
        """As the kernel took it: whole pages."""
        return int((self.directory / self.version.limit).read_text())

    def counted(self) -> dict[str, int | None]:
        version, read = self.version, partial(counter, self.directory)
        return {"cgroup_peak": read(*version.peak), "limit_hits": read(*version.hits), "oom_kills": read(*version.kills)}

    def kill(self) -> None:
        for pid in (self.directory / "cgroup.procs").read_text().split():
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass

    def remove(self) -> None:
        """Whatever the command left running in it ends too."""
        for _ in range(100):
            try:
                self.kill()
                self.directory.rmdir()
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.02)  # the dying still count
                continue
            return
        print(f"limited: error: {self.directory} cannot be removed", file=sys.stderr)


def counter(directory: Path, file: str, key: str) -> int | None:
    try:
        text = (directory / file).read_text()
    except OSError:
        return None  # memory.peak came with Linux 5.19
    if not key:
        return int(text)
    return next((int(line.split()[1]) for line in text.splitlines() if line.split()[0] == key), None)


def remove_left(parent: Path) -> None:
    """Cgroups whose makers were killed before they could remove them."""
    for left in parent.glob(f"{PREFIX}*"):
        pid = left.name.removeprefix(PREFIX)
        if pid.isdecimal() and not Path("/proc", pid).exists():
            try:
                left.rmdir()
            except OSError:
                pass  # another has done it, or it is in use


def make_cgroup(limit: int) -> Cgroup:
    """In the first place that works. Raises NotLimited with what each place said."""
    try:
        places = hierarchies(Path("/proc/self/mountinfo").read_text(), Path("/proc/self/cgroup").read_text())
    except OSError as error:
        raise NotLimited("this system has no cgroups") from error
    said = []
    for version, parent in places:
        try:
            remove_left(parent)
            return Cgroup(version, parent, limit)
        except NotLimited as why:
            said.append(str(why))
    raise NotLimited("; ".join(said) or "no cgroup hierarchy for memory is mounted")


def die_with_parent(number: int) -> None:
    """Gets the signal when this process's parent ends, however it does: Linux only."""
    if sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(set_parent_death_signal, number)


class Command:
    """A child that waits until it may become the command: `start` lets it."""

    def __init__(self, arguments: list[str]) -> None:
        wait, self._go = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                die_with_parent(signal.SIGKILL)
                os.close(self._go)
                os.read(wait, 1)
                os.execvp(arguments[0], arguments)
            except OSError as error:
                os.write(2, f"limited: error: cannot run {arguments[0]}: {error.strerror}\n".encode())
            finally:
                os._exit(127)
        os.close(wait)

    def start(self) -> None:
        os.close(self._go)

    def kill(self) -> None:
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def wait(self) -> dict:
        """The part of the report that the system tells of it and of the children that it waited for."""
        _, status, usage = os.wait4(self.pid, 0)
        return {
            "returncode": os.waitstatus_to_exitcode(status),
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "peak_rss": usage.ru_maxrss * MAXRSS_UNIT,
            "read_bytes": usage.ru_inblock * 512 if sys.platform == "linux" else None,
        }


def measured(arguments: list[str], limit: int | None, timeout_s: float) -> dict:
    """Runs the command with this process's files; the report. timeout_s: 0 for none."""
    command, cgroup, why_not, timed_out = Command(arguments), None, None, False

    def stop(number: int, _) -> None:
        nonlocal timed_out
        timed_out = timed_out or number == signal.SIGALRM
        command.kill()

    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    die_with_parent(signal.SIGTERM)
    try:
        if limit is not None:
            try:
                cgroup = make_cgroup(limit)
                cgroup.add(command.pid)
            except NotLimited as error:
                why_not = str(error)
                if cgroup:
                    cgroup.remove()
                cgroup = None
        signal.setitimer(signal.ITIMER_REAL, timeout_s)
        start = time.monotonic()
        command.start()
        ended = command.wait()
        wall_s = time.monotonic() - start
        signal.setitimer(signal.ITIMER_REAL, 0)
        return {
            **ended,
            "wall_s": wall_s,
            "timed_out": timed_out,
            "limit": cgroup.limit() if cgroup else None,
            "not_limited": why_not,
            **(cgroup.counted() if cgroup else dict.fromkeys(("cgroup_peak", "limit_hits", "oom_kills"))),
        }
    finally:
        if cgroup:
            cgroup.remove()


@dataclass(frozen=True)
class Finished:
    """How a command ended. Sizes in bytes; what a cgroup counts is None without one. cpu_s: of all processors, the system's work included.

    peak_rss: the most memory the process held, the files' pages it mapped included. read_bytes: from disk, what the page cache had
    left out; Linux only. cgroup_peak: the most that was counted, the page
    cache included, so that it reaches the limit as soon as more file than that is read. limit_hits: how often something had to go for
    something new, which the page cache alone causes too. oom_kills: processes that were killed since nothing could go.
    """

    returncode: int  # -N after signal N
    stdout: str
    stderr: str
    wall_s: float
    timed_out: bool
    cpu_s: float
    peak_rss: int
    read_bytes: int | None
    limit: int | None
    not_limited: str | None  # why there is no limit, where one was asked for
    cgroup_peak: int | None
    limit_hits: int | None
    oom_kills: int | None

    @property
    def out_of_memory(self) -> bool:
        return bool(self.oom_kills)


def run(command: list, limit: int | None = None, timeout_s: float = 0, env: dict[str, str] | None = None, cwd=None) -> Finished:
    """Runs it without a terminal, limited to so many bytes where that can be. Does not raise when it fails."""
    with tempfile.TemporaryDirectory(prefix="limited-") as scratch:
        report = Path(scratch) / "report.json"
        options = ["--report", str(report), "--timeout", str(timeout_s)]
        options += [] if limit is None else ["--limit", str(limit)]
        launcher = [sys.executable, "-I", "-S", __file__, *options, "--", *map(str, command)]
        done = subprocess.run(launcher, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env, cwd=cwd)
        if not report.exists():
            raise RuntimeError(f"limited.py failed: {done.stderr.strip()}")
        return Finished(stdout=done.stdout, stderr=done.stderr, **json.loads(report.read_text()))


def why_not_limited() -> str | None:
    """Why a command would not be limited here, or None where it would be: for tests that are skipped without."""
    return run([sys.executable, "-c", ""], limit=2**30).not_limited


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=parse_size, metavar="SIZE")
    parser.add_argument("--timeout", type=float, default=0, metavar="SECONDS", help="then it is killed (default: never)")
    parser.add_argument("--report", type=Path, metavar="FILE")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("no COMMAND")
    report = measured(command, options.limit, options.timeout)
    text = json.dumps(report) + "\n"
    if options.report:
        options.report.write_text(text)
    else:
        sys.stderr.write(text)
    sys.exit(report["returncode"] if report["returncode"] >= 0 else 128 - report["returncode"])


if __name__ == "__main__":
    main()
