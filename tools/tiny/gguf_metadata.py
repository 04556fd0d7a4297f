"""The GGUF keys of each family, as llama.cpp's converter sets them from a Hugging Face configuration."""

import math
from statistics import NormalDist

import gguf

from tiny.families import Config

ARCHITECTURES = {
    "llama": gguf.MODEL_ARCH.LLAMA,
    "mistral": gguf.MODEL_ARCH.LLAMA,
    "mixtral": gguf.MODEL_ARCH.LLAMA,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
    "gemma": gguf.MODEL_ARCH.GEMMA,
    "gemma2": gguf.MODEL_ARCH.GEMMA2,
    "gemma3_text": gguf.MODEL_ARCH.GEMMA3,
    "phi3": gguf.MODEL_ARCH.PHI3,
    "olmo2": gguf.MODEL_ARCH.OLMO2,
    "smollm3": gguf.MODEL_ARCH.SMOLLM3,
    "qwen2_moe": gguf.MODEL_ARCH.QWEN2MOE,
    "qwen3_moe": gguf.MODEL_ARCH.QWEN3MOE,
    "olmoe": gguf.MODEL_ARCH.OLMOE,
    "gpt_oss": gguf.MODEL_ARCH.GPT_OSS,
    "deepseek_v3": gguf.MODEL_ARCH.DEEPSEEK2,
    "glm4_moe_lite": gguf.MODEL_ARCH.DEEPSEEK2,
    "nemotron_h": gguf.MODEL_ARCH.NEMOTRON_H_MOE,
    "gemma4_text": gguf.MODEL_ARCH.GEMMA4,
    "ministral3": gguf.MODEL_ARCH.MISTRAL3,
    "hunyuan_v1_dense": gguf.MODEL_ARCH.HUNYUAN_DENSE,
    "seed_oss": gguf.MODEL_ARCH.SEED_OSS,
    "granite": gguf.MODEL_ARCH.GRANITE,
    "ernie4_5": gguf.MODEL_ARCH.ERNIE4_5,
    "glm4": gguf.MODEL_ARCH.GLM4,
    "lfm2": gguf.MODEL_ARCH.LFM2,
    "lfm2_moe": gguf.MODEL_ARCH.LFM2MOE,
    "glm4_moe": gguf.MODEL_ARCH.GLM4_MOE,
    "dots1": gguf.MODEL_ARCH.DOTS1,
    "minimax": gguf.MODEL_ARCH.MINIMAXM2,
    "qwen3_5": gguf.MODEL_ARCH.QWEN35,
    "qwen3_5_moe": gguf.MODEL_ARCH.QWEN35MOE,
    "qwen3_next": gguf.MODEL_ARCH.QWEN3NEXT,
    "granitemoehybrid": gguf.MODEL_ARCH.GRANITE_HYBRID,
    "falcon_h1": gguf.MODEL_ARCH.FALCON_H1,
    "jamba": gguf.MODEL_ARCH.JAMBA,
    "mamba": gguf.MODEL_ARCH.MAMBA,
    "falcon_mamba": gguf.MODEL_ARCH.MAMBA,
    "mamba2": gguf.MODEL_ARCH.MAMBA2,
    "kimi_linear": gguf.MODEL_ARCH.KIMI_LINEAR,
    "granitemoe": gguf.MODEL_ARCH.GRANITE_MOE,
    "apertus": gguf.MODEL_ARCH.APERTUS,
    "ernie4_5_moe": gguf.MODEL_ARCH.ERNIE4_5_MOE,
    "bailing_moe": gguf.MODEL_ARCH.BAILINGMOE2,
    "afmoe": gguf.MODEL_ARCH.AFMOE,
    "arcee": gguf.MODEL_ARCH.ARCEE,
    "deepseek": gguf.MODEL_ARCH.DEEPSEEK,
    "deepseek_v2": gguf.MODEL_ARCH.DEEPSEEK2,
    "glm_moe_dsa": gguf.MODEL_ARCH.GLM_DSA,
    "gemma3n": gguf.MODEL_ARCH.GEMMA3N,
    "olmo3": gguf.MODEL_ARCH.OLMO2,
    "minicpm3": gguf.MODEL_ARCH.MINICPM3,
    "phi": gguf.MODEL_ARCH.PHI2,
    "glm": gguf.MODEL_ARCH.CHATGLM,
    "phimoe": gguf.MODEL_ARCH.PHIMOE,
    "nemotron-nas": gguf.MODEL_ARCH.DECI,
    "mistral4": gguf.MODEL_ARCH.MISTRAL4,
    "qwen2_vl": gguf.MODEL_ARCH.QWEN2VL,
    "qwen3_vl": gguf.MODEL_ARCH.QWEN3VL,
    "qwen3_vl_moe": gguf.MODEL_ARCH.QWEN3VLMOE,
    "xverse": gguf.MODEL_ARCH.XVERSE,
    "stablelm": gguf.MODEL_ARCH.STABLELM,
    "plamo3": gguf.MODEL_ARCH.PLAMO3,
}
_INTERLEAVED_ROPE = (
    "llama", "mistral", "mixtral", "smollm3", "granite", "granitemoehybrid", "ministral3", "granitemoe", "deepseek",
    "arcee", "nemotron-nas", "xverse",
)  # fmt: skip  # pairs (2i, 2i + 1) instead of (i, i + dims / 2)


