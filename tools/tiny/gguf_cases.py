"""Every tiny GGUF file that is made and tested."""

import zlib
from dataclasses import dataclass
from pathlib import Path

from tiny.cases import FLOAT32_TOLERANCE, HALF_TOLERANCE, LONG, QUANTIZED_TOLERANCE
from tiny.families import FAMILIES, Config
from tiny.gguf_by_hand import BY_HAND
from tiny.llama_cpp_cases import changed

# GGUF has no key for these: a window in plain llama, dynamic NTK scaling, expert weights that are not normalized and
# dense layers in Qwen3-MoE, gemma3's rounded embedding scale and attention scalar, the form of the JSON.
_NOT_IN_GGUF = (
    "llama-sliding",
    "llama-dynamic",
    "qwen3_moe-mixed",
    "gemma3_text",
    "qwen3-rope_parameters",
    "llama-wide",
    "qwen3-wide",
    "stablelm-12b",
    "laguna-softplus",
    "bailing_hybrid",
    "falcon_h1-converted",  # tied, whose logits mlx-lm scales
)
# Those whose files llama.cpp's converter writes as tiny.gguf_file does.
MODEL_TYPES = (
    "llama", "mistral", "mixtral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3", "olmo2", "smollm3",
    "qwen2_moe", "qwen3_moe", "olmoe", "gpt_oss", "seed_oss", "granite", "ernie4_5", "glm4", "lfm2", "lfm2_moe",
    "glm4_moe", "dots1", "minimax", "qwen3_5", "qwen3_5_moe", "qwen3_next", "deepseek_v3", "glm4_moe_lite",
    "nemotron_h", "gemma4_text", "ministral3", "hunyuan_v1_dense", "granitemoehybrid", "falcon_h1", "jamba", "mamba",
    "falcon_mamba", "mamba2", "kimi_linear",
    "granitemoe", "apertus", "ernie4_5_moe", "bailing_moe",
    "afmoe", "deepseek", "deepseek_v2", "arcee", "glm_moe_dsa", "gemma3n",
    "olmo3", "minicpm3", "phi", "stablelm", "plamo3", "phimoe", "nemotron-nas",
    "mistral4", "qwen2_vl", "qwen3_vl", "qwen3_vl_moe", "xverse", *BY_HAND,
)  # fmt: skip
_LONG_FAMILIES = ("gemma3_text-exact", "phi3-longrope", "gpt_oss")

_NO_BOUNDS = {"expert_swiglu_limit_list": None, "share_expert_swiglu_limit_list": None}
_DENSE_FIRST = FAMILIES["minimax_m3_vl"]["sparse_attention_config"] | {"sparse_num_index_heads": 2}
_BLOCKS = FAMILIES["nemotron-nas"]["block_configs"]
# Numbers that have no key, in shapes that llama.cpp loads. MiniMax M3's first layer is dense, which the converted file's is not; mlx-lm
# bounds nothing in Ling 3; and a feed-forward part that is one matrix has no name.
_SAID_OTHERWISE = {
    family: changed(family)
    for family in (
        "minicpm3", "phimoe", "mistral4", "bitnet", "mimo_v2_flash", "step3p5", "rwkv7", "laguna", "kimi_k3", "muse_glimmer",
    )
} | {
    "bailing_moe_v3": changed("bailing_moe_v3", **_NO_BOUNDS),
    "minimax_m3_vl": changed("minimax_m3_vl", moe_layer_freq=[0, 1, 1, 1], sparse_attention_config=_DENSE_FIRST),
    "nemotron-nas": FAMILIES["nemotron-nas"] | {"block_configs": [*_BLOCKS[:4], {"attention": {"n_heads_in_group": 1}, "ffn": {"ffn_mult": 1.3}}]},
}

TENSOR_TYPES = (
    "F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL",
    "IQ4_XS", "MXFP4", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S", "IQ1_M", "TQ1_0", "TQ2_0", "NVFP4",
)  # fmt: skip


@dataclass(frozen=True)
class GgufCase:
    """One model: a directory with model.gguf, or with model-00001-of-0000N.gguf and the rest."""

    name: str
    config: Config
    tensor_type: str = "F32"  # of matrices; vectors are F32 as in every published file
    expert_type: str | None = None  # of stacked expert matrices, where it differs
    tensors_per_file: int = 0  # 0: one file
    n_tokens: int = 41
    reference_chunk: int = 0

    @property
    def seed(self) -> int:
        return zlib.crc32(self.name.encode())

    @property
    def tolerance(self) -> float:
        if self.name == "gemma-gguf":  # mlx-lm's gemma uses the exact GELU; a GGUF means the tanh form, as llama.cpp
            return QUANTIZED_TOLERANCE
        if self.tensor_type in ("F16", "BF16"):
            return HALF_TOLERANCE
        return FLOAT32_TOLERANCE if self.tensor_type == "F32" and not self.expert_type else QUANTIZED_TOLERANCE

    @property
    def has_integer_weights(self) -> bool:
        """Whether activations are rounded to 8 bits by default."""
        return self.tensor_type not in ("F32", "F16", "BF16") or self.expert_type is not None

    def model_path(self, directory: Path) -> Path:
        return min(directory.glob("*.gguf"))  # the only file, or the first part

    @property
    def greedy_tolerance(self) -> float:
        return HALF_TOLERANCE if self.tensor_type in ("F16", "BF16") else FLOAT32_TOLERANCE


def _family_cases() -> list[GgufCase]:
    return [
        GgufCase(
            f"{family}-gguf",
            config,
            n_tokens=LONG if family in _LONG_FAMILIES else 41,
            reference_chunk=int(family == "plamo3"),
        )
        for family, config in (FAMILIES | _SAID_OTHERWISE).items()
        if family not in _NOT_IN_GGUF and config["model_type"] in MODEL_TYPES
    ]


def _type_cases() -> list[GgufCase]:
    wide = FAMILIES["llama-wide"]
    cases = [GgufCase(f"llama-wide-gguf-{name.lower()}", wide, name) for name in TENSOR_TYPES]
    cases.append(GgufCase("llama-wide-gguf-split", wide, "Q8_0", tensors_per_file=9))
    cases.append(GgufCase("mixtral-gguf-q8_0", FAMILIES["mixtral"], "Q8_0"))
    cases.append(GgufCase("gpt_oss-gguf-mxfp4", FAMILIES["gpt_oss"], "Q8_0", expert_type="MXFP4"))
    return cases


GGUF_CASES: list[GgufCase] = _family_cases() + _type_cases()
