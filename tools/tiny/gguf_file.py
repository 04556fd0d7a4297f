"""Writes an mlx-lm model as GGUF with the names, row order and shifted norms of llama.cpp's converter."""

import zlib
from collections import defaultdict
from pathlib import Path

import gguf
import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten

from tiny import gguf_metadata as metadata
from tiny.families import Config
from tiny.gguf_by_hand import BY_HAND, write_by_hand
from tiny.gguf_cases import GgufCase
from tiny.gguf_types import Type, encode
from tiny.layouts import Weights
from tiny.vocabulary import add_tokenizer

_FLOAT32_ALWAYS = ("bias", ".gate.weight", ".router.weight", ".shared_expert_gate.weight")
_MAMBA2 = ("nemotron_h", "granitemoehybrid", "falcon_h1", "mamba2")
_OF_STATES = ("linear_attn", ".mixer.", ".mamba.", "conv.conv.weight", ".A_log")
_SHIFTED_NORM = ("gemma", "gemma2", "gemma3_text")  # GGUF stores 1 + weight


# What the converter names itself.
_IN_LAYER = {
    "self_attn.embed_q.weight": "attn_k_b.weight",
    "self_attn.unembed_out.weight": "attn_v_b.weight",
    "mixer.switch_mlp.fc1.weight": "ffn_up_exps.weight",
    "mixer.switch_mlp.fc2.weight": "ffn_down_exps.weight",
    "experts.switch_glu.gate_proj.weight": "ffn_gate_exps.weight",
    "experts.switch_glu.up_proj.weight": "ffn_up_exps.weight",
    "experts.switch_glu.down_proj.weight": "ffn_down_exps.weight",
    "router.scale": "ffn_gate_inp.scale",
    "router.per_expert_scale": "ffn_down_exps.scale",
}

_STACKS = {"altup_projections": "altup_proj.weight", "altup_unembed_projections": "altup_unembd_proj.weight"}


def _gguf_name(path: str, names: gguf.TensorNameMap) -> str:
    if path.startswith("blk."):
        return path
    path = path.removeprefix("language_model.").replace("model.language_model.", "model.")
    if path.endswith(".dt_bias"):
        return f"blk.{path.split('.')[2]}.ssm_dt.bias"
    if path.endswith("e_score_correction_bias") or path.endswith("expert_bias"):
        return f"blk.{path.split('.')[2]}.exp_probs_b.bias"
    for last, name in _IN_LAYER.items():
        if path.endswith(last):
            return f"blk.{path.split('.')[2]}.{name}"
    if path.endswith((".layer_scalar", ".correct_output_scale")):
        path += ".weight"
    path = path.replace("mlp.gate.gate_proj", "mlp.gate")
    for experts in ("block_sparse_moe.switch_mlp", "mlp.switch_mlp", "feed_forward.switch_mlp"):
        path = path.replace(experts, "mlp.experts")
    path = path.replace("_conv.conv.", "_conv1d.").replace("self_attn.linear.", "self_attn.linear_attn.")
    if path.endswith(".sinks"):
        path += ".weight"
    name = names.get_name(path, try_suffixes=(".weight", ".bias"))
    if name is None:
        raise ValueError(f"{path} has no GGUF name")
    return name


