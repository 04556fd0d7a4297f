"""Gemma 3 from a GGUF file in NumPy and float32, with a place to leave neurons out. Contexts up to the sliding window only.

As mlx-lm 0.32.2 models/gemma3_text.py; llama.cpp's converter has added the 1 to the norms' weights.
"""

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np

from .qwen3_moe import attention, cross_entropy, rms, rope

LOCAL_ROPE_THETA, GLOBAL_EVERY = 10_000.0, 6  # the file does not say


class Gemma3:
    def __init__(self, file: Path):
        reader = gguf.GGUFReader(file)
        value = lambda name: reader.fields[f"gemma3.{name}"].contents()  # noqa: E731
        self.n_layers, self.head_dim = value("block_count"), value("attention.key_length")
        self.eps, self.rope_theta = value("attention.layer_norm_rms_epsilon"), value("rope.freq_base")
        self.sliding_window = value("attention.sliding_window")
        self.weights = {t.name.removesuffix(".weight"): gguf.quants.dequantize(t.data, t.tensor_type) for t in reader.tensors}

    def losses(self, tokens: np.ndarray, weights: dict[str, np.ndarray], few: Callable | None = None) -> np.ndarray:
        """Of each token but the first, in nats: [T - 1]. few(layer, gate, up), gate after its GELU, is what down gets."""
        if len(tokens) > self.sliding_window:
            raise ValueError(f"{len(tokens)} tokens, the sliding window has {self.sliding_window}")
        w, embedding = weights, weights["token_embd"]
        x = embedding[tokens] * np.float32(embedding.shape[1] ** 0.5)
        for layer in range(self.n_layers):
            b = f"blk.{layer}."
            y = self._attend(w, layer, rms(x, w[b + "attn_norm"], self.eps))
            x = x + rms(y, w[b + "post_attention_norm"], self.eps)
            h = rms(x, w[b + "ffn_norm"], self.eps)
            gate, up = gelu(h @ w[b + "ffn_gate"].T), h @ w[b + "ffn_up"].T
            inner = few(layer, gate, up) if few else gate * up
            x = x + rms(inner @ w[b + "ffn_down"].T, w[b + "post_ffw_norm"], self.eps)
        return cross_entropy(rms(x[:-1], w["output_norm"], self.eps) @ embedding.T, tokens[1:])

    def _attend(self, w: dict, layer: int, x: np.ndarray) -> np.ndarray:
        b, theta = f"blk.{layer}.", LOCAL_ROPE_THETA if (layer + 1) % GLOBAL_EVERY else self.rope_theta
        q, k, v = ((x @ w[f"{b}attn_{p}"].T).reshape(len(x), -1, self.head_dim) for p in "qkv")
        q = rope(rms(q, w[b + "attn_q_norm"], self.eps), theta)
        k = rope(rms(k, w[b + "attn_k_norm"], self.eps), theta)
        return attention(q, k, v, self.head_dim**-0.5).reshape(len(x), -1) @ w[b + "attn_output"].T


def gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi, dtype=np.float32) * (x + 0.044715 * x * x * x)))