def architecture(config: Config) -> gguf.MODEL_ARCH:
    is_first_ling = config.get("architectures") == ["BailingMoeForCausalLM"]
    return gguf.MODEL_ARCH.BAILINGMOE if is_first_ling else ARCHITECTURES[config["model_type"]]


def has_interleaved_rope(config: Config) -> bool:
    return config["model_type"] in _INTERLEAVED_ROPE


def head_dim(config: Config) -> int:
    return config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]


def _heads(config: Config) -> int | list[int]:
    """One a layer where some layers have none; a matrix in attention's place has heads, and no key heads."""
    n_heads = config.get("num_attention_heads", 0)
    return [0 if block["attention"].get("no_op") else n_heads for block in config.get("block_configs", [])] or n_heads


def _kv_heads(config: Config) -> int | list[int]:
    """One a layer where some layers have none, or others."""
    if blocks := config.get("block_configs"):
        groups = [block["attention"].get("n_heads_in_group") for block in blocks]
        return [config["num_attention_heads"] // group if group else 0 for group in groups]
    layers = range(config["num_hidden_layers"])
    if config["model_type"] == "kimi_linear":
        return [int(i + 1 in config["linear_attn_config"]["full_attn_layers"]) for i in layers]
    if "kv_lora_rank" in config and config["model_type"] != "minicpm3":
        return 1
    if "num_attention_heads" not in config:
        return 0
    if config["model_type"] == "granitemoehybrid":
        return [config["num_key_value_heads"] if t == "attention" else 0 for t in config["layer_types"]]
    if period := config.get("attn_layer_period"):
        return [config["num_key_value_heads"] if i % period == config["attn_layer_offset"] else 0 for i in layers]
    if pattern := config.get("hybrid_override_pattern"):
        return [config["num_key_value_heads"] if kind == "*" else 0 for kind in pattern]
    if "num_global_key_value_heads" in config:
        heads = {"sliding_attention": config["num_key_value_heads"], "full_attention": config["num_global_key_value_heads"]}
        return [heads[kind] for kind in config["layer_types"]]
    if not config["model_type"].startswith("lfm2"):
        return config["num_key_value_heads"]
    types = config.get("layer_types") or ["full_attention" if i in config["full_attn_idxs"] else "conv" for i in layers]
    return [config["num_key_value_heads"] if t == "full_attention" else 0 for t in types]


def _feed_forward_length(config: Config) -> int | list[int]:
    if "num_attention_heads" not in config:
        return 0
    if blocks := config.get("block_configs"):
        return [256 * math.ceil(int(2 * block["ffn"].get("ffn_mult", 0) * config["hidden_size"] / 3) / 256) for block in blocks]
    if pattern := config.get("hybrid_override_pattern"):
        width = {"-": config["intermediate_size"], "E": config["moe_intermediate_size"]}
        return [width.get(kind, 0) for kind in pattern]
    if isinstance(config.get("intermediate_size"), list):
        return config["intermediate_size"]
    if shared := config.get("num_kv_shared_layers"):
        own = config["num_hidden_layers"] - shared
        return [config["intermediate_size"]] * own + [2 * config["intermediate_size"]] * shared
    if not config.get("block_auto_adjust_ff_dim"):
        return config["intermediate_size"]
    multiple = config["block_multiple_of"]
    return multiple * math.ceil(int(config["block_ffn_dim_multiplier"] * int(2 * config["block_ff_dim"] / 3)) / multiple)


_SIGMOID_ROUTERS = (
    "glm4_moe", "dots1", "minimax", "lfm2_moe", "deepseek_v3", "glm4_moe_lite", "nemotron_h", "bailing_moe", "afmoe",
    "kimi_linear", "glm_moe_dsa",
)  # fmt: skip

_UNSAID_ROUTERS = (gguf.MODEL_ARCH.BAILINGMOE, gguf.MODEL_ARCH.MISTRAL4)  # by shares of all


def _router_values(config: Config) -> Config:
    """Ling's and Trinity's, as DeepSeek spells them."""
    if config["model_type"] not in ("bailing_moe", "afmoe"):
        return config
    names = {"num_shared_experts": "n_shared_experts", "route_norm": "norm_topk_prob", "route_scale": "routed_scaling_factor"}
    return config | {ours: config[theirs] for theirs, ours in names.items() if theirs in config}


def add_router(writer: gguf.GGUFWriter, config: Config) -> None:
    """Experts chosen by sigmoids with a bias, or in groups, dense layers and shared experts beside them."""
    config = _router_values(config)
    if config["model_type"] == "ernie4_5_moe":
        writer.add_interleave_moe_layer_step(config["moe_layer_interval"])
        writer.add_leading_dense_block_count(config["moe_layer_start_index"])
        writer.add_expert_shared_feed_forward_length(config["moe_num_shared_experts"] * config["moe_intermediate_size"])
        return
    if architecture(config) in _UNSAID_ROUTERS:
        pass
    elif config["model_type"] in _SIGMOID_ROUTERS:
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    elif config["model_type"] in ("deepseek", "deepseek_v2"):
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SOFTMAX)
    else:
        return
    if "moe_intermediate_size" not in config:
        writer.add_expert_feed_forward_length(config["intermediate_size"])
    if "first_k_dense_replace" in config or "num_dense_layers" in config:
        writer.add_leading_dense_block_count(config.get("first_k_dense_replace", config.get("num_dense_layers")))
    if shared := config.get("n_shared_experts", config.get("num_shared_experts")):
        writer.add_expert_shared_count(shared)
    if groups := config.get("n_group", config.get("num_expert_group")):
        writer.add_expert_group_count(groups)
        writer.add_expert_group_used_count(config["topk_group"])
    if "routed_scaling_factor" in config:
        writer.add_expert_weights_scale(config["routed_scaling_factor"])
        writer.add_expert_weights_norm(config.get("norm_topk_prob", config.get("moe_renormalize")))


