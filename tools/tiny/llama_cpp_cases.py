"""The tiny checkpoints that llama.cpp's own converter makes GGUF files of, one per architecture or more.

They are `families.FAMILIES` in shapes that llama.cpp loads: it takes some sizes for granted (heads times their width is the
hidden size, GPT-2's blocks are four times as wide), some numbers for the published models' (MiniCPM3's scales), and some
patterns of layers. Each change says so by its key.
"""

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from tiny.checkpoint import build_model, write_hugging_face
from tiny.families import FAMILIES, Config
from tiny.layouts import unstack_experts

Weights = dict[str, mx.array]

_EVERY_FOURTH = [["sliding_attention", "full_attention"][i % 4 == 3] for i in range(5)]
# Experts of other groups are minus infinity to llama.cpp, 0 to transformers; DeepSeek-V2's groups count by their best expert.
_ONE_GROUP: Config = {"n_group": 1, "topk_group": 1}
_SQUARE: Config = {"head_dim": 16}  # 6 heads over 96


def _without_kv_b(weights: Weights) -> Weights:
    """mlx-lm's two halves of latent attention's `kv_b_proj` as the one matrix that is published."""
    raw: Weights = {}
    for name, value in weights.items():
        if name.endswith(".embed_q.weight"):
            keys = value.swapaxes(1, 2)
            both = mx.concatenate([keys, weights[name.replace("embed_q", "unembed_out")]], axis=1)
            raw[name.replace("embed_q", "kv_b_proj")] = both.reshape(-1, both.shape[2])
        elif not name.endswith(".unembed_out.weight"):
            raw[name] = value
    return raw


def _renamed(*pairs: tuple[str, str]) -> Callable[[Weights], Weights]:
    def rename(weights: Weights) -> Weights:
        raw = {}
        for name, value in weights.items():
            for theirs, ours in pairs:
                name = re.sub(theirs, ours, name)
            raw[name] = value
        return raw

    return rename


def _without_mask(weights: Weights) -> Weights:
    return {name: value for name, value in weights.items() if not name.endswith(".attn.bias")}


_FACTORS = FAMILIES["minicpm3"]["rope_scaling"]["long_factor"]
_SAME_FACTORS = {"type": "longrope", "short_factor": _FACTORS, "long_factor": _FACTORS, "original_max_position_embeddings": 1024}


