"""The shapes of synthetic models: configuration and parameters, before either file format."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from synthetic.text import Text


@dataclass(frozen=True)
class Shape:
    """What distinguishes one Qwen3 from another. With experts, every layer has them instead of one MLP.

    text: what the model says; None for what random weights say, with the embedding as the output matrix.
    window: of the upper half of the layers (MLX's files only: GGUF has no such Qwen3); None for none.
    """

    hidden_size: int
    intermediate_size: int
    n_layers: int = 28
    n_heads: int = 16
    n_kv_heads: int = 8
    head_dim: int = 128
    vocab_size: int = 151936
    n_experts: int = 0
    n_experts_per_tok: int = 0
    moe_intermediate_size: int = 0
    text: Text | None = None
    window: int | None = None

    def recipe(self) -> dict:
        return {name: value for name, value in asdict(self).items() if value is not None}


MOE = Shape(hidden_size=2048, intermediate_size=6144, n_layers=24, n_experts=64, n_experts_per_tok=4, moe_intermediate_size=768)
SHAPES = {
    "qwen3-synthetic-0.6b": Shape(hidden_size=1024, intermediate_size=3072),
    "qwen3-synthetic-1.7b": Shape(hidden_size=2048, intermediate_size=6144),
    "qwen3-synthetic-windows": Shape(hidden_size=1024, intermediate_size=3072, window=512),
    "qwen3-synthetic-moe": MOE,
    "qwen3-synthetic-moe-random": replace(MOE, text=Text()),
    "qwen3-synthetic-moe-reuse": replace(MOE, text=Text(shared=0.25, topic=0.35, topic_tokens=12)),
}


def config_of(shape: Shape) -> dict:
    """config.json with Hugging Face's names, as mlx-lm writes it, without the quantization."""
    experts = {
        "architectures": ["Qwen3MoeForCausalLM"],
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "model_type": "qwen3_moe",
        "moe_intermediate_size": shape.moe_intermediate_size,
        "norm_topk_prob": True,
        "num_experts": shape.n_experts,
        "num_experts_per_tok": shape.n_experts_per_tok,
    }
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "attention_bias": False,
        "bos_token_id": 151643,
        "eos_token_id": 151645,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.intermediate_size,
        "max_position_embeddings": 40960,
        "model_type": "qwen3",
        "num_attention_heads": shape.n_heads,
        "num_hidden_layers": shape.n_layers,
        "num_key_value_heads": shape.n_kv_heads,
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 1000000,
        "sliding_window": shape.window,
        "max_window_layers": shape.n_layers // 2,
        "tie_word_embeddings": shape.text is None,
        "torch_dtype": "bfloat16",
        "use_sliding_window": shape.window is not None,
        "vocab_size": shape.vocab_size,
    } | (experts if shape.n_experts else {})


@dataclass(frozen=True)
class Parameter:
    """One weight under mlx-lm's name. shape: [size] of a norm, [rows, columns] of a matrix, [n_experts, rows, columns]."""

    path: str
    shape: tuple[int, ...]

    @property
    def is_norm(self) -> bool:
        return len(self.shape) == 1

    @property
    def is_router(self) -> bool:
        return self.path.endswith(".mlp.gate")

    @property
    def is_vocabulary(self) -> bool:
        return self.path in ("model.embed_tokens", "lm_head")

    @property
    def columns(self) -> int:
        return self.shape[-1]


def parameters_of(s: Shape) -> Iterator[Parameter]:
    """In a file's order: layer after layer."""
    yield Parameter("model.embed_tokens", (s.vocab_size, s.hidden_size))
    for i in range(s.n_layers):
        layer = f"model.layers.{i}"
        yield Parameter(f"{layer}.input_layernorm", (s.hidden_size,))
        yield Parameter(f"{layer}.self_attn.q_proj", (s.n_heads * s.head_dim, s.hidden_size))
        yield Parameter(f"{layer}.self_attn.k_proj", (s.n_kv_heads * s.head_dim, s.hidden_size))
        yield Parameter(f"{layer}.self_attn.v_proj", (s.n_kv_heads * s.head_dim, s.hidden_size))
        yield Parameter(f"{layer}.self_attn.q_norm", (s.head_dim,))
        yield Parameter(f"{layer}.self_attn.k_norm", (s.head_dim,))
        yield Parameter(f"{layer}.self_attn.o_proj", (s.hidden_size, s.n_heads * s.head_dim))
        yield Parameter(f"{layer}.post_attention_layernorm", (s.hidden_size,))
        mlp, size, experts = f"{layer}.mlp", s.intermediate_size, ()
        if s.n_experts:
            yield Parameter(f"{mlp}.gate", (s.n_experts, s.hidden_size))
            mlp, size, experts = f"{mlp}.switch_mlp", s.moe_intermediate_size, (s.n_experts,)
        yield Parameter(f"{mlp}.gate_proj", (*experts, size, s.hidden_size))
        yield Parameter(f"{mlp}.up_proj", (*experts, size, s.hidden_size))
        yield Parameter(f"{mlp}.down_proj", (*experts, s.hidden_size, size))
    yield Parameter("model.norm", (s.hidden_size,))
    if s.text:
        yield Parameter("lm_head", (s.vocab_size, s.hidden_size))
