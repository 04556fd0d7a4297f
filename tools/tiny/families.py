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


def hidden_size(config: Config) -> int:
    return next(config[key] for key in ("hidden_size", "n_embd", "d_model", "model_dim", "hidden_dim") if key in config)


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

FAMILIES |= {
    "seed_oss": _config("seed_oss", "SeedOssForCausalLM", head_dim=24, attention_bias=True, tie_word_embeddings=False),
    "mimo": _config("mimo", "MiMoForCausalLM", tie_word_embeddings=False, num_nextn_predict_layers=1),
    "helium": _config(
        "helium", "HeliumForCausalLM", head_dim=16, attention_bias=False, mlp_bias=False, tie_word_embeddings=False
    ),
    "ernie4_5": _config("ernie4_5", "Ernie4_5ForCausalLM", head_dim=24, use_bias=False, tie_word_embeddings=True),
    "glm": _config("glm", "GlmForCausalLM", head_dim=24, attention_bias=True, tie_word_embeddings=False),
    "glm4": _config(
        "glm4", "Glm4ForCausalLM", head_dim=24, attention_bias=True, partial_rotary_factor=0.5, tie_word_embeddings=False
    ),
    "exaone4": _config(
        "exaone4", "Exaone4ForCausalLM", head_dim=24, num_hidden_layers=5, sliding_window=16,
        sliding_window_pattern="LLG", rope_scaling={"rope_type": "llama3"} | _LLAMA3, tie_word_embeddings=False,
    ),
    "exaone4-full": _config(
        "exaone4", "Exaone4ForCausalLM", head_dim=24, sliding_window=None, sliding_window_pattern=None,
        rope_scaling={"rope_type": "llama3"} | _LLAMA3, tie_word_embeddings=True,
    ),
    "olmo3": _config(
        "olmo3", "Olmo3ForCausalLM", num_hidden_layers=5, sliding_window=16, rope_theta=5e5,
        rope_scaling={"rope_type": "yarn"} | _YARN, tie_word_embeddings=False,
    ),
    "hunyuan_v1_dense": _config(
        "hunyuan_v1_dense", "HunYuanDenseV1ForCausalLM", head_dim=24, use_qk_norm=True, tie_word_embeddings=True,
        rope_scaling={"alpha": 50.0, "factor": 1.0, "type": "dynamic"},
    ),
    "granite": _config(
        "granite", "GraniteForCausalLM", hidden_size=192, logits_scaling=3.0, attention_multiplier=0.2, embedding_multiplier=0.6,
        residual_multiplier=0.3, attention_bias=False, mlp_bias=False, tie_word_embeddings=True,
    ),
    "minicpm": _config(
        "minicpm", "MiniCPMForCausalLM", dim_model_base=32, scale_depth=1.4, scale_emb=3.0, tie_word_embeddings=False
    ),
    "glm4_moe": _config(
        "glm4_moe", "Glm4MoeForCausalLM", head_dim=32, num_hidden_layers=4, moe_intermediate_size=64, n_routed_experts=8,
        n_shared_experts=2, num_experts_per_tok=3, n_group=4, topk_group=2, first_k_dense_replace=1, norm_topk_prob=True,
        routed_scaling_factor=1.5, use_qk_norm=True, attention_bias=True, partial_rotary_factor=0.5, rope_scaling=None,
        tie_word_embeddings=False,
    ),
    "dots1": _config(
        "dots1", "Dots1ForCausalLM", num_key_value_heads=6, num_hidden_layers=4, moe_intermediate_size=64, n_routed_experts=7,
        n_shared_experts=1, num_experts_per_tok=3, first_k_dense_replace=1, norm_topk_prob=True,
        routed_scaling_factor=2.5, scoring_func="noaux_tc", tie_word_embeddings=False,
    ),
    "minimax": _config(
        "minimax", "MiniMaxM2ForCausalLM", hidden_size=192, intermediate_size=64, head_dim=32, rotary_dim=16,
        num_local_experts=7, num_experts_per_tok=3, shared_intermediate_size=0, scoring_func="sigmoid",
        tie_word_embeddings=False,
    ),
    "lfm2": _config(
        "lfm2", "Lfm2ForCausalLM", num_hidden_layers=5, norm_eps=1e-5, conv_bias=False, conv_L_cache=3, block_dim=96,
        block_ff_dim=200, block_multiple_of=32, block_ffn_dim_multiplier=1.0, block_auto_adjust_ff_dim=True,
        full_attn_idxs=[2, 4], tie_word_embeddings=True, rope_theta=1e6,
    ),
    "lfm2_moe": _config(
        "lfm2_moe", "Lfm2MoeForCausalLM", hidden_size=192, num_hidden_layers=5, norm_eps=1e-5, conv_bias=False,
        conv_L_cache=3, moe_intermediate_size=64, num_experts=7, num_experts_per_tok=3, norm_topk_prob=True,
        use_expert_bias=True, num_dense_layers=2, routed_scaling_factor=1.5, rope_theta=1e6, tie_word_embeddings=True,
        layer_types=["conv", "full_attention", "conv", "full_attention", "conv"],
    ),
}

for _family in ("lfm2", "lfm2_moe"):  # which call it norm_eps
    del FAMILIES[_family]["rms_norm_eps"]

def _centered(model_type: str, architecture: str, eps_key: str, **changes: Any) -> Config:
    """A family with layer norms, whose epsilon has another name."""
    config = _config(model_type, architecture, **{eps_key: 1e-5} | changes)
    del config["rms_norm_eps"]
    return config


FAMILIES |= {
    "phi": _centered(
        "phi", "PhiForCausalLM", "layer_norm_eps", num_key_value_heads=6, partial_rotary_factor=0.5,
        hidden_act="gelu_new", tie_word_embeddings=False,
    ),
    # mlx-lm takes the exact GELU whatever is told.
    "starcoder2": _centered(
        "starcoder2", "Starcoder2ForCausalLM", "norm_epsilon", hidden_act="gelu", tie_word_embeddings=True
    ),
    "nemotron": _centered(
        "nemotron", "NemotronForCausalLM", "norm_eps", head_dim=24, hidden_act="relu2", partial_rotary_factor=0.5,
        tie_word_embeddings=False,
    ),
    "stablelm": _centered(
        "stablelm", "StableLmForCausalLM", "layer_norm_eps", use_qkv_bias=True, partial_rotary_factor=0.25,
        tie_word_embeddings=False,
    ),
    "cohere": _centered(
        "cohere", "CohereForCausalLM", "layer_norm_eps", logit_scale=0.5, layer_norm_bias=False, use_qk_norm=False,
        num_key_value_heads=6, tie_word_embeddings=True,
    ),
    "cohere2": _centered(
        "cohere2", "Cohere2ForCausalLM", "layer_norm_eps", head_dim=16, logit_scale=0.5, num_hidden_layers=5,
        sliding_window=16, sliding_window_pattern=3, tie_word_embeddings=True,
    ),
    # mlx-lm takes the tanh GELU whatever is told.
    "gpt_neox": _centered(
        "gpt_neox", "GPTNeoXForCausalLM", "layer_norm_eps", intermediate_size=384, num_key_value_heads=6,
        hidden_act="gelu_new", rotary_emb_base=10000, rotary_pct=0.5, use_parallel_residual=True,
        tie_word_embeddings=False,
    ),
}

