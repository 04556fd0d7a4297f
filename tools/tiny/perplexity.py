"""Perplexity as llama.cpp defines it, computed with mlx-lm."""

import math

import mlx.core as mx
import mlx.nn as nn


def perplexity(model: nn.Module, tokens: list[int], n_ctx: int) -> float:
    """The stream is cut into windows of n_ctx; positions n_ctx/2 to n_ctx-2 of each full one predict their next token.

    For models whose tokenizer adds no BOS; with one, a window's first token would have to become BOS.
    """
    nll, count = 0.0, 0
    first = n_ctx // 2
    for start in range(0, len(tokens) - n_ctx + 1, n_ctx):
        window = mx.array(tokens[start : start + n_ctx])
        logits = model(window[None])[0, first:-1].astype(mx.float32)
        targets = window[first + 1 :]
        nll += nn.losses.cross_entropy(logits, targets, reduction="sum").item()
        count += targets.size
    return math.exp(nll / count)
