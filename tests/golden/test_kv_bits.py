"""Keys and values in few bits: the same bits however the prompt is cut, with windows, sinks, shared heads and states beside them."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Sluice, random_tokens, refusal

# Of windows, sinks, states, keys of other layers, chunks of attention, heads of no round size.
MODELS = ["gpt_oss-mlx", "gemma3_text-hf", "gemma4_text-hf", "qwen3_next-hf", "llama4-hf", "phi-hf", "falcon_h1-hf"]
WITHOUT = {"deepseek_v3-hf": "MLA", "mamba2-hf": "no layer of this model"}
N_TOKENS = 700


@pytest.mark.parametrize("width", ["8", "k8v4", "4"])
@pytest.mark.parametrize("name", MODELS)
def test_few_bits_do_not_depend_on_chunks(name: str, width: str, sluice: Sluice, tiny_models: Path) -> None:
    directory = tiny_models / name
    tokens = random_tokens(directory, N_TOKENS)
    full = sluice.logits(directory, tokens)
    options = ["--kv-bits", width, "--kv-recent", 60]
    one_pass = sluice.logits(directory, tokens, *options, "--chunk", 1024)
    for chunk in (300, 7):
        assert np.array_equal(sluice.logits(directory, tokens, *options, "--chunk", chunk), one_pass), chunk
    assert np.array_equal(one_pass[: 512 + 60], full[: 512 + 60]), "nothing is read in few bits there"
    few = one_pass[512 + 60 :] - full[512 + 60 :]
    assert 0 < np.abs(few).max(), "what was asked for was done"
    assert np.median(np.abs(few)) < {"8": 0.01, "k8v4": 0.05, "4": 0.1}[width] * np.abs(full).max()


@pytest.mark.parametrize("name", WITHOUT)
def test_a_model_that_cannot_refuses(name: str, tiny_models: Path, tmp_path: Path) -> None:
    said = refusal(tiny_models / name, tmp_path, "--kv-bits", "8")
    assert "--kv-bits" in said and WITHOUT[name] in said