_LATENT: Config = {
    "num_hidden_layers": 4,
    "num_key_value_heads": 6,
    "moe_intermediate_size": 64,
    "n_routed_experts": 8,
    "n_shared_experts": 2,
    "num_experts_per_tok": 3,
    "first_k_dense_replace": 1,
    "moe_layer_freq": 1,
    "norm_topk_prob": True,
    "routed_scaling_factor": 1.5,
    "kv_lora_rank": 64,
    "qk_rope_head_dim": 16,
    "qk_nope_head_dim": 32,
    "v_head_dim": 32,
    "attention_bias": False,
    "tie_word_embeddings": False,
}
FAMILIES |= {
    "deepseek_v3": _config(
        "deepseek_v3", "DeepseekV3ForCausalLM", q_lora_rank=64, n_group=4, topk_group=2, topk_method="noaux_tc",
        scoring_func="sigmoid", rope_scaling={"type": "yarn", "mscale": 1.0, "mscale_all_dim": 1.0} | _YARN, **_LATENT,
    ),
    "glm4_moe_lite": _config(
        "glm4_moe_lite", "Glm4MoeLiteForCausalLM", q_lora_rank=64, n_group=1, topk_group=1, rope_scaling=None, **_LATENT
    ),
}

_GEMMA4: Config = {
    "num_hidden_layers": 7,
    "head_dim": 32,
    "global_head_dim": 48,
    "sliding_window": 16,
    "sliding_window_pattern": 3,
    "final_logit_softcapping": 20.0,
    "vocab_size_per_layer_input": VOCAB_SIZE,
    "rope_parameters": {
        "full_attention": {"partial_rotary_factor": 0.25, "rope_theta": 1e6, "rope_type": "proportional"},
        "sliding_attention": {"partial_rotary_factor": 1.0, "rope_theta": 1e4, "rope_type": "default"},
    },
    "layer_types": (["sliding_attention"] * 2 + ["full_attention"]) * 2 + ["full_attention"],
    "tie_word_embeddings": True,
    "hidden_activation": "gelu_pytorch_tanh",
}
FAMILIES |= {
    "gemma4_text": _config(
        "gemma4_text", "Gemma4ForCausalLM", num_kv_shared_layers=4, hidden_size_per_layer_input=32, **_GEMMA4
    ),
    "gemma4_text-moe": _config(
        "gemma4_text", "Gemma4ForCausalLM", num_kv_shared_layers=0, hidden_size_per_layer_input=0, attention_k_eq_v=True,
        num_global_key_value_heads=1, enable_moe_block=True, num_experts=6, top_k_experts=2, moe_intermediate_size=64,
        **(_GEMMA4 | {"hidden_size": 192}),
    ),
    "ministral3": _config(
        "ministral3", "Ministral3ForCausalLM", head_dim=24, tie_word_embeddings=False, sliding_window=None,
        rope_parameters={
            "rope_type": "yarn", "rope_theta": 1e6, "llama_4_scaling_beta": 0.1, "mscale": 1.0, "mscale_all_dim": 1.0,
        } | _YARN | {"original_max_position_embeddings": 16},
    ),
}

FAMILIES["nemotron_h"] = _config(
    "nemotron_h", "NemotronHForCausalLM", num_hidden_layers=7, hybrid_override_pattern="M*E-MEM", head_dim=24,
    mamba_num_heads=6, mamba_head_dim=32, mamba_proj_bias=False, ssm_state_size=20, conv_kernel=4, n_groups=2,
    attention_bias=False, mlp_bias=False, use_bias=False, use_conv_bias=True, layer_norm_epsilon=1e-5, n_group=2,
    topk_group=1, n_routed_experts=6, n_shared_experts=1, num_experts_per_tok=2, moe_intermediate_size=64,
    moe_shared_expert_intermediate_size=96, norm_topk_prob=True, routed_scaling_factor=2.0, tie_word_embeddings=False,
)
del FAMILIES["nemotron_h"]["rms_norm_eps"]

_LINEAR: Config = {
    "num_hidden_layers": 5,
    "head_dim": 32,
    "full_attention_interval": 3,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 6,
    "linear_key_head_dim": 32,  # llama.cpp knows no other than the values'
    "linear_value_head_dim": 32,
    "linear_conv_kernel_dim": 4,
}
_QWEN_MOE: Config = {
    "num_experts": 7,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 64,
    "shared_expert_intermediate_size": 128,
    "norm_topk_prob": True,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
}
_QWEN_ROPE = {"type": "default", "mrope_section": [2, 1, 1], "rope_theta": 1e5, "partial_rotary_factor": 0.25}
FAMILIES |= {
    "qwen3_5": _config(
        "qwen3_5", "Qwen3_5ForConditionalGeneration", tie_word_embeddings=False, rope_parameters=_QWEN_ROPE, **_LINEAR
    ),
    "qwen3_5_moe": _config(
        "qwen3_5_moe", "Qwen3_5MoeForConditionalGeneration", tie_word_embeddings=True, rope_parameters=_QWEN_ROPE,
        **(_LINEAR | _QWEN_MOE | {"hidden_size": 192}),
    ),
    "qwen3_next": _config(
        "qwen3_next", "Qwen3NextForCausalLM", tie_word_embeddings=False, partial_rotary_factor=0.25,
        **(_LINEAR | _QWEN_MOE | {"hidden_size": 192}),
    ),
}

# Experts of Nemotron 3 Super see half a row. Its limits are as Python writes them; llama.cpp knows no dense layers beside experts.
FAMILIES["nemotron_h-latent"] = FAMILIES["nemotron_h"] | {
    "moe_latent_size": 64, "time_step_limit": [0.0, float("inf")], "hybrid_override_pattern": "M*EMEM*",
}  # fmt: skip