def add_latent(writer: gguf.GGUFWriter, config: Config) -> None:
    writer.add_kv_lora_rank(config["kv_lora_rank"])
    if config.get("q_lora_rank"):
        writer.add_q_lora_rank(config["q_lora_rank"])
    if config["model_type"] == "minicpm3":
        writer.add_key_length(config["qk_nope_head_dim"] + config["qk_rope_head_dim"])
        return
    writer.add_key_length(config["kv_lora_rank"] + config["qk_rope_head_dim"])
    writer.add_value_length(config["kv_lora_rank"])
    writer.add_key_length_mla(config["qk_nope_head_dim"] + config["qk_rope_head_dim"])
    writer.add_value_length_mla(config["v_head_dim"])
    if all_dim := (config.get("rope_scaling") or config.get("rope_parameters") or {}).get("mscale_all_dim"):
        writer.add_rope_scaling_yarn_log_mul(0.1 * all_dim)
    if "index_topk" in config:
        writer.add_indexer_head_count(config["index_n_heads"])
        writer.add_indexer_key_length(config["index_head_dim"])
        writer.add_indexer_top_k(config["index_topk"])


def add_streams(writer: gguf.GGUFWriter, config: Config) -> None:
    """Gemma 3n's; gates count from so many standard deviations above their mean on, which are minus infinity where all do."""
    if "altup_num_inputs" not in config:
        return
    writer.add_altup_num_inputs(config["altup_num_inputs"])
    writer.add_altup_active_idx(config["altup_active_idx"])
    shares = config["activation_sparsity_pattern"]
    writer.add_activation_sparsity_scale([NormalDist().inv_cdf(share) if share else -math.inf for share in shares])


