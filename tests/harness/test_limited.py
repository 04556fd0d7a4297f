"""What the other tests' limits and peaks rest on."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from limited import V1, V2, Finished, counter, hierarchies, parse_size, run, why_not_limited

MB = 10**6
WHY_NOT = why_not_limited()
limited = pytest.mark.skipif(WHY_NOT is not None, reason=f"memory cannot be limited here: {WHY_NOT}")
LIMITED = Path(__file__).with_name("limited.py")


def holding(megabytes: int, then: str = "") -> list[str]:
    """A program that touches so much memory of its own."""
    return [sys.executable, "-I", "-S", "-c", f"import sys\nheld = bytearray(b'x') * {megabytes * MB}\n{then}"]


def ours(cgroup: Path) -> bool:
    """Not that of a benchmark which runs at the same time: its maker is of another session. One whose maker is gone may be ours."""
    try:
        return os.getsid(int(cgroup.name.rpartition("-")[2])) == os.getsid(0)
    except ProcessLookupError:
        return True


def left() -> list[Path]:
    """Cgroups of these tests that are still there."""
    places = hierarchies(Path("/proc/self/mountinfo").read_text(), Path("/proc/self/cgroup").read_text())
    return [path for _, parent in places for path in parent.glob("sluice-limited-*") if ours(path)]


@limited
def test_a_process_that_takes_more_than_the_limit_is_killed_and_reported():
    finished = run(holding(300), limit=100 * MB)
    assert finished.returncode == -signal.SIGKILL and finished.out_of_memory and not finished.timed_out
    assert finished.limit_hits > 0
    assert 90 * MB < finished.cgroup_peak <= finished.limit <= 100 * MB
    assert finished.peak_rss < 130 * MB  # pages of files that were in the page cache before count here only


@limited
def test_a_process_that_takes_less_ends_as_it_would():
    finished = run(holding(100, "print('here'); print('there', file=sys.stderr); sys.exit(7)"), limit=200 * MB)
    assert (finished.returncode, finished.stdout, finished.stderr) == (7, "here\n", "there\n")
    assert not finished.out_of_memory and finished.oom_kills == 0 and finished.not_limited is None
    assert 100 * MB < finished.cgroup_peak < 120 * MB


@limited
def test_the_children_of_a_command_are_limited_too():
    program = "import subprocess, sys; print(subprocess.run(sys.argv[1:]).returncode)"
    finished = run([sys.executable, "-c", program, *holding(300)], limit=100 * MB)
    assert finished.stdout == "-9\n" and finished.returncode == 0 and finished.out_of_memory


@limited
def test_the_page_cache_counts_and_goes_before_anyone_is_killed(tmp_path):
    file = tmp_path / "file"
    written = run(["dd", "if=/dev/zero", f"of={file}", "bs=1M", "count=200"], limit=50 * MB)
    assert written.returncode == 0 and file.stat().st_size == 200 * 2**20
    if written.limit_hits == 0:
        pytest.skip("this file system writes past the page cache")
    assert written.cgroup_peak > 40 * MB and not written.out_of_memory and written.peak_rss < 30 * MB


@limited
def test_nothing_is_left_of_the_cgroup_whatever_happened():
    run(holding(300), limit=100 * MB)
    run(["/no/such/program"], limit=100 * MB)
    run(["sleep", "60"], limit=100 * MB, timeout_s=0.1)
    run(["sh", "-c", "sleep 60 >/dev/null 2>&1 &"], limit=100 * MB)  # leaves a process behind
    assert left() == []


def wait_until(holds) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@limited
def test_a_harness_that_is_ended_takes_the_command_along():
    harness = subprocess.Popen([sys.executable, LIMITED, "--limit", "100MB", "sleep", "60"], stderr=subprocess.PIPE)
    wait_until(left)
    harness.terminate()
    harness.communicate(timeout=20)
    assert harness.returncode == 128 + signal.SIGKILL and left() == []


@limited
def test_a_caller_that_is_killed_leaves_neither_command_nor_cgroup():
    program = f"import sys; sys.path.insert(0, {str(LIMITED.parent)!r}); import limited; limited.run(['sleep', '61'], limit=10**8)"
    caller = subprocess.Popen([sys.executable, "-c", program])
    wait_until(lambda: any((path / "cgroup.procs").read_text() for path in left()))
    caller.kill()
    caller.wait()
    wait_until(lambda: left() == [])


@pytest.mark.parametrize("megabytes", [40, 150])
def test_the_peak_is_the_commands_and_not_what_the_caller_held(megabytes):
    ballast = bytearray(b"x") * (300 * MB)
    small, finished = run(holding(20)), run(holding(20 + megabytes))
    assert len(ballast) == 300 * MB
    assert finished.peak_rss - small.peak_rss == pytest.approx(megabytes * MB, abs=MB)
    assert small.peak_rss < 40 * MB


def test_the_peak_is_the_most_that_was_held_and_not_the_last():
    finished = run(holding(150, "del held"))
    assert 150 * MB < finished.peak_rss < 175 * MB


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count no bytes")
def test_what_is_read_from_disk_counts_and_what_the_page_cache_holds_does_not(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"x" * 50 * MB)
    reading = ["dd", f"if={file}", "of=/dev/null", "bs=1M"]
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    first, second = run(reading), run(reading)
    if first.read_bytes == 0:
        pytest.skip("this file system counts no reads, as one in memory")
    assert 50 * MB <= first.read_bytes < 60 * MB and second.read_bytes < 5 * MB


def test_without_a_limit_nothing_is_said_of_limits():
    finished = run(holding(10))
    assert finished.returncode == 0 and finished.limit is None and finished.not_limited is None
    assert (finished.cgroup_peak, finished.limit_hits, finished.oom_kills) == (None, None, None)


def test_a_command_that_takes_too_long_is_killed():
    finished = run(["sleep", "60"], timeout_s=0.2)
    assert finished.timed_out and finished.returncode == -signal.SIGKILL and finished.wall_s < 20


def test_a_command_that_is_not_there_is_told():
    finished = run(["/no/such/program"])
    assert finished.returncode == 127 and "/no/such/program: No such file" in finished.stderr


def test_the_command_line_ends_as_the_command_does():
    done = subprocess.run([sys.executable, LIMITED, "sh", "-c", "exit 5"], capture_output=True, text=True)
    assert done.returncode == 5 and '"returncode": 5' in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a command as another user")
def test_without_permission_the_command_runs_and_the_report_says_why(tmp_path):
    nobody = 65534
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    if not python:
        pytest.skip("no python3 that every user may run")
    copied = Path(shutil.copy(LIMITED, tmp_path))
    for folder in (tmp_path, *tmp_path.parents):
        if folder == Path(tempfile.gettempdir()):
            break
        folder.chmod(0o755)
    done = subprocess.run([python, copied, "--limit", "1GB", "echo", "done"], capture_output=True, text=True, user=nobody, group=nobody)
    assert done.stdout == "done\n", done.stderr
    assert '"limit": null' in done.stderr and "ermission denied" in done.stderr


MOUNTS_V1 = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw
"""
MOUNTS_V2 = "35 24 0:30 / /sys/fs/cgroup rw,nosuid,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


