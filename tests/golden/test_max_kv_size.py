"""A bounded cache: mlx-lm's rotating one token by token, and the same bits in other chunks, with windows, sinks and states beside it."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Sluice, random_tokens, refusal, relative_error

# mlx-lm bounds the caches of models that make none of their own.
AS_MLX_LM = ["llama-hf", "qwen3-hf", "phi-hf"]
MODELS = [*AS_MLX_LM, "gpt_oss-mlx", "gemma3_text-hf", "gemma4_text-hf", "qwen3_next-hf", "deepseek_v3-hf", "iquestloopcoder-hf"]
REFUSED = {"mamba2-hf": "no layer of this model", "deepseek_v32-hf": "chooses among all keys", "phi3small-hf": "is sparse"}
N_TOKENS = 700


@pytest.mark.parametrize("size", [40, 300])
@pytest.mark.parametrize("name", AS_MLX_LM)
def test_token_by_token_it_is_mlx_lms(name: str, size: int, sluice: Sluice, tiny_models: Path) -> None:
    import mlx.core as mx
    from mlx_lm.models.cache import RotatingKVCache
    from mlx_lm.utils import load_model

    directory, tokens = tiny_models / name, random_tokens(tiny_models / name, N_TOKENS)[:420]
    model, _ = load_model(directory, strict=False)
    model.set_dtype(mx.float32)
    cache = [RotatingKVCache(max_size=size, keep=4) for _ in model.layers]
    wanted = np.stack([np.array(model(mx.array([[int(t)]]), cache=cache)[0, -1]) for t in tokens])
    got = sluice.logits(directory, tokens, "--max-kv-size", size, "--kv-type", "f32")
    assert relative_error(got, wanted) < 1e-4


@pytest.mark.parametrize("size", [5, 300])
@pytest.mark.parametrize("name", MODELS)
def test_it_does_not_depend_on_chunks(name: str, size: int, sluice: Sluice, tiny_models: Path) -> None:
    directory = tiny_models / name
    tokens = random_tokens(directory, N_TOKENS)
    full = sluice.logits(directory, tokens)
    one_pass = sluice.logits(directory, tokens, "--max-kv-size", size, "--chunk", 1024)
    for chunk in (290, 7):
        assert np.array_equal(sluice.logits(directory, tokens, "--max-kv-size", size, "--chunk", chunk), one_pass), chunk
    assert np.array_equal(one_pass[:size], full[:size]), "all is seen there"
    assert not np.array_equal(one_pass[size:], full[size:])


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_that_cannot_refuses(name: str, tiny_models: Path, tmp_path: Path) -> None:
    said = refusal(tiny_models / name, tmp_path, "--max-kv-size", "64")
    assert "--max-kv-size" in said and REFUSED[name] in said