# What configurations call the taps of convolutions, the state's width, its groups and heads, and a head's width.
_STATE_KEYS = (
    ("conv_kernel", "ssm_state_size", "n_groups", "mamba_num_heads", "mamba_head_dim"),
    ("mamba_d_conv", "mamba_d_state", "mamba_n_groups", "mamba_n_heads", "mamba_d_head"),
    ("conv_kernel", "state_size", "n_groups", "num_heads", "head_dim"),
    ("linear_conv_kernel_dim", "linear_key_head_dim", "linear_num_key_heads", "linear_num_value_heads", "linear_value_head_dim"),
)  # fmt: skip


def _add_mamba(writer: gguf.GGUFWriter, config: Config) -> None:
    """The first Mamba, whose channels are no heads."""
    is_jamba = config["model_type"] == "jamba"
    inner = config["mamba_expand"] * config["hidden_size"] if is_jamba else config["intermediate_size"]
    writer.add_ssm_conv_kernel(config["mamba_d_conv" if is_jamba else "conv_kernel"])
    writer.add_ssm_state_size(config["mamba_d_state" if is_jamba else "state_size"])
    writer.add_ssm_time_step_rank(config["mamba_dt_rank" if is_jamba else "time_step_rank"])
    writer.add_ssm_inner_size(inner)
    if not is_jamba:
        writer.add_ssm_dt_b_c_rms(config["model_type"] == "falcon_mamba")


def add_states(writer: gguf.GGUFWriter, config: Config) -> None:
    """Short convolutions, Mamba and delta nets."""
    if "conv_L_cache" in config:
        writer.add_shortconv_l_cache(config["conv_L_cache"])
    if config["model_type"] in ("mamba", "falcon_mamba", "jamba"):
        _add_mamba(writer, config)
    for taps, state, groups, heads, width in _STATE_KEYS:
        if heads in config:
            writer.add_ssm_conv_kernel(config[taps])
            writer.add_ssm_state_size(config[state])
            writer.add_ssm_group_count(config[groups])
            writer.add_ssm_time_step_rank(config[heads])
            writer.add_ssm_inner_size(config[heads] * config[width])
    if "full_attention_interval" in config:
        writer.add_full_attention_interval(config["full_attention_interval"])
    if delta := config.get("linear_attn_config"):
        writer.add_ssm_conv_kernel(delta["short_conv_kernel_size"])
        writer.add_kda_head_dim(delta["head_dim"])


def add_scales(writer: gguf.GGUFWriter, config: Config) -> None:
    if config["model_type"] in ("granite", "granitemoehybrid", "granitemoe"):
        writer.add_embedding_scale(config["embedding_multiplier"])
        writer.add_residual_scale(config["residual_multiplier"])
        writer.add_logit_scale(config["logits_scaling"])
        writer.add_attention_scale(config["attention_multiplier"])


def _first(config: Config, *names: str) -> int | None:
    return next((config[name] for name in names if name in config), None)


def _rope_values(config: Config) -> Config:
    """rope_theta and partial_rotary_factor, wherever they stand."""
    return config | config.get("rope_parameters", {})


