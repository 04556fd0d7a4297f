"""Checkpoints quantized as others than MLX publish them: each format's packing, written from its definition.

A packer takes a projection's weight, float32 [rows, cols], and returns the tensors that stand in its place, by the endings of
their names, and the weight as those tensors define it: the reference is the float model of these.
"""

import json
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Tensor = tuple[str, np.ndarray]  # safetensors' dtype; the array holds its bits
Packed = tuple[dict[str, Tensor], np.ndarray]
_AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


@dataclass(frozen=True)
class Published:
    """How a case's projections are packed, and what config.json's quantization_config says."""

    packer: str
    config: dict
    kept: tuple[str, ...] = ()  # projections whose names end so stay floats


def _half(a: np.ndarray) -> tuple[Tensor, np.ndarray]:
    return ("F16", a.astype(np.float16)), a.astype(np.float16).astype(np.float32)


def _bfloat(a: np.ndarray) -> tuple[Tensor, np.ndarray]:
    bits = ((a.astype(np.float32).view(np.uint32) + 0x8000) >> 16).astype(np.uint16)
    return ("BF16", bits), (bits.astype(np.uint32) << 16).view(np.float32)


def _e4m3_values() -> np.ndarray:
    code = np.arange(127)
    exponent, mantissa = code >> 3, code & 7
    return np.where(exponent == 0, mantissa * 2.0**-9, (1 + mantissa / 8) * 2.0 ** (exponent - 7.0)).astype(np.float32)


