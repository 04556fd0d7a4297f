"""What an interrupt, a closed pipe or an error leaves: no half-written file, the terminal as it was, the exit code shells expect."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from program import BINARY, MODEL, Sluice
from terminal import Terminal

ENDLESS = ["run", MODEL, "-p", "The following options are available:", "-n", "1000000", "--ignore-eos", "--ctx", "1000000"]
END_OF_TEXT = 0
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def wait_until(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def start_answer(sluice: Sluice, *options) -> subprocess.Popen:
    """Has begun its answer, which is far from its end."""
    process = sluice.start(*ENDLESS, *options)
    assert process.stdout.read(20)
    return process


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_run_with_what_there_is(sluice: Sluice, tmp_path: Path, number: int) -> None:
    files = ["--timeline", tmp_path / "timeline.json", "--record-trace", tmp_path / "trace"]
    with start_answer(sluice, *files) as process:
        start = time.monotonic()
        process.send_signal(number)
        text, errors = process.communicate(timeout=10)
        assert time.monotonic() - start < 5
        assert process.returncode == -number and text.endswith(b"\n") and b"tok/s" in errors
    assert names(tmp_path) == ["timeline.json", "trace"]
    assert json.loads((tmp_path / "timeline.json").read_text())["traceEvents"]


def test_json_says_that_it_was_cancelled(sluice: Sluice) -> None:
    process = sluice.start(*ENDLESS, "--json")
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=10)
    # Before the answer began the signal is none of its business.
    assert process.returncode == -signal.SIGINT
    assert text == b"" or json.loads(text)["finish_reason"] == "cancelled"


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_leaves_no_half_written_file(sluice: Sluice, tmp_path: Path, number: int) -> None:
    ids, files = tmp_path / "ids", tmp_path / "files"
    ids.write_text(",".join(str(i % 8000) for i in range(60_000)))
    files.mkdir()
    (files / "trace").write_text("old")
    options = ["--out", files / "out.npy", "--timeline", files / "timeline.json", "--record-trace", files / "trace"]
    with sluice.start("logits", MODEL, "--tokens", f"@{ids}", "--ctx", "60000", *options) as process:
        wait_until(lambda: any(name.startswith("out.npy.") for name in names(files)))
        process.send_signal(number)
        assert process.wait(timeout=10) == -number
    assert names(files) == ["trace"] and (files / "trace").read_text() == "old"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_shell_sees_128_and_the_signal(sluice: Sluice, number: int, code: int) -> None:
    run = f'"{BINARY}" run "{MODEL}" -p x -n 1000000 --ignore-eos --ctx 1000000 -q >&2'
    shell = subprocess.Popen(
        ["bash", "-c", f"sh -c 'echo $$; exec {run}'; exit $?"],
        env=sluice.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    pid = int(shell.stdout.readline())
    assert shell.stderr.read(20)  # of the answer
    os.kill(pid, number)
    shell.communicate(timeout=20)
    assert shell.returncode == code


def test_an_interrupt_ends_a_shell_loop_over_runs(sluice: Sluice) -> None:
    script = f'while true; do "{BINARY}" run "{MODEL}" -p x -n 1000000 --ignore-eos --ctx 1000000; done'
    process = subprocess.Popen(
        ["bash", "-c", script],
        env=sluice.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout.read(20)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    process.communicate(timeout=10)
    assert process.returncode == -signal.SIGINT


def test_a_second_interrupt_does_not_wait(sluice: Sluice, tmp_path: Path) -> None:
    with start_answer(sluice, "--timeline", tmp_path / "timeline.json") as process:
        os.kill(process.pid, signal.SIGSTOP)  # so that both are there before it can wind up
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        os.kill(process.pid, signal.SIGCONT)
        process.communicate(timeout=10)
        assert process.returncode in (-signal.SIGINT, -signal.SIGTERM)
    assert not any("partial" in name for name in names(tmp_path))


def test_a_terminal_is_given_back(sluice: Sluice) -> None:
    endless = ["-n", "100000", "--ctx", "100000", "--logit-bias", f"{END_OF_TEXT}=-1000"]
    for number in (signal.SIGTERM, signal.SIGHUP):
        with Terminal(sluice.environment, "chat", MODEL, *endless) as terminal:
            terminal.wait_for_prompt()
            start = len(terminal.text())
            terminal.send("tell me everything\r")
            terminal.wait_for(r"everything\n(.|\n){20}", start)
            os.kill(terminal.pid, number)
            assert terminal.leave("") == -number
            assert b"\x1b[1;23r" in terminal.output, "the last row was reserved"
            assert terminal.output.rpartition(b"\x1b[1;23r")[2].count(b"\x1b[r") == 1, "and everything scrolls again"


def test_a_reader_that_goes_away_ends_the_run_quietly_and_keeps_the_timeline(sluice: Sluice, tmp_path: Path) -> None:
    with start_answer(sluice, "--quiet") as process:
        process.stdout.close()
        assert process.wait(timeout=10) == 0
        assert process.stderr.read() == b""
    files = ["--timeline", tmp_path / "timeline.json", "--record-trace", tmp_path / "trace"]
    with start_answer(sluice, *files) as process:
        process.stdout.close()
        assert process.wait(timeout=10) == 0
    assert names(tmp_path) == ["timeline.json", "trace"]
    assert json.loads((tmp_path / "timeline.json").read_text())["traceEvents"]


def test_a_refusal_leaves_the_files_of_an_earlier_run(sluice: Sluice, tmp_path: Path) -> None:
    timeline, trace, profile = (tmp_path / name for name in ("timeline.json", "trace", "profile"))
    trace.write_text("old")
    timeline.write_text("old")
    too_long = ["run", MODEL, "-p", "one two three four", "--raw", "--ctx", "3", "--timeline", timeline, "--record-trace", trace]
    assert sluice.run(*too_long).returncode == 2
    assert timeline.read_text() == "old" and trace.read_text() == "old"
    assert sluice.run("run", MODEL, "-p", "x", "--ram", "1MB", "--record-trace", trace, "--profile", profile).returncode == 4
    assert names(tmp_path) == ["timeline.json", "trace"] and trace.read_text() == "old"
