"""The weights of a checkpoint as streams: the codes, and the scales that go with them, each as the file's bytes hold them."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import gguf
import mlx.core as mx
import numpy as np


@dataclass
class Tensor:
    """One matrix: codes [n_groups, group_size] of bits each; scale [n_groups], what a group's codes are multiplied by."""

    codes: np.ndarray
    scale: np.ndarray
    bits: int


@dataclass
class Stream:
    """All tensors of one kind. raw: their bytes as they lie in the file; parts: the same, what is alike put together."""

    kind: str
    tensors: list[Tensor]
    raw: np.ndarray
    parts: dict[str, np.ndarray]


def as_bytes(array: mx.array) -> np.ndarray:
    return np.array(mx.view(mx.contiguous(array), mx.uint8)).reshape(-1)


def join(parts: Iterable[np.ndarray]) -> np.ndarray:
    return np.concatenate(list(parts))


def matrices_of(checkpoint: Path) -> dict[str, mx.array]:
    """The bfloat16 weights that a quantizer would quantize, routers aside."""
    weights = mx.load(str(checkpoint / "model.safetensors"))
    return {name: w for name, w in weights.items() if w.ndim == 2 and not name.endswith("mlp.gate.weight")}


def bfloat16_stream(kind: str, matrices: Iterable[mx.array]) -> Stream:
    """In two planes: the exponents, and the signs with the mantissas, which are next to random."""
    words = join(np.array(mx.view(w, mx.uint16)).reshape(-1) for w in matrices)
    planes = {
        "exponents": (words >> 7).astype(np.uint8),
        "signs and mantissas": (words >> 8 & 0x80 | words & 0x7F).astype(np.uint8),
    }
    return Stream(kind, [], words.view(np.uint8), planes)


def unpack(packed: np.ndarray, bits: int) -> np.ndarray:
    """MLX's layout: codes one after the other from the least significant bit of a row's bytes. [rows, cols]."""
    planes = np.unpackbits(packed.view(np.uint8), axis=-1, bitorder="little").reshape(len(packed), -1, bits)
    return (planes << np.arange(bits, dtype=np.uint8)).sum(axis=-1, dtype=np.uint8)


def affine_stream(kind: str, triples: Iterable[tuple[mx.array, mx.array, mx.array]], bits: int, group_size: int = 64) -> Stream:
    """Of mx.quantize's (weights, scales, biases), each with the rows of all experts one after the other."""
    tensors, parts = [], defaultdict(list)
    for packed, scales, biases in triples:
        codes = unpack(np.array(packed.reshape(-1, packed.shape[-1])), bits).reshape(-1, group_size)
        tensors.append(Tensor(codes, np.array(scales.astype(mx.float32)).reshape(-1), bits))
        for name, array in (("codes", packed), ("scales", scales), ("biases", biases)):
            parts[name].append(as_bytes(array))
    joined = {name: join(arrays) for name, arrays in parts.items()}
    return Stream(kind, tensors, join(joined.values()), joined)


def mlx_stream(checkpoint: Path, bits: int = 4) -> Stream:
    weights = mx.load(str(checkpoint / "model.safetensors"))
    stems = [n.removesuffix(".scales") for n in weights if n.endswith(".scales") and not n.endswith("mlp.gate.scales")]
    triples = [tuple(weights[f"{stem}.{part}"] for part in ("weight", "scales", "biases")) for stem in stems]
    return affine_stream(f"MLX {bits}-bit, groups of 64", triples, bits)


