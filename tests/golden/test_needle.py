"""The needle model (tools/make_needle.py) finds what lies anywhere in a long text, whatever keys and values are kept in, and where."""

import re
from pathlib import Path

import make_needle
import pytest
from conftest import Sluice

N_TOKENS = 4096
DEPTHS = [0.0, 0.3, 0.62, 0.97]


@pytest.fixture(scope="module")
def needle_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = tmp_path_factory.mktemp("needle")
    make_needle.make(model, 2 * N_TOKENS)
    return model


def least_ram(sluice: Sluice, *arguments: str | Path | int) -> int:
    with pytest.raises(AssertionError, match="bytes are needed") as refused:
        sluice(*arguments, "--ram", "1MB")
    least = re.search(r"at least (\d+) bytes are needed", str(refused.value))
    assert least is not None
    return int(least[1])


@pytest.mark.parametrize("width", ["16", "4"])
def test_it_is_found_where_most_of_the_text_is_spilled(width: str, sluice: Sluice, needle_model: Path, tmp_path: Path) -> None:
    text, needles = make_needle.haystack(N_TOKENS, DEPTHS)
    bits = [] if width == "16" else ["--kv-bits", width]
    spill = ["--ctx", 2 * N_TOKENS, "--spill", tmp_path / "spill"]
    first = ["logits", needle_model, "--tokens", "1,2", "--out", tmp_path / "x.npy"]
    ram = least_ram(sluice, *first, *bits, *spill) + 2_000_000  # what the process has differs from start to start
    for needle in needles:
        logits = []
        for more in ([], [*spill, "--ram", ram]):
            out = tmp_path / "logits.npy"
            tokens = ",".join(map(str, text + needle[:2]))
            got = sluice.json("logits", needle_model, "--tokens", tokens, "--out", out, "--greedy", 4, *bits, *more)
            assert got["greedy"] == needle[2:]
            logits.append(out.read_bytes())
        assert logits[0] == logits[1]
    assert not list((tmp_path / "spill").iterdir())


@pytest.mark.parametrize("width", ["16", "8", "k8v4", "4"])
def test_the_needle_is_found_at_any_depth(width: str, sluice: Sluice, needle_model: Path) -> None:
    text, needles = make_needle.haystack(N_TOKENS, DEPTHS)
    options = [] if width == "16" else ["--kv-bits", width]
    for needle in needles:
        tokens = ",".join(map(str, text + needle[:2]))
        out = needle_model / "logits.npy"
        got = sluice.json("logits", needle_model, "--tokens", tokens, "--out", out, "--greedy", 4, *options)
        assert got["greedy"] == needle[2:]
