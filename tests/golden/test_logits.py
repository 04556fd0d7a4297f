"""Every tiny model: logits and greedy tokens as mlx-lm computes them, however the prompt is cut."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Sluice, assert_same_choices, relative_error
from tiny.cases import CASES, Case
from tiny.gguf_cases import GGUF_CASES, GgufCase

ALL_CASES = CASES + GGUF_CASES
INT8_TOLERANCE = 2e-2  # of the largest |logit|: the middle error of 8-bit activations in models of random weights


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.name)
def test_logits_equal_the_reference_and_do_not_depend_on_chunks(
    case: Case | GgufCase, sluice: Sluice, tiny_models: Path
) -> None:
    directory = tiny_models / case.name
    model, golden = case.model_path(directory), np.load(directory / "golden.npz")
    one_pass = sluice.logits(model, golden["tokens"])
    assert one_pass.dtype == np.float32
    assert relative_error(one_pass, golden["logits"]) < case.tolerance
    for chunk in (7, 1):
        assert np.array_equal(sluice.logits(model, golden["tokens"], "--chunk", chunk), one_pass), f"chunk {chunk}"


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.name)
def test_greedy_tokens_equal_the_reference(case: Case | GgufCase, sluice: Sluice, tiny_models: Path) -> None:
    directory = tiny_models / case.name
    golden = np.load(directory / "golden.npz")
    got = sluice.greedy(case.model_path(directory), golden["prompt"], len(golden["greedy"]))
    unclear_below = case.greedy_tolerance * float(np.abs(golden["logits"]).max())
    assert_same_choices(got, golden["greedy"], golden["gaps"], unclear_below)


INTEGER_CASES = [case for case in ALL_CASES if case.has_integer_weights]


@pytest.mark.parametrize("case", INTEGER_CASES, ids=lambda case: case.name)
def test_8_bit_activations_do_not_depend_on_chunks_or_threads(
    case: Case | GgufCase, sluice: Sluice, tiny_models: Path, tmp_path: Path
) -> None:
    directory = tiny_models / case.name
    model, golden = case.model_path(directory), np.load(directory / "golden.npz")
    tokens, out = ",".join(map(str, golden["tokens"].tolist())), tmp_path / "int8.npy"

    def logits(*options: str) -> np.ndarray:
        result = sluice.json("logits", model, "--tokens", tokens, "--out", out, "--ctx", 1024, *options)
        assert result["activations"] == "int8"
        return np.load(out)

    one_pass = logits()
    error = np.abs(one_pass - golden["logits"])
    assert 0 < np.median(error) < INT8_TOLERANCE * np.abs(golden["logits"]).max()
    for options in (["--chunk", 3, "--threads", 3], ["--chunk", 1, "--threads", 1]):
        assert np.array_equal(logits(*options), one_pass), options
