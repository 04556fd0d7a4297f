"""`sluice convert` and `sluice kl` as users and accidents have them: killed, out of room, out of memory, given what is no model."""

import ctypes
import hashlib
import json
import signal
import time
from pathlib import Path

import gguf
import limited
import pytest
from program import BINARY, MODEL, Sluice, assert_bad_usage
from small_models import small_model


@pytest.fixture(scope="module")
def dense(tmp_path_factory) -> Path:
    return small_model(tmp_path_factory.mktemp("dense"), "dense-mlx")


def digests(directory: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()}


def test_a_run_that_is_killed_goes_on_where_it_was_and_gives_the_same_bytes(sluice: Sluice, dense: Path, tmp_path: Path) -> None:
    options = ("--bits", "6", "--threads", "1", "-q")
    assert sluice.run("convert", dense, tmp_path / "whole", *options).returncode == 0
    out = tmp_path / "out"
    for wait_s in (0.05, 0.1, 0.2, 0.3):
        running = sluice.start("convert", dense, out, *options)
        time.sleep(wait_s)
        running.send_signal(signal.SIGKILL)
        running.communicate()
        if out.exists():
            break
        assert not out.exists()
    if not out.exists():
        assert sluice.run("convert", dense, out, *options).returncode == 0
    assert digests(out) == digests(tmp_path / "whole")
    assert not (tmp_path / "out.partial").exists()


def test_what_a_killed_run_left_half_written_is_not_in_the_result(sluice: Sluice, tmp_path: Path) -> None:
    assert sluice.run("convert", MODEL, tmp_path / "whole", "-q").returncode == 0
    partial = tmp_path / "out.partial"
    partial.mkdir()
    for name in (".lock", ".sluice-convert.1.partial", "config.json.1.partial", "model-00009-of-00009.safetensors"):
        (partial / name).write_text("")
    assert sluice.run("convert", MODEL, tmp_path / "out", "-q").returncode == 0
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")
    partial.mkdir()
    (partial / "mine").write_text("kept")
    (tmp_path / "out").rename(tmp_path / "moved")
    assert_bad_usage(sluice.run("convert", MODEL, tmp_path / "out", "-q"), "move it away")
    assert (partial / "mine").read_text() == "kept"


def test_bytes_do_not_depend_on_threads_or_memory(sluice: Sluice, dense: Path, tmp_path: Path) -> None:
    for name, options in (("one", ("--threads", "1")), ("many", ("--threads", "5", "--ram", "100MB"))):
        done = sluice.run("convert", dense, tmp_path / name, "--mode", "mxfp4", *options)
        assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "one") == digests(tmp_path / "many")


def test_memory_stays_within_the_budget(sluice: Sluice, dense: Path, tmp_path: Path) -> None:
    command = [BINARY, "convert", dense, tmp_path / "out", "--dequantize", "--dtype", "f32", "--ram", "80MB", "-q"]
    finished = limited.run(command)
    assert finished.returncode == 0, finished.stderr
    assert finished.peak_rss < 110e6  # the program's own pages of files besides
    refused = sluice.run("convert", dense, tmp_path / "small", "--ram", "1MB")
    assert refused.returncode == 4 and "give" in refused.stderr
    assert not (tmp_path / "small.partial").exists()


def test_a_full_disk_is_one_line_and_leaves_nothing(sluice: Sluice, dense: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if ctypes.CDLL(None).mount(b"tmpfs", str(small).encode(), b"tmpfs", 0, b"size=2m") != 0:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        done = sluice.run("convert", dense, small / "out", "--dequantize")
        assert done.returncode == 1 and done.stderr.count("\n") == 1 and "the disk has" in done.stderr, done.stderr
        assert list(small.iterdir()) == []
    finally:
        ctypes.CDLL(None).umount(str(small).encode())


def test_what_is_there_is_never_overwritten(sluice: Sluice, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    assert_bad_usage(sluice.run("convert", MODEL, tmp_path / "there"), "is there already")
    assert_bad_usage(sluice.run("convert", MODEL, tmp_path / "no/such"), "is no directory")


@pytest.mark.parametrize(
    "options",
    [
        ("--to", "gguf", "--bits", "4"),
        ("--type", "q4_0"),
        ("--mode", "mxfp4", "--bits", "8"),
        ("--recipe", "mixed_2_6", "--bits", "4"),
        ("--dequantize", "--bits", "4"),
        ("--group-size", "32"),
        ("--keep", "lm_head"),
        ("--bits", "4", "--keep", "lm_hed"),
    ],
)
def test_options_that_contradict_are_refused(sluice: Sluice, tmp_path: Path, options: tuple[str, ...]) -> None:
    done = sluice.run("convert", MODEL, tmp_path / "out", *options)
    assert_bad_usage(done)
    assert list(tmp_path.glob("out*")) == []


def test_damage_is_found_before_anything_is_written(sluice: Sluice, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_bytes((MODEL / "config.json").read_bytes())
    (broken / "model.safetensors").write_bytes((MODEL / "model.safetensors").read_bytes()[:-1000])
    done = sluice.run("convert", broken, tmp_path / "out", "--dequantize")
    assert done.returncode == 3 and done.stderr.count("\n") == 1
    bad = tmp_path / "bad.imatrix"
    bad.write_bytes(b"\xff" * 64)
    done = sluice.run("convert", MODEL, tmp_path / "out.gguf", "--to", "gguf", "--type", "q4_k", "--imatrix", bad)
    assert done.returncode == 3 and done.stderr.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"broken", "bad.imatrix", "home"} or "home" not in {
        path.name for path in tmp_path.iterdir()
    }


def test_a_gguf_has_the_tokenizer_and_says_the_same(sluice: Sluice, tmp_path: Path) -> None:
    out = tmp_path / "moe.gguf"
    done = sluice.run("convert", MODEL, out, "--to", "gguf", "--type", "q8_0")
    assert done.returncode == 0, done.stderr
    fields = gguf.GGUFReader(out).fields
    assert fields["general.architecture"].contents() == "qwen3moe"
    text = "The quick brown fox: 12 + 345 = 357!\n\n\tTabs too."
    read = [sluice.json("tokenize", model, "-p", text) for model in (MODEL, out)]
    assert read[0] == read[1]


def test_kl_of_a_model_and_itself_is_nothing(sluice: Sluice, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text(" ".join(f"Story {i} of a small dog and a big cat." for i in range(200)))
    same = sluice.json("kl", MODEL, MODEL, "--file", text, "--ctx", "64", "--windows", "3", "-q")
    assert same["kl"]["max"] == 0 and same["same_top"] == 1 and same["ppl"][0] == same["ppl"][1]
    sluice.run("convert", MODEL, tmp_path / "q2", "--bits", "2", "--group-size", "32")
    worse = sluice.json("kl", MODEL, tmp_path / "q2", "--file", text, "--ctx", "64", "--windows", "3", "-q")
    assert 0 < worse["kl"]["median"] <= worse["kl"]["p90"] <= worse["kl"]["max"]
    perplexity = sluice.json("perplexity", MODEL, "--file", text, "--ctx", "64", "-q")
    assert json.dumps(worse["ppl"]) and perplexity["ppl"] > 1
