"""Pruned prompts: what mlx-lm's model says of the tokens that numpy chooses, and the same bits in other chunks, with windows, sinks,
latents and states beside it."""

from pathlib import Path
from typing import Any

import make_needle
import numpy as np
import pytest
from conftest import Sluice, comma_separated, random_tokens, refusal, relative_error

MODELS = ["llama-hf", "phi-hf", "gpt_oss-mlx", "gemma3_text-hf", "gemma3n-hf", "qwen3_next-hf", "deepseek_v3-hf", "iquestloopcoder-hf"]
REFUSED = {"mamba2-hf": "no layer of this model", "deepseek_v32-hf": "where keys stand", "phi3small-hf": "where keys stand"}
N_TOKENS, N_PROMPT, KEPT = 1300, 1200, 768
FIRST, LAST, OBSERVED, POOL = 128, 512, 64, 17


def logits(sluice: Sluice, model: Path, tokens: np.ndarray, *options: Any, kept: int = KEPT) -> np.ndarray:
    """From the prompt's last token on."""
    out = sluice._scratch / "logits.npy"
    snap = ["--snap-kv", kept] if kept else []
    sluice(
        "logits", model, "--tokens", comma_separated(tokens), "--out", out, "--prompt", N_PROMPT, *snap,
        "--exact-activations", "--ctx", 2048, *options,
    )  # fmt: skip
    return np.load(out)


def kept_tokens(queries: np.ndarray, keys: np.ndarray, scale: float) -> np.ndarray:
    """For each key head what stays: queries [n_heads, 64, d], keys [n_kv_heads, n, d]."""
    n, group = keys.shape[1], queries.shape[0] // keys.shape[0]
    scores = np.einsum("gqd,gnd->gqn", queries.astype(np.float64), np.repeat(keys, group, 0)) * scale
    scores[:, np.arange(n)[None] > np.arange(n - OBSERVED, n)[:, None]] = -np.inf
    attention = np.exp(scores - scores.max(-1, keepdims=True))
    attention = (attention / attention.sum(-1, keepdims=True)).sum(1).reshape(-1, group, n).sum(1)
    pooled = np.stack([np.convolve(head, np.ones(POOL), "same") for head in attention])[:, FIRST : n - LAST]
    best = np.sort(np.argsort(-pooled, kind="stable")[:, : KEPT - FIRST - LAST]) + FIRST
    first, last = np.arange(FIRST), np.arange(n - LAST, n)
    return np.stack([np.concatenate([first, head, last]) for head in best])


class PrunedCache:
    """What mlx-lm's layers ask of a cache: rows of their own, positions of the text."""

    def __init__(self, keys: Any, values: Any, offset: int) -> None:
        self.keys, self.values, self.offset = keys, values, offset

    def update_and_fetch(self, keys: Any, values: Any) -> tuple[Any, Any]:
        import mlx.core as mx

        self.keys, self.values = mx.concatenate([self.keys, keys], 2), mx.concatenate([self.values, values], 2)
        self.offset += keys.shape[2]
        return self.keys, self.values


def test_it_is_what_mlx_lms_model_says_of_the_tokens_that_numpy_chooses(sluice: Sluice, tiny_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlx.core as mx
    from mlx_lm.models import llama
    from mlx_lm.models.base import scaled_dot_product_attention
    from mlx_lm.models.cache import KVCache
    from mlx_lm.utils import load_model

    directory = tiny_models / "llama-hf"
    tokens = random_tokens(directory, N_TOKENS)
    model, _ = load_model(directory, strict=False)
    model.set_dtype(mx.float32)
    observed = []

    def observe(queries: Any, keys: Any, values: Any, **rest: Any) -> Any:
        observed.append([np.array(a[0]) for a in (queries[:, :, -OBSERVED:], keys, values)] + [rest["scale"]])
        return scaled_dot_product_attention(queries, keys, values, **rest)

    monkeypatch.setattr(llama, "scaled_dot_product_attention", observe)
    wanted = [np.array(model(mx.array(tokens[None, :N_PROMPT]), cache=[KVCache() for _ in model.layers])[0, -1])]
    monkeypatch.undo()
    caches = []
    for queries, keys, values, scale in observed:
        rows = kept_tokens(queries, keys, scale)[:, :, None]
        caches.append(PrunedCache(*(mx.array(np.take_along_axis(a, rows, 1)[None]) for a in (keys, values)), N_PROMPT))
    wanted += [np.array(model(mx.array([[int(t)]]), cache=caches)[0, -1]) for t in tokens[N_PROMPT:]]
    got = logits(sluice, directory, tokens, "--kv-type", "f32")
    assert relative_error(got, np.stack(wanted)) < 1e-4
    assert relative_error(logits(sluice, directory, tokens, "--kv-type", "f32", kept=0), np.stack(wanted)) > 1e-2


@pytest.mark.parametrize("name", MODELS)
def test_it_does_not_depend_on_chunks(name: str, sluice: Sluice, tiny_models: Path) -> None:
    directory = tiny_models / name
    tokens = random_tokens(directory, N_TOKENS)
    full = logits(sluice, directory, tokens, kept=0)
    one_pass = logits(sluice, directory, tokens, "--chunk", 2048)
    for chunk in (290, 13, 7):
        assert np.array_equal(logits(sluice, directory, tokens, "--chunk", chunk), one_pass), chunk
    assert np.array_equal(one_pass[0], full[0]), "the prompt itself sees all"
    assert not np.array_equal(one_pass[1:], full[1:])
    assert np.array_equal(logits(sluice, directory, tokens, kept=1280), full), "all of it fits"


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_that_cannot_refuses(name: str, tiny_models: Path, tmp_path: Path) -> None:
    said = refusal(tiny_models / name, tmp_path, "--snap-kv", "1024")
    assert "--snap-kv" in said and REFUSED[name] in said


def test_a_needle_stays_wherever_it_is(sluice: Sluice, tmp_path: Path) -> None:
    make_needle.make(tmp_path, 8192)
    text, needles = make_needle.haystack(4096, [0.0, 0.1, 0.3, 0.5, 0.62, 0.8, 0.97])
    for needle in needles:
        tokens = ",".join(map(str, text + needle[:2]))
        out = tmp_path / "logits.npy"
        got = sluice.json("logits", tmp_path, "--tokens", tokens, "--out", out, "--greedy", 4, "--snap-kv", 1024, "--prompt", 4096)
        assert got["greedy"] == needle[2:]
