"""chat, on a terminal and in a pipe."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from program import BINARY, MODEL, Sluice
from terminal import Terminal

CTRL_C = "\x03"
END_OF_TEXT = 0
ENDLESS = ["--exact-activations", "-n", "100000", "--ctx", "100000", "--logit-bias", f"{END_OF_TEXT}=-1000"]


def chat(sluice: Sluice, *options: Any) -> Terminal:
    terminal = Terminal(sluice.environment, "chat", MODEL, *options)
    terminal.wait_for_prompt()
    return terminal


def reused_tokens(terminal: Terminal) -> int:
    return int(re.search(r"(\d+) of them reused", terminal.ask("/stats"))[1])


def test_turns_go_on_from_the_cache_and_a_reset_forgets_it(sluice: Sluice) -> None:
    with chat(sluice, "-n", "8") as terminal:
        first = terminal.ask("hello")
        assert first.strip() and reused_tokens(terminal) == 0
        terminal.ask("and again")
        assert reused_tokens(terminal) >= 12, "the first turn's prompt at least"
        assert "of 4096 tokens" in terminal.output.decode(), "the status row"
        terminal.ask("/reset")
        assert terminal.ask("hello") == first and reused_tokens(terminal) == 0


def test_an_interrupt_stops_the_answer_and_not_the_chat(sluice: Sluice) -> None:
    with chat(sluice, *ENDLESS) as terminal:
        start = len(terminal.text())
        terminal.send("tell me everything\r")
        terminal.wait_for(r"everything\n(.|\n){20}", start)
        stopped = time.monotonic()
        terminal.send(CTRL_C)
        assert "(stopped)" in terminal.wait_for_prompt(start)
        assert time.monotonic() - stopped < 5
        os.kill(terminal.pid, signal.SIGINT)  # a Ctrl-C that comes after the answer's end
        time.sleep(0.3)  # until the terminal is in its mode again: keys typed meanwhile are lost
        terminal.send("half a line" + CTRL_C)  # at the prompt it drops the line
        terminal.wait_for(r"half a line\^C\n> \Z", start)
        assert "context" in terminal.ask("/stats")
        assert terminal.leave() == 0


def test_the_system_prompt_is_set_shown_and_changes_the_answer(sluice: Sluice) -> None:
    with chat(sluice, "-n", "8", "--system", "Speak of ships.") as terminal:
        assert terminal.ask("/system") == "Speak of ships.\n"
        terminal.ask("hello")
        prompt_tokens = [int(re.search(r"(\d+) prompt tokens", terminal.ask("/stats"))[1])]
        terminal.ask("/system Speak of the many ships of the sea.")
        terminal.ask("hello")
        prompt_tokens.append(int(re.search(r"(\d+) prompt tokens", terminal.ask("/stats"))[1]))
        assert prompt_tokens[0] < prompt_tokens[1] < 2 * prompt_tokens[0], "the first turn was forgotten"


def test_a_saved_chat_goes_on_in_another_process(sluice: Sluice, tmp_path: Path) -> None:
    saved = tmp_path / "chat.json"
    with chat(sluice, "-n", "8", "--system", "Be brief.") as terminal:
        terminal.ask("hello")
        assert "2 messages" in terminal.ask(f"/save {saved}")
        goes_on = terminal.ask("go on")
    roles = [message["role"] for message in json.loads(saved.read_text())["messages"]]
    assert roles == ["system", "user", "assistant"]
    with chat(sluice, "-n", "8") as terminal:
        assert "2 messages" in terminal.ask(f"/load {saved}")
        assert terminal.ask("/system") == "Be brief.\n"
        assert terminal.ask("go on") == goes_on
        saved.write_text('{"messages": [{"role": 3}]}')
        for file in (saved, tmp_path / "absent", tmp_path, "-"):
            assert terminal.ask(f"/load {file}").startswith("error: ")
        assert terminal.ask(f"/save {tmp_path}/no/where").startswith("error: ")
        assert terminal.leave("/exit\r") == 0


def test_help_and_unknown_commands(sluice: Sluice) -> None:
    with chat(sluice) as terminal:
        for command in ("/help", "/system", "/reset", "/save", "/load", "/stats", "/exit"):
            assert command in terminal.ask("/help")
        for wrong in ("/nonsense", "/save", "/load", "/"):
            assert "/help" in terminal.ask(wrong)


def test_leaving_gives_the_terminal_back_and_keeps_the_history(sluice: Sluice) -> None:
    with chat(sluice, "-n", "4") as terminal:
        terminal.ask("remember this line")
        assert terminal.leave() == 0
        assert b"\x1b[1;23r" in terminal.output, "the last row was reserved"
        assert terminal.output.rpartition(b"\x1b[1;23r")[2].count(b"\x1b[r") == 1, "and everything scrolls again"
        assert terminal.text().endswith("\n"), "the shell's prompt begins a line"
    assert "remember" in (sluice.home / "chat_history").read_text()
    with chat(sluice, "-n", "4") as terminal:
        start = len(terminal.text())
        terminal.send("\x1b[A")  # the up arrow brings it back
        terminal.wait_for("remember this line", start)


def piped(sluice: Sluice, lines: str, *options: Any) -> subprocess.CompletedProcess:
    command = [BINARY, "chat", MODEL, *options]
    return subprocess.run(command, input=lines, capture_output=True, text=True, env=sluice.environment, timeout=60)


def test_a_pipe_gets_the_answers_and_no_escape_sequences(sluice: Sluice) -> None:
    result = piped(sluice, 'hello\n"""two\nlines"""\n/stats\n', "-n", "8")
    assert result.returncode == 0 and "\x1b" not in result.stdout + result.stderr
    assert not result.stdout.startswith(">") and "reused" in result.stdout
    assert not (sluice.home / "chat_history").exists()
    assert piped(sluice, "").returncode == 0


def test_a_conversation_that_outgrows_the_context_says_so_and_can_start_anew(sluice: Sluice) -> None:
    result = piped(sluice, "hello\n" * 4 + "/reset\nhello\n", "-n", "20", "--ctx", "48", "--logit-bias", f"{END_OF_TEXT}=-1000")
    assert result.returncode == 0
    assert "error: the prompt has" in result.stderr and "holds 48" in result.stderr
    assert result.stderr.rstrip().endswith("(ended at --max-tokens)"), "after /reset"


@pytest.mark.parametrize("option", ["--logit-bias=x", "--temp=-2"])
def test_wrong_options_are_bad_usage(sluice: Sluice, option: str) -> None:
    result = sluice.run("chat", MODEL, option)
    assert result.returncode == 2 and result.stderr.count("\n") == 1, result.stderr
