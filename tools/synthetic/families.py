"""GGUF files of families that mix attention with other things, at their published widths with fewer layers or experts, and random weights.

Names, orders and keys are tools/tiny's, whose files llama.cpp agrees with. Matrices are Q4_K where their columns allow, else Q4_0.
"""

from pathlib import Path

import gguf
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten
from mlx_lm.utils import _get_classes
from tiny import gguf_file as tiny_file
from tiny import gguf_metadata as metadata
from tiny.families import Config
from tiny.weights import _draw

from synthetic.gguf_file import BLOCKS, Type, add_tokenizer
from synthetic.text import random_for

_FLOAT32 = ("conv.weight", "conv1d.weight", ".gate.weight", ".router.weight", ".router.proj.weight", ".shared_expert_gate.weight")


def _config(model_type: str, **changes: object) -> Config:
    common = {"vocab_size": 32768, "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_theta": 1e6}
    return {"model_type": model_type} | common | changes


FAMILIES: dict[str, Config] = {
    # Qwen3.5 35B-A3B: 40 layers of 256 experts
    "qwen3.5-moe-synthetic": _config(
        "qwen3_5_moe", hidden_size=2048, intermediate_size=512, num_hidden_layers=8, num_attention_heads=16,
        num_key_value_heads=2, head_dim=256, full_attention_interval=4, linear_num_key_heads=16, linear_num_value_heads=32,
        linear_key_head_dim=128, linear_value_head_dim=128, linear_conv_kernel_dim=4, num_experts=64, num_experts_per_tok=8,
        moe_intermediate_size=512, shared_expert_intermediate_size=512, norm_topk_prob=True, decoder_sparse_step=1,
        mlp_only_layers=[], tie_word_embeddings=False,
        rope_parameters={"type": "default", "mrope_section": [11, 11, 10], "rope_theta": 1e7, "partial_rotary_factor": 0.25},
    ),
    # Nemotron 3 Nano 30B-A3B: 52 layers, 128 experts
    "nemotron-h-synthetic": _config(
        "nemotron_h", hidden_size=2688, intermediate_size=1856, num_hidden_layers=13, num_attention_heads=32,
        num_key_value_heads=2, head_dim=128, hybrid_override_pattern="MEM*EMEMEM*EM", mamba_num_heads=64, mamba_head_dim=64,
        mamba_proj_bias=False, ssm_state_size=128, conv_kernel=4, n_groups=8, attention_bias=False, mlp_bias=False,
        use_bias=False, use_conv_bias=True, layer_norm_epsilon=1e-5, n_group=1, topk_group=1, n_routed_experts=20,
        n_shared_experts=1, num_experts_per_tok=6, moe_intermediate_size=1856, moe_shared_expert_intermediate_size=3712,
        norm_topk_prob=True, routed_scaling_factor=2.5, tie_word_embeddings=False,
    ),
    # GLM-4.7-Flash: 47 layers, 64 experts
    "glm-4.7-flash-synthetic": _config(
        "glm4_moe_lite", hidden_size=2048, intermediate_size=10240, num_hidden_layers=6, num_attention_heads=20,
        num_key_value_heads=20, q_lora_rank=768, kv_lora_rank=512, qk_rope_head_dim=64, qk_nope_head_dim=192, v_head_dim=256,
        n_routed_experts=24, n_shared_experts=1, num_experts_per_tok=4, moe_intermediate_size=1536, first_k_dense_replace=1,
        moe_layer_freq=1, norm_topk_prob=True, routed_scaling_factor=1.8, n_group=1, topk_group=1, rope_scaling=None,
        attention_bias=False, tie_word_embeddings=False,
    ),
    # LFM2 1.2B, whole but for its vocabulary
    "lfm2-synthetic": _config(
        "lfm2", hidden_size=2048, num_hidden_layers=16, num_attention_heads=32, num_key_value_heads=8, norm_eps=1e-5,
        conv_bias=False, conv_L_cache=3, block_dim=2048, block_ff_dim=12288, block_multiple_of=256,
        block_ffn_dim_multiplier=1.0, block_auto_adjust_ff_dim=True, full_attn_idxs=[2, 5, 8, 10, 12, 14],
        tie_word_embeddings=True,
    ),
    # Gemma 4 E2B: 35 layers, of which the last 20 share keys and values
    "gemma4-synthetic": _config(
        "gemma4_text", hidden_size=1536, intermediate_size=6144, num_hidden_layers=20, num_attention_heads=8,
        num_key_value_heads=1, head_dim=256, global_head_dim=512, sliding_window=512, sliding_window_pattern=5,
        final_logit_softcapping=30.0, num_kv_shared_layers=10, hidden_size_per_layer_input=256,
        vocab_size_per_layer_input=32768, layer_types=(["sliding_attention"] * 4 + ["full_attention"]) * 4,
        tie_word_embeddings=True, hidden_activation="gelu_pytorch_tanh",
        rope_parameters={
            "full_attention": {"partial_rotary_factor": 0.25, "rope_theta": 1e6, "rope_type": "proportional"},
            "sliding_attention": {"partial_rotary_factor": 1.0, "rope_theta": 1e4, "rope_type": "default"},
        },
    ),
}  # fmt: skip
for _name in ("nemotron-h-synthetic", "lfm2-synthetic"):  # which call it otherwise
    del FAMILIES[_name]["rms_norm_eps"]


def parameters_of(config: Config) -> list[tuple[str, tuple[int, ...]]]:
    """mlx-lm's paths and shapes; nothing is computed, for MLX is lazy."""
    model_class, args_class = _get_classes(config)
    model: nn.Module = model_class(args_class.from_dict(config))
    return [(path, tuple(array.shape)) for path, array in tree_flatten(model.parameters())]


def encoded(path: str, shape: tuple[int, ...], config: Config, seed: int) -> tuple[np.ndarray, Type]:
    """The tensor's bytes [..., row bytes], or float32 in GGUF's order."""
    columns = shape[-1] if shape else 0
    if len(shape) < 2 or columns % 32 or path.endswith(_FLOAT32):
        values = _draw(path, shape, config["model_type"], seed).astype(np.float32)
        return tiny_file._in_gguf_order(path, values, config), Type.F32
    type_ = Type.Q4_0 if columns % 256 else Type.Q4_K
    block_size = gguf.GGML_QUANT_SIZES[type_][0]
    n_blocks = int(np.prod(shape)) // block_size
    blocks = BLOCKS[type_](n_blocks, columns**-0.5, random_for(path, seed))
    return blocks.reshape(*shape[:-1], -1), type_


def write_family(path: Path, name: str, seed: int) -> None:
    config = FAMILIES[name]
    architecture = metadata.ARCHITECTURES[config["model_type"]]
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[architecture])
    writer.add_name(name)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for add in (metadata.add_shape, metadata.add_attention, metadata.add_rope, metadata.add_router, metadata.add_states, metadata.add_scales):
        add(writer, config)
    add_tokenizer(writer, config["vocab_size"])
    names = gguf.get_tensor_name_map(architecture, config["num_hidden_layers"])
    for parameter, shape in parameters_of(config):
        values, type_ = encoded(parameter, shape, config, seed)
        writer.add_tensor(tiny_file._gguf_name(parameter, names), values, raw_dtype=type_)
    for tensor, divisors in metadata.rope_tensors(config).items():
        writer.add_tensor(tensor, np.array(divisors, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
