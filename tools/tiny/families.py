"""Tiny configurations, one per architecture family, with Hugging Face's key spellings.

Sizes are odd on purpose: heads times head_dim is not the hidden size, the vocabulary is no multiple of anything, layer
counts do not divide the sliding pattern, and windows and maximal positions are shorter than the golden token streams.
"""

from typing import Any

Config = dict[str, Any]

VOCAB_SIZE = 203

BASE: Config = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 96,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 1024,
    "rope_theta": 10000.0,
    "torch_dtype": "float32",
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def _config(model_type: str, architecture: str, **changes: Any) -> Config:
    return BASE | {"model_type": model_type, "architectures": [architecture]} | changes


def _llama(**changes: Any) -> Config:
    return _config("llama", "LlamaForCausalLM", **({"tie_word_embeddings": False} | changes))


def _rope(**scaling: Any) -> Config:
    return _llama(head_dim=24, rope_scaling=scaling)


_LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
_YARN = {"factor": 4.0, "original_max_position_embeddings": 64, "beta_fast": 32.0, "beta_slow": 1.0}
_LONGROPE = {
    "type": "longrope",
    "short_factor": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5],
    "long_factor": [1.0, 1.3, 2.0, 4.0, 7.0, 9.5],
}

FAMILIES: dict[str, Config] = {
    "llama": _llama(head_dim=24),
    "llama-tied": _llama(tie_word_embeddings=True),
    "llama-bias": _llama(attention_bias=True, mlp_bias=True, num_key_value_heads=6),
    "llama-linear": _rope(type="linear", factor=4.0),
    "llama-llama3": _rope(rope_type="llama3", **_LLAMA3),
    "llama-yarn": _rope(rope_type="yarn", **_YARN),
    "llama-dynamic": _rope(type="dynamic", factor=4.0) | {"max_position_embeddings": 24},
    "llama-sliding": _llama(
        num_hidden_layers=5,
        sliding_window=16,
        layer_types=["sliding_attention", "sliding_attention", "full_attention", "sliding_attention", "full_attention"],
    ),
    "mistral": _config(
        "mistral", "MistralForCausalLM", head_dim=32, tie_word_embeddings=False, sliding_window=4096, rope_theta=1e6
    ),
    "qwen2": _config("qwen2", "Qwen2ForCausalLM", tie_word_embeddings=True, rope_theta=1e6, num_key_value_heads=3),
    "qwen3": _config("qwen3", "Qwen3ForCausalLM", head_dim=32, tie_word_embeddings=True, rope_theta=1e6),
    "gemma": _config("gemma", "GemmaForCausalLM", head_dim=32, num_key_value_heads=1, rms_norm_eps=1e-6),
    "gemma2": _config(
        "gemma2",
        "Gemma2ForCausalLM",
        head_dim=32,
        num_hidden_layers=4,
        query_pre_attn_scalar=32,
        attn_logit_softcapping=5.0,
        final_logit_softcapping=8.0,
        sliding_window=4096,
        rms_norm_eps=1e-6,
    ),
    "gemma3_text": _config(
        "gemma3_text",
        "Gemma3ForCausalLM",
        head_dim=32,
        num_hidden_layers=7,
        query_pre_attn_scalar=20,
        sliding_window=16,
        sliding_window_pattern=3,
        rope_theta=1e6,
        rope_local_base_freq=1e4,
        rms_norm_eps=1e-6,
    ),
    # The square root of 144 is exact in bfloat16, and GGUF has neither the pattern nor the attention scalar as a key.
    "gemma3_text-exact": _config(
        "gemma3_text",
        "Gemma3ForCausalLM",
        hidden_size=144,
        head_dim=32,
        num_hidden_layers=8,
        query_pre_attn_scalar=32,
        sliding_window=16,
        sliding_window_pattern=6,
        rope_theta=1e6,
        rope_local_base_freq=1e4,
        rms_norm_eps=1e-6,
    ),
    "phi3": _config("phi3", "Phi3ForCausalLM", partial_rotary_factor=1.0, original_max_position_embeddings=1024),
    "phi3-longrope": _config(
        "phi3",
        "Phi3ForCausalLM",
        partial_rotary_factor=0.75,
        original_max_position_embeddings=64,
        tie_word_embeddings=True,
        rope_scaling=_LONGROPE,
    ),
    "olmo2": _config("olmo2", "Olmo2ForCausalLM", tie_word_embeddings=False, rope_theta=5e5),
    "smollm3": _config(
        "smollm3",
        "SmolLM3ForCausalLM",
        num_hidden_layers=5,
        no_rope_layer_interval=4,
        no_rope_layers=[1, 1, 1, 0, 1],
        tie_word_embeddings=True,
        rope_theta=5e6,
    ),
    "mixtral": _config(
        "mixtral", "MixtralForCausalLM", num_local_experts=5, num_experts_per_tok=2, rope_theta=1e6,
        tie_word_embeddings=False,
    ),
    "qwen2_moe": _config(
        "qwen2_moe",
        "Qwen2MoeForCausalLM",
        num_experts=7,
        num_experts_per_tok=3,
        moe_intermediate_size=64,
        shared_expert_intermediate_size=128,
        norm_topk_prob=False,
        rope_theta=1e6,
        tie_word_embeddings=False,
    ),
    # 192 wide: mlx-lm quantizes this family's router in groups of 64.
    "qwen3_moe": _config(
        "qwen3_moe",
        "Qwen3MoeForCausalLM",
        hidden_size=192,
        head_dim=32,
        num_hidden_layers=4,
        num_experts=9,
        num_experts_per_tok=3,
        moe_intermediate_size=64,
        decoder_sparse_step=1,
        mlp_only_layers=[],
        norm_topk_prob=True,
        rope_theta=1e6,
        tie_word_embeddings=False,
    ),
    "qwen3_moe-mixed": _config(
        "qwen3_moe",
        "Qwen3MoeForCausalLM",
        hidden_size=192,
        head_dim=32,
        num_hidden_layers=5,
        num_experts=6,
        num_experts_per_tok=2,
        moe_intermediate_size=96,
        decoder_sparse_step=2,
        mlp_only_layers=[3],
        norm_topk_prob=False,
        rope_theta=1e6,
        tie_word_embeddings=True,
    ),
    "olmoe": _config(
        "olmoe",
        "OlmoeForCausalLM",
        num_key_value_heads=6,  # llama.cpp loads no other
        intermediate_size=64,
        num_experts=8,
        num_experts_per_tok=3,
        norm_topk_prob=False,
        tie_word_embeddings=False,
    ),
    "gpt_oss": _config(
        "gpt_oss",
        "GptOssForCausalLM",
        hidden_size=192,
        intermediate_size=96,
        num_hidden_layers=4,
        num_attention_heads=8,
        head_dim=32,
        num_local_experts=6,
        num_experts_per_tok=3,
        sliding_window=16,
        layer_types=["sliding_attention", "full_attention"] * 2,
        rope_theta=150000.0,
        # As published but for "truncate": false, which mlx-lm passes over and Sluice does not.
        rope_scaling={"rope_type": "yarn"} | _YARN | {"factor": 32.0},
        tie_word_embeddings=False,
    ),
}

# A family's configuration as transformers >= 5 writes it; mlx-lm reads this for qwen3.
_QWEN3 = FAMILIES["qwen3"]
FAMILIES["qwen3-rope_parameters"] = {k: v for k, v in _QWEN3.items() if k != "rope_theta"} | {
    "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e5}
}

# What quantization in groups of 128 and GGUF's 256-weight blocks need of every row.
WIDE = {"hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 8, "head_dim": 32, "num_hidden_layers": 2}
FAMILIES["llama-wide"] = _llama() | WIDE
FAMILIES["qwen3-wide"] = _QWEN3 | WIDE