_MAMBA2: Config = {
    "mamba_n_heads": 6,
    "mamba_d_head": 32,
    "mamba_d_state": 20,
    "mamba_d_conv": 4,
    "mamba_n_groups": 2,
    "mamba_conv_bias": True,
    "mamba_proj_bias": False,
    "time_step_limit": [0.0, float("inf")],
}
_GRANITE4: Config = {
    "mamba_n_heads": 12,  # llama.cpp wants twice the hidden size in all
    "hidden_size": 192,
    "num_hidden_layers": 4,
    "layer_types": ["mamba", "mamba", "attention", "mamba"],
    "shared_intermediate_size": 128,
    "logits_scaling": 3.0,
    "attention_multiplier": 0.2,
    "embedding_multiplier": 0.6,
    "residual_multiplier": 0.3,
    "attention_bias": False,
    "tie_word_embeddings": True,
}
FAMILIES |= {
    "granitemoehybrid": _config(
        "granitemoehybrid", "GraniteMoeHybridForCausalLM", num_local_experts=7, num_experts_per_tok=3,
        position_embedding_type="nope", **(_MAMBA2 | _GRANITE4 | {"intermediate_size": 64}),
    ),
    "granitemoehybrid-dense": _config(
        "granitemoehybrid", "GraniteMoeHybridForCausalLM", num_local_experts=0, position_embedding_type="rope",
        **(_MAMBA2 | _GRANITE4 | {"shared_intermediate_size": 160}),
    ),
    # mlx-lm's conversion forgets the factors of keys and values: see layouts.py for what the first makes of it.
    "falcon_h1": _config(
        "falcon_h1", "FalconH1ForCausalLM", head_dim=24, mamba_d_ssm=192, tie_word_embeddings=False,
        attention_in_multiplier=0.8, attention_out_multiplier=1.2, key_multiplier=0.7, embedding_multiplier=2.0,
        lm_head_multiplier=0.5, ssm_in_multiplier=1.25, ssm_out_multiplier=0.6, mlp_multipliers=[0.9, 0.7],
        ssm_multipliers=[0.5, 1.5, 0.7, 0.8, 0.6], mamba_rms_norm=False, mamba_norm_before_gate=False, **_MAMBA2,
    ),
    "falcon_h1-converted": _config(
        "falcon_h1", "FalconH1ForCausalLM", head_dim=24, mamba_d_ssm=192, tie_word_embeddings=True,
        attention_in_multiplier=1.0, attention_out_multiplier=1.2, key_multiplier=1.0, embedding_multiplier=2.0,
        lm_head_multiplier=0.5, ssm_in_multiplier=1.25, ssm_out_multiplier=0.6, mlp_multipliers=[0.9, 0.7],
        ssm_multipliers=[0.5, 1.5, 0.7, 0.8, 0.6], mamba_rms_norm=True, mamba_norm_before_gate=False,
        **(_MAMBA2 | {"mamba_n_groups": 1}),
    ),
    "jamba": _config(
        "jamba", "JambaForCausalLM", hidden_size=192, num_hidden_layers=6, attn_layer_offset=1, attn_layer_period=3,
        expert_layer_offset=1, expert_layer_period=2, mamba_d_conv=4, mamba_d_state=20, mamba_expand=2,
        mamba_dt_rank=32, num_experts=5, num_experts_per_tok=2, tie_word_embeddings=False, mamba_conv_bias=True,
    ),
}

def _recurrent(model_type: str, architecture: str, **changes: Any) -> Config:
    """A family without attention, whose sizes have names of their own."""
    config = _config(model_type, architecture, **changes)
    for key in ("num_attention_heads", "num_key_value_heads", "rms_norm_eps", "rope_theta"):
        del config[key]
    return config


_MAMBA: Config = {
    "layer_norm_epsilon": 1e-5, "state_size": 20, "conv_kernel": 4, "use_bias": False, "use_conv_bias": True, "expand": 2,
}  # fmt: skip
FAMILIES |= {
    "mamba": _recurrent(
        "mamba", "MambaForCausalLM", intermediate_size=192, time_step_rank=32, tie_word_embeddings=True, **_MAMBA
    ),
    "falcon_mamba": _recurrent(
        "falcon_mamba", "FalconMambaForCausalLM", intermediate_size=192, time_step_rank=32, mixer_rms_eps=1e-6,
        tie_word_embeddings=False, **_MAMBA,
    ),
    "mamba2": _recurrent(
        "mamba2", "Mamba2ForCausalLM", num_heads=6, head_dim=32, n_groups=2, tie_word_embeddings=False,
        time_step_limit=[0.0, float("inf")], time_step_rank="auto", **_MAMBA,
    ),
}

_KIMI: Config = {
    "head_dim": 32,
    "num_hidden_layers": 5,
    "num_key_value_heads": 6,
    "moe_intermediate_size": 64,
    "num_experts": 8,
    "num_experts_per_token": 3,
    "num_shared_experts": 1,
    "first_k_dense_replace": 1,
    "moe_layer_freq": 1,
    "moe_router_activation_func": "sigmoid",
    "moe_renormalize": True,
    "routed_scaling_factor": 1.5,
    "use_grouped_topk": True,
    "num_expert_group": 4,
    "topk_group": 2,
    "kv_lora_rank": 64,
    "qk_rope_head_dim": 16,
    "qk_nope_head_dim": 32,
    "v_head_dim": 32,
    "mla_use_nope": True,
    "model_max_length": 1024,
    "tie_word_embeddings": False,
}
_BAILING: Config = {
    "hidden_size": 192,
    "num_hidden_layers": 5,
    "head_dim": 32,
    "moe_intermediate_size": 64,
    "num_experts": 8,
    "num_shared_experts": 1,
    "num_experts_per_tok": 3,
    "norm_topk_prob": True,
    "n_group": 4,
    "topk_group": 2,
    "first_k_dense_replace": 1,
    "layer_group_size": 2,
    "group_norm_size": 3,
    "use_qkv_bias": False,
    "use_bias": False,
    "use_qk_norm": True,
    "partial_rotary_factor": 0.5,
    "moe_router_enable_expert_bias": True,
    "routed_scaling_factor": 1.5,
    "score_function": "sigmoid",
    "tie_word_embeddings": False,
}
FAMILIES |= {
    "kimi_linear": _config(
        "kimi_linear", "KimiLinearForCausalLM",
        linear_attn_config={
            "num_heads": 6, "head_dim": 32, "short_conv_kernel_size": 4, "kda_layers": [1, 2, 4], "full_attn_layers": [3, 5],
        },
        **(_KIMI | {"hidden_size": 192}),
    ),
    "bailing_moe_linear": _config("bailing_moe_linear", "BailingMoeLinearV2ForCausalLM", **_BAILING),
    "bailing_hybrid": _config(
        "bailing_hybrid", "BailingMoeV2_5ForCausalLM", kv_lora_rank=64, qk_rope_head_dim=16, qk_nope_head_dim=32,
        v_head_dim=32, q_lora_rank=64, rope_interleave=True, **_BAILING,
    ),
    "olmo_hybrid": _config(
        "olmo_hybrid", "OlmoHybridForCausalLM", num_hidden_layers=5, linear_num_key_heads=3, linear_num_value_heads=6,
        linear_key_head_dim=24, linear_value_head_dim=32, linear_conv_kernel_dim=4, linear_allow_neg_eigval=True,
        attention_bias=False, tie_word_embeddings=False, rope_theta=5e5,
        layer_types=["linear_attention", "full_attention", "linear_attention", "linear_attention", "full_attention"],
    ),
}

