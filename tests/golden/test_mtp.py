"""Layers that draft tokens: what they say is what an emulation with mlx-lm says, however the prompt is cut."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Sluice, relative_error
from mtp_emulation import CASES, Emulation, MtpCase


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_the_layer_says_is_what_the_reference_computes(case: MtpCase, sluice: Sluice, tmp_path: Path) -> None:
    model = tmp_path / "model"
    emulation = Emulation(case, model)
    tokens = np.random.default_rng(5).integers(0, emulation.vocab_size, case.n_tokens)
    got = sluice.logits(model, tokens, "--of-drafting")
    assert relative_error(got, emulation.logits(tokens)) < 1e-4
    for chunk in (7, 1):
        assert np.array_equal(sluice.logits(model, tokens, "--of-drafting", "--chunk", chunk), got), f"chunk {chunk}"
