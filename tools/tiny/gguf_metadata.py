"""The GGUF keys of each family, as llama.cpp's converter sets them from a Hugging Face configuration."""

import itertools
import math
import string

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
}
_INTERLEAVED_ROPE = ("llama", "mistral", "mixtral", "smollm3")  # pairs (2i, 2i + 1) instead of (i, i + dims / 2)


def has_interleaved_rope(config: Config) -> bool:
    return config["model_type"] in _INTERLEAVED_ROPE


def _head_dim(config: Config) -> int:
    return config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]


def add_shape(writer: gguf.GGUFWriter, config: Config) -> None:
    """Sizes, heads, experts, norms."""
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    if "head_dim" in config:
        writer.add_key_length(config["head_dim"])
        writer.add_value_length(config["head_dim"])
    if experts := config.get("num_local_experts", config.get("num_experts")):
        writer.add_expert_count(experts)
        writer.add_expert_used_count(config["num_experts_per_tok"])
    if config["model_type"] == "gpt_oss":
        writer.add_expert_feed_forward_length(config["intermediate_size"])
    if "moe_intermediate_size" in config:
        writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    if "shared_expert_intermediate_size" in config:
        writer.add_expert_shared_feed_forward_length(config["shared_expert_intermediate_size"])


def add_attention(writer: gguf.GGUFWriter, config: Config) -> None:
    """Windows and soft caps. llama.cpp knows each family's pattern of windows; plain llama and mistral have none."""
    if config["model_type"] in ("gemma2", "gemma3_text", "gpt_oss"):
        writer.add_sliding_window(config["sliding_window"])
    if config["model_type"] == "phi3":
        writer.add_sliding_window(config.get("sliding_window") or 0)
    if "attn_logit_softcapping" in config:
        writer.add_attn_logit_softcapping(config["attn_logit_softcapping"])
        writer.add_final_logit_softcapping(config["final_logit_softcapping"])


def add_rope(writer: gguf.GGUFWriter, config: Config) -> None:
    """Rotary dimensions, base and scaling; llama3's and longrope's factors are tensors (see rope_tensors)."""
    scaling = config.get("rope_scaling") or {}
    kind = scaling.get("rope_type", scaling.get("type"))
    if has_interleaved_rope(config):
        writer.add_rope_dimension_count(_head_dim(config))
    if config["model_type"] == "phi3":
        writer.add_rope_dimension_count(int(_head_dim(config) * config["partial_rotary_factor"]))
        writer.add_rope_scaling_orig_ctx_len(config["original_max_position_embeddings"])
    if config["model_type"] not in ("gemma", "gemma2"):
        writer.add_rope_freq_base(config["rope_theta"])
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
    if kind == "longrope":
        original = config["original_max_position_embeddings"]
        ratio = config["max_position_embeddings"] / original
        writer.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE)
        writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(ratio) / math.log(original)) if ratio > 1 else 1.0)


def _llama3_factor(wavelength: float, scaling: dict) -> float:
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
    if scaling.get("rope_type") == "llama3":
        dims = _head_dim(config)
        wavelengths = [2 * math.pi * config["rope_theta"] ** (2 * i / dims) for i in range(dims // 2)]
        return {"rope_freqs.weight": [_llama3_factor(w, scaling) for w in wavelengths]}
    if scaling.get("type") == "longrope":
        return {
            "rope_factors_long.weight": scaling["long_factor"],
            "rope_factors_short.weight": scaling["short_factor"],
        }
    return {}


def add_tokenizer(writer: gguf.GGUFWriter, vocab_size: int) -> None:
    """The smallest SentencePiece-style vocabulary that llama.cpp loads (Phi-3 needs <|endoftext|>): specials, the newline byte, letters, pairs."""
    pairs = ("".join(pair) for pair in itertools.product(string.ascii_lowercase, repeat=2))
    pieces = itertools.chain(["<unk>", "<s>", "</s>", "<0x0A>", "<|endoftext|>", "\u2581"], string.ascii_lowercase, pairs)
    tokens = list(itertools.islice(pieces, vocab_size))
    kind = gguf.TokenType
    kinds = [kind.UNKNOWN, kind.CONTROL, kind.CONTROL, kind.BYTE, kind.CONTROL]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(i) for i in range(vocab_size)])
    writer.add_token_types(kinds + [kind.NORMAL] * (vocab_size - len(kinds)))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
