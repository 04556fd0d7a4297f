"""Every tiny checkpoint that is made and tested. A new family is one entry in `families.FAMILIES`."""

import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tiny.families import FAMILIES, Config, hidden_size
from tiny.published import Published

# How far logits may lie from mlx-lm's, relative to the largest |logit|. 16-bit checkpoints keep K and V in 16 bits.
FLOAT32_TOLERANCE = 1e-4
QUANTIZED_TOLERANCE = 2e-3
HALF_TOLERANCE = 2e-2


@dataclass(frozen=True)
class Quantization:
    mode: str = "affine"
    bits: int = 4
    group_size: int = 32
    # Values for single module paths: {"bits", "group_size"} or False (kept in float).
    overrides: dict[str, Any] = field(default_factory=dict)
    global_scale: bool = False  # of nvfp4: each expert has a number that multiplies its scales
    # What config.json says: "true", "silent" (nothing at all), "wrong" (a default that no tensor has).
    told: str = "true"


@dataclass(frozen=True)
class Case:
    """One checkpoint directory."""

    name: str
    config: Config
    layout: str = "hf"  # "hf": as the family is published; "mlx": as mlx-lm saves it
    dtype: str = "float32"
    quantization: Quantization | None = None
    published: Published | None = None  # quantized by others than MLX
    n_shards: int = 1
    has_index: bool = True
    n_tokens: int = 41
    misread: bool = False  # mlx-lm reads what is written back as another model
    reference_chunk: int = 0  # 0: one pass; 1: token by token, where mlx-lm's one pass depends on the prompt's length

    @property
    def seed(self) -> int:
        return zlib.crc32(self.name.encode())

    @property
    def tolerance(self) -> float:
        if self.dtype != "float32":
            return HALF_TOLERANCE
        return QUANTIZED_TOLERANCE if self.quantization or self.published else FLOAT32_TOLERANCE

    @property
    def has_integer_weights(self) -> bool:
        """Whether activations are rounded to 8 bits by default; mxfp8's elements are floats, as are FP8's."""
        if self.published:
            return not self.published.packer.startswith("fp8") and "shuffled" not in self.published.packer
        return self.quantization is not None and self.quantization.mode != "mxfp8"

    def model_path(self, directory: Path) -> Path:
        return directory

    @property
    def greedy_tolerance(self) -> float:
        """A gap between the two best logits, relative to the largest, in which rounding may choose the other token."""
        return HALF_TOLERANCE if self.dtype != "float32" else FLOAT32_TOLERANCE


LONG = 307  # longer than a 256-token block and than every window
_LONG_FAMILIES = ("llama-sliding", "qwen3", "gemma3_text", "phi3-longrope", "qwen3_moe", "qwen3_5_moe", "lfm2", "phi3small")
_MISREAD = ("falcon_h1", "olmo", "arcee", "bitnet")  # as published, with all its factors; in transformers' layout; unknown; packed
_RENAMED = ("nemotron-nas",)  # mlx-lm does not know the published names of its linear layers
_NEVER_QUANTIZED = ("afm7",)  # mlx-lm cannot
_MLX_ALONE = ("prism_hadamard_qwen35",)  # is quantized by its name; mlx-lm refuses other bits beside
_STACKED = ("mixtral", "qwen2_moe", "qwen3_moe", "olmoe")
_TRANSPOSED = ("gpt2", "dbrx", "llama4")


