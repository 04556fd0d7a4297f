"""Runs mlx-lm in float32 for the values that a checkpoint's logits are compared with."""

from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.models.cache import make_prompt_cache

N_GREEDY = 64
PROMPT_LENGTH = 11
N_PROMPTS = 12  # candidates for the greedy path
CLEAR_GAP = 2e-3  # of the largest |logit|: a choice that rounding cannot turn


@dataclass(frozen=True)
class Golden:
    """tokens [L]; logits* float32 [L, vocab_size]; prompt [P]; greedy [N]; gaps [N], between the two best logits."""

    tokens: np.ndarray
    logits: np.ndarray
    logits_cached: np.ndarray
    logits_chunked: np.ndarray
    prompt: np.ndarray
    greedy: np.ndarray
    gaps: np.ndarray

    @property
    def noise(self) -> float:
        """How far mlx-lm's three ways lie apart, relative to the largest |logit|."""
        ways = (self.logits_cached, self.logits_chunked)
        return max(float(np.abs(way - self.logits).max()) for way in ways) / float(np.abs(self.logits).max())


def _forward(model: nn.Module, tokens: np.ndarray, cuts: list[int], cache: list) -> np.ndarray:
    """tokens: [B, L], run in pieces that end at each of cuts (the last is L); returns [B, L, vocab_size]."""
    pieces, start = [], 0
    for end in cuts:
        logits = model(mx.array(tokens[:, start:end]), cache=cache)
        pieces.append(np.array(logits.astype(mx.float32)))
        start = end
    return np.concatenate(pieces, axis=1)


def prefill(model: nn.Module, tokens: np.ndarray, chunk: int) -> np.ndarray:
    """tokens: [L]; chunk 0 is one pass. Returns float32 [L, vocab_size]."""
    step = chunk or len(tokens)
    cuts = [min(end, len(tokens)) for end in range(step, len(tokens) + step, step)]
    return _forward(model, tokens[None], cuts, make_prompt_cache(model))[0]


def _greedy(model: nn.Module, prompts: np.ndarray, chunk: int) -> tuple[np.ndarray, np.ndarray]:
    """prompts: [B, P]; returns the N_GREEDY tokens [B, N] that follow each and the gap at every choice [B, N]."""
    cache = make_prompt_cache(model)
    cuts = list(range(1, prompts.shape[1] + 1)) if chunk == 1 else [prompts.shape[1]]
    logits = _forward(model, prompts, cuts, cache)[:, -1]
    tokens, gaps = [], []
    for _ in range(N_GREEDY):
        two_best = np.sort(logits, axis=-1)[:, -2:]
        tokens.append(logits.argmax(axis=-1))
        gaps.append(two_best[:, 1] - two_best[:, 0])
        logits = _forward(model, tokens[-1][:, None], [1], cache)[:, -1]
    return np.stack(tokens, axis=1), np.stack(gaps, axis=1)


def _best_prompt(greedy: np.ndarray, gaps: np.ndarray, largest: float) -> int:
    """The most varied of the clear paths, or the clearest when none is clear. greedy, gaps: [B, N]."""
    clear = gaps.min(axis=1) > CLEAR_GAP * largest
    if not clear.any():
        return int(gaps.min(axis=1).argmax())
    n_distinct = np.array([len(set(path)) for path in greedy.tolist()])
    return int(np.where(clear, n_distinct, 0).argmax())


def make_golden(model: nn.Module, vocab_size: int, n_tokens: int, reference_chunk: int, seed: int) -> Golden:
    """reference_chunk: see Case. The model is turned to float32 in place; packed weights stay packed."""
    model.set_dtype(mx.float32)
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, vocab_size, n_tokens)
    middle = n_tokens - 9
    cached_cuts = [middle, *range(middle + 1, n_tokens + 1)]
    logits = prefill(model, tokens, reference_chunk)
    if reference_chunk:
        cached = chunked = logits
    else:
        cached = _forward(model, tokens[None], cached_cuts, make_prompt_cache(model))[0]
        chunked = prefill(model, tokens, 7)
    prompts = rng.integers(0, vocab_size, (N_PROMPTS, PROMPT_LENGTH))
    greedy, gaps = _greedy(model, prompts, reference_chunk)
    best = _best_prompt(greedy, gaps, float(np.abs(logits).max()))
    return Golden(
        tokens.astype(np.int32),
        logits,
        cached,
        chunked,
        prompts[best].astype(np.int32),
        greedy[best].astype(np.int32),
        gaps[best].astype(np.float32),
    )