FAMILIES |= {
    "rwkv7": _recurrent(
        "rwkv7", "RWKV7ForCausalLM", norm_eps=1e-5, head_dim=24, a_low_rank_dim=32, v_low_rank_dim=32,
        gate_low_rank_dim=64, decay_low_rank_dim=32, tie_word_embeddings=False, hidden_act="sqrelu",
        **{"hidden_size": 192},
    ),
    # Published files have no lm_head, and 1e-6, which mlx-lm passes over but at the end.
    "recurrent_gemma": _config(
        "recurrent_gemma", "RecurrentGemmaForCausalLM", num_hidden_layers=5, num_key_value_heads=1, attention_bias=False,
        conv1d_width=4, logits_soft_cap=20.0, attention_window_size=16, block_types=["recurrent", "attention", "recurrent"],
        tie_word_embeddings=True, hidden_activation="gelu_pytorch_tanh", partial_rotary_factor=0.5, intermediate_size=320,
    ),
}


def _own_keys(model_type: str, architecture: str, **keys: Any) -> Config:
    """A family that spells everything its own way."""
    common = ("vocab_size", "torch_dtype", "bos_token_id", "eos_token_id")
    return {key: BASE[key] for key in common} | {"model_type": model_type, "architectures": [architecture]} | keys


_GPT2: Config = {"n_embd": 96, "n_head": 6, "n_layer": 3, "n_positions": 512, "layer_norm_epsilon": 1e-5}
FAMILIES |= {
    "gpt2": _own_keys("gpt2", "GPT2LMHeadModel", n_ctx=512, activation_function="gelu_new", summary_type="cls_index",
                      summary_use_proj=True, summary_activation=None, **_GPT2),
    # mlx-lm takes the exact GELU whatever is told.
    "gpt_bigcode": _own_keys(
        "gpt_bigcode", "GPTBigCodeForCausalLM", n_inner=160, multi_query=True, activation_function="gelu",
        tie_word_embeddings=True, **_GPT2,
    ),
    "gptj": _own_keys("gptj", "GPTJForCausalLM", rotary_dim=8, activation_function="gelu_new", **_GPT2),
    "exaone": _own_keys(
        "exaone", "ExaoneForCausalLM", hidden_size=96, num_layers=3, intermediate_size=160, num_attention_heads=6,
        num_key_value_heads=2, head_dim=16, layer_norm_epsilon=1e-5, max_position_embeddings=1024, rope_theta=1e4,
        activation_function="silu", rope_scaling={"rope_type": "llama3"} | _LLAMA3, tie_word_embeddings=False,
    ),
    "qwen": _own_keys(
        "qwen", "QWenLMHeadModel", hidden_size=96, num_attention_heads=6, num_hidden_layers=3, kv_channels=16,
        max_position_embeddings=1024, layer_norm_epsilon=1e-6, intermediate_size=320, no_bias=True, rotary_emb_base=10000,
        rotary_pct=1.0, scale_attn_weights=True, use_dynamic_ntk=True, use_logn_attn=True, tie_word_embeddings=False,
    ),
    "lille-130m": _own_keys(
        "lille-130m", "LilleForCausalLM", block_size=512, layer_norm_eps=1e-5, n_embd=96, n_head=6, n_kv_heads=2, n_layer=3,
        rope_theta=1e4,
    ),
    "openelm": _own_keys(
        "openelm", "OpenELMForCausalLM", head_dim=24, num_transformer_layers=3, model_dim=96, ffn_dim_divisor=32,
        num_query_heads=[4, 6, 8], num_kv_heads=[1, 2, 4], ffn_multipliers=[0.7, 1.5, 2.2], ffn_with_glu=True,
        normalize_qk_projections=True, share_input_output_layers=True, rope_freq_constant=10000, max_context_length=1024,
    ),
    "dbrx": _own_keys(
        "dbrx", "DbrxForCausalLM", d_model=96, n_layers=3, n_heads=6, max_seq_len=1024,
        attn_config={"kv_n_heads": 2, "clip_qkv": 1.5, "rope_theta": 1e4},
        ffn_config={"ffn_hidden_size": 64, "moe_num_experts": 7, "moe_top_k": 3, "ffn_act_fn": {"name": "silu"},
                    "moe_normalize_expert_weights": 1, "moe_jitter_eps": 0},
    ),
    "bitnet": _config("bitnet", "BitNetForCausalLM", hidden_act="relu2", rope_theta=5e5, tie_word_embeddings=True),
    "internlm2": _config("internlm2", "InternLM2ForCausalLM", bias=False, tie_word_embeddings=False),
    "granitemoe": _config(
        "granitemoe", "GraniteMoeForCausalLM", hidden_size=192, intermediate_size=64, logits_scaling=3.0,
        attention_multiplier=0.2, embedding_multiplier=0.6, residual_multiplier=0.3, attention_bias=False,
        num_local_experts=7, num_experts_per_tok=3, tie_word_embeddings=True,
    ),
    "deepseek": _config(
        "deepseek", "DeepseekForCausalLM", num_hidden_layers=4, moe_intermediate_size=64, n_shared_experts=2,
        n_routed_experts=7, num_experts_per_tok=3, first_k_dense_replace=1, norm_topk_prob=False, scoring_func="softmax",
        tie_word_embeddings=False,
    ),
    "mellum": _config(
        "mellum", "MellumForCausalLM", hidden_size=192, num_hidden_layers=4, head_dim=32, num_experts=7,
        num_experts_per_tok=3, moe_intermediate_size=64, norm_topk_prob=True, sliding_window=16,
        layer_types=["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"],
        rope_parameters={
            "full_attention": {"rope_type": "yarn", "rope_theta": 1e5} | _YARN,
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        },
        tie_word_embeddings=False,
    ),
    "ernie4_5_moe": _config(
        "ernie4_5_moe", "Ernie4_5_MoeForCausalLM", num_hidden_layers=4, head_dim=24, use_bias=False, moe_num_experts=7,
        moe_k=3, moe_intermediate_size=64, moe_num_shared_experts=2, moe_layer_start_index=1, moe_layer_interval=1,
        moe_gate_act="softmax", tie_word_embeddings=True,
    ),
    "bailing_moe": _config(
        "bailing_moe", "BailingMoeV2ForCausalLM", hidden_size=192, num_hidden_layers=4, moe_intermediate_size=64,
        num_experts=8, num_shared_experts=1, norm_topk_prob=True, num_experts_per_tok=3, first_k_dense_replace=1,
        use_qk_norm=True, partial_rotary_factor=0.5, moe_router_enable_expert_bias=True, routed_scaling_factor=2.5,
        score_function="sigmoid", n_group=4, topk_group=2, norm_head=False, tie_word_embeddings=False,
    ),
    "exaone_moe": _config(
        "exaone_moe", "ExaoneMoEForCausalLM", num_hidden_layers=5, head_dim=24, moe_intermediate_size=64, num_experts=8,
        num_experts_per_tok=3, num_shared_experts=1, n_group=4, topk_group=2, sliding_window=16,
        layer_types=["sliding_attention", "sliding_attention", "full_attention", "sliding_attention", "full_attention"],
        is_moe_layer=[False, True, True, True, True], routed_scaling_factor=2.0, norm_topk_prob=True,
        tie_word_embeddings=False,
    ),
    "afmoe": _config(
        "afmoe", "AfmoeForCausalLM", hidden_size=192, num_hidden_layers=5, head_dim=24, moe_intermediate_size=64, num_experts=7,
        num_experts_per_tok=3, num_shared_experts=1, num_dense_layers=1, route_norm=True, route_scale=2.0,
        score_func="sigmoid", sliding_window=16, mup_enabled=True,
        layer_types=["sliding_attention"] * 3 + ["full_attention", "sliding_attention"],
        tie_word_embeddings=False,
    ),
    "phimoe": _config(
        "phimoe", "PhiMoEForCausalLM", hidden_size=192, intermediate_size=64, original_max_position_embeddings=64,
        num_local_experts=7, num_experts_per_tok=2, router_jitter_noise=0.2,
        rope_scaling=_LONGROPE | {
            "short_factor": [1.0] * 16, "long_factor": [1.0 + 0.3 * i for i in range(16)], "short_mscale": 1.1,
            "long_mscale": 1.2,
        },
        tie_word_embeddings=False,
    ),
    "apertus": _config(
        "apertus", "ApertusForCausalLM", num_key_value_heads=2, hidden_act="xielu", mlp_bias=False, attention_bias=False,
        post_norm=False, qk_norm=True, rope_scaling={"rope_type": "llama3"} | _LLAMA3, tie_word_embeddings=False,
    ),
    "nanochat": _config("nanochat", "NanoChatForCausalLM", num_key_value_heads=6, intermediate_size=384),
    "plamo": _config("plamo", "PlamoForCausalLM", n_shared_head=3),
    # transformers' form, which mlx-lm cannot read: made of its llama (see tiny.checkpoint).
    "olmo": _config("olmo", "OlmoForCausalLM", clip_qkv=None, tie_word_embeddings=False),
    "stablelm-12b": _centered(
        "stablelm", "StableLmForCausalLM", "layer_norm_eps", use_qkv_bias=False, partial_rotary_factor=0.25,
        use_parallel_residual=True, qk_layernorm=True, tie_word_embeddings=False,
    ),
    "cohere-plus": _centered(
        "cohere", "CohereForCausalLM", "layer_norm_eps", logit_scale=0.5, layer_norm_bias=False, use_qk_norm=True,
        tie_word_embeddings=True,
    ),
    "deepseek_v2": _config(
        "deepseek_v2", "DeepseekV2ForCausalLM", q_lora_rank=None, n_group=4, topk_group=2,
        topk_method="group_limited_greedy", rope_scaling={"type": "yarn", "mscale": 0.7, "mscale_all_dim": 0.7} | _YARN,
        **(_LATENT | {"norm_topk_prob": False}),
    ),
    "mistral4": _config(
        "mistral4", "Mistral4ForCausalLM", q_lora_rank=64, n_group=2, topk_group=1,
        rope_parameters={
            "type": "yarn", "rope_theta": 1e4, "llama_4_scaling_beta": 0.1, "mscale": 1.0, "mscale_all_dim": 1.0,
        } | _YARN | {"original_max_position_embeddings": 16},
        **_LATENT,
    ),
    "youtu_llm": _config(
        "youtu_llm", "YoutuForCausalLM", num_key_value_heads=6, q_lora_rank=64, kv_lora_rank=64, qk_rope_head_dim=16,
        qk_nope_head_dim=32, v_head_dim=24, tie_word_embeddings=True,
    ),
    "minicpm3": _config(
        "minicpm3", "MiniCPM3ForCausalLM", num_key_value_heads=6, q_lora_rank=64, kv_lora_rank=64, qk_rope_head_dim=12,
        qk_nope_head_dim=32, dim_model_base=32, scale_depth=1.4, scale_emb=3.0,
        rope_scaling=_LONGROPE | {"original_max_position_embeddings": 64}, tie_word_embeddings=False,
    ),
    "Klear": _config(
        "Klear", "KlearMoeForCausalLM", hidden_size=192, num_hidden_layers=4, attention_bias=False, mlp_only_layers=[1],
        num_experts=7, num_experts_per_tok=3, decoder_sparse_step=1, n_shared_experts=1, moe_intermediate_size=64,
        norm_topk_prob=True, tie_word_embeddings=False,
    ),
    "step3p5": _config(
        "step3p5", "Step3p5ForCausalLM", hidden_size=192, num_hidden_layers=5, num_attention_groups=2, head_dim=24,
        sliding_window=16, rope_theta=[1e4, 5e4, 1e4, 5e4, 1e4], partial_rotary_factors=[1.0, 0.5, 1.0, 0.5, 1.0],
        layer_types=["sliding_attention", "full_attention"] * 3, yarn_only_types=["full_attention"],
        rope_scaling={"rope_type": "llama3"} | _LLAMA3,
        attention_other_setting={"num_attention_heads": 8, "num_attention_groups": 4}, use_head_wise_attn_gate=True,
        moe_num_experts=7, moe_top_k=3, moe_intermediate_size=64, share_expert_dim=96, moe_layers_enum="1,3,4",
        moe_router_scaling_factor=2.0, norm_expert_weight=True, swiglu_limits=[0, 0, 0, 0.5, 0.3],
        swiglu_limits_shared=[0.4, 0, 0, 0, 0.6], tie_word_embeddings=False,
    ),
    "mimo_v2_flash": _centered(
        "mimo_v2_flash", "MiMoV2FlashForCausalLM", "layernorm_epsilon", num_hidden_layers=4, head_dim=32, v_head_dim=20,
        swa_num_attention_heads=6, swa_num_key_value_heads=3, swa_head_dim=28, swa_v_head_dim=28, swa_rope_theta=1e3,
        hybrid_layer_pattern=[0, 1, 1, 0], moe_layer_freq=[0, 1, 1, 1], sliding_window_size=16, partial_rotary_factor=0.5,
        add_swa_attention_sink_bias=True, add_full_attention_sink_bias=False, attention_value_scale=0.7,
        n_routed_experts=8, n_shared_experts=None, num_experts_per_tok=3, moe_intermediate_size=64, n_group=1, topk_group=1,
        topk_method="noaux_tc", scoring_func="sigmoid", norm_topk_prob=True, routed_scaling_factor=None,
        tie_word_embeddings=False,
    ),
    "longcat_flash": _own_keys(
        "longcat_flash", "LongcatFlashForCausalLM", hidden_size=192, ffn_hidden_size=160, num_layers=3,
        num_attention_heads=6, attention_method="MLA", attention_bias=False, q_lora_rank=64, kv_lora_rank=64,
        qk_rope_head_dim=16, qk_nope_head_dim=32, v_head_dim=32, mla_scale_q_lora=True, mla_scale_kv_lora=True,
        moe_topk=4, expert_ffn_hidden_size=64, n_routed_experts=7, zero_expert_num=3, zero_expert_type="identity",
        routed_scaling_factor=2.0, rms_norm_eps=1e-5, rope_theta=1e4, max_position_embeddings=1024, rope_scaling=None,
        tie_word_embeddings=False,
    ),
    "nemotron-nas": _config(
        "nemotron-nas", "DeciLMForCausalLM", num_hidden_layers=5, attention_bias=False, mlp_bias=False, hidden_act="silu",
        rope_scaling={"rope_type": "llama3"} | _LLAMA3, tie_word_embeddings=False,
        block_configs=[
            {"attention": {"n_heads_in_group": 3}, "ffn": {"ffn_mult": 1.3}},
            {"attention": {"no_op": True}, "ffn": {"ffn_mult": 2.5}},
            {"attention": {"n_heads_in_group": 2}, "ffn": {"no_op": True}},
            {"attention": {"replace_with_linear": True}, "ffn": {"ffn_mult": 1.0}},
            {"attention": {"n_heads_in_group": 1}, "ffn": {"replace_with_linear": True}},
        ],
    ),
}  # fmt: skip

