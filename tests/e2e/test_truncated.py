"""A model's file that is damaged or replaced while a process has it mapped."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from program import MODEL, Sluice, link_model
from terminal import Terminal


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A linked copy of the tiny model with weights of its own."""
    directory = link_model(tmp_path / "model")
    (directory / "model.safetensors").unlink()
    shutil.copy(MODEL / "model.safetensors", directory)
    return directory


@pytest.fixture
def terminal(sluice: Sluice, model: Path) -> Iterator[Terminal]:
    with Terminal(sluice.environment, "chat", model, "-n", "8") as terminal:
        terminal.wait_for_prompt()
        yield terminal


CHANGED = "was written to while in use; load the model again"


@pytest.mark.parametrize("bytes_left", [0, 4096, 6_000_000])
def test_a_truncated_file_fails_the_answer_and_not_the_process(model: Path, terminal: Terminal, bytes_left: int) -> None:
    terminal.ask("hello")
    os.truncate(model / "model.safetensors", bytes_left)
    for _ in range(2):
        lines = terminal.ask("hello").strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("error: ") and f"model.safetensors: {CHANGED}" in lines[0]
    assert "context" in terminal.ask("/stats")
    assert terminal.leave() == 0


@pytest.mark.parametrize("streamed", [False, True])
def test_a_file_that_is_overwritten_in_place_is_noticed(sluice: Sluice, model: Path, streamed: bool) -> None:
    """With as many bytes, which are another model's weights."""
    chat = ("chat", model, "-n", "8", "--ctx", "512")
    ram = ["--ram", str(sluice.least_budget("run", model, "-p", "x", "--ctx", "512") + 2_000_000)] if streamed else []
    with Terminal(sluice.environment, *chat, *ram) as terminal:
        terminal.wait_for_prompt()
        terminal.ask("hello")
        with (model / "model.safetensors").open("r+b") as file:
            file.seek(-100_000, os.SEEK_END)
            file.write(os.urandom(100_000))
        for _ in range(2):
            lines = terminal.ask("hello").strip().splitlines()
            assert len(lines) == 1 and lines[0].startswith("error: ") and f"model.safetensors: {CHANGED}" in lines[0]
        assert terminal.leave() == 0


def test_a_file_truncated_in_the_middle_of_an_answer_ends_it_with_an_error(sluice: Sluice, model: Path) -> None:
    with Terminal(sluice.environment, "chat", model, "-n", "100000", "--ctx", "100000", "--logit-bias", "0=-1000") as terminal:
        terminal.wait_for_prompt()
        start = len(terminal.text())
        terminal.send("tell me everything\r")
        terminal.wait_for(r"everything\n(.|\n){20}", start)
        os.truncate(model / "model.safetensors", 4096)
        assert "error: " in terminal.wait_for_prompt(start)
        assert terminal.leave() == 0


def test_a_file_that_another_replaces_keeps_answering_as_before(model: Path, terminal: Terminal, tmp_path: Path) -> None:
    before = terminal.ask("hello")
    other = tmp_path / "other"
    other.write_bytes(b"no model at all")
    os.replace(other, model / "model.safetensors")
    terminal.ask("/reset")
    assert terminal.ask("hello") == before
    assert terminal.leave() == 0


def test_a_loaded_copy_needs_the_file_no_more(sluice: Sluice, model: Path) -> None:
    with Terminal(sluice.environment, "chat", model, "-n", "8", "--load", "copy") as terminal:
        terminal.wait_for_prompt()
        before = terminal.ask("hello")
        terminal.ask("/reset")
        (model / "model.safetensors").unlink()
        assert terminal.ask("hello") == before