# As published: what a block does not have is null, there is always a feed-forward part where there is attention, and it is no single
# matrix, for which a GGUF has no name.
_BLOCKS = [
    {
        "attention": {"n_heads_in_group": None, "no_op": False, "replace_with_linear": False} | attention,
        "ffn": {"no_op": False, "replace_with_linear": False, "ffn_mult": ffn_mult},
    }
    for attention, ffn_mult in (
        ({"n_heads_in_group": 3}, 1.3), ({"no_op": True}, 2.5), ({"no_op": True}, None), ({"replace_with_linear": True}, 1.0),
        ({"n_heads_in_group": 1}, 1.3),
    )
]  # fmt: skip
_BLOCKS[2]["ffn"]["no_op"] = True
# Family -> what is changed in its configuration.
CHANGES: dict[str, Config] = {
    "cohere-plus": {"num_hidden_layers": 64},  # fewer have no norms of queries and keys for llama.cpp
    "cohere2": {"rotary_pct": 1.0, "sliding_window_pattern": 4},
    "deepseek_v2": {"q_lora_rank": 64} | _ONE_GROUP,
    "deepseek_v3": _ONE_GROUP,
    "deepseek_v32": {"architectures": ["DeepseekV32ForCausalLM"], "index_head_dim": 64} | _ONE_GROUP,
    "glm_moe_dsa": {"index_head_dim": 64},
    "kimi_k25": _ONE_GROUP,
    "glm4_moe": _ONE_GROUP,
    "nemotron_h-latent": _ONE_GROUP,
    "ernie4_5_moe": {"intermediate_size": 256},  # of shared experts: this by the number of key heads
    "exaone": {"rms_norm_eps": 1e-5},
    "exaone4": _SQUARE | {"num_hidden_layers": 64, "sliding_window_pattern": "LLLG"},
    "exaone4-full": _SQUARE,
    "exaone_moe": {
        "scoring_func": "sigmoid", "first_k_dense_replace": 1, "layer_types": _EVERY_FOURTH, **_ONE_GROUP,
    },
    # To llama.cpp 20 layers have keys of their own, the first ten sparse gates, and every fifth no window. Its converter gives tokens
    # without inputs of their own zeros, not those of the first token.
    "gemma3n": {
        "hidden_size_per_layer_input": 256, "laurel_rank": 64, "intermediate_size": [160] * 7, "num_kv_shared_layers": 0,
        "layer_types": [["sliding_attention", "full_attention"][i == 4] for i in range(7)],
        "activation_sparsity_pattern": [0.95] * 7, "vocab_size_per_layer_input": FAMILIES["gemma3n"]["vocab_size"],
    },
    "glm": _SQUARE | {"partial_rotary_factor": 0.5},
    "gpt_bigcode": {"n_inner": 384},
    "llama4": {"attention_chunk_size": 8192, "floor_scale": 8192, "interleave_moe_layer_step": 1},
    "mistral4": {"rms_norm_eps": 1e-6},  # of latent rows too
    "bitnet": {"num_key_value_heads": 6, "hidden_act": "silu"},  # as the first paper's; its converter rounds weights
    "bailing_moe_v3": {
        "score_function": "sigmoid", "norm_topk_prob": True, "gated_attention_proj_granularity_type": "head_wise",
        "expert_swiglu_limit_list": [0, 0.5, None, 0.3, 0], "share_expert_swiglu_limit_list": [0.4, 0, 0.6, None, 0.5],
    },
    "kimi_k3": {
        "moe_router_activation_func": "sigmoid",
        "linear_attn_config": FAMILIES["kimi_k3"]["linear_attn_config"] | {"num_heads": 6},
    },
    # Its pattern of windows is llama.cpp's, and there is no key for a bound of scores.
    "laguna": {
        "mlp_layer_types": ["dense"] + ["sparse"] * 4, "moe_router_logit_softcapping": 0.0,
        "layer_types": ["full_attention"] + ["sliding_attention"] * 3 + ["full_attention"],
    },
    "mimo_v2_flash": {"swa_head_dim": 32, "swa_v_head_dim": 20, "sliding_window": 16},
    # As many heads choose blocks as there are key heads; bounds are the published model's.
    "minimax_m3_vl": {
        "scoring_func": "sigmoid", "swiglu_limit": 7.0,
        "n_shared_experts": 1, "shared_intermediate_size": 64, "routed_scaling_factor": 2.0, "moe_layer_freq": [1] * 4,
        "sparse_attention_config": FAMILIES["minimax_m3_vl"]["sparse_attention_config"] | {
            "sparse_num_index_heads": 2, "sparse_attention_freq": [1] * 4},
    },
    "muse_glimmer": {"layer_types": [["sliding_attention", "full_attention"][i % 4 == 3] for i in range(7)]},
    # The first layer's base is that of those that see all, the second's that of those with a window.
    "step3p5": {
        "layer_types": ["full_attention", "sliding_attention"] * 3, "partial_rotary_factors": [0.5, 1.0, 0.5, 1.0, 0.5],
        "rope_theta": [5e4, 1e4, 5e4, 1e4, 5e4],
    },
    # Numbers that have no key, and factors that as published do not depend on the length.
    "minicpm3": {"scale_emb": 12.0, "dim_model_base": 256, "rope_scaling": _SAME_FACTORS},
    "mellum": {"rope_parameters": FAMILIES["mellum"]["rope_parameters"] | {
        "sliding_attention": {"rope_type": "default", "rope_theta": 100000.0}}},  # llama.cpp takes the other's base
    "hunyuan": {
        "architectures": ["HunYuanMoEV1ForCausalLM"], "moe_topk": [2] * 5, "num_shared_expert": [1] * 5,
        "moe_intermediate_size": [64] * 5, "intermediate_size": 64, "use_cla": False,
        "rope_scaling": {"type": "default", "alpha": 1.0, "factor": 1.0},
    },
    "nemotron": _SQUARE,
    "nemotron-nas": {"block_configs": _BLOCKS},
    "phi": {"intermediate_size": 384},
    "phimoe": {  # as published; magnitudes have no key
        "router_jitter_noise": 0.01, "max_position_embeddings": 131072, "original_max_position_embeddings": 4096,
        "rope_scaling": FAMILIES["phimoe"]["rope_scaling"] | dict.fromkeys(("short_mscale", "long_mscale"), 1.243163121016122),
    },
    "plamo2": {"rms_norm_eps": 1e-6},
    "qwen": {"rms_norm_eps": 1e-6},
    "rwkv7": {"head_dim": 64},  # ggml's vectors leave the rest of other heads out
    "stablelm": {"use_parallel_residual": False},
    "stablelm-12b": {"use_parallel_residual": True},
}  # fmt: skip
def _kimi_k3(weights: Weights) -> Weights:
    """Queries, keys and values apart, and so their convolutions [C, 1, taps]."""
    names = {"mlp.gate": "block_sparse_moe.gate", "mlp.e_score": "block_sparse_moe.gate.e_score",
             "mlp.shared_experts": "block_sparse_moe.shared_experts", "mlp.switch_mlp": "block_sparse_moe.switch_mlp",
             "mlp.routed_expert": "block_sparse_moe.routed_expert"}  # fmt: skip
    raw: Weights = {}
    for name, value in weights.items():
        parts = {name: value}
        if ".qkv_proj." in name:
            parts = {name.replace("qkv", p): rows for p, rows in zip("qkv", mx.split(value, 3), strict=True)}
        if ".qkv_conv.conv." in name:
            rows = mx.split(value.swapaxes(1, 2), 3)
            parts = {name.replace("qkv_conv.conv", f"{p}_conv1d"): r for p, r in zip("qkv", rows, strict=True)}
        for part, rows in parts.items():
            for ours, theirs in names.items():
                if not re.search(r"\.mlp\.gate_proj", part):
                    part = part.replace(f".{ours}", f".{theirs}")
            raw[part] = rows
    return unstack_experts(raw)