def _family_cases() -> list[Case]:
    cases = []
    for family, config in FAMILIES.items():
        if family.endswith("-wide"):
            continue
        common = {
            "n_tokens": LONG if family in _LONG_FAMILIES else 41,
            "reference_chunk": 1 if family in ("llama-dynamic", "plamo3", "phi3small") else 0,
        }
        mxfp4 = Quantization("mxfp4", overrides={"experts": True}) if family == "gpt_oss" else None
        if family in _MLX_ALONE:
            cases.append(Case(f"{family}-mlx", config, "mlx", **common))
            continue
        misread = family in _MISREAD + _RENAMED
        cases.append(Case(f"{family}-hf", config, quantization=mxfp4, n_shards=2, misread=misread, **common))
        if family in _MISREAD or family in _NEVER_QUANTIZED:
            continue
        if family in _STACKED + _TRANSPOSED or family in ("llama", "gpt_oss"):
            cases.append(Case(f"{family}-mlx", config, "mlx", **common))
        group_size = 64 if hidden_size(config) % 64 == 0 else 32
        cases.append(Case(f"{family}-q4", config, "mlx", quantization=Quantization(group_size=group_size), **common))
    return cases


def _format_cases() -> list[Case]:
    """Every quantization of a dense model, then what config.json may say about it."""
    wide = FAMILIES["llama-wide"]

    def case(name: str, q: Quantization, **more: Any) -> Case:
        return Case(f"llama-wide-{name}", wide, "mlx", quantization=q, **more)

    cases = [
        case(f"affine{bits}-g{group_size}", Quantization("affine", bits, group_size))
        for bits in (2, 3, 4, 5, 6, 8)
        for group_size in (32, 64, 128)
    ]
    cases += [
        case(mode, Quantization(mode, bits, group_size))
        for mode, bits, group_size in (("mxfp4", 4, 32), ("nvfp4", 4, 16), ("mxfp8", 8, 32))
    ]
    mixed = {
        "model.layers.0.self_attn.v_proj": {"bits": 6, "group_size": 64},
        "model.layers.1.mlp.down_proj": {"bits": 8, "group_size": 32},
        "model.layers.1.self_attn.o_proj": False,
        "model.embed_tokens": {"bits": 5, "group_size": 128},
        "lm_head": False,
    }
    cases += [
        case("mixed", Quantization(overrides=mixed), n_shards=2),
        case("mixed-unlisted", Quantization(overrides=mixed, told="wrong")),
        case("silent", Quantization("affine", 3, 64, told="silent")),
        case("silent-mxfp8", Quantization("mxfp8", 8, 32, told="silent")),
        case("q4-bfloat16", Quantization(), dtype="bfloat16"),
        case("q4-float16", Quantization(), dtype="float16"),
        Case("llama-bfloat16", FAMILIES["llama"], dtype="bfloat16"),
        Case("llama-float16", FAMILIES["llama"], dtype="float16"),
        Case("qwen3-wide-q2-tied", FAMILIES["qwen3-wide"], "mlx", quantization=Quantization("affine", 2, 64)),
        Case("qwen3-unindexed", FAMILIES["qwen3"], n_shards=3, has_index=False),
        Case("mixtral-mxfp4", FAMILIES["mixtral"], "mlx", quantization=Quantization("mxfp4", 4, 32)),
        Case("muse_spark-mlx-nvfp4", FAMILIES["muse_spark"], "mlx", quantization=Quantization("nvfp4", 4, 16, global_scale=True)),
        Case("qwen3_moe-affine3", FAMILIES["qwen3_moe"], "mlx", quantization=Quantization("affine", 3, 32)),
    ]
    return cases


def _compressed_tensors(form: str, **weights: Any) -> dict:
    group = {"targets": ["Linear"], "weights": weights, "input_activations": None, "output_activations": None}
    return {"quant_method": "compressed-tensors", "format": form, "config_groups": {"group_0": group}, "ignore": ["lm_head"]}


