"""GGUF files, of float32, of families that the gguf package does not know yet or whose converter does more than rename: their keys and
tensors as llama.cpp's converter has them."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import gguf
import numpy as np

from tiny.families import Config
from tiny.gguf_metadata import llama3_factor

Arrays = dict[str, np.ndarray]
Named = Iterator[tuple[str, np.ndarray]]

# Modules of mlx-lm's layers, without the layer.
_EXPERTS = {
    f"{block}.{ours}_proj": f"ffn_{ours}_{theirs}"
    for block, theirs in (
        ("mlp.switch_mlp", "exps"), ("block_sparse_moe.switch_mlp", "exps"), ("mlp.shared_expert", "shexp"), ("mlp.share_expert", "shexp"),
        ("mlp.shared_experts", "shexp"), ("block_sparse_moe.shared_experts", "shexp"),
    )
    for ours in ("gate", "up", "down")
}  # fmt: skip
_ATTENTION = {
    f"{block}.{ours}": theirs
    for block in ("self_attn", "attention")
    for ours, theirs in (
        ("q_a_proj", "attn_q_a"), ("q_a_layernorm", "attn_q_a_norm"), ("q_b_proj", "attn_q_b"), ("kv_a_proj_with_mqa", "attn_kv_a_mqa"),
        ("kv_a_layernorm", "attn_kv_a_norm"), ("embed_q", "attn_k_b"), ("unembed_out", "attn_v_b"), ("f_a_proj", "ssm_f_a"),
        ("f_b_proj", "ssm_f_b"), ("b_proj", "ssm_beta"), ("o_norm", "ssm_norm"), ("dense", "attn_output"),
        ("q_proj", "attn_q"), ("k_proj", "attn_k"), ("v_proj", "attn_v"), ("o_proj", "attn_output"),
    )
}  # fmt: skip
_MODULES = _EXPERTS | _ATTENTION | {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm", "self_attn.g_proj": "attn_gate", "self_attn.gate_proj": "attn_gate",
    "self_attn.attn_sub_norm": "attn_sub_norm", "mlp.ffn_sub_norm": "ffn_sub_norm", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "mlp.gate": "ffn_gate_inp", "mlp.gate.gate": "ffn_gate_inp",
    "mlp.gate.proj": "ffn_gate_inp", "block_sparse_moe.gate": "ffn_gate_inp", "self_attn.index_q_proj": "indexer.q_proj",
    "self_attn.index_k_proj": "indexer.k_proj", "self_attn.index_q_norm": "indexer.q_norm",
    "self_attn.index_k_norm": "indexer.k_norm", "mlp.routed_expert_down_proj": "ffn_routed_down",
    "mlp.routed_expert_up_proj": "ffn_routed_up", "mlp.routed_expert_norm": "ffn_routed_norm",
}  # fmt: skip
# What has no ".weight".
_WHOLE = {
    "self_attn.attention_sink_bias": "attn_sinks.weight", "mlp.gate.e_score_correction_bias": "exp_probs_b.bias",
    "mlp.e_score_correction_bias": "exp_probs_b.bias", "block_sparse_moe.e_score_correction_bias": "exp_probs_b.bias",
    "mlp.gate.router_bias": "exp_probs_b.bias", "mlp.gate.expert_bias": "exp_probs_b.bias",
}  # fmt: skip
_TOP = {
    "embed_tokens": "token_embd", "word_embeddings": "token_embd", "embeddings": "token_embd", "norm": "output_norm", "lm_head": "output",
}  # fmt: skip


def _split(path: str) -> tuple[str, str]:
    """ "blk.3." or nothing, and the rest of an mlx-lm path."""
    path = path.removeprefix("language_model.").removeprefix("model.")
    if not path.startswith("layers."):
        return "", path
    _, layer, rest = path.split(".", 2)
    return f"blk.{layer}.", rest


def _name(block: str, rest: str, modules: dict[str, str]) -> str:
    if rest in _WHOLE:
        return block + _WHOLE[rest]
    module, _, leaf = rest.rpartition(".")
    return f"{block}{(modules if block else _TOP)[module]}.{leaf}"


def _renamed(weights: Arrays, _: Config) -> Named:
    for path, values in weights.items():
        yield _name(*_split(path), _MODULES), values


def _step(weights: Arrays, config: Config) -> Named:
    """What frequencies are divided by, of the pairs that layers without a window rotate; the others have a 1."""
    yield from _renamed(weights, config)
    dims, base = config["head_dim"], config["rope_theta"][0]
    wavelengths = [2 * math.pi * base ** (2 * i / (dims // 2)) for i in range(dims // 4)]
    divisors = [llama3_factor(wavelength, config["rope_scaling"]) for wavelength in wavelengths]
    yield "rope_freqs.weight", np.array(divisors + [1.0] * (dims // 2 - len(divisors)), np.float32)


def _shifted(weights: Arrays, config: Config) -> Named:
    """Norms hold 1 + weight."""
    for name, values in _renamed(weights, config):
        yield name, values + np.float32(1) if name.endswith("norm.weight") else values


def _muse(weights: Arrays, config: Config) -> Named:
    """Norms around blocks hold 1 + weight, q and k pairs of rows; their norms have what queries are multiplied by."""
    norms = {
        "post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
        "post_feedforward_layernorm": "post_ffw_norm",
    }  # fmt: skip
    head_dim = config["head_dim"]
    for path, values in weights.items():
        block, rest = _split(path)
        if rest.endswith(("q_proj.weight", "k_proj.weight")):
            values = values.reshape(-1, 2, head_dim // 2, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
        yield _name(block, rest, _MODULES | norms), values + np.float32(1) if "layernorm" in rest else values
        if rest.endswith("q_proj.weight"):
            yield f"{block}attn_q_norm.weight", np.full(head_dim, config["qk_scale_factor"], np.float32)
            yield f"{block}attn_k_norm.weight", np.ones(head_dim, np.float32)


def _delta(weights: Arrays, config: Config) -> Named:
    """Kimi delta attention: convolutions [1, C, 1, taps], decays as exp(A_log), Kimi's with a minus; and residuals' directions."""
    is_kimi = config["model_type"] == "kimi_k3"
    linear = {_split(path)[0] for path in weights if path.endswith(".A_log")}
    for path, values in weights.items():
        block, rest = _split(path)
        last = rest.split(".")[1] if "." in rest else ""
        if rest.endswith("A_log"):
            yield f"{block}ssm_a", -np.exp(values) if is_kimi else np.exp(values).reshape(-1, 1)
        elif rest.endswith("dt_bias"):
            yield f"{block}ssm_dt.bias", values
        elif last == "qkv_proj":
            for part, rows in zip("qkv", np.split(values, 3), strict=True):
                yield f"{block}attn_{part}.weight", rows
        elif last == "qkv_conv":
            for part, rows in zip("qkv", np.split(values, 3), strict=True):
                yield f"{block}ssm_conv1d_{part}.weight", rows.reshape(1, rows.shape[0], 1, -1)
        elif last.endswith("_conv1d"):
            yield f"{block}ssm_conv1d_{last[0]}.weight", values.reshape(1, values.shape[0], 1, -1)
        elif last == "g_proj":
            of_linear = "ssm_g" if is_kimi else "ssm_g_a"
            yield f"{block}{of_linear if block in linear else 'attn_gate'}.weight", values
        elif last == "f_proj":
            yield f"{block}ssm_f_a.weight", values
        elif rest.endswith("_res_norm.weight"):
            name = {"self_attention": "attn_res_score", "mlp": "ffn_res_score", "output_attn": "output_res_score"}
            projection = weights[path.replace("_res_norm", "_res_proj")]
            yield f"{block}{name[rest.removesuffix('_res_norm.weight')]}.weight", values * projection.reshape(-1)
        elif not rest.endswith("_res_proj.weight"):
            yield _name(block, rest, _MODULES), values


def _rwkv(weights: Arrays, _: Config) -> Named:
    """Shares of the token before in one tensor, and a copy of `a` as the first layer's `v`."""
    modules = {
        "attn_norm": "attn_norm", "ffn_norm": "attn_norm_2", "attn.g_norm": "time_mix_ln", "attn.r_proj": "time_mix_receptance",
        "attn.k_proj": "time_mix_key", "attn.v_proj": "time_mix_value", "attn.o_proj": "time_mix_output",
        "ffn.key": "channel_mix_key", "ffn.value": "channel_mix_value",
    }  # fmt: skip
    whole = {"attn.k_k": "time_mix_k_k", "attn.k_a": "time_mix_k_a", "attn.r_k": "time_mix_r_k", "ffn.x_k": "channel_mix_lerp_k"}
    for path, values in weights.items():
        block, rest = _split(path)
        if rest == "attn.x_r":
            shares = [weights[path.replace("x_r", f"x_{part}")] for part in "rwkvag"]
            yield f"{block}time_mix_lerp_fused.weight", np.stack([share.reshape(1, 1, -1) for share in shares])
        elif rest.startswith("pre_norm."):
            yield f"token_embd_{rest.removeprefix('pre_')}", values
        elif "_lora." in rest:
            place = {"0.weight": 1, "2.weight": 2, "2.bias": 0}[rest.split(".lora.")[1]]
            part = rest.removeprefix("attn.")[0]
            yield f"{block}time_mix_{part}{place}.weight", values
            if block == "blk.0." and part == "a":
                yield f"{block}time_mix_v{place}.weight", values
        elif rest in whole:
            yield f"{block}{whole[rest]}.weight", values.reshape(-1)
        elif not rest.startswith("attn.x_"):
            yield _name(block, rest, modules), values.reshape(-1) if "g_norm" in rest else values


