"""Qwen3-MoE in NumPy and float32, with the places where a lossy lever takes hold: the router's choice, a chosen expert's neurons.

As mlx-lm 0.32.2 models/qwen3_moe.py; one text at a time, from an empty context.
"""

import json
from pathlib import Path

import mlx.core as mx
import numpy as np

PROJECTIONS = ("gate_proj", "up_proj", "down_proj")


class Lever:
    """Does nothing: the model as it was trained. A lever may replace the weights and override the methods."""

    def __init__(self, model: "Model"):
        self.model = model
        self.weights = model.weights

    def route(self, layer: int, x: np.ndarray, gates: np.ndarray) -> np.ndarray:
        """gates: [T, n_experts], a softmax, of the tokens x. Returns what each expert weighs in the sum, 0 if it is not chosen."""
        return renormalized(top(gates, self.model.n_experts_per_tok))

    def neurons(self, layer: int, expert: int, gate: np.ndarray, up: np.ndarray) -> np.ndarray:
        """gate, up: [t, moe_intermediate_size], what the two projections give. Returns what down_proj is given."""
        return silu(gate) * up


class Model:
    def __init__(self, checkpoint: Path):
        c = json.loads((checkpoint / "config.json").read_text())
        self.n_layers, self.n_experts = c["num_hidden_layers"], c["num_experts"]
        self.n_heads, self.n_kv_heads, self.head_dim = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
        self.n_experts_per_tok, self.rope_theta, self.eps = c["num_experts_per_tok"], c["rope_theta"], c["rms_norm_eps"]
        self.weights = read_weights(checkpoint, self.n_layers, self.n_experts)

    def experts(self, layer: int) -> list[str]:
        """The names of a layer's expert matrices, each [n_experts, out, in]."""
        return [f"model.layers.{layer}.mlp.{p}" for p in PROJECTIONS]

    def losses(self, tokens: np.ndarray, lever: Lever) -> np.ndarray:
        """Of each token but the first, in nats: [T - 1]."""
        w = lever.weights
        x = w["model.embed_tokens"][tokens]
        for layer in range(self.n_layers):
            name = f"model.layers.{layer}."
            x = x + self._attend(w, name + "self_attn.", rms(x, w[name + "input_layernorm"], self.eps))
            h = rms(x, w[name + "post_attention_layernorm"], self.eps)
            x = x + self._mix(lever, layer, h)
        logits = rms(x[:-1], w["model.norm"], self.eps) @ w["model.embed_tokens"].T
        return cross_entropy(logits, tokens[1:])

    def _attend(self, w: dict, name: str, x: np.ndarray) -> np.ndarray:
        q, k, v = ((x @ w[f"{name}{p}_proj"].T).reshape(len(x), -1, self.head_dim) for p in "qkv")
        q = rope(rms(q, w[name + "q_norm"], self.eps), self.rope_theta)
        k = rope(rms(k, w[name + "k_norm"], self.eps), self.rope_theta)
        return attention(q, k, v, self.head_dim**-0.5).reshape(len(x), -1) @ w[name + "o_proj"].T

    def _mix(self, lever: Lever, layer: int, x: np.ndarray) -> np.ndarray:
        gate, up, down = (lever.weights[name] for name in self.experts(layer))
        share = lever.route(layer, x, softmax(x @ lever.weights[f"model.layers.{layer}.mlp.gate"].T))
        y = np.zeros_like(x)
        for expert in np.flatnonzero(share.any(axis=0)):
            rows = np.flatnonzero(share[:, expert])
            h = lever.neurons(layer, expert, x[rows] @ gate[expert].T, x[rows] @ up[expert].T)
            y[rows] += share[rows, expert, None] * (h @ down[expert].T)
        return y


def read_weights(checkpoint: Path, n_layers: int, n_experts: int) -> dict[str, np.ndarray]:
    """By name without ".weight"; Hugging Face's and MLX's names of experts become layers.N.mlp.gate_proj [n_experts, out, in]."""
    quantization = json.loads((checkpoint / "config.json").read_text()).get("quantization", {})
    file = mx.load(str(checkpoint / "model.safetensors"))
    weights = {}
    for name in (n.removesuffix(".weight") for n in file if n.endswith(".weight")):
        w = file[f"{name}.weight"]
        if f"{name}.scales" in file:
            own = quantization.get(name, quantization)
            w = mx.dequantize(w, file[f"{name}.scales"], file[f"{name}.biases"], own["group_size"], own["bits"])
        weights[name.replace("switch_mlp.", "")] = np.array(w.astype(mx.float32))
    for layer in range(n_layers):
        mlp = f"model.layers.{layer}.mlp."
        if f"{mlp}experts.0.up_proj" in weights:
            for p in PROJECTIONS:
                weights[mlp + p] = np.stack([weights.pop(f"{mlp}experts.{e}.{p}") for e in range(n_experts)])
    return weights


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def rms(x: np.ndarray, weight: np.ndarray, eps: float) -> np.ndarray:
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps) * weight


def rope(x: np.ndarray, theta: float) -> np.ndarray:
    """x: [T, heads, head_dim] at positions 0 to T - 1; the first half of a head turns with the second."""
    half = x.shape[-1] // 2
    angle = np.arange(len(x), dtype=np.float32)[:, None, None] * theta ** (-np.arange(half, dtype=np.float32) / half)
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], axis=-1).astype(
        np.float32
    )


def attention(q: np.ndarray, k: np.ndarray, v: np.ndarray, scale: float) -> np.ndarray:
    """Causal; q: [T, n_heads, head_dim], k and v: [T, n_kv_heads, head_dim]."""
    repeat = q.shape[1] // k.shape[1]
    q, k, v = q.transpose(1, 0, 2), np.repeat(k.transpose(1, 2, 0), repeat, 0), np.repeat(v.transpose(1, 0, 2), repeat, 0)
    hidden = np.triu(np.full((q.shape[1], q.shape[1]), -np.inf, np.float32), 1)
    return (softmax(q @ k * scale + hidden) @ v).transpose(1, 0, 2)


def cross_entropy(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    top_logit = logits.max(axis=-1)
    return np.log(np.exp(logits - top_logit[:, None]).sum(axis=-1)) + top_logit - logits[np.arange(len(targets)), targets]


def top(gates: np.ndarray, k: int) -> np.ndarray:
    """gates with all but the k largest of each row set to 0."""
    least = np.partition(gates, -k, axis=-1)[:, -k, None]
    return np.where(gates >= least, gates, 0)


def renormalized(share: np.ndarray) -> np.ndarray:
    return share / share.sum(axis=-1, keepdims=True)