_LLAMA4: Config = _config(
    "llama4_text", "Llama4ForConditionalGeneration", num_hidden_layers=5, head_dim=24, attention_bias=False,
    attention_chunk_size=16, interleave_moe_layer_step=2, intermediate_size=64, intermediate_size_mlp=160,
    num_local_experts=5, num_experts_per_tok=1, rope_scaling=None, use_qk_norm=True, attn_temperature_tuning=True,
    floor_scale=8, attn_scale=0.1, tie_word_embeddings=False,
)  # fmt: skip


def _seeing(model_type: str, text: Config) -> Config:
    """A model that also sees; its text's keys stand at the top too, for who makes it."""
    return text | {"model_type": model_type, "text_config": text}


# Of pictures: what a text's positions are is the same in each section, and nothing is added to its layers.
_SECTIONS: Config = {"rope_type": "default", "mrope_section": [6, 5, 5], "mrope_interleaved": True}


def _seeing_qwen(model_type: str, architecture: str, text: Config) -> Config:
    inner = {k: v for k, v in text.items() if k != "architectures"} | {"rope_scaling": _SECTIONS}
    return _seeing(model_type, inner) | {"architectures": [architecture], "vision_config": {"deepstack_visual_indexes": [1, 2]}}


FAMILIES |= {
    "llama4": _seeing("llama4", _LLAMA4),
    "llama4_text": _LLAMA4 | {"num_local_experts": 0, "attn_temperature_tuning": False, "no_rope_layers": [1] * 5,
                              "attention_chunk_size": None},
    "llama4_text-nope": _LLAMA4 | {"num_local_experts": 0, "attn_temperature_tuning": False, "attention_chunk_size": None,
                                   "no_rope_layers": [1, 0, 1, 1, 0], "use_qk_norm": False},
    "kimi_k25": _seeing("kimi_k25", FAMILIES["deepseek_v3"] | {"model_type": "kimi_k2"}),
    "kimi_vl": _seeing("kimi_vl", FAMILIES["deepseek_v3"] | {"q_lora_rank": None, "n_group": 1, "topk_group": 1}),
    "qwen2_vl": _config(
        "qwen2_vl", "Qwen2VLForConditionalGeneration", rope_theta=1e6, num_key_value_heads=3, tie_word_embeddings=False,
        rope_scaling={"type": "mrope", "mrope_section": [2, 3, 3]},
    ),
    "qwen3_vl": _seeing_qwen("qwen3_vl", "Qwen3VLForConditionalGeneration", FAMILIES["qwen3"]),
    "qwen3_vl_moe": _seeing_qwen("qwen3_vl_moe", "Qwen3VLMoeForConditionalGeneration", FAMILIES["qwen3_moe"]),
    "xverse": _config("xverse", "XverseForCausalLM", num_key_value_heads=6, tie_word_embeddings=False),
    "bailing_moe-1": _config(
        "bailing_moe", "BailingMoeForCausalLM", hidden_size=192, num_hidden_layers=4, moe_intermediate_size=64, num_experts=8,
        num_shared_experts=2, norm_topk_prob=True, num_experts_per_tok=3, first_k_dense_replace=0, routed_scaling_factor=1.0,
        norm_head=False, tie_word_embeddings=False,
    ),
    "pixtral": _seeing("pixtral", FAMILIES["mistral"] | {"sliding_window": None}),
}  # fmt: skip
del FAMILIES["step3p5"]["num_key_value_heads"]