def _add_common(writer: gguf.GGUFWriter, config: Config) -> None:
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config.get("dense_intermediate_size", config["intermediate_size"]))
    writer.add_layer_norm_rms_eps(config.get("rms_norm_eps", config.get("layernorm_epsilon")))


def _add_heads(writer: gguf.GGUFWriter, config: Config, heads: int | list[int], kv_heads: int | list[int]) -> None:
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    if "head_dim" in config:
        writer.add_key_length(config["head_dim"])
        writer.add_value_length(config.get("v_head_dim", config["head_dim"]))


def _add_windows(writer: gguf.GGUFWriter, config: Config, slides: list[bool], local_base: float | None) -> None:
    writer.add_sliding_window(config["sliding_window"])
    writer.add_sliding_window_pattern(slides)
    if local_base is not None:
        writer.add_rope_freq_base_swa(local_base)


def _add_experts(writer: gguf.GGUFWriter, n: int, n_used: int, width: int, scale: float | None = None) -> None:
    writer.add_expert_count(n)
    writer.add_expert_used_count(n_used)
    writer.add_expert_feed_forward_length(width)
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    if scale is not None:
        writer.add_expert_weights_scale(scale)
        writer.add_expert_weights_norm(True)


def _add_mimo(writer: gguf.GGUFWriter, c: Config) -> None:
    slides = [bool(local) for local in c["hybrid_layer_pattern"]]
    _add_heads(writer, c, c["num_attention_heads"], [c["swa_num_key_value_heads" if s else "num_key_value_heads"] for s in slides])
    _add_windows(writer, c, slides, c["swa_rope_theta"])
    writer.add_rope_freq_base(c["rope_theta"])
    writer.add_rope_dimension_count(int(c["head_dim"] * c["partial_rotary_factor"]))
    writer.add_float32("mimo2.attention.value_scale", c["attention_value_scale"])
    writer.add_expert_group_count(c["n_group"])
    writer.add_expert_group_used_count(c["topk_group"])
    _add_experts(writer, c["n_routed_experts"], c["num_experts_per_tok"], c["moe_intermediate_size"])


