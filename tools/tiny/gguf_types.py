"""Tensors in every GGUF type, each with the float32 values that the gguf package reads back from it."""

import gguf
import numpy as np
from gguf.quants import dequantize, quantize

Type = gguf.GGMLQuantizationType

# Types that the gguf package cannot quantize to: where a block keeps its float16 scales (and its float16 minimum scale,
# with the ratio at which values of random blocks average to zero).
_SCALE_AT: dict[Type, tuple[int, int | None, float]] = {
    Type.Q2_K: (80, 82, 1.5),
    Type.Q3_K: (108, None, 0.0),
    Type.Q4_K: (0, 2, 7.5),
    Type.Q5_K: (0, 2, 15.5),
    Type.Q6_K: (208, None, 0.0),
    Type.IQ4_NL: (0, None, 0.0),
    Type.IQ4_XS: (0, None, 0.0),
    Type.IQ2_XXS: (0, None, 0.0),
    Type.IQ2_XS: (0, None, 0.0),
    Type.IQ2_S: (0, None, 0.0),
    Type.IQ3_XXS: (0, None, 0.0),
    Type.IQ3_S: (0, None, 0.0),
    Type.IQ1_S: (0, None, 0.0),
}
# Those whose scales are not float16 in a place of their own.
_ODD = (Type.IQ1_M, Type.NVFP4)


def _random_blocks(shape: tuple[int, ...], type_: Type, rng: np.random.Generator, scale: float) -> np.ndarray:
    """Returns uint8 [..., row bytes]: random bits with block scales spread around `scale`."""
    block_size, block_bytes = gguf.GGML_QUANT_SIZES[type_]
    n_blocks = int(np.prod(shape)) // block_size
    blocks = rng.integers(0, 256, (n_blocks, block_bytes), dtype=np.uint8)
    scales = scale * rng.uniform(0.5, 1.5, n_blocks)
    if type_ == Type.IQ1_M:  # a nibble of the float16 scale at the top of each of four words
        words = blocks[:, 48:56].view("<u2")
        nibbles = scales.astype("<f2").view("<u2")[:, None] >> np.array([0, 4, 8, 12], dtype=np.uint16) & 15
        blocks[:, 48:56] = (words & 0xFFF | nibbles << 12).astype("<u2").view(np.uint8)
        return blocks.reshape(*shape[:-1], -1)
    if type_ == Type.NVFP4:
        blocks[:, :4] = gguf.quants.NVFP4.fp32_to_ue4m3(np.repeat(scales, 4)).reshape(-1, 4)
        return blocks.reshape(*shape[:-1], -1)
    at, minimum_at, ratio = _SCALE_AT[type_]
    blocks[:, at : at + 2] = scales.astype("<f2").view(np.uint8).reshape(-1, 2)
    if minimum_at is not None:
        minima = (ratio * scales).astype("<f2")
        blocks[:, minimum_at : minimum_at + 2] = minima.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(*shape[:-1], -1)


def encode(values: np.ndarray, type_: Type, seed: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """values: float32 [..., columns]. Returns the tensor's bytes [..., row bytes] (float arrays for F32 and F16) and its values.

    A type that cannot be quantized to gets random blocks instead, whose values have the standard deviation of the given ones.
    """
    if type_ in (Type.F32, Type.F16):
        encoded = values.astype(np.float32 if type_ == Type.F32 else np.float16)
        return encoded, encoded.astype(np.float32)
    if type_ not in _SCALE_AT and type_ not in _ODD:
        encoded = quantize(values, type_)
        return encoded, dequantize(encoded, type_)
    trial = _random_blocks(values.shape, type_, np.random.default_rng(seed), 1.0)
    scale = float(values.std() / dequantize(trial, type_).std())
    encoded = _random_blocks(values.shape, type_, np.random.default_rng(seed), scale)
    return encoded, dequantize(encoded, type_)