_INDEX: Config = {"index_n_heads": 10, "index_head_dim": 24, "index_topk": 12}
_GEMMA3N: Config = _config(
    "gemma3n_text", "Gemma3nForConditionalGeneration", num_hidden_layers=7, head_dim=32, num_kv_shared_layers=3,
    vocab_size_per_layer_input=VOCAB_SIZE - 6, sliding_window=16, rope_local_base_freq=1e4, rope_theta=1e6,
    final_logit_softcapping=30.0, rms_norm_eps=1e-6, intermediate_size=[160, 160, 192, 192, 160, 160, 192],
    layer_types=["sliding_attention", "sliding_attention", "full_attention", "sliding_attention", "full_attention",
                 "sliding_attention", "full_attention"],
    activation_sparsity_pattern=[0.95, 0.8, 0.0, 0.0, 0.0, 0.0, 0.0], hidden_size_per_layer_input=32, altup_num_inputs=4,
    altup_coef_clip=120.0, altup_correct_scale=True, altup_active_idx=0, laurel_rank=32, hidden_activation="gelu_pytorch_tanh",
)  # fmt: skip
_KIMI_K3: Config = _config(
    "kimi_linear", "KimiK3ForConditionalGeneration", hidden_size=192, num_hidden_layers=5, num_key_value_heads=6,
    hidden_act="situ", activation_situ_beta=2.0, activation_situ_linear_beta=3.0, attn_res_block_size=2, q_lora_rank=64,
    kv_lora_rank=64, qk_nope_head_dim=32, qk_rope_head_dim=16, v_head_dim=24, mla_use_nope=True, mla_use_output_gate=True,
    linear_attn_config={
        "num_heads": 3, "head_dim": 32, "short_conv_kernel_size": 4, "gate_lower_bound": -5.0, "use_full_rank_gate": True,
        "kda_layers": [1, 2, 4], "full_attn_layers": [3, 5],
    },
    num_experts=8, num_experts_per_token=3, num_shared_experts=2, moe_intermediate_size=64, moe_renormalize=True,
    routed_scaling_factor=2.0, first_k_dense_replace=1, num_expert_group=1, topk_group=1, routed_expert_hidden_size=64,
    latent_moe_use_norm=True, tie_word_embeddings=False,
)  # fmt: skip
_MINIMAX_M3: Config = _config(
    "minimax_m3", "MiniMaxM3SparseForConditionalGeneration", hidden_size=192, num_hidden_layers=4, head_dim=32, rotary_dim=16,
    intermediate_size=64, dense_intermediate_size=160, shared_intermediate_size=96, num_local_experts=7,
    num_experts_per_tok=3, moe_layer_freq=[0, 1, 1, 1], hidden_act="swigluoai", swiglu_alpha=1.702, swiglu_limit=1.5,
    use_gemma_norm=True, use_qk_norm=True, tie_word_embeddings=False,
    sparse_attention_config={
        "sparse_num_index_heads": 3, "sparse_index_dim": 20, "sparse_block_size": 5, "sparse_topk_blocks": 3,
        "sparse_local_block": 1, "sparse_attention_freq": [0, 1, 1, 1],
    },
)  # fmt: skip
FAMILIES |= {
    "deepseek_v32": FAMILIES["deepseek_v3"] | _INDEX | {"model_type": "deepseek_v32", "q_lora_rank": 64},
    "glm_moe_dsa": _config(
        "glm_moe_dsa", "GlmMoeDsaForCausalLM", q_lora_rank=64, n_group=1, topk_group=1, topk_method="noaux_tc",
        scoring_func="sigmoid", rope_parameters={"rope_type": "default", "rope_theta": 1e4},
        indexer_rope_interleave=True, **_LATENT, **_INDEX,
    ),
    "gemma3n": _seeing("gemma3n", _GEMMA3N),
    "kimi_k3": _seeing("kimi_k3", _KIMI_K3),
    "minimax_m3_vl": _seeing("minimax_m3_vl", _MINIMAX_M3),
    "laguna": _config(
        "laguna", "LagunaForCausalLM", hidden_size=192, num_hidden_layers=5, head_dim=24, sliding_window=16, gating=True,
        num_attention_heads_per_layer=[6, 8, 6, 8, 6], mlp_layer_types=["dense", "sparse", "sparse", "dense", "sparse"],
        layer_types=["full_attention", "sliding_attention", "full_attention", "sliding_attention", "sliding_attention"],
        rope_parameters={
            "full_attention": {"rope_type": "yarn", "rope_theta": 1e5, "partial_rotary_factor": 0.5} | _YARN,
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 1.0},
        },
        num_experts=7, num_experts_per_tok=3, moe_intermediate_size=64, shared_expert_intermediate_size=96,
        moe_routed_scaling_factor=2.0, moe_router_logit_softcapping=3.0, tie_word_embeddings=False,
    ),
    "muse_glimmer": _config(
        "muse_glimmer", "MuseGlimmerForConditionalGeneration", num_hidden_layers=7, head_dim=32, sliding_window=16,
        post_norm_eps=1e-8, qk_scale_factor=3.87, output_multiplier=0.5, final_logit_softcapping=20.0,
        hidden_activation="silu", tie_word_embeddings=False,
    ),
    "bailing_moe_v3": _config(
        "bailing_hybrid", "BailingMoeV3ForCausalLM", num_hidden_layers=5, head_dim=32, layer_group_size=2, q_lora_rank=64,
        kv_lora_rank=64, qk_nope_head_dim=32, qk_rope_head_dim=16, v_head_dim=24, moe_intermediate_size=64,
        moe_shared_expert_intermediate_size=64, num_experts=8, num_experts_per_tok=3, num_shared_experts=1,
        first_k_dense_replace=1, n_group=4, topk_group=2, routed_scaling_factor=2.5, short_conv_kernel_size=4,
        kda_lower_bound=-5.0, kda_safe_gate=True, no_kda_lora=True, rope_interleave=True, tie_word_embeddings=False,
    ),
    "longcat_flash_ngram": FAMILIES["longcat_flash"] | {
        "model_type": "longcat_flash_ngram", "ngram_vocab_size_ratio": 3, "emb_neighbor_num": 4, "emb_split_num": 2,
    },
}  # fmt: skip
FAMILIES["laguna-softplus"] = FAMILIES["laguna"] | {"moe_router_score_func": "sqrtsoftplus", "moe_router_logit_softcapping": 0.0}