def _published_cases() -> list[Case]:
    """Every format of others, of a dense model; then experts and latent attention in the most used ones."""
    fp8 = {"quant_method": "fp8", "activation_scheme": "dynamic", "fmt": "e4m3", "weight_block_size": [128, 128]}
    gptq = {"quant_method": "gptq", "desc_act": False, "sym": True, "damp_percent": 0.01}
    awq = {"quant_method": "awq", "bits": 4, "zero_point": True, "version": "gemm"}
    ints = {"type": "int", "strategy": "group", "num_bits": 4, "group_size": 32, "symmetric": True}
    nvfp4 = {"type": "float", "strategy": "tensor_group", "num_bits": 4, "group_size": 16}
    pack = "pack-quantized"
    configs = {
        "gptq": gptq | {"bits": 4, "group_size": 32},
        "gptq-zeros": gptq | {"bits": 4, "group_size": 32, "sym": False},
        "gptq8": gptq | {"bits": 8, "group_size": -1, "checkpoint_format": "gptq_v2"},
        "gptq3": gptq | {"bits": 3, "group_size": 64},
        "gptq2": gptq | {"bits": 2, "group_size": 32},
        "gptq-shuffled": gptq | {"bits": 4, "group_size": 64, "desc_act": True},
        "awq": awq | {"group_size": 32},
        "awq-wide": awq | {"group_size": 128},
        "pack4": _compressed_tensors(pack, **ints),
        "pack4-zeros": _compressed_tensors(pack, **ints | {"group_size": 128, "symmetric": False}),
        "pack8": _compressed_tensors(pack, **ints | {"num_bits": 8, "group_size": 64}),
        "int8": _compressed_tensors("int-quantized", type="int", num_bits=8, strategy="channel", symmetric=True),
        "llm-int8": {"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_threshold": 6.0},
        "fp8-blocks": fp8,
        "fp8-tiles": fp8 | {"weight_block_size": [32, 32], "scale_fmt": "ue8m0"},
        "fp8-rows": _compressed_tensors("float-quantized", type="float", num_bits=8, strategy="channel"),
        "fp8-tensor": {"quant_method": "fp8", "activation_scheme": "static"},
        "nvfp4-divided": _compressed_tensors("nvfp4-pack-quantized", **nvfp4),
        "nvfp4-modelopt": {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head"]},
        "bitnet-divided": {"quant_method": "bitnet", "modules_to_not_convert": ["lm_head"]},
        "mxfp4-packed": _compressed_tensors("mxfp4-pack-quantized", **nvfp4 | {"strategy": "group", "group_size": 32}),
    }

    # mlx-lm quantizes what is not packed already: the embedding.
    parts = (("self_attn", "qkvo"), ("mlp", ("gate", "up", "down")))
    packed = {f"model.layers.{i}.{block}.{p}_proj": False for i in range(3) for block, names in parts for p in names}

    def case(family: str, packer: str, kept: tuple[str, ...] = ()) -> Case:
        return Case(f"{family}-{packer}", FAMILIES[family], published=Published(packer, configs[packer], kept))

    return [
        *(case("llama-wide", packer) for packer in configs if packer != "fp8-tiles"),
        Case("bitnet-packed", FAMILIES["bitnet"], published=Published("bitnet", {
            "quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "offline"})),
        Case("bitnet-q4", FAMILIES["bitnet"], "mlx", quantization=Quantization(overrides=packed), published=Published("bitnet", {})),
        Case("muse_spark-nvfp4", FAMILIES["muse_spark"], published=Published("nvfp4-stack", configs["nvfp4-modelopt"], kept=(
            "q_proj", "k_proj", "v_proj", "o_proj", "attn.gate_proj", "expert_proj", "0.mlp.experts.gate_up_proj"))),
        case("phi3", "gptq"),  # fused projections, taken apart
        case("qwen3_moe", "fp8-blocks"),
        case("qwen3_moe", "gptq-shuffled"),
        case("mixtral", "awq"),
        case("mixtral", "pack4"),
        case("deepseek_v41-rounded", "fp8-tiles"),
        case("deepseek_v3", "fp8-blocks"),
        case("deepseek_v3", "nvfp4-divided", kept=("kv_b_proj",)),
    ]


CASES: list[Case] = _family_cases() + _format_cases() + _published_cases()
