"""Every tiny model: logits and greedy tokens as mlx-lm computes them, however the prompt is cut."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Sluice, assert_same_choices, relative_error
from tiny.cases import CASES, Case
from tiny.gguf_cases import GGUF_CASES, GgufCase

ALL_CASES = CASES + GGUF_CASES


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