def _rwkv7(weights: Weights) -> Weights:
    """Heads in one row, but of the bonus."""
    in_heads = (".k_k", ".k_a", ".g_norm.weight", ".g_norm.bias")
    return {name: value.flatten() if name.endswith(in_heads) else value for name, value in weights.items()}


# Family -> its tensors as they are published, where tiny.layouts leaves them as mlx-lm has them.
LAYOUTS: dict[str, Callable[[Weights], Weights]] = {
    "bailing_moe-1": _renamed((r"\.gate\.gate_proj\.", ".gate.")),
    "gpt2": _without_mask,
    "bitnet": _renamed((r"\.attn_sub_norm\.", ".inner_attn_ln."), (r"\.ffn_sub_norm\.", ".ffn_layernorm.")),
    "kimi_k3": _kimi_k3,
    "rwkv7": _rwkv7,
    "laguna": _renamed((r"\.gate\.proj\.", ".gate.")),
    "gpt_neox": _renamed((r"^model\.embed_out", "embed_out"), (r"^model\.h\.", "gpt_neox.layers."), (r"^model\.", "gpt_neox.")),
}
# llama.cpp has no such architecture.
_UNKNOWN = (
    "Klear", "afm7", "baichuan_m1", "bailing_hybrid", "bailing_moe_linear", "gear", "gptj", "helium", "hunyuan-dense",
    "iquestloopcoder", "lille-130m", "longcat_flash", "longcat_flash_ngram", "mimo", "muse_spark", "nanochat", "olmo_hybrid",
    "phi3small", "phixtral", "prism_hadamard_qwen35", "recurrent_gemma",
)  # fmt: skip
# What a GGUF cannot say, or says as another family does; and what its converter reads from a format of its own.
_NOT_SAID = (
    "llama-wide", "qwen3-wide", "falcon_h1-converted", "llama-dynamic", "llama-sliding", "llama-tied", "qwen3_moe-mixed", "gpt_oss",
    "laguna-softplus",
)  # fmt: skip
# Its converter wants a tokenizer of these, the published models' sizes, or names that mlx-lm does not keep; of afmoe and dots1 it
# loses experts (`return` within a generator). tools/make_tiny_gguf.py writes files of them.
_WRITTEN = (
    "gemma3_text", "gemma3_text-exact", "gemma4_text", "gemma4_text-moe", "ministral3", "hunyuan_v1_dense", "afmoe", "dots1", "lfm2",
    "lfm2_moe", "qwen3_5", "qwen3_5_moe", "qwen3_next", "granitemoehybrid", "granitemoehybrid-dense", "mamba2", "bailing_moe", "mistral4",
)  # fmt: skip


@dataclass(frozen=True)
class ConvertedCase:
    """A checkpoint as published, of which llama.cpp's converter makes a GGUF file."""

    family: str
    config: Config
    n_tokens: int = 41
    reference_chunk: int = 0

    @property
    def name(self) -> str:
        return f"{self.family}-converted"

    @property
    def seed(self) -> int:
        return zlib.crc32(self.name.encode())


def write_published(case: ConvertedCase, directory: Path) -> nn.Module:
    model = build_model(case.config, case.seed)
    layout = LAYOUTS.get(case.family, lambda weights: weights)
    write_hugging_face(model, case.config, directory, lambda weights: layout(_without_kv_b(weights)))
    return model


def changed(family: str, **more: Any) -> Config:
    """The family's configuration in a shape that llama.cpp loads. more: further changes."""
    changes = CHANGES.get(family, {}) | more
    config = FAMILIES[family] | changes
    if "text_config" in config:
        config["text_config"] = config["text_config"] | {k: v for k, v in changes.items() if k != "architectures"}
    return config


def converted_cases() -> list[ConvertedCase]:
    return [
        ConvertedCase(family, changed(family), reference_chunk=int(family == "plamo3"))
        for family in FAMILIES
        if family not in _UNKNOWN + _NOT_SAID + _WRITTEN
    ]