def add_shape(writer: gguf.GGUFWriter, config: Config, n_drafting: int = 0) -> None:
    """Sizes, heads, experts, norms. n_drafting: layers after the model's that draft tokens."""
    writer.add_block_count(config["num_hidden_layers"] + n_drafting)
    if n_drafting:
        writer.add_nextn_predict_layers(n_drafting)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(_feed_forward_length(config))
    writer.add_head_count(_heads(config))
    writer.add_head_count_kv(_kv_heads(config))
    if "layer_norm_eps" in config:
        writer.add_layer_norm_eps(config["layer_norm_eps"])
    else:
        writer.add_layer_norm_rms_eps(config.get("rms_norm_eps", config.get("norm_eps", config.get("layer_norm_epsilon"))))
    if config["model_type"] == "nemotron_h":
        writer.add_layer_norm_eps(config["layer_norm_epsilon"])
    if "global_head_dim" in config:
        writer.add_key_length(config["global_head_dim"])
        writer.add_value_length(config["global_head_dim"])
        writer.add_key_length_swa(config["head_dim"])
        writer.add_value_length_swa(config["head_dim"])
    elif "head_dim" in config and "num_attention_heads" in config and "kv_lora_rank" not in config:
        writer.add_key_length(config["head_dim"])
        writer.add_value_length(config["head_dim"])
    if "block_configs" in config:
        writer.add_key_length(head_dim(config))
        writer.add_value_length(head_dim(config))
    if "kv_lora_rank" in config:
        add_latent(writer, config)
    if config["model_type"] in ("gemma4_text", "gemma3n"):
        writer.add_shared_kv_layers(config["num_kv_shared_layers"])
        writer.add_embedding_length_per_layer_input(config["hidden_size_per_layer_input"])
        writer.add_sliding_window(config["sliding_window"])
        writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in config["layer_types"]])
        writer.add_final_logit_softcapping(config["final_logit_softcapping"])
    add_streams(writer, config)
    if "vision_config" in config:
        writer.add_num_deepstack_layers(len(config["vision_config"]["deepstack_visual_indexes"]))
    if experts := _first(config, "num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"):
        writer.add_expert_count(experts)
        per_token = [config.get(key) for key in ("num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_k")]
        writer.add_expert_used_count(next(filter(None, per_token)))
    if config["model_type"] == "gpt_oss":
        writer.add_expert_feed_forward_length(config["intermediate_size"])
    if "moe_intermediate_size" in config:
        writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    if "moe_shared_expert_intermediate_size" in config:
        writer.add_expert_shared_feed_forward_length(config["moe_shared_expert_intermediate_size"])
    if "moe_latent_size" in config:
        writer.add_moe_latent_size(config["moe_latent_size"])
    if "shared_intermediate_size" in config and config["model_type"] == "granitemoehybrid":
        writer.add_expert_shared_feed_forward_length(config["shared_intermediate_size"])
    if "shared_expert_intermediate_size" in config:
        writer.add_expert_shared_feed_forward_length(config["shared_expert_intermediate_size"])


def add_attention(writer: gguf.GGUFWriter, config: Config) -> None:
    """Windows and soft caps. llama.cpp knows each family's pattern of windows; plain llama and mistral have none."""
    if config["model_type"] in ("gemma2", "gemma3_text", "gpt_oss", "afmoe"):
        writer.add_sliding_window(config["sliding_window"])
    if config["model_type"] == "olmo3":
        writer.add_sliding_window(config["sliding_window"])
        writer.add_sliding_window_pattern([(i + 1) % 4 != 0 for i in range(config["num_hidden_layers"])])
    if config["model_type"] == "plamo3":
        writer.add_sliding_window(config["sliding_window"])
        writer.add_sliding_window_pattern(config["sliding_window_pattern"])
        writer.add_rope_freq_base_swa(config["rope_local_theta"])
    if config["model_type"] == "stablelm":
        writer.add_parallel_residual(True)  # what the converter says where config.json says nothing
    if config["model_type"] == "phi3":
        writer.add_sliding_window(config.get("sliding_window") or 0)
    if "attn_logit_softcapping" in config:
        writer.add_attn_logit_softcapping(config["attn_logit_softcapping"])
        writer.add_final_logit_softcapping(config["final_logit_softcapping"])


