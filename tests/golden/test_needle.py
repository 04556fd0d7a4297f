"""The needle model (tools/make_needle.py) finds what lies anywhere in a long text, whatever keys and values are kept in."""

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


@pytest.mark.parametrize("width", ["16", "8", "k8v4", "4"])
def test_the_needle_is_found_at_any_depth(width: str, sluice: Sluice, needle_model: Path) -> None:
    text, needles = make_needle.haystack(N_TOKENS, DEPTHS)
    options = [] if width == "16" else ["--kv-bits", width]
    for needle in needles:
        tokens = ",".join(map(str, text + needle[:2]))
        out = needle_model / "logits.npy"
        got = sluice.json("logits", needle_model, "--tokens", tokens, "--out", out, "--greedy", 4, *options)
        assert got["greedy"] == needle[2:]
