"""Models of mlx-lm that run on Metal only, or round to 16 bits on the way, made to run anywhere in float32: each kernel from its
definition. Importing this changes mlx-lm's modules; names of weights stay."""

from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.models import muse_spark, prism_hadamard_qwen35, switch_layers


class _Float32:
    """mlx.core, in which 16 bits are 32."""

    def __getattr__(self, name: str) -> Any:
        return mx.float32 if name in ("bfloat16", "float16") else getattr(mx, name)


def _rms(x: mx.array, eps: float) -> mx.array:
    return mx.fast.rms_norm(x, None, eps)


def _qk_norm(
    qkvg: mx.array, *, n_heads: int, n_kv_heads: int, head_dim: int, eps: float, query_scale: float
) -> list[mx.array]:
    heads = _rms(qkvg[..., : (n_heads + n_kv_heads) * head_dim].reshape(*qkvg.shape[:-1], -1, head_dim), eps)
    return [heads[..., :n_heads, :] * query_scale, heads[..., n_heads:, :]]


def _qk_norm_rope(qkvg: mx.array, *, rope_base: float, offset: int, **norm: Any) -> list[mx.array]:
    def turned(x: mx.array) -> mx.array:
        x = x.transpose(0, 2, 1, 3)
        x = mx.fast.rope(x, x.shape[-1], traditional=True, base=rope_base, scale=1.0, offset=offset)
        return x.transpose(0, 2, 1, 3)

    return [turned(x) for x in _qk_norm(qkvg, **norm)]


def _norm_add_norm(
    branch: mx.array, stream: mx.array, *, alpha: mx.array, beta: mx.array, post_weight: mx.array | None, post_eps: float,
    next_norm: nn.RMSNorm | None,
) -> tuple[mx.array, mx.array | None]:  # fmt: skip
    branch = branch if post_weight is None else branch * post_weight
    stream = alpha * stream + beta * _rms(branch, post_eps)
    return stream, None if next_norm is None else next_norm(stream)


def _combine(experts: mx.array, weights: mx.array, *, norm_weight: mx.array, eps: float) -> mx.array:
    return (_rms(experts * norm_weight, eps) * weights[..., None]).sum(axis=-2)


def _route(
    logits: mx.array, bias: mx.array, *, top_k: int, multiplier: float, score_eps: float, route_scale: float
) -> list[mx.array]:
    scores = mx.sigmoid(logits * multiplier)
    chosen = mx.argsort(-(scores + bias), axis=-1)[..., :top_k]
    weights = mx.take_along_axis(scores, chosen, axis=-1)
    return [chosen, weights / (weights.sum(axis=-1, keepdims=True) + score_eps) * route_scale]


def _norm_and_gate(x: mx.array, gate: mx.array, *, eps: float) -> mx.array:
    return _rms(x, eps).transpose(0, 2, 1, 3).reshape(gate.shape) * mx.sigmoid(gate)


def _multiply_experts(self: nn.Module, x: mx.array, indices: mx.array, sorted_indices: bool = False) -> mx.array:
    """The product that has a number for each expert's scales, which only GPUs have."""
    whole, self.global_scale = self.global_scale, None
    y = _without_numbers(self, x, indices, sorted_indices)
    self.global_scale = whole
    return y if whole is None else y * (whole / (6 * 448))[indices][..., None, None]


_without_numbers = switch_layers.QuantizedSwitchLinear.__call__
switch_layers.QuantizedSwitchLinear.__call__ = _multiply_experts
muse_spark.mx = prism_hadamard_qwen35.mx = _Float32()
muse_spark.qk_norm, muse_spark.qk_norm_rope = _qk_norm, _qk_norm_rope
muse_spark.norm_add_norm, muse_spark.post_expert_norm_combine = _norm_add_norm, _combine
muse_spark.expert_routing, muse_spark.rms_norm_sigmoid_gate = _route, _norm_and_gate


def bitnet_as_floats(model: nn.Module) -> None:
    """With the matrices that its packed ones are."""
    for layer in model.layers:
        for block in (layer.self_attn, layer.mlp):
            for name, projection in block.children().items():
                if name.endswith("_proj"):
                    setattr(block, name, nn.Linear(projection.in_features, projection.out_features, bias=False))


def draw_residual_gates(model: nn.Module, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        for block in ("add_attn", "add_ffn"):
            gate = mx.array(0.3 * rng.standard_normal(layer.input_layernorm.weight.shape).astype(np.float32))
            for part, value in zip(("alpha", "beta"), muse_spark.residual_gate_coefficients(gate), strict=True):
                setattr(layer, f"{block}_{part}", value)


def draw_rotated_matrices(model: nn.Module, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for name, module in model.named_modules():
        if isinstance(module, prism_hadamard_qwen35.HadamardQuantizedLinear):
            rows, cols = module.weight.shape[0], module.weight.shape[1] * 16
            gain = 0.2 if "embed" in name else 1.5 / np.sqrt(cols)
            floats = mx.array((gain * rng.standard_normal((rows, cols))).astype(np.float32))
            module.weight, module.scales, module.biases = mx.quantize(floats, 128, 2)
            if module.block:
                module.signs = mx.array(rng.choice([-1.0, 1.0], cols).astype(np.float32))