FAMILIES["deepseek_v41"] = _config(
    "deepseek_v41", "DeepseekV41ForCausalLM", num_hidden_layers=7, num_key_value_heads=1, head_dim=40, q_lora_rank=64,
    qk_rope_head_dim=16, o_groups=3, o_lora_rank=32, moe_intermediate_size=64, n_routed_experts=7, num_experts_per_tok=3,
    scoring_func="sqrtsoftplus", gate_temp=1.3, routed_scaling_factor=1.5, swiglu_limit=1.5, sliding_window=16,
    compress_ratios=[1, 0, 3, 3, 3, 3, 3], kv_source_layer_ids=[0, 2, 5], index_source_layer_ids=[0, 2, 4, 6],
    candidate_source_layer_id=2, candidate_topk_blocks=3, candidate_block_size=4, index_n_heads=10, index_head_dim=24,
    index_topk=5, compress_rope_theta=1e3, rope_scaling={"type": "yarn"} | _YARN, hc_mult=3, hc_sinkhorn_iters=5, hc_eps=1e-6,
    engram_layer_ids=[], tie_word_embeddings=False,
)  # fmt: skip
# Heads that are whole blocks: rows, keys and queries are rounded to few bits.
FAMILIES["deepseek_v41-rounded"] = FAMILIES["deepseek_v41"] | {"head_dim": 64, "index_head_dim": 32}

# A family's configuration as transformers >= 5 writes it; mlx-lm reads this for qwen3.
_QWEN3 = FAMILIES["qwen3"]
FAMILIES["qwen3-rope_parameters"] = {k: v for k, v in _QWEN3.items() if k != "rope_theta"} | {
    "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e5}
}