def test_where_both_versions_are_mounted_the_one_with_the_memory_comes_first():
    v1, v2 = hierarchies(MOUNTS_V1, "4:memory:/some/where\n0::/\n")
    assert v1 == (V1, Path("/sys/fs/cgroup/memory")) and v2 == (V2, Path("/sys/fs/cgroup/unified"))


def test_a_session_of_systemd_may_make_cgroups_beside_its_own():
    top = Path("/sys/fs/cgroup")
    slice_ = "user.slice/user-1000.slice/user@1000.service/app.slice"
    assert hierarchies(MOUNTS_V2, f"0::/{slice_}/terminal.scope\n") == [(V2, top), (V2, top / slice_)]
    assert hierarchies(MOUNTS_V2, "0::/\n") == [(V2, top)]
    assert hierarchies("24 30 0:22 / /proc rw - proc proc rw\n", "") == []


def test_counters_are_read_from_either_version(tmp_path):
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 12\noom 1\noom_kill 3\noom_group_kill 0\n")
    (tmp_path / "memory.failcnt").write_text("4\n")
    assert (counter(tmp_path, *V2.hits), counter(tmp_path, *V2.kills), counter(tmp_path, *V1.hits)) == (12, 3, 4)
    assert counter(tmp_path, *V2.peak) is None  # an older kernel


def test_sizes_are_read_as_people_write_them():
    sizes = ("700MB", "2GB", "1.5GiB", "4096", "1 kib")
    assert [parse_size(text) for text in sizes] == [700 * 10**6, 2 * 10**9, 3 * 2**29, 4096, 1024]
    for wrong in ("", "GB", "-1MB", "2TBs", "1e9"):
        with pytest.raises(ValueError):
            parse_size(wrong)


def test_what_a_cgroup_counts_is_out_of_memory_only_when_it_killed():
    finished = dict(returncode=-9, stdout="", stderr="", wall_s=0, timed_out=False, cpu_s=0, peak_rss=0, read_bytes=0)
    finished |= dict(limit=1, not_limited=None)
    assert Finished(**finished, cgroup_peak=1, limit_hits=5, oom_kills=1).out_of_memory
    assert not Finished(**finished, cgroup_peak=1, limit_hits=5, oom_kills=0).out_of_memory
