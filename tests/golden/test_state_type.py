"""Recurrent states in 16 bits: the same bits however the prompt is cut, told, and refused where nothing carries one."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Sluice, random_tokens, refusal

# A gated delta net, Mamba 1 and 2, RWKV-7, a fixed decay, Griffin, Kimi's.
MODELS = ["qwen3_next-hf", "jamba-hf", "falcon_h1-hf", "rwkv7-hf", "bailing_moe_linear-hf", "recurrent_gemma-hf", "kimi_linear-hf"]
N_TOKENS = 300


@pytest.mark.parametrize("kept", ["bf16", "f16"])
@pytest.mark.parametrize("name", MODELS)
def test_states_of_16_bits_do_not_depend_on_chunks(name: str, kept: str, sluice: Sluice, tiny_models: Path) -> None:
    directory = tiny_models / name
    tokens = random_tokens(directory, N_TOKENS)
    full = sluice.logits(directory, tokens)
    one_pass = sluice.logits(directory, tokens, "--state-type", kept, "--chunk", 1024)
    for chunk in (100, 7):
        assert np.array_equal(sluice.logits(directory, tokens, "--state-type", kept, "--chunk", chunk), one_pass), chunk
    error = np.abs(one_pass - full)
    assert np.array_equal(one_pass[0], full[0]), "the first token sees no state"
    assert 0 < error.max(), "what was asked for was done"
    assert np.median(error) < {"bf16": 0.02, "f16": 0.003}[kept] * np.abs(full).max()


def test_a_model_without_states_refuses(tiny_models: Path, tmp_path: Path) -> None:
    said = refusal(tiny_models / "llama-hf", tmp_path, "--state-type", "bf16")
    assert "--state-type: no layer of this model carries" in said