FAMILIES |= {
    # mlx-lm has none: made of its llama (see tiny.checkpoint).
    "arcee": _config(
        "arcee", "ArceeForCausalLM", head_dim=24, hidden_act="relu2", mlp_bias=False, attention_bias=False,
        rope_scaling={"rope_type": "yarn"} | _YARN, tie_word_embeddings=False,
    ),
    "spark2_5": _config(
        "spark2_5", "Spark2_5ForCausalLM", num_hidden_layers=5, head_dim=24, sliding_window=16, hidden_act="gelu",
        gate_attn_act_mode="sigmoid", headwise_attn_output_gate=True, tie_word_embeddings=False,
        layer_types=["sliding_attention", "sliding_attention", "full_attention", "sliding_attention", "full_attention"],
        rope_parameters={
            "full_attention": {"rope_type": "default", "rope_theta": 1e5, "partial_rotary_factor": 0.5},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 1.0},
        },
    ),
    "nanbeige": _config(
        "nanbeige", "NanbeigeForCausalLM", head_dim=24, num_loops=3, skip_loop_final_norm=False, tie_word_embeddings=False
    ),
    "nanbeige-skip": _config(
        "nanbeige", "NanbeigeForCausalLM", head_dim=24, loop_loss_weights=[0.5], skip_loop_final_norm=True,
        tie_word_embeddings=True,
    ),
    "phixtral": _own_keys(
        "phixtral", "PhiForCausalLM", num_vocab=VOCAB_SIZE, model_dim=96, num_heads=6, num_layers=3, rotary_dim=8,
        num_local_experts=5, num_experts_per_tok=2,
    ),
    "phi3small": _own_keys(
        "phi3small", "Phi3SmallForCausalLM", hidden_size=96, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2,
        max_position_embeddings=1024, hidden_act="gegelu", dense_attention_every_n_layers=2,
        ff_intermediate_size=160, gegelu_limit=1.5, layer_norm_epsilon=1e-5, rope_embedding_base=1e6, rope_position_scale=0.5,
        mup_attn_multiplier=2.0, mup_use_scaling=True, mup_embedding_multiplier=5.0, mup_width_multiplier=2.0,
        blocksparse_block_size=32, blocksparse_num_local_blocks=2, blocksparse_vert_stride=4, dummy_token_indices=[],
    ),
    "talkie": _config("talkie", "TalkieForCausalLM", num_key_value_heads=6, head_dim=24, rms_norm_eps=1.1920928955078125e-07),
    "hunyuan": _config(
        "hunyuan", "HunYuanForCausalLM", num_hidden_layers=5, attention_bias=False, num_experts=7, moe_topk=[2, 3, 2, 3, 2],
        num_shared_expert=[1, 2, 1, 1, 2], moe_intermediate_size=[64, 64, 96, 64, 64], use_mixed_mlp_moe=True, use_qk_norm=True,
        use_cla=True, cla_share_factor=2, rope_scaling={"type": "dynamic", "factor": 1.0, "alpha": 1000.0},
        tie_word_embeddings=True,
    ),
    "hunyuan-dense": _config(
        "hunyuan", "HunYuanForCausalLM", attention_bias=False, num_experts=1, moe_topk=1, num_shared_expert=1,
        use_mixed_mlp_moe=False, use_qk_norm=True, use_cla=False, cla_share_factor=2,
        rope_scaling={"type": "dynamic", "factor": 1.0, "alpha": 1000.0}, tie_word_embeddings=True,
    ),
    "afm7": _own_keys(
        "afm7", "AfmForCausalLM", hidden_dim=96, num_layers=5, num_kv_reuse_layers=2, num_heads=6, num_kv_heads=2,
        hidden_dim_scale_factor=1.7, rope_theta=5e4, rms_norm_eps=1e-5,
    ),
    "plamo2": _config(
        "plamo2", "Plamo2ForCausalLM", num_hidden_layers=5, hidden_size_per_head=24, mamba_d_state=20, mamba_d_conv=4,
        mamba_num_heads=6, mamba_step=2, mamba_enabled=True, attention_window_size=2048, tie_word_embeddings=True,
    ),
    "plamo3": _config(
        "plamo3", "Plamo3ForCausalLM", num_hidden_layers=5, head_dim=24, window_size=16, sliding_window=16,
        sliding_window_pattern=3, rope_local_theta=1e3, tie_word_embeddings=False,
    ),
    "baichuan_m1": _config(
        "baichuan_m1", "BaichuanM1ForCausalLM", num_hidden_layers=5, sliding_window=16, sliding_window_layers=[1, 3],
        conv_window=2, num_swa_attention_heads=4, num_swa_key_value_heads=1, tie_word_embeddings=False,
    ),
    "gear": _config(
        "gear", "GearForCausalLM", num_hidden_layers=5, head_dim=24, sliding_window=16, conv_L_cache=4, rope_theta=1e6,
        rope_local_base_freq=1e4, hidden_activation="gelu_pytorch_tanh", query_pre_attn_scalar=20, final_logit_softcapping=20.0,
        layer_types=["conv_mixer", "sliding_attention", "conv_mixer", "full_attention", "sliding_attention"],
        tie_word_embeddings=True,
    ),
    "iquestloopcoder": _config(
        "iquestloopcoder", "IQuestLoopCoderForCausalLM", head_dim=24, loop_num=2, loop_window_size=16,
        tie_word_embeddings=False,
    ),
}  # fmt: skip

# What quantization in groups of 128 and GGUF's 256-weight blocks need of every row.
WIDE = {"hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 8, "head_dim": 32, "num_hidden_layers": 2}
FAMILIES["llama-wide"] = _llama() | WIDE
FAMILIES["qwen3-wide"] = _QWEN3 | WIDE

FAMILIES["muse_spark"] = _seeing(
    "muse_spark",
    _config(
        "muse_spark_text", "MuseSparkForConditionalGeneration", num_hidden_layers=4, head_dim=32, sliding_window=16,
        layer_types=["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"],
        rope_parameters={"rope_type": "default", "rope_theta": 1e4}, layer_rope_theta=[1e4, 1e4, 0, 1e4], post_norm_eps=1e-6,
        final_logit_softcapping=20.0, output_multiplier=0.5, qk_scale_factor=3.5, num_local_experts=7, num_experts_per_tok=3,
        moe_hidden_size=64, moe_intermediate_size=64, routed_scaling_factor=1.5, mlp_layer_types=["sparse"] * 4,
        tie_word_embeddings=False,
    ),
)  # fmt: skip
_ROTATED: Config = {"hidden_size": 512, "intermediate_size": 1024, "num_attention_heads": 16, "linear_num_value_heads": 16}


def _rotated_modules(n_layers: int) -> list[Config]:
    """All matrices but those that give a head one number."""
    delta, attention = ("in_proj_qkv", "in_proj_z", "out_proj"), ("q_proj", "k_proj", "v_proj", "o_proj")
    paths = ["model.embed_tokens", "lm_head"]
    for i in range(n_layers):
        mixer = [f"self_attn.{p}" for p in attention] if i % 3 == 2 else [f"linear_attn.{p}" for p in delta]
        paths += [f"model.layers.{i}.{p}" for p in (*mixer, "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")]
    blocks = {path: 0 if path.endswith("0.mlp.up_proj") else 1024 if "down" in path else 512 for path in paths}
    return [{"path": p, "block": b, "embedding": "embed" in p, "dtype": "float16"} for p, b in blocks.items()]


FAMILIES["prism_hadamard_qwen35"] = _seeing("prism_hadamard_qwen35", FAMILIES["qwen3_5"] | _ROTATED | {"num_hidden_layers": 3}) | {
    "schema_version": 2, "tensor_namespace": "mlx-vlm-qwen3_5", "gdn_activation_layout": "grouped",
    "quantization": {"bits": 2, "group_size": 128, "mode": "affine"}, "modules": _rotated_modules(3),
}  # fmt: skip
