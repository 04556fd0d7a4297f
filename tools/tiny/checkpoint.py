"""Builds a case's model with mlx-lm itself and writes it as a checkpoint directory without a tokenizer."""

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten
from mlx_lm.utils import _get_classes, quantize_model, save_config

from tiny.cases import Case, Quantization
from tiny.layouts import Weights, to_hugging_face
from tiny.published import pack, write_safetensors
from tiny.stand_ins import bitnet_as_floats, draw_residual_gates, draw_rotated_matrices
from tiny.weights import randomize


def _remove_norms(model: nn.Module, width: int) -> None:
    """OLMo is Llama with layer norms that have no weights; mlx-lm's own reads another layout."""
    model.model.norm = nn.LayerNorm(width, eps=1e-5, affine=False)
    for layer in model.layers:
        layer.input_layernorm = layer.post_attention_layernorm = nn.LayerNorm(width, eps=1e-5, affine=False)


class _UngatedMlp(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def __call__(self, x: mx.array) -> mx.array:
        return self.down_proj(nn.relu2(self.up_proj(x)))


# What mlx-lm has not, or has otherwise, made of its Llama.
_OF_LLAMA = ("olmo", "arcee")


class _ShareOfAll(nn.Module):
    """Jamba's experts, each weighed with its share of all, as published; mlx-lm takes shares of the chosen ones."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.router, self.switch_mlp, self._n_chosen = block.router, block.switch_mlp, block.num_experts_per_tok

    def __call__(self, x: mx.array) -> mx.array:
        shares = mx.softmax(self.router(x), axis=-1, precise=True)
        chosen = mx.argpartition(-shares, kth=self._n_chosen - 1, axis=-1)[..., : self._n_chosen]
        weights = mx.take_along_axis(shares, chosen, axis=-1)
        return (self.switch_mlp(x, chosen) * weights[..., None]).sum(axis=-2)


class _NormInGroups(nn.Module):
    """Mamba-2's gated norm, of each group by itself, as published; mlx-lm norms all at once."""

    def __init__(self, norm: nn.Module, n_groups: int) -> None:
        super().__init__()
        self.weight, self._eps, self._n_groups = norm.weight, norm.eps, n_groups

    def __call__(self, x: mx.array, gate: mx.array) -> mx.array:
        groups = (nn.silu(gate) * x).reshape(*x.shape[:-1], self._n_groups, -1)
        return mx.fast.rms_norm(groups, None, self._eps).reshape(x.shape) * self.weight


class _SiluMlp(nn.Module):
    """BitNet's block of the first paper; mlx-lm has the square of ReLU, as the later model."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = block.gate_proj, block.up_proj, block.down_proj
        self.ffn_sub_norm = block.ffn_sub_norm

    def __call__(self, x: mx.array) -> mx.array:
        return self.down_proj(self.ffn_sub_norm(nn.silu(self.gate_proj(x)) * self.up_proj(x)))


def as_published(model: nn.Module, config: dict) -> None:
    """Mends in place what mlx-lm computes otherwise than transformers and llama.cpp. Names of weights stay."""
    if config["model_type"] == "phi3small":
        model._dummy_tokenizer_ids = mx.array(config["dummy_token_indices"], mx.int32)
    for layer in model.layers:
        if config["model_type"] == "jamba" and hasattr(layer.feed_forward, "router"):
            layer.feed_forward = _ShareOfAll(layer.feed_forward)
        if config["model_type"] == "bitnet" and config["hidden_act"] == "silu":
            layer.mlp = _SiluMlp(layer.mlp)
        if config["model_type"] == "mamba2":
            layer.mixer.norm = _NormInGroups(layer.mixer.norm, config["n_groups"])
        if config["model_type"] == "granitemoehybrid" and hasattr(layer, "mamba"):
            layer.mamba.norm = _NormInGroups(layer.mamba.norm, config["mamba_n_groups"])


def build_model(config: dict, seed: int) -> nn.Module:
    """mlx-lm's model for the configuration, with random float32 weights."""
    model_class, args_class = _get_classes(config | ({"model_type": "llama"} if config["model_type"] in _OF_LLAMA else {}))
    model = model_class(args_class.from_dict(config))
    if config["model_type"] == "olmo":
        _remove_norms(model, config["hidden_size"])
    if config["model_type"] == "arcee":
        for layer in model.layers:
            layer.mlp = _UngatedMlp(config["hidden_size"], config["intermediate_size"])
    if config["model_type"] == "bitnet":
        bitnet_as_floats(model)
    as_published(model, config)
    if config["model_type"] in ("gemma3_text", "recurrent_gemma"):  # published without lm_head, which ties it
        model.sanitize({})
    randomize(model, config["model_type"], seed)
    if config["model_type"] == "muse_spark":
        draw_residual_gates(model, seed)
    if config["model_type"] == "prism_hadamard_qwen35":
        draw_rotated_matrices(model, seed)
    return model


def _overriding_predicate(q: Quantization, own: Any) -> Any:
    """quant_predicate: the case's overrides first, then the model's own choices (routers in 8 bits)."""

    def predicate(path: str, module: nn.Module) -> bool | dict:
        if "experts" in q.overrides:  # gpt-oss as published: nothing but the experts is quantized
            return ".experts." in path
        if path in q.overrides:
            return q.overrides[path]
        return own(path, module) if own else True

    return predicate


def _quantize(model: nn.Module, config: dict, q: Quantization) -> dict:
    """Quantizes in place; returns the configuration with what config.json is to say about it."""
    predicate = _overriding_predicate(q, getattr(model, "quant_predicate", None))
    with contextlib.redirect_stdout(io.StringIO()):
        _, told = quantize_model(model, config, q.group_size, q.bits, q.mode, quant_predicate=predicate, global_scale=q.global_scale)
    if q.told == "silent":
        return config
    if q.told == "wrong":
        default = {"group_size": 128, "bits": 2}
        return config | {"quantization": default, "quantization_config": default}
    return told


def _write_shards(directory: Path, weights: Weights, n_shards: int, has_index: bool) -> None:
    names = sorted(weights)
    if n_shards == 1:
        mx.save_safetensors(str(directory / "model.safetensors"), weights, metadata={"format": "mlx"})
        return
    weight_map = {}
    for shard in range(n_shards):
        file = f"model-{shard + 1:05d}-of-{n_shards:05d}.safetensors"
        part = {name: weights[name] for name in names[shard::n_shards]}
        mx.save_safetensors(str(directory / file), part, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    if has_index:
        index = {"metadata": {"total_size": sum(w.nbytes for w in weights.values())}, "weight_map": weight_map}
        (directory / "model.safetensors.index.json").write_text(json.dumps(index, indent=1))


def _write_published(case: Case, directory: Path, model: nn.Module, weights: Weights, config: dict) -> None:
    """Writes the packed checkpoint, of which MLX may have quantized the rest; the model gets the weights that it defines."""
    arrays = {name: np.array(value) for name, value in weights.items()}
    tensors, floats = pack(arrays, case.published)
    write_safetensors(directory / "model.safetensors", tensors)
    raw = {name: mx.array(value if value.dtype == np.uint32 else value.astype(np.float32)) for name, value in floats.items()}
    model.load_weights(list((model.sanitize(raw) if hasattr(model, "sanitize") else raw).items()))
    told = config if case.quantization else case.config | {"quantization_config": case.published.config}
    save_config(dict(told), directory / "config.json")


def write_checkpoint(case: Case, directory: Path) -> nn.Module:
    """Writes config.json and safetensors; returns the model that was written, in its own dtype."""
    directory.mkdir(parents=True, exist_ok=True)
    config = dict(case.config) | {"torch_dtype": case.dtype}
    model = build_model(config, case.seed)
    model.set_dtype(getattr(mx, case.dtype))
    if case.quantization:
        config = _quantize(model, config, case.quantization)
    weights = dict(tree_flatten(model.parameters()))
    if case.layout == "hf":
        weights = to_hugging_face(weights, config)
        if case.quantization:  # gpt-oss
            config = dict(case.config) | {"quantization_config": {"quant_method": "mxfp4"}}
    if case.published:
        _write_published(case, directory, model, weights, config)
        return model
    _write_shards(directory, weights, case.n_shards, case.has_index)
    save_config(config, directory / "config.json")
    return model


def write_hugging_face(model: nn.Module, config: dict, directory: Path, layout: Callable[[Weights], Weights]) -> None:
    """Writes the model as published, in one file, whatever mlx-lm would read it back as."""
    directory.mkdir(parents=True, exist_ok=True)
    weights = to_hugging_face(dict(tree_flatten(model.parameters())), config)
    _write_shards(directory, layout(weights), n_shards=1, has_index=False)
    save_config(dict(config), directory / "config.json")
