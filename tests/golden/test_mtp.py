"""Layers that draft tokens: what they say is what an emulation with mlx-lm says, however the prompt is cut."""

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import mtp_emulation
import numpy as np
import pytest
from conftest import BINARY, Sluice, comma_separated, relative_error
from mtp_emulation import CASES, Emulation, MtpCase
from tiny.layouts import Weights


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_the_layer_says_is_what_the_reference_computes(case: MtpCase, sluice: Sluice, tmp_path: Path) -> None:
    emulation = Emulation(case, tmp_path / "model")
    model = case.path(tmp_path / "model")
    tokens = np.random.default_rng(5).integers(0, emulation.vocab_size, case.n_tokens)
    got = sluice.logits(model, tokens, "--of-drafting")
    assert relative_error(got, emulation.logits(tokens)) < 1e-4
    for chunk in (7, 1):
        assert np.array_equal(sluice.logits(model, tokens, "--of-drafting", "--chunk", chunk), got), f"chunk {chunk}"
    assert relative_error(sluice.logits(model, tokens), emulation.model_logits(tokens)) < 1e-4, "the model is as without it"


GGUF = next(case for case in CASES if case.name == "qwen3_5_moe-gguf")
NEXTN = b"qwen35moe.nextn_predict_layers"


def _logits(model: Path, out: Path, *options: str) -> subprocess.CompletedProcess:
    tokens = comma_separated(np.arange(5))
    return subprocess.run([BINARY, "logits", model, "--tokens", tokens, "--out", out, *options], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("count", "named"),
    [
        (6, "6 of 6 layers draft tokens"),
        (2**32 - 1, "is not a whole number"),
        (0, "is no part of"),  # the layer counts as the model's
        (2, "counts 2 layers that draft tokens, but layer 4 has no nextn.eh_proj"),
    ],
)
def test_a_file_that_counts_its_layers_wrong_is_refused(count: int, named: str, tmp_path: Path) -> None:
    Emulation(GGUF, tmp_path)
    data = bytearray(GGUF.path(tmp_path).read_bytes())
    at = data.index(NEXTN) + len(NEXTN) + 4  # behind the value's type
    assert data[at : at + 4] == struct.pack("<I", 1)
    data[at : at + 4] = struct.pack("<I", count)
    GGUF.path(tmp_path).write_bytes(data)
    done = _logits(GGUF.path(tmp_path), tmp_path / "x.npy")
    assert done.returncode == 3 and done.stderr.count("\n") == 1 and named in done.stderr, done.stderr


def _change(name: str, to: Callable[[mx.array], mx.array] | None) -> Callable[[Weights], None]:
    def change(drafting: Weights) -> None:
        path = next(path for path in drafting if path.endswith(name))
        value = drafting.pop(path)
        if to is not None:
            drafting[path] = to(value)

    return change


CHANGES: dict[str, Callable[[Weights], None]] = {
    "a projection of another shape": _change("nextn.eh_proj.weight", lambda w: w[:, :-4]),
    "a norm of another shape": _change("nextn.enorm.weight", lambda w: w[:-4]),
    "no norm": _change("nextn.hnorm.weight", None),
    "no keys": _change("self_attn.k_proj.weight", None),
    "norms of another kind": _change("input_layernorm.weight", lambda w: w + 3),
    "a tensor of ones own": lambda drafting: drafting.update({"blk.5.nextn.other.weight": mx.zeros((4, 4))}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_layer_that_is_another_is_left_out_and_told(
    change: str, sluice: Sluice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_changed(case: object, model: object, directory: Path, drafting: Weights) -> None:
        CHANGES[change](drafting)
        written(case, model, directory, drafting)

    written = mtp_emulation.write_gguf
    monkeypatch.setattr(mtp_emulation, "write_gguf", write_changed)
    emulation = Emulation(GGUF, tmp_path)
    model = GGUF.path(tmp_path)
    tokens = np.random.default_rng(5).integers(0, emulation.vocab_size, 20)
    assert relative_error(sluice.logits(model, tokens), emulation.model_logits(tokens)) < 1e-4
    if change == "a tensor of ones own":
        return  # the layer is computed without it, as it is by its name that nobody asks
    done = _logits(model, tmp_path / "x.npy", "--of-drafting")
    assert done.returncode != 0 and done.stderr.startswith("left out: layers that draft tokens\n"), done.stderr
    assert "has no layer that drafts tokens, or it is left out" in done.stderr
