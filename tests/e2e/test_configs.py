"""Every key of the supported families' configurations is known, as published and as transformers writes it; those that
would change answers and are not known are refused, and so are models that are no whole models."""

import json
import struct
from pathlib import Path

import pytest
from program import MODEL, Sluice, link_model

FAMILIES = [
    "gemma", "gemma2", "gemma3", "gemma3_text", "gpt_oss", "llama", "mistral", "mixtral", "olmo2", "olmoe", "phi3", "qwen2",
    "qwen2_moe", "qwen3", "qwen3_moe", "smollm3",
]  # fmt: skip
SIZES = {
    "vocab_size": 64,
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5,
    "attention_dropout": 0.0,
    "initializer_range": 0.02,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "hidden_act": "silu",
}
# The keys, beside sizes, of config.json files as published, in which later transformers write others.
PUBLISHED = {
    "Llama-3.1-8B": {
        "model_type": "llama", "attention_bias": False, "mlp_bias": False, "pretraining_tp": 1, "rope_theta": 500000.0,
        "rope_scaling": {
            "factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192,
            "rope_type": "llama3",
        },
    },
    "Mistral-Nemo": {"model_type": "mistral", "head_dim": 16, "rope_theta": 1e6, "sliding_window": None},
    "Mixtral-8x7B": {
        "model_type": "mixtral", "num_experts_per_tok": 2, "num_local_experts": 8, "output_router_logits": False,
        "router_aux_loss_coef": 0.02, "router_jitter_noise": 0.0, "sliding_window": None, "rope_theta": 1e6,
    },
    "Qwen2.5-7B": {
        "model_type": "qwen2", "max_window_layers": 28, "sliding_window": 131072, "use_mrope": False,
        "use_sliding_window": False, "rope_theta": 1e6,
    },
    "Qwen2.5-7B, 128k": {
        "model_type": "qwen2", "use_sliding_window": False, "sliding_window": 32768, "max_window_layers": 28,
        "rope_scaling": {"factor": 4.0, "original_max_position_embeddings": 32768, "type": "yarn"},
    },
    "Qwen1.5-MoE": {
        "model_type": "qwen2_moe", "decoder_sparse_step": 1, "max_window_layers": 21, "moe_intermediate_size": 32,
        "norm_topk_prob": False, "num_experts": 60, "num_experts_per_tok": 4, "output_router_logits": False,
        "router_aux_loss_coef": 0.001, "shared_expert_intermediate_size": 64, "sliding_window": 32768,
        "use_sliding_window": False,
    },
    "Qwen3-30B-A3B": {
        "model_type": "qwen3_moe", "attention_bias": False, "decoder_sparse_step": 1, "head_dim": 16,
        "max_window_layers": 48, "mlp_only_layers": [], "moe_intermediate_size": 32, "norm_topk_prob": True,
        "num_experts": 128, "num_experts_per_tok": 8, "output_router_logits": False, "rope_scaling": None,
        "router_aux_loss_coef": 0.001, "sliding_window": None, "use_sliding_window": False,
    },
    "gemma-2b": {"model_type": "gemma", "hidden_act": "gelu", "hidden_activation": "gelu_pytorch_tanh", "head_dim": 16},
    "gemma-2-9b": {
        "model_type": "gemma2", "attn_logit_softcapping": 50.0, "cache_implementation": "hybrid", "head_dim": 16,
        "final_logit_softcapping": 30.0, "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": 256, "sliding_window": 4096, "sliding_window_size": 4096,
    },
    "gemma-3-1b": {
        "model_type": "gemma3_text", "attn_logit_softcapping": None, "cache_implementation": "hybrid", "head_dim": 16,
        "final_logit_softcapping": None, "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 256,
        "rope_local_base_freq": 10000, "rope_scaling": None, "rope_theta": 1000000, "sliding_window": 512,
        "sliding_window_pattern": 6,
    },
    "gemma-3-270m": {
        "model_type": "gemma3_text", "_sliding_window_pattern": 6, "use_bidirectional_attention": False,
        "layer_types": ["sliding_attention"] * 3 + ["full_attention"], "head_dim": 16, "sliding_window": 512,
    },
    "gemma-3-4b": {
        "model_type": "gemma3", "boi_token_index": 255999, "eoi_token_index": 256000, "image_token_index": 262144,
        "mm_tokens_per_image": 256,
        "text_config": {
            "hidden_size": 64, "intermediate_size": 64, "model_type": "gemma3_text", "num_hidden_layers": 4,
            "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024,
        },
        "vision_config": {"hidden_size": 1152, "layer_norm_eps": 1e-6, "model_type": "siglip_vision_model"},
    },
    "gpt-oss-20b": {
        "model_type": "gpt_oss", "experts_per_token": 4, "head_dim": 16, "initial_context_length": 4096,
        "layer_types": ["sliding_attention", "full_attention"] * 2, "num_experts_per_tok": 4, "num_local_experts": 32,
        "output_router_logits": False, "router_aux_loss_coef": 0.9, "sliding_window": 128, "swiglu_limit": 7.0,
        "rope_theta": 150000,
        "rope_scaling": {
            "beta_fast": 32.0, "beta_slow": 1.0, "factor": 32.0, "original_max_position_embeddings": 4096,
            "rope_type": "yarn", "truncate": False,
        },
        "quantization_config": {"modules_to_not_convert": ["model.embed_tokens"], "quant_method": "mxfp4"},
    },
    "Phi-3-mini-128k": {
        "model_type": "phi3", "embd_pdrop": 0.0, "original_max_position_embeddings": 4096, "resid_pdrop": 0.0,
        "rope_scaling": {"long_factor": [1.5] * 8, "short_factor": [1.0] * 8, "type": "longrope"},
        "sliding_window": 262144,
    },
    "Phi-4-mini": {
        "model_type": "phi3", "full_attn_mod": 1, "interpolate_factor": 1, "lm_head_bias": False, "mlp_bias": False,
        "original_max_position_embeddings": 4096, "partial_rotary_factor": 0.75,
        "rope_scaling": {"long_factor": [1.5] * 6, "short_factor": [1.0] * 6, "type": "longrope"},
    },
    "OLMo-2-7B": {"model_type": "olmo2", "attention_bias": False, "rope_scaling": None, "rope_theta": 500000},
    "OLMoE-1B-7B": {
        "model_type": "olmoe", "clip_qkv": None, "norm_topk_prob": False, "num_experts": 64, "num_experts_per_tok": 8,
        "output_router_logits": False, "rope_scaling": None, "router_aux_loss_coef": 0.01,
    },
    "SmolLM3-3B": {
        "model_type": "smollm3", "layer_types": ["full_attention"] * 4, "max_window_layers": 28, "mlp_bias": False,
        "no_rope_layer_interval": 4, "no_rope_layers": [1, 1, 1, 0], "pretraining_tp": 2, "rope_scaling": None,
        "rope_theta": 5000000.0, "sliding_window": None, "use_sliding_window": False,
    },
}  # fmt: skip


