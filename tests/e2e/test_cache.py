"""`sluice cache`, `run --cache` and the server's disk cache: what is kept, found again, cleared, and damaged."""

import os
import shutil
import stat
from pathlib import Path

import pytest
from program import MODEL, Sluice, assert_bad_usage

TEXT = " ".join(f"Line {i} of a long text that nobody wants to compute twice." for i in range(90))
QUESTION = TEXT + " What is it about?"


def run(sluice: Sluice, prompt: str, *options: str) -> dict:
    return sluice.json("run", MODEL, "-p", prompt, "-n", "12", "--raw", *options)


def prepare(sluice: Sluice, *options: str) -> dict:
    return sluice.json("cache", "prompt", MODEL, "-p", TEXT, "--raw", *options)


def blocks(sluice: Sluice) -> list[Path]:
    return sorted((sluice.home / "prompts/blocks").iterdir())


def test_a_prepared_prompt_is_begun_with_and_changes_nothing(sluice: Sluice) -> None:
    expected = run(sluice, QUESTION)
    assert "cached_tokens" not in expected
    kept = prepare(sluice, "--cache", "book")
    assert kept["kept_tokens"] == kept["prompt_tokens"] // 256 * 256 > 1000 and kept["bytes_written"] > 0
    found = run(sluice, QUESTION, "--cache", "book")
    assert found["tokens"] == expected["tokens"] and found["text"] == expected["text"]
    # Whether reading is faster is measured, and a machine may be slow just then.
    assert found["cached_tokens"] in (0, kept["kept_tokens"])
    assert run(sluice, QUESTION, "--cache", "another")["cached_tokens"] == 0
    assert prepare(sluice, "--cache", "book")["bytes_written"] == 0, "it is there"
    listed = sluice.json("cache", "list")
    assert {entry["cache"] for entry in listed["entries"]} == {"book", "another"}
    assert listed["bytes"] == sum(file.stat().st_size for file in blocks(sluice)) > 0


def test_what_is_kept_is_its_owners_alone(sluice: Sluice) -> None:
    prepare(sluice)
    for folder, _, files in os.walk(sluice.home / "prompts"):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700, folder
        for name in files:
            assert stat.S_IMODE(os.stat(Path(folder) / name).st_mode) == 0o600, name


def test_damage_is_found_told_and_computed_again(sluice: Sluice) -> None:
    expected = run(sluice, QUESTION)["tokens"]
    prepare(sluice)
    assert sluice.json("cache", "verify")["damaged"] == 0
    content = bytearray(blocks(sluice)[0].read_bytes())
    content[len(content) // 2] ^= 1
    blocks(sluice)[0].write_bytes(content)
    assert run(sluice, QUESTION, "--cache", "shared")["tokens"] == expected
    prepare(sluice)
    blocks(sluice)[1].write_bytes(b"short")
    verified = sluice.run("cache", "verify")
    assert verified.returncode == 1 and "1 of" in verified.stderr and "damaged" in verified.stderr
    assert sluice.run("cache", "verify").returncode == 0, "it is in quarantine"
    (sluice.home / "prompts/index.db").write_bytes(b"nonsense")
    again = sluice.run("run", MODEL, "-p", QUESTION, "-n", "1", "--raw", "--cache", "shared")
    assert again.returncode == 0 and "disk cache" in again.stderr
    shutil.rmtree(sluice.home / "prompts")
    (sluice.home / "prompts").write_text("a file")
    assert run(sluice, QUESTION)["tokens"] == expected
    assert sluice.run("cache", "prompt", MODEL, "-p", TEXT).returncode == 1


def test_clear_deletes_what_is_named_or_all(sluice: Sluice) -> None:
    prepare(sluice, "--cache", "one")
    prepare(sluice, "--cache", "two")
    n = len(blocks(sluice))
    assert sluice.json("cache", "clear", "one")["files"] == n // 2 == len(blocks(sluice))
    assert sluice.json("cache", "clear")["files"] == n // 2 and blocks(sluice) == []
    assert sluice.json("cache", "list")["entries"] == []


def test_nothing_is_there_before_something_is_kept(sluice: Sluice) -> None:
    assert sluice.json("cache", "list")["entries"] == []
    assert sluice.json("cache", "verify")["blocks"] == 0 == sluice.json("cache", "clear")["files"]
    assert not (sluice.home / "prompts").exists()
    short = sluice.run("cache", "prompt", MODEL, "-p", "short")
    assert short.returncode == 0 and "stretches of 256" in short.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["cache"], "subcommand"),
        (["cache", "prompt", MODEL], "-p"),
        (["run", MODEL, "-p", "x", "--cache", ""], "--cache"),
        (["serve", MODEL, "--disk-cache", "1GB", "--no-disk-cache"], "--no-disk-cache"),
        (["serve", MODEL, "--disk-cache", "1GB", "--prompt-cache", "0"], "--disk-cache"),
    ],
    ids=lambda value: " ".join(map(str, value[:1] + value[2:])) if isinstance(value, list) else "",
)
def test_what_makes_no_sense_is_refused(sluice: Sluice, arguments: list, named: str) -> None:
    assert_bad_usage(sluice.run(*arguments), named)