def tensor_quantized(w: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Asymmetric, one scale for the whole tensor, as EntroLLM (arXiv:2505.02380) does. Returns (codes, what they stand for)."""
    low, high = float(w.min()), float(w.max())
    step = (high - low) / (2**bits - 1)
    codes = np.round((w - low) / step).astype(np.uint8)
    return codes, (codes * step + low).astype(np.float32)


def tensor_stream(kind: str, matrices: Iterable[np.ndarray], bits: int) -> Stream:
    codes = [tensor_quantized(w, bits)[0] for w in matrices]
    tensors = [Tensor(c.reshape(-1, 64), np.ones(c.size // 64), bits) for c in codes]
    flat = join(c.reshape(-1) for c in codes)
    packed = flat if bits == 8 else flat[::2] | flat[1::2] << 4
    return Stream(kind, tensors, packed, {"codes": packed})


# What llama.cpp's blocks hold (ggml-common.h): bytes of a block, and the fields in their order.
BLOCKS = {
    "Q4_0": (("d", 2), ("qs", 16)),
    "Q8_0": (("d", 2), ("qs", 32)),
    "Q5_0": (("d", 2), ("qh", 4), ("qs", 16)),
    "Q4_K": (("d", 4), ("scales", 12), ("qs", 128)),
    "Q6_K": (("ql", 128), ("qh", 64), ("scales", 16), ("d", 2)),
}


def fields_of(blocks: np.ndarray, kind: str) -> dict[str, np.ndarray]:
    """blocks [n, bytes of a block] -> each field's bytes [n, size]."""
    fields, start = {}, 0
    for name, size in BLOCKS[kind]:
        fields[name] = blocks[:, start : start + size]
        start += size
    return fields


def nibbles(qs: np.ndarray, run: int) -> np.ndarray:
    """[n, size] -> [n, 2 * size]: the low halves of each run of bytes, then its high halves."""
    runs = qs.reshape(len(qs), -1, run)
    return np.concatenate([runs & 15, runs >> 4], axis=-1).reshape(len(qs), -1)


def gguf_tensor(blocks: np.ndarray, kind: str) -> Tensor:
    """Codes are in ggml's groups; where a scale has two levels, it is their product."""
    f = fields_of(blocks, kind)
    half = np.ascontiguousarray(f["d"]).view(np.float16).astype(np.float32)
    if kind == "Q8_0":
        return Tensor(f["qs"].view(np.int8).view(np.uint8) ^ 0x80, half[:, 0], 8)
    if kind == "Q4_0":
        return Tensor(nibbles(f["qs"], 16), half[:, 0], 4)
    if kind == "Q5_0":
        fifth = np.unpackbits(np.ascontiguousarray(f["qh"]), axis=1, bitorder="little")
        return Tensor(nibbles(f["qs"], 16) | fifth << 4, half[:, 0], 5)
    if kind == "Q4_K":
        s = f["scales"]
        scales = np.concatenate([s[:, :4] & 63, s[:, 8:] & 15 | s[:, :4] >> 6 << 4], axis=1)
        return Tensor(nibbles(f["qs"], 32).reshape(-1, 32), (half[:, :1] * scales).reshape(-1), 4)
    low, high = f["ql"].reshape(-1, 2, 2, 32), f["qh"].reshape(-1, 2, 1, 32)
    four = np.concatenate([low & 15, low >> 4], axis=2)  # Q6_K: [n, half, 32 * 4 codes]
    two = np.concatenate([high >> shift & 3 for shift in (0, 2, 4, 6)], axis=2)
    codes = (four | two << 4).reshape(-1, 16)
    return Tensor(codes, (half * f["scales"].view(np.int8)).reshape(-1), 6)


def gguf_stream(kind: str, tensors: Iterable[np.ndarray]) -> Stream:
    """tensors: the bytes of each, as the file has them."""
    size = sum(n for _, n in BLOCKS[kind])
    blocks = [np.ascontiguousarray(t).reshape(-1, size) for t in tensors]
    fields = [fields_of(b, kind) for b in blocks]
    parts = {name: join(f[name].reshape(-1) for f in fields) for name, _ in BLOCKS[kind]}
    return Stream(kind, [gguf_tensor(b, kind) for b in blocks], join(b.reshape(-1) for b in blocks), parts)


def gguf_streams(file: Path) -> list[Stream]:
    """One for each type in BLOCKS that the file has."""
    by_kind = defaultdict(list)
    for tensor in gguf.GGUFReader(file).tensors:
        by_kind[tensor.tensor_type.name].append(tensor.data)
    return [gguf_stream(kind, tensors) for kind, tensors in by_kind.items() if kind in BLOCKS]