def _interleave_rotary_rows(rows: np.ndarray, n_heads: int) -> np.ndarray:
    """rows: [n_heads * head_dim, ...]; within a head, row i and row i + head_dim / 2 become rows 2i and 2i + 1."""
    halves = rows.reshape(n_heads, 2, -1, *rows.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(rows.shape)


def _tiled_heads(rows: np.ndarray, config: Config) -> np.ndarray:
    """rows: [n_value_heads * n, ...]; head r * k + j of key head k's r becomes head j * n_key_heads + k."""
    n_keys, n_values = config["linear_num_key_heads"], config["linear_num_value_heads"]
    heads = rows.reshape(n_keys, n_values // n_keys, -1, *rows.shape[1:])
    return np.ascontiguousarray(heads.swapaxes(0, 1)).reshape(rows.shape)


def _as_qwen35(path: str, values: np.ndarray, config: Config) -> np.ndarray:
    """Everything of value heads, sorted as ggml repeats key heads: one after the other."""
    keys = 2 * config["linear_num_key_heads"] * config["linear_key_head_dim"]
    if path.endswith((".in_proj_qkv.weight", ".conv1d.weight")):
        return np.concatenate([values[:keys], _tiled_heads(values[keys:], config)])
    if path.endswith(".linear_attn.out_proj.weight"):
        return np.ascontiguousarray(_tiled_heads(values.T, config).T)
    if path.endswith((".in_proj_z.weight", ".in_proj_a.weight", ".in_proj_b.weight", ".A_log", ".dt_bias")):
        return _tiled_heads(values, config)
    return values


def _states_in_gguf_order(path: str, values: np.ndarray, config: Config) -> np.ndarray:
    """Convolutions as [channels, taps], decays as -exp(A_log)."""
    if path.endswith("_conv.conv.weight"):  # Kimi's
        values = values.reshape(1, values.shape[0], 1, -1)
    elif path.endswith(("conv1d.weight", "conv.conv.weight")):
        values = values.squeeze(2)
    if path.endswith(".A_log"):
        values = -np.exp(values)
    if config["model_type"] in _MAMBA2 and path.endswith((".mixer.norm.weight", ".mamba.norm.weight")):
        values = values.reshape(config.get("n_groups", config.get("mamba_n_groups")), -1)
    if config["model_type"] in _MAMBA2 and path.endswith((".A_log", ".D")):
        values = values.reshape(-1, 1)
    return _as_qwen35(path, values, config) if config["model_type"].startswith("qwen3_5") else values


def _in_gguf_order(path: str, encoded: np.ndarray, config: Config) -> np.ndarray:
    """Rows of Q and K where ggml rotates neighbours; whole rows move, so this works on encoded bytes too."""
    if any(part in path for part in _OF_STATES):
        return _states_in_gguf_order(path, encoded, config)
    if not metadata.has_interleaved_rope(config):
        return encoded
    if ".q_proj." in path or ".k_proj." in path:
        return _interleave_rotary_rows(encoded, len(encoded) // metadata.head_dim(config))
    return encoded


def _split(path: str, rows: np.ndarray, config: Config) -> list[tuple[str, np.ndarray]]:
    """Granite's shared expert has gate and up in one, Ling's first attention queries, keys and values."""
    if path.endswith(".query_key_value.weight") and metadata.architecture(config) == gguf.MODEL_ARCH.BAILINGMOE:
        heads = [config["num_attention_heads"], config["num_key_value_heads"]]
        q, k, v = np.split(rows, np.cumsum(heads) * metadata.head_dim(config))
        parts = {"q": _interleave_rotary_rows(q, heads[0]), "k": _interleave_rotary_rows(k, heads[1]), "v": v}
        return [(f"blk.{path.split('.')[2]}.attn_{part}.weight", values) for part, values in parts.items()]
    if not path.endswith(".shared_mlp.input_linear.weight"):
        return [(path.replace(".shared_mlp.output_linear.", ".mlp.shared_expert.down_proj."), rows)]
    names = [path.replace(".shared_mlp.input_linear.", f".mlp.shared_expert.{p}_proj.") for p in ("gate", "up")]
    return list(zip(names, np.split(rows, 2), strict=True))


def _plamo3_norm(path: str, values: np.ndarray) -> np.ndarray:
    """Norms as they multiply; the files of the original have them less another number each."""
    if not path.endswith("norm.weight"):
        return values
    offsets = {"post_mixer_norm.weight": 1 / 5, "post_mlp_norm.weight": 1 / 5**1.5}
    return values + np.float32(next((offset for end, offset in offsets.items() if path.endswith(end)), 1))


def _type_of(path: str, values: np.ndarray, case: GgufCase) -> Type:
    if values.ndim == 1 or path.endswith(_FLOAT32_ALWAYS):
        return Type.F32
    if values.ndim == 3 and case.expert_type:
        return Type[case.expert_type]
    return Type[case.tensor_type]


def _add_tensors(writer: gguf.GGUFWriter, model: nn.Module, case: GgufCase, drafting: Weights) -> None:
    """Sets the model's parameters to what the file says, so that its logits are the reference."""
    config = case.config
    n_layers = config["num_hidden_layers"] + bool(drafting)
    names = gguf.get_tensor_name_map(metadata.architecture(config), n_layers)
    slopes: dict[str, list[float]] = defaultdict(list)  # Apertus', a number of each layer
    stacks: dict[str, list[np.ndarray]] = defaultdict(list)  # Gemma 3n's, a matrix of each stream but the first
    for path, parameter in [*tree_flatten(model.parameters()), *drafting.items()]:
        values = np.array(parameter)
        type_ = _type_of(path, values, case)
        encoded, decoded = encode(values, type_, [case.seed, zlib.crc32(path.encode())])
        if path not in drafting:
            model.load_weights([(path, mx.array(decoded))], strict=False)
        if "norm" in path and config["model_type"] in _SHIFTED_NORM:
            encoded = encoded + np.float32(1)
        if config["model_type"] == "plamo3":
            encoded = _plamo3_norm(path, encoded)
        if ".act_fn." in path:
            slopes[path.rsplit(".", 1)[1]].append(float(decoded))
            continue
        if ".altup_" in path:
            stacks[_STACKS[path.split(".")[-3]]].append(encoded)
            continue
        for part, rows in _split(path, _in_gguf_order(path, encoded, config), config):
            writer.add_tensor(_gguf_name(part, names), rows, raw_dtype=type_)
    for name, matrices in stacks.items():
        writer.add_tensor(name, np.stack(matrices), raw_dtype=Type[case.tensor_type])
    for name, values in slopes.items():
        writer.add_array(f"xielu.{name}", values)
    for name, divisors in metadata.rope_tensors(config).items():
        writer.add_tensor(name, np.array(divisors, np.float32))


def _add_keys(writer: gguf.GGUFWriter, config: Config, n_drafting: int) -> None:
    metadata.add_shape(writer, config, n_drafting)
    metadata.add_attention(writer, config)
    metadata.add_rope(writer, config)
    metadata.add_router(writer, config)
    metadata.add_states(writer, config)
    metadata.add_scales(writer, config)


def write_gguf(case: GgufCase, model: nn.Module, directory: Path, drafting: Weights | None = None) -> None:
    """Writes model.gguf (or its parts) and leaves the model with the values that were written. drafting: a layer after the
    model's that drafts tokens, by paths as the model's or by names as in the file."""
    directory.mkdir(parents=True, exist_ok=True)
    model_type = case.config["model_type"]
    is_by_hand = model_type in BY_HAND
    architecture = BY_HAND[model_type].architecture if is_by_hand else gguf.MODEL_ARCH_NAMES[metadata.architecture(case.config)]
    writer = gguf.GGUFWriter(
        directory / "model.gguf", architecture, split_max_tensors=case.tensors_per_file, small_first_shard=False
    )
    writer.add_name(case.name)
    writer.add_vocab_size(case.config["vocab_size"])
    add_tokenizer(writer, case.config["vocab_size"])
    if is_by_hand:
        write_by_hand(writer, case.config, {path: np.array(values) for path, values in tree_flatten(model.parameters())})
    else:
        _add_keys(writer, case.config, n_drafting=int(bool(drafting)))
        _add_tensors(writer, model, case, drafting or {})
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
