"""The command line as a whole: help, exit codes, output, completion, manual page, terminal."""

import os
import pty
import re
import shutil
import subprocess

import pytest
from hub_server import Hub
from program import BINARY


def commands() -> list[str]:
    text = subprocess.run([BINARY, "--help"], capture_output=True, text=True, check=True).stdout
    return re.findall(r"^  ([a-z]+)  ", text.partition("Subcommands:")[2], re.MULTILINE)


def test_every_command_has_help_with_examples(sluice):
    assert {"pull", "list", "rm", "completion", "man"} <= set(commands())
    for command in commands():
        result = sluice.run(command, "--help")
        assert result.returncode == 0 and result.stderr == ""
        assert f"Usage: sluice {command}" in result.stdout
        assert f"sluice {command}" in result.stdout.partition("Examples:")[2], command


def test_help_shows_values_as_they_are_typed(sluice):
    for command in commands():
        text = sluice.run(command, "--help").stdout
        assert not re.search(r"->|REQUIRED|:INT|:POSITIVE|value in|Option Group|\n\n\n", text), text
    text = sluice.run("run", "--help").stdout
    for option in ("--load map|copy ", "--kv-type f32|f16|bf16 ", "--threads N ", "-p,--prompt TEXT ", "--stop TEXT ... "):
        assert f"  {option}" in text
    assert "(required)" in sluice.run("logits", "--help").stdout


def test_version(sluice):
    result = sluice.run("--version")
    assert result.returncode == 0 and re.fullmatch(r"sluice \d+\.\d+\.\d+\n", result.stdout)


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["list", "--nonsense"], ["pull"], ["completion", "tcsh"], ["--json", "list"]])
def test_wrong_usage_is_exit_code_2_and_one_line(sluice, arguments):
    result = sluice.run(*arguments)
    assert result.returncode == 2 and result.stdout == ""
    assert re.fullmatch(r"sluice: error: [^\n]+\n", result.stderr)


def test_escape_sequences_in_arguments_are_not_echoed(sluice):
    result = sluice.run("rm", "a\x1b[2J\nb")
    assert result.returncode == 2 and "\x1b" not in result.stderr and result.stderr.count("\n") == 1


def test_a_closed_pipe_ends_quietly(sluice):
    process = subprocess.Popen([BINARY, "man"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 0
    process.stderr.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_under_stdout_is_an_error():
    with open("/dev/full", "w") as full:
        result = subprocess.run([BINARY, "man"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 1 and "stdout" in result.stderr


def test_an_empty_store_lists_nothing(sluice):
    assert sluice.json("list")["models"] == []
    result = sluice.run("list")
    assert result.returncode == 0 and result.stdout == "" and "no models" in result.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_that_the_shell_reads(sluice, tmp_path, shell):
    script = sluice.run("completion", shell).stdout
    for command in commands():
        assert command in script
    if shutil.which(shell):  # zsh and fish are not on every machine
        path = tmp_path / "completion"
        path.write_text(script)
        result = subprocess.run([shell, "-n", path], capture_output=True, text=True)
        assert result.returncode == 0 and result.stderr == ""


def complete(sluice, line: str) -> list[str]:
    script = f"""
source <("{BINARY}" completion bash)
sluice() {{ "{BINARY}" "$@"; }}
COMP_LINE="$1" COMP_POINT=${{#1}}
_sluice
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    result = subprocess.run(["bash", "-c", script, "bash", line], env=sluice.environment, capture_output=True, text=True, check=True)
    assert result.stderr == ""
    return result.stdout.split()


def test_bash_completes_commands_options_choices_and_models(sluice):
    for name in ("org/name:Q4_K_M", "org/other"):
        directory = sluice.home / "models" / name
        directory.mkdir(parents=True)
        (directory / "m.gguf").write_bytes(b"x")
    assert "pull" in complete(sluice, "sluice pu")
    assert complete(sluice, "sluice list --js") == ["--json"]
    assert complete(sluice, "sluice completion z") == ["zsh"]
    assert complete(sluice, "sluice run --load ") == ["map", "copy"]
    assert "--prompt" in complete(sluice, "sluice run --p")
    assert complete(sluice, "sluice rm org/o") == ["org/other"]
    # bash cuts words at colons: what stands before one is not repeated
    assert complete(sluice, "sluice rm org/name:Q") == ["Q4_K_M"]


def test_the_manual_page_names_every_command(sluice):
    page = sluice.run("man").stdout
    for command in commands():
        assert f".SS {command}\n" in page
    assert ".SH EXIT STATUS" in page
    if shutil.which("groff"):
        result = subprocess.run(["groff", "-ww", "-man", "-Tutf8"], input=page, capture_output=True, text=True)
        assert result.returncode == 0 and result.stderr == ""


def run_on_terminal(arguments: list, environment: dict) -> bytes:
    """All that the program writes to its terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(BINARY, [BINARY, *arguments], environment)
    output = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # how Linux says that the other side was closed
            piece = b""
        if not piece:
            break
        output += piece
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, output
    return output


def test_a_terminal_gets_a_progress_bar_that_goes_away(sluice):
    with Hub({"org/name": {"m.gguf": os.urandom(400_000)}}) as hub:
        environment = sluice.environment | {"HF_ENDPOINT": hub.url, "TERM": "xterm"}
        output = run_on_terminal(["pull", "org/name"], environment)
    assert b"1 file" in output and b"100%" not in output.rpartition(b"\x1b[J")[2]
    assert output.rpartition(b"\x1b[J")[2].startswith(b"org/name is here")
