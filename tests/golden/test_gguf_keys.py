"""What a GGUF's keys say beyond what mlx-lm and llama.cpp compute: read, or refused."""

import math
from pathlib import Path

import numpy as np
import pytest
from conftest import Sluice, refusal
from tiny import gguf_by_hand
from tiny.checkpoint import build_model
from tiny.families import FAMILIES
from tiny.gguf_cases import GGUF_CASES, GgufCase
from tiny.gguf_file import write_gguf

LAGUNA = next(case for case in GGUF_CASES if case.name == "laguna-gguf")
TOKENS = np.arange(5, 13)


def write(case: GgufCase, directory: Path) -> Path:
    write_gguf(case, build_model(case.config, case.seed), directory)
    return case.model_path(directory)


def test_a_bitnet_whose_function_its_file_does_not_say_is_refused(tmp_path: Path) -> None:
    later = GgufCase("bitnet-grouped", FAMILIES["bitnet"])
    assert "BitNet of 6 heads, 2 for keys, is run from safetensors" in refusal(write(later, tmp_path), tmp_path)


def test_yarns_magnitude_may_be_given(tmp_path: Path, sluice: Sluice, monkeypatch: pytest.MonkeyPatch) -> None:
    def logits(magnitude: float) -> np.ndarray:
        family = gguf_by_hand.BY_HAND["laguna"]

        def add_keys(writer, config) -> None:
            family.add_keys(writer, config)
            writer.add_float32("laguna.rope.scaling.yarn_attn_factor", magnitude)

        with monkeypatch.context() as patch:
            patch.setitem(gguf_by_hand.BY_HAND, "laguna", family._replace(add_keys=add_keys))
            return sluice.logits(write(LAGUNA, tmp_path / str(magnitude)), TOKENS)

    usual = sluice.logits(write(LAGUNA, tmp_path / "usual"), TOKENS)
    factor = LAGUNA.config["rope_parameters"]["full_attention"]["factor"]
    assert np.array_equal(logits(0.1 * math.log(factor) + 1), usual)
    assert not np.allclose(logits(1.0), usual)