def _nearest(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Index of the level nearest to each magnitude; levels ascend from 0."""
    return np.searchsorted((levels[1:] + levels[:-1]) / 2, np.abs(values)).astype(np.uint8)


def _e4m3(a: np.ndarray) -> tuple[Tensor, np.ndarray]:
    levels = _e4m3_values()
    code = _nearest(a, levels)
    return ("F8_E4M3", code | (a < 0).astype(np.uint8) << 7), np.where(a < 0, -1, 1) * levels[code]


def _words(codes: np.ndarray, bits: int) -> np.ndarray:
    """codes [n, m] to uint32 [n, m * bits / 32], LSB first along the second axis."""
    stream = np.unpackbits(codes.astype(np.uint8)[..., None], axis=-1, bitorder="little")[..., :bits]
    return np.packbits(stream.reshape(len(codes), -1), axis=-1, bitorder="little").view(np.int32)


def _grouped(w: np.ndarray, group_size: int, bits: int, symmetric: bool, group_of: np.ndarray | None = None):
    """Codes [rows, cols] in [0, 2^bits), float16 scales and zeros [rows, groups], and the weights they are."""
    rows, cols = w.shape
    group_of = np.arange(cols) // group_size if group_of is None else group_of
    n_groups = group_of.max() + 1
    low = np.stack([w[:, group_of == g].min(axis=1) for g in range(n_groups)], axis=1)
    high = np.stack([w[:, group_of == g].max(axis=1) for g in range(n_groups)], axis=1)
    most = 2**bits - 1
    if symmetric:
        scale = np.maximum(np.abs(low), np.abs(high)) / (most // 2)
        zero = np.full((rows, n_groups), 2 ** (bits - 1))
    else:
        scale = (np.maximum(high, 0) - np.minimum(low, 0)) / most
        zero = np.clip(np.rint(-np.minimum(low, 0) / scale), 1, most).astype(int)  # version 1 of GPTQ stores zero - 1
    tensor, scale = _half(scale)
    codes = np.clip(np.rint(w / scale[:, group_of]) + zero[:, group_of], 0, most).astype(int)
    return codes, tensor, scale, zero, (codes - zero[:, group_of]) * scale[:, group_of]


def gptq(w: np.ndarray, *, bits=4, group_size=32, symmetric=True, version=1, shuffled=False) -> Packed:
    cols = w.shape[1]
    group_size = cols if group_size < 0 else group_size
    group_of = np.arange(cols) // group_size
    if shuffled:
        group_of = np.random.default_rng(7).permutation(group_of)
    codes, (_, scales), _, zero, weights = _grouped(w, group_size, bits, symmetric, group_of)
    return {
        "qweight": ("I32", np.ascontiguousarray(_words(codes, bits).T)),
        "qzeros": ("I32", _words(zero.T - (2 - version), bits)),
        "scales": ("F16", np.ascontiguousarray(scales.T)),
        "g_idx": ("I32", group_of.astype(np.int32)),
    }, weights


def awq(w: np.ndarray, *, group_size=32) -> Packed:
    codes, (_, scales), _, zero, weights = _grouped(w, group_size, 4, symmetric=False)

    def packed(a: np.ndarray) -> Tensor:  # [rows, n] to words [n, rows / 8]
        eights = a.T.reshape(a.shape[1], -1, 8)[..., _AWQ_ORDER]
        return "I32", _words(eights.reshape(a.shape[1], -1), 4)

    return {"qweight": packed(codes), "qzeros": packed(zero), "scales": ("F16", scales.T.copy())}, weights


def pack_quantized(w: np.ndarray, *, bits=4, group_size=32, symmetric=True) -> Packed:
    codes, scales, _, zero, weights = _grouped(w, group_size, bits, symmetric)
    tensors = {
        "weight_packed": ("I32", _words(codes, bits)),
        "weight_scale": scales,
        "weight_shape": ("I64", np.array(w.shape)),
    }
    if not symmetric:
        tensors["weight_zero_point"] = ("I32", np.ascontiguousarray(_words(zero.T, bits).T))
    return tensors, weights


def int_quantized(w: np.ndarray) -> Packed:
    scale, scales = _bfloat(np.abs(w).max(axis=1, keepdims=True) / 127)
    codes = np.clip(np.rint(w / scales), -128, 127).astype(np.int8)
    return {"weight": ("I8", codes), "weight_scale": scale}, codes * scales


def llm_int8(w: np.ndarray) -> Packed:
    largest = np.abs(w).max(axis=1).astype(np.float32)
    codes = np.clip(np.rint(w / largest[:, None] * 127), -127, 127).astype(np.int8)
    tensors = {"weight": ("I8", codes), "SCB": ("F32", largest), "weight_format": ("U8", np.zeros((), np.uint8))}
    return tensors, codes * largest[:, None] / 127


def fp8_blocks(w: np.ndarray, *, size=128) -> Packed:
    rows, cols = w.shape
    scales = np.ones((-(-rows // size), -(-cols // size)), np.float32)
    for r, c in np.ndindex(scales.shape):
        scales[r, c] = np.abs(w[r * size : (r + 1) * size, c * size : (c + 1) * size]).max() / 448
    spread = np.kron(scales, np.ones((size, size), np.float32))[:rows, :cols]
    codes, values = _e4m3(w / spread)
    return {"weight": codes, "weight_scale_inv": ("F32", scales)}, values * spread


def fp8_rows(w: np.ndarray) -> Packed:
    tensor, scales = _bfloat(np.abs(w).max(axis=1, keepdims=True) / 400)
    codes, values = _e4m3(w / scales)
    return {"weight": codes, "weight_scale": tensor}, values * scales


def fp8_tensor(w: np.ndarray) -> Packed:
    scale = np.float32(np.abs(w).max() / 448)
    codes, values = _e4m3(w / scale)
    scalar = ("F32", np.array(scale))
    return {"weight": codes, "weight_scale": scalar, "input_scale": ("F32", np.array(np.float32(1)))}, values * scale


def _e2m1(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    levels = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
    code = _nearest(a, levels)
    return _words(code | (a < 0).astype(np.uint8) << 3, 4).view(np.uint8), np.where(a < 0, -1, 1) * levels[code]


def nvfp4(w: np.ndarray, *, divided: bool) -> Packed:
    """divided: as compressed-tensors writes it, whose global scale is what scales were multiplied with."""
    whole = np.float32(np.abs(w).max() / (6 * 448))
    scale, scales = _e4m3(np.abs(w).reshape(len(w), -1, 16).max(axis=2) / 6 / whole)
    if divided:
        whole = np.float32(1) / np.float32(1 / whole)
    spread = np.repeat(scales * whole, 16, axis=1)
    codes, values = _e2m1(w / np.maximum(spread, 1e-9))
    names = ("weight_packed", "weight_global_scale") if divided else ("weight", "weight_scale_2")
    stored = np.float32(1) / whole if divided else whole
    return {
        names[0]: ("U8", codes),
        "weight_scale": scale,
        names[1]: ("F32", np.array([stored], np.float32)),
    }, values * spread


def nvfp4_stack(w: np.ndarray) -> Packed:
    """w: [experts, rows, cols]; where there are more rows than columns they are gate's and up's, which have a scale each."""
    n_halves = 2 if w.shape[1] > w.shape[2] else 1
    halves = [[nvfp4(half, divided=False) for half in np.split(expert, n_halves)] for expert in w]

    def joined(ending: str) -> np.ndarray:
        return np.stack([np.concatenate([parts[ending][1] for parts, _ in expert]) for expert in halves])

    whole = joined("weight_scale_2")
    tensors = {
        "": ("U8", joined("weight")),
        "_weight_scale": ("F8_E4M3", joined("weight_scale")),
        "_weight_scale_2": ("F32", whole if n_halves == 2 else whole[:, 0]),
        "_input_scale": ("F32", np.ones(1, np.float32)),
    }
    return tensors, np.stack([np.concatenate([values for _, values in expert]) for expert in halves])


def mxfp4(w: np.ndarray) -> Packed:
    exponent = np.ceil(np.log2(np.abs(w).reshape(len(w), -1, 32).max(axis=2) / 6))
    codes, values = _e2m1(w / np.repeat(2.0**exponent, 32, axis=1))
    scale = ("U8", (exponent + 127).astype(np.uint8))
    return {"weight_packed": ("U8", codes), "weight_scale": scale}, values * np.repeat(2.0**exponent, 32, axis=1)


def fp8_tiles(w: np.ndarray) -> Packed:
    """DeepSeek's: E4M3 in tiles of 32 rows and 32 columns, whose scale is a power of two."""
    rows, cols = w.shape
    exponents = np.zeros((-(-rows // 32), cols // 32))
    for r, c in np.ndindex(exponents.shape):
        exponents[r, c] = np.ceil(np.log2(np.abs(w[r * 32 : (r + 1) * 32, c * 32 : (c + 1) * 32]).max() / 448))
    spread = np.kron(2.0**exponents, np.ones((32, 32)))[:rows].astype(np.float32)
    codes, values = _e4m3(w / spread)
    return {"weight": codes, "scale": ("F8_E8M0", (exponents + 127).astype(np.uint8))}, values * spread


def fp4_rows(w: np.ndarray) -> Packed:
    """Its experts': MXFP4 under other names."""
    parts, values = mxfp4(w)
    return {"weight": ("I8", parts["weight_packed"][1]), "scale": ("F8_E8M0", parts["weight_scale"][1])}, values


def quarters(w: np.ndarray, *, divided: bool) -> Packed:
    """-1, 0 or 1 in 2 bits: rows of all four quarters in a byte, and one scale, which divides where it says so."""
    scale, scales = _bfloat(np.array([1 / np.abs(w).mean() if divided else np.abs(w).mean()]))
    one = 1 / scales[0] if divided else scales[0]
    codes = np.clip(np.rint(w / one), -1, 1)
    quarter = (codes + 1).astype(np.uint8).reshape(4, -1, w.shape[1])
    return {"weight": ("U8", sum(quarter[i] << 2 * i for i in range(4))), "weight_scale": scale}, codes * one


PACKERS: dict[str, Callable[[np.ndarray], Packed]] = {
    "gptq": gptq,
    "gptq-zeros": lambda w: gptq(w, symmetric=False),
    "gptq8": lambda w: gptq(w, bits=8, group_size=-1, version=2),
    "gptq3": lambda w: gptq(w, bits=3, group_size=64),
    "gptq2": lambda w: gptq(w, bits=2, group_size=32, symmetric=False),
    "gptq-shuffled": lambda w: gptq(w, group_size=64, symmetric=False, shuffled=True),
    "awq": awq,
    "awq-wide": lambda w: awq(w, group_size=128),
    "pack4": pack_quantized,
    "pack4-zeros": lambda w: pack_quantized(w, group_size=128, symmetric=False),
    "pack8": lambda w: pack_quantized(w, bits=8, group_size=64),
    "int8": int_quantized,
    "llm-int8": llm_int8,
    "fp8-blocks": fp8_blocks,
    "fp8-rows": fp8_rows,
    "fp8-tensor": fp8_tensor,
    "nvfp4-divided": lambda w: nvfp4(w, divided=True),
    "nvfp4-modelopt": lambda w: nvfp4(w, divided=False),
    "nvfp4-stack": nvfp4_stack,
    "mxfp4-packed": mxfp4,
    "fp8-tiles": fp8_tiles,
    "fp4-rows": fp4_rows,
    "bitnet": lambda w: quarters(w, divided=False),
    "bitnet-divided": lambda w: quarters(w, divided=True),
}


def is_packed(name: str, published: Published) -> bool:
    """Projections within layers, but those that are kept; routers are none."""
    module = name.removesuffix(".weight")
    is_projection = ".layers." in name and module.endswith(("_proj", "_proj_with_mqa", ".w1", ".w2", ".w3"))
    return is_projection and not module.endswith(published.kept or ("-",))


def packer_of(name: str, published: Published) -> str | None:
    """How a tensor is packed; none: it stays floats."""
    if published.packer != "fp8-tiles":
        return published.packer if is_packed(name, published) else None
    if re.search(r"\.experts\.\d+\.w[123]\.weight$", name):
        return "fp4-rows"
    is_tiled = re.search(r"\.(wq_a|wq_b|wkv|wo_a|wo_b|w1|w2|w3)\.weight$", name) and not name.startswith("mtp.")
    return published.packer if is_tiled and ".compressor." not in name else None


def write_safetensors(path: Path, tensors: dict[str, Tensor]) -> None:
    header, offset = {}, 0
    for name, (dtype, array) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, array in tensors.values():
            file.write(np.ascontiguousarray(array).tobytes())


def pack(weights: dict[str, np.ndarray], published: Published) -> tuple[dict[str, Tensor], dict[str, np.ndarray]]:
    """A float32 checkpoint's tensors as they are published, and the float32 ones that these define."""
    tensors: dict[str, Tensor] = {}
    floats: dict[str, np.ndarray] = {}
    for name, value in weights.items():
        packer = packer_of(name, published)
        if packer is None:
            tensors[name], floats[name] = ("U32" if value.dtype == np.uint32 else "F32", value), value
            continue
        parts, floats[name] = PACKERS[packer](value)
        module = name.removesuffix(".weight")
        tensors |= {f"{module}.{ending}" if ending[:1].isalpha() else module + ending: t for ending, t in parts.items()}
    return tensors, floats