def _add_step(writer: gguf.GGUFWriter, c: Config) -> None:
    slides = [kind == "sliding_attention" for kind in c["layer_types"][: c["num_hidden_layers"]]]
    other = c["attention_other_setting"]
    heads = [other["num_attention_heads"] if s else c["num_attention_heads"] for s in slides]
    _add_heads(writer, c, heads, [other["num_attention_groups"] if s else c["num_attention_groups"] for s in slides])
    _add_windows(writer, c, slides, c["rope_theta"][1])
    writer.add_rope_freq_base(c["rope_theta"][0])
    _add_experts(writer, c["moe_num_experts"], c["moe_top_k"], c["moe_intermediate_size"], c["moe_router_scaling_factor"])
    writer.add_expert_shared_feed_forward_length(c["share_expert_dim"])
    writer.add_leading_dense_block_count(int(c["moe_layers_enum"].split(",")[0]))
    writer.add_moe_every_n_layers(1)
    writer.add_array("step35.swiglu_clamp_exp", [float(limit) for limit in c["swiglu_limits"]])
    writer.add_array("step35.swiglu_clamp_shexp", [float(limit) for limit in c["swiglu_limits_shared"]])


def _add_minimax(writer: gguf.GGUFWriter, c: Config) -> None:
    _add_heads(writer, c, c["num_attention_heads"], c["num_key_value_heads"])
    writer.add_rope_freq_base(c["rope_theta"])
    writer.add_rope_dimension_count(c["rotary_dim"])
    _add_experts(writer, c["num_local_experts"], c["num_experts_per_tok"], c["intermediate_size"], c["routed_scaling_factor"])
    writer.add_expert_shared_count(c["n_shared_experts"])
    writer.add_leading_dense_block_count(c["moe_layer_freq"].index(1))
    chosen = c["sparse_attention_config"]
    writer.add_indexer_head_count(chosen["sparse_num_index_heads"])
    writer.add_indexer_key_length(chosen["sparse_index_dim"])
    writer.add_indexer_top_k(chosen["sparse_topk_blocks"])
    writer.add_uint32("minimax-m3.attention.indexer.block_size", chosen["sparse_block_size"])
    writer.add_uint32("minimax-m3.attention.indexer.local_blocks", chosen["sparse_local_block"])