def refusal(sluice: Sluice, directory: Path, config: dict) -> str:
    """What is said of a model of this configuration that holds one number."""
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config))
    header = json.dumps({"model.embed_tokens.weight": {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]}}).encode()
    (directory / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    result = sluice.run("logits", directory, "--tokens", "1", "--out", directory / "out.npy")
    assert result.returncode == 3, result.stderr
    return result.stderr


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configurations_are_known(sluice: Sluice, tmp_path: Path, name: str) -> None:
    message = refusal(sluice, tmp_path / "model", SIZES | PUBLISHED[name])
    assert "model.safetensors: model.embed_tokens.weight: is f32 [1, 1]" in message, message


@pytest.mark.parametrize("family", FAMILIES)
def test_the_keys_that_transformers_writes_are_known(sluice: Sluice, tmp_path: Path, family: str) -> None:
    transformers = pytest.importorskip("transformers")
    config = json.loads(transformers.AutoConfig.for_model(family).to_json_string(use_diff=False))
    message = refusal(sluice, tmp_path / "model", config)
    assert "model.safetensors: model.embed_tokens.weight: is f32 [1, 1]" in message, message


def test_a_model_that_cannot_run_is_shown(sluice: Sluice, tmp_path: Path) -> None:
    directory = link_model(tmp_path / "model")
    config = json.loads((MODEL / "config.json").read_text())
    (directory / "config.json").unlink()
    (directory / "config.json").write_text(json.dumps(config | {"residual_multiplier": 0.22}))
    shown = sluice.json("inspect", directory, "--tensors")
    assert shown["architecture"] == config["model_type"]
    assert "residual_multiplier is 0.22" in shown["cannot_run"]
    assert any(tensor["name"] == "model.norm.weight" for tensor in shown["tensors"])
    result = sluice.run("inspect", directory)
    assert result.returncode == 0 and "cannot run" in result.stdout
    assert sluice.run("run", directory, "-p", "hi").returncode == 3


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "model.gguf"])
def test_a_git_lfs_pointer_is_named(sluice: Sluice, tmp_path: Path, name: str) -> None:
    directory = link_model(tmp_path / "model")
    (directory / name).unlink(missing_ok=True)
    (directory / name).write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{7:064}\nsize 1234567890\n")
    model = directory / name if name.endswith("gguf") else directory
    result = sluice.run("logits", model, "--tokens", "1", "--out", tmp_path / "out.npy")
    assert result.returncode == 3
    assert f"{name}: is a Git LFS pointer" in result.stderr
