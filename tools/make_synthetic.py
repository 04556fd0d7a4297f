#!/usr/bin/env python3
"""Makes checkpoints of Qwen3's shapes with random weights: files of a real model's size that need no download.

    tools/make_synthetic.py OUT [--only NAME] [--seed N]      writes OUT/NAME/{config.json,model.safetensors}, prints each path

    qwen3-synthetic-0.6b    335 MB, the shapes of Qwen3 0.6B
    qwen3-synthetic-1.7b    968 MB, the shapes of Qwen3 1.7B

MLX affine, 4 bits in groups of 64, scales and norms bfloat16. Every matrix has mean 0 and variance 1 / columns, so logits are
finite; what they say is noise, and there is no tokenizer. The same seed gives the same bytes. A second call does nothing.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

FORMAT = 1  # of the recipe: raise it when the same seed and shape would give other bytes
BITS, GROUP_SIZE = 4, 64
VARIANCE_OF_A_DIGIT = (4**BITS - 1) / 12  # of a number drawn evenly from 0 to 15


@dataclass(frozen=True)
class Shape:
    """What distinguishes one Qwen3 from another."""

    hidden_size: int
    intermediate_size: int
    n_layers: int = 28
    n_heads: int = 16
    n_kv_heads: int = 8
    head_dim: int = 128
    vocab_size: int = 151936


SHAPES = {
    "qwen3-synthetic-0.6b": Shape(hidden_size=1024, intermediate_size=3072),
    "qwen3-synthetic-1.7b": Shape(hidden_size=2048, intermediate_size=6144),
}


def config_of(shape: Shape) -> dict:
    """config.json with Hugging Face's names, as mlx-lm writes it for Qwen3."""
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
        "quantization": {"group_size": GROUP_SIZE, "bits": BITS},
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 1000000,
        "sliding_window": None,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "use_sliding_window": False,
        "vocab_size": shape.vocab_size,
    }


@dataclass(frozen=True)
class Tensor:
    """One tensor of the file. columns: of the unpacked matrix it belongs to."""

    name: str
    dtype: str  # safetensors' spelling
    shape: tuple[int, ...]
    columns: int

    @property
    def n_bytes(self) -> int:
        return int(np.prod(self.shape)) * {"U32": 4, "BF16": 2}[self.dtype]


def matrix(path: str, rows: int, columns: int) -> Iterator[Tensor]:
    yield Tensor(f"{path}.weight", "U32", (rows, columns * BITS // 32), columns)
    yield Tensor(f"{path}.scales", "BF16", (rows, columns // GROUP_SIZE), columns)
    yield Tensor(f"{path}.biases", "BF16", (rows, columns // GROUP_SIZE), columns)


def norm(path: str, size: int) -> Iterator[Tensor]:
    yield Tensor(f"{path}.weight", "BF16", (size,), size)


def tensors_of(s: Shape) -> Iterator[Tensor]:
    """All tensors under mlx-lm's names, in the file's order: layer after layer."""
    yield from matrix("model.embed_tokens", s.vocab_size, s.hidden_size)
    for i in range(s.n_layers):
        layer = f"model.layers.{i}"
        yield from norm(f"{layer}.input_layernorm", s.hidden_size)
        yield from matrix(f"{layer}.self_attn.q_proj", s.n_heads * s.head_dim, s.hidden_size)
        yield from matrix(f"{layer}.self_attn.k_proj", s.n_kv_heads * s.head_dim, s.hidden_size)
        yield from matrix(f"{layer}.self_attn.v_proj", s.n_kv_heads * s.head_dim, s.hidden_size)
        yield from norm(f"{layer}.self_attn.q_norm", s.head_dim)
        yield from norm(f"{layer}.self_attn.k_norm", s.head_dim)
        yield from matrix(f"{layer}.self_attn.o_proj", s.hidden_size, s.n_heads * s.head_dim)
        yield from norm(f"{layer}.post_attention_layernorm", s.hidden_size)
        yield from matrix(f"{layer}.mlp.gate_proj", s.intermediate_size, s.hidden_size)
        yield from matrix(f"{layer}.mlp.up_proj", s.intermediate_size, s.hidden_size)
        yield from matrix(f"{layer}.mlp.down_proj", s.hidden_size, s.intermediate_size)
    yield from norm("model.norm", s.hidden_size)


def bfloat16(values: np.ndarray) -> np.ndarray:
    """float32 rounded to bfloat16's 16 bits (half up: no value here is a NaN or near the largest)."""
    return ((values.astype(np.float32).view(np.uint32) + np.uint32(0x8000)) >> np.uint32(16)).astype(np.uint16)


def random_for(name: str, seed: int) -> np.random.Generator:
    """Every name draws its own numbers, whatever the order of tensors."""
    return np.random.Generator(np.random.PCG64([seed, zlib.crc32(name.encode())]))


def content(tensor: Tensor, seed: int) -> np.ndarray:
    """The tensor's elements as unsigned integers of its element size."""
    path, kind = tensor.name.rsplit(".", 1)
    if tensor.dtype == "U32":
        return random_for(tensor.name, seed).integers(0, 2**32, tensor.shape, dtype=np.uint32)
    if kind == "weight":
        return bfloat16(np.ones(tensor.shape, np.float32))
    # Scales differ from group to group, by 10 % about the one that gives the variance; biases centre each group.
    spread = random_for(path, seed).uniform(0.9, 1.1, tensor.shape)
    scales = spread / np.sqrt(VARIANCE_OF_A_DIGIT * tensor.columns)
    return bfloat16(scales if kind == "scales" else scales * -((2**BITS - 1) / 2))


def write_safetensors(path: Path, tensors: list[Tensor], seed: int) -> None:
    header, offset = {"__metadata__": {"format": "mlx"}}, 0
    for tensor in tensors:
        end = offset + tensor.n_bytes
        header[tensor.name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # data starts aligned, as the format's own library does it
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors:
            content(tensor, seed).tofile(file)


def make(name: str, out: Path, seed: int) -> Path:
    """Returns OUT/name, which is whole: it gets its name by a rename."""
    shape, target = SHAPES[name], out / name
    tensors = list(tensors_of(shape))
    recipe = {"format": FORMAT, "seed": seed, "weight_bytes": sum(t.n_bytes for t in tensors), **asdict(shape)}
    if (target / "recipe.json").exists() and json.loads((target / "recipe.json").read_text()) == recipe:
        return target
    print(f"{name}: making {recipe['weight_bytes'] / 1e6:.0f} MB of random weights", file=sys.stderr)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=f".{name}.") as scratch:
        made = Path(scratch) / name
        made.mkdir()
        write_safetensors(made / "model.safetensors", tensors, seed)
        (made / "config.json").write_text(json.dumps(config_of(shape), indent=2) + "\n")
        (made / "recipe.json").write_text(json.dumps(recipe, indent=2) + "\n")
        shutil.rmtree(target, ignore_errors=True)
        os.rename(made, target)
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", choices=SHAPES)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        for name in [options.only] if options.only else SHAPES:
            print(make(name, options.out, options.seed))
    except OSError as error:
        sys.exit(f"make_synthetic: {error}")


if __name__ == "__main__":
    main()