def _add_bitnet(writer: gguf.GGUFWriter, c: Config) -> None:
    _add_heads(writer, c, c["num_attention_heads"], c["num_key_value_heads"])
    writer.add_rope_freq_base(c["rope_theta"])
    writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
    writer.add_rope_scaling_factor(1.0)


def _add_rwkv(writer: gguf.GGUFWriter, c: Config) -> None:
    writer.add_context_length(1048576)
    writer.add_embedding_length(c["hidden_size"])
    writer.add_block_count(c["num_hidden_layers"])
    writer.add_layer_norm_eps(c["norm_eps"])
    writer.add_wkv_head_size(c["head_dim"])
    writer.add_decay_lora_rank(c["decay_low_rank_dim"])
    writer.add_iclr_lora_rank(c["a_low_rank_dim"])
    writer.add_value_residual_mix_lora_rank(c["v_low_rank_dim"])
    writer.add_gate_lora_rank(c["gate_low_rank_dim"])
    writer.add_feed_forward_length(c["intermediate_size"])
    writer.add_head_count(0)


def _add_laguna(writer: gguf.GGUFWriter, c: Config) -> None:
    _add_heads(writer, c, c["num_attention_heads_per_layer"], c["num_key_value_heads"])
    whole, local = (c["rope_parameters"][f"{kind}_attention"] for kind in ("full", "sliding"))
    writer.add_sliding_window(c["sliding_window"])
    writer.add_rope_freq_base(whole["rope_theta"])
    writer.add_rope_freq_base_swa(local["rope_theta"])
    writer.add_rope_dimension_count(int(c["head_dim"] * whole["partial_rotary_factor"]))
    writer.add_uint32("laguna.rope.dimension_count_swa", int(c["head_dim"] * local["partial_rotary_factor"]))
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(whole["factor"])
    writer.add_rope_scaling_orig_ctx_len(whole["original_max_position_embeddings"])
    writer.add_rope_scaling_yarn_beta_fast(whole["beta_fast"])
    writer.add_rope_scaling_yarn_beta_slow(whole["beta_slow"])
    _add_experts(writer, c["num_experts"], c["num_experts_per_tok"], c["moe_intermediate_size"], c["moe_routed_scaling_factor"])
    writer.add_expert_shared_feed_forward_length(c["shared_expert_intermediate_size"])
    writer.add_leading_dense_block_count(c["mlp_layer_types"].index("sparse"))