def add_rope(writer: gguf.GGUFWriter, config: Config) -> None:
    """Rotary dimensions, base and scaling; llama3's and longrope's factors are tensors (see rope_tensors)."""
    scaling = config.get("rope_scaling") or {}
    if config["model_type"] == "ministral3":
        scaling = config["rope_parameters"]
        writer.add_rope_scaling_yarn_log_mul(scaling["mscale_all_dim"])
        writer.add_attn_temperature_scale(scaling["llama_4_scaling_beta"])
    if config["model_type"] == "mistral4":
        scaling = config["rope_parameters"]
    if config["model_type"] == "gemma4_text":
        both = config["rope_parameters"]
        writer.add_rope_dimension_count(config["global_head_dim"])
        writer.add_rope_dimension_count_swa(config["head_dim"])
        writer.add_rope_freq_base(both["full_attention"]["rope_theta"])
        writer.add_rope_freq_base_swa(both["sliding_attention"]["rope_theta"])
        return
    if config["model_type"] == "hunyuan_v1_dense":  # the base has alpha already
        dims = head_dim(config)
        writer.add_rope_freq_base(config["rope_theta"] * scaling["alpha"] ** (dims / (dims - 2)))
        return
    kind = scaling.get("rope_type", scaling.get("type"))
    if "kv_lora_rank" in config:
        writer.add_rope_dimension_count(config["qk_rope_head_dim"])
    if has_interleaved_rope(config):
        writer.add_rope_dimension_count(head_dim(config))
    if config["model_type"] == "phi3":
        writer.add_rope_dimension_count(int(head_dim(config) * config["partial_rotary_factor"]))
        writer.add_rope_scaling_orig_ctx_len(config["original_max_position_embeddings"])
    if config["model_type"] == "minimax":
        writer.add_rope_dimension_count(config["rotary_dim"])
    elif config["model_type"] != "phi3" and "partial_rotary_factor" in _rope_values(config):
        writer.add_rope_dimension_count(int(head_dim(config) * _rope_values(config)["partial_rotary_factor"]))
    if config["model_type"] == "granitemoehybrid":  # by which ggml tells whether anything is rotated
        writer.add_rope_scaling_finetuned(config["position_embedding_type"] == "rope")
    if config["model_type"] not in ("gemma", "gemma2") and "rope_theta" in _rope_values(config):
        writer.add_rope_freq_base(_rope_values(config)["rope_theta"])
    if sections := (_rope_values(config) | scaling).get("mrope_section"):  # of a text they all have the same position
        writer.add_rope_dimension_sections([*sections, 0])
    if "rope_local_base_freq" in config:
        writer.add_rope_freq_base_swa(config["rope_local_base_freq"])
    if kind == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(scaling["factor"])
    if kind == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(scaling["factor"])
        writer.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])
        writer.add_rope_scaling_yarn_beta_fast(scaling["beta_fast"])
        writer.add_rope_scaling_yarn_beta_slow(scaling["beta_slow"])
    if config["model_type"] == "glm":
        writer.add_rope_dimension_count(head_dim(config) // 2)
    if kind == "longrope" and config["model_type"] != "minicpm3":  # whose factors' tensors say it
        original = config["original_max_position_embeddings"]
        ratio = config["max_position_embeddings"] / original
        writer.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE)
        writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(ratio) / math.log(original)) if ratio > 1 else 1.0)


def llama3_factor(wavelength: float, scaling: dict) -> float:
    """How much a rotation of this wavelength is slowed down: not at all if short, by `factor` if long, between them by ramp."""
    low, high, context = (
        scaling["low_freq_factor"], scaling["high_freq_factor"], scaling["original_max_position_embeddings"]
    )  # fmt: skip
    if wavelength < context / high:
        return 1.0
    if wavelength > context / low:
        return scaling["factor"]
    share = (context / wavelength - low) / (high - low)
    return 1 / ((1 - share) / scaling["factor"] + share)


def rope_tensors(config: Config) -> dict[str, list[float]]:
    """Frequency divisors [rotary dims / 2] by tensor name."""
    scaling = config.get("rope_scaling") or {}
    if config["model_type"] == "gemma4_text":
        pairs = config["global_head_dim"] // 2
        rotated = int(pairs * config["rope_parameters"]["full_attention"]["partial_rotary_factor"])
        return {"rope_freqs.weight": [1.0] * rotated + [1e30] * (pairs - rotated)}
    if scaling.get("rope_type") == "llama3":
        dims = head_dim(config)
        wavelengths = [2 * math.pi * config["rope_theta"] ** (2 * i / dims) for i in range(dims // 2)]
        return {"rope_freqs.weight": [llama3_factor(w, scaling) for w in wavelengths]}
    if scaling.get("type") == "longrope":
        return {
            "rope_factors_long.weight": scaling["long_factor"],
            "rope_factors_short.weight": scaling["short_factor"],
        }
    return {}
