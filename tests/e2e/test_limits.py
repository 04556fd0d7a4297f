"""What the system refuses: memory and threads."""

import resource
import subprocess

import pytest
from program import BINARY, MODEL, Sluice


def limited(sluice: Sluice, address_space: int, *arguments: str) -> subprocess.CompletedProcess:
    """With so many bytes of address space, of which each thread's stack takes 8 MiB."""
    return subprocess.run(
        [BINARY, *arguments],
        env=sluice.environment,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space)),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("gigabytes", [1, 2, 3, 6])
def test_threads_that_cannot_be_made_are_an_error_that_says_so(sluice: Sluice, gigabytes: int) -> None:
    """It was "terminate called without an active exception"."""
    refused = limited(sluice, gigabytes << 30, "bench", MODEL, "-p", "1", "-n", "1", "-r", "1", "--threads", "1024")
    assert refused.returncode > 0, refused.stderr
    lines = refused.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("sluice: error: a thread that computes cannot be made: "), refused.stderr


def test_whatever_is_short_ends_in_an_error_or_an_answer(sluice: Sluice) -> None:
    """From nearly nothing to enough, the limit strikes at many places."""
    for megabytes in range(150, 1300, 50):
        done = limited(sluice, megabytes << 20, "run", MODEL, "-p", "hello", "-n", "2", "--threads", "4", "--ctx", "256")
        if "while loading shared libraries" in done.stderr:
            continue
        if "memory allocation of" in done.stderr:  # Rust's last word, which nobody can catch
            continue
        assert done.returncode >= 0, (megabytes, done.returncode, done.stderr)
        assert done.returncode == 0 or "error: " in done.stderr, (megabytes, done.stderr)
