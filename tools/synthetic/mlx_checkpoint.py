"""Random weights as MLX stores them: affine, 4 bits in groups of 64 (routers 8, as mlx-lm has them), scales and norms bfloat16."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthetic.shapes import Parameter, Shape, config_of, parameters_of
from synthetic.text import STEP, Text, digits, random_for

BITS, ROUTER_BITS, GROUP_SIZE = 4, 8, 64


@dataclass(frozen=True)
class Tensor:
    """One tensor of the file. bits: of the digits of the parameter it belongs to."""

    name: str
    dtype: str  # safetensors' spelling
    shape: tuple[int, ...]
    parameter: Parameter
    bits: int

    @property
    def n_bytes(self) -> int:
        return int(np.prod(self.shape)) * {"U32": 4, "BF16": 2}[self.dtype]


def tensors_of(shape: Shape) -> Iterator[Tensor]:
    for p in parameters_of(shape):
        bits = ROUTER_BITS if p.is_router else BITS
        if p.is_norm:
            yield Tensor(f"{p.path}.weight", "BF16", p.shape, p, bits)
            continue
        *rows, columns = p.shape
        yield Tensor(f"{p.path}.weight", "U32", (*rows, columns * bits // 32), p, bits)
        yield Tensor(f"{p.path}.scales", "BF16", (*rows, columns // GROUP_SIZE), p, bits)
        yield Tensor(f"{p.path}.biases", "BF16", (*rows, columns // GROUP_SIZE), p, bits)


def bfloat16(values: np.ndarray) -> np.ndarray:
    """float32 rounded to bfloat16's 16 bits (half up: no value here is a NaN or near the largest)."""
    return ((values.astype(np.float32).view(np.uint32) + np.uint32(0x8000)) >> np.uint32(16)).astype(np.uint16)


def words(digits: np.ndarray) -> np.ndarray:
    """[n, columns] digits of 4 bits as uint32 [n, columns / 8], the first lowest."""
    return (digits[:, ::2] | digits[:, 1::2] << 4).view("<u4")


def vocabulary_content(tensor: Tensor, text: Text, seed: int) -> np.ndarray:
    if tensor.dtype == "BF16":
        return np.full(tensor.shape, bfloat16(np.array(STEP if tensor.name.endswith(".scales") else -7.5 * STEP)))
    packed = np.concatenate([words(rows) for rows in digits(text, *tensor.parameter.shape, seed)])
    return np.roll(packed, 1, axis=0) if tensor.parameter.path == "lm_head" else packed


def content(tensor: Tensor, text: Text | None, seed: int) -> np.ndarray:
    """The tensor's elements as unsigned integers of its element size."""
    if text and tensor.parameter.is_vocabulary:
        return vocabulary_content(tensor, text, seed)
    if tensor.dtype == "U32":
        return random_for(tensor.name, seed).integers(0, 2**32, tensor.shape, dtype=np.uint32)
    if tensor.parameter.is_norm:
        return bfloat16(np.ones(tensor.shape, np.float32))
    # Scales differ from group to group, by 10 % about the one that gives the deviation; biases centre each group.
    variance_of_a_digit = (4**tensor.bits - 1) / 12  # of a number drawn evenly from 0 to 2^bits - 1
    spread = random_for(tensor.parameter.path, seed).uniform(0.9, 1.1, tensor.shape)
    gain = text.gain(tensor.parameter.path) if text else 1
    scales = gain * spread / np.sqrt(variance_of_a_digit * tensor.parameter.columns)
    return bfloat16(scales if tensor.name.endswith(".scales") else scales * -((2**tensor.bits - 1) / 2))


def write_safetensors(path: Path, tensors: list[Tensor], text: Text | None, seed: int) -> None:
    header, offset = {"__metadata__": {"format": "mlx"}}, 0
    for tensor in tensors:
        end = offset + tensor.n_bytes
        header[tensor.name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [offset, end]}
        offset = end
    told = json.dumps(header, separators=(",", ":")).encode()
    told += b" " * (-len(told) % 8)  # data starts aligned, as the format's own library does it
    with open(path, "wb") as file:
        file.write(len(told).to_bytes(8, "little") + told)
        for tensor in tensors:
            content(tensor, text, seed).tofile(file)


def config_json(shape: Shape) -> dict:
    routers = [p.path for p in parameters_of(shape) if p.is_router]
    overrides = {path: {"group_size": GROUP_SIZE, "bits": ROUTER_BITS} for path in routers}
    return config_of(shape) | {"quantization": {"group_size": GROUP_SIZE, "bits": BITS, **overrides}}


def write_checkpoint(directory: Path, shape: Shape, seed: int) -> None:
    write_safetensors(directory / "model.safetensors", list(tensors_of(shape)), shape.text, seed)
    (directory / "config.json").write_text(json.dumps(config_json(shape), indent=2) + "\n")