def _add_latent(writer: gguf.GGUFWriter, c: Config, architecture: str, attends: list[bool]) -> None:
    writer.add_head_count(c["num_attention_heads"])
    writer.add_head_count_kv([int(attention) for attention in attends])
    writer.add_q_lora_rank(c["q_lora_rank"])
    writer.add_kv_lora_rank(c["kv_lora_rank"])
    writer.add_rope_freq_base(c["rope_theta"])
    writer.add_rope_dimension_count(c["qk_rope_head_dim"])
    writer.add_key_length(c["kv_lora_rank"] + c["qk_rope_head_dim"])
    writer.add_key_length_mla(c["qk_nope_head_dim"] + c["qk_rope_head_dim"])
    writer.add_value_length_mla(c["v_head_dim"])
    _add_experts(
        writer, c["num_experts"], c.get("num_experts_per_tok", c.get("num_experts_per_token")), c["moe_intermediate_size"],
        c["routed_scaling_factor"],
    )  # fmt: skip
    writer.add_expert_shared_count(c["num_shared_experts"])
    writer.add_leading_dense_block_count(c["first_k_dense_replace"])
    delta = c.get("linear_attn_config", c)
    writer.add_ssm_conv_kernel(delta["short_conv_kernel_size"])
    writer.add_uint32(f"{architecture}.kda.head_dim", delta["head_dim"])
    writer.add_float32(f"{architecture}.kda.gate_lower_bound", delta.get("gate_lower_bound", delta.get("kda_lower_bound")))


def _add_ling(writer: gguf.GGUFWriter, c: Config) -> None:
    n, group = c["num_hidden_layers"], c["layer_group_size"]
    _add_latent(writer, c, "bailingmoe3", [(i + 1) % group == 0 or i >= n // group * group for i in range(n)])
    writer.add_value_length(c["head_dim"])
    writer.add_bool("bailingmoe3.kda.safe_gate", c["kda_safe_gate"])
    writer.add_expert_group_count(c["n_group"])
    writer.add_expert_group_used_count(c["topk_group"])
    writer.add_expert_shared_feed_forward_length(c["moe_shared_expert_intermediate_size"])


def _add_kimi(writer: gguf.GGUFWriter, c: Config) -> None:
    full = c["linear_attn_config"]["full_attn_layers"]
    _add_latent(writer, c, "kimi-k3", [i + 1 in full for i in range(c["num_hidden_layers"])])
    writer.add_value_length(c["kv_lora_rank"])
    writer.add_uint32("kimi-k3.expert_latent_length", c["routed_expert_hidden_size"])
    writer.add_float32("kimi-k3.activation.situ_beta", c["activation_situ_beta"])
    writer.add_float32("kimi-k3.activation.situ_linear_beta", c["activation_situ_linear_beta"])
    writer.add_uint32("kimi-k3.attn_res.block_size", c["attn_res_block_size"])


def _add_muse(writer: gguf.GGUFWriter, c: Config) -> None:
    _add_heads(writer, c, c["num_attention_heads"], c["num_key_value_heads"])
    _add_windows(writer, c, [kind == "sliding_attention" for kind in c["layer_types"]], None)
    writer.add_rope_freq_base(c["rope_theta"])
    writer.add_final_logit_softcapping(c["final_logit_softcapping"])
    writer.add_logit_scale(c["output_multiplier"])


class ByHand(NamedTuple):
    architecture: str
    add_keys: Callable[[gguf.GGUFWriter, Config], None]
    tensors: Callable[[Arrays, Config], Named]


# By model_type.
BY_HAND = {
    "mimo_v2_flash": ByHand("mimo2", _add_mimo, _renamed),
    "step3p5": ByHand("step35", _add_step, _step),
    "minimax_m3_vl": ByHand("minimax-m3", _add_minimax, _shifted),
    "bitnet": ByHand("bitnet", _add_bitnet, _renamed),
    "rwkv7": ByHand("rwkv7", _add_rwkv, _rwkv),
    "laguna": ByHand("laguna", _add_laguna, _renamed),
    "bailing_hybrid": ByHand("bailingmoe3", _add_ling, _delta),
    "kimi_k3": ByHand("kimi-k3", _add_kimi, _delta),
    "muse_glimmer": ByHand("muse-glimmer", _add_muse, _muse),
}


def write_by_hand(writer: gguf.GGUFWriter, config: Config, weights: Arrays) -> None:
    """Keys and tensors of a family of BY_HAND."""
    family = BY_HAND[config["model_type"]]
    if config["model_type"] != "rwkv7":
        _add_common(writer, config)
    family.add_keys(writer, config)
    for name, values in family.tensors(weights, config):
        writer.add_tensor(name, np.ascontiguousarray(values))
