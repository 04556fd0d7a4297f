"""Writes stored weights of every format with the values that the reference packages read from them.

usage: make_kernel_vectors.py OUT

References: mlx.core.dequantize for MLX's formats, gguf.quants.dequantize for GGUF's, numpy for the plain
ones. OUT is a sequence of cases, each one line of text and then its bytes:
  name format scale_type bits group_size global_scale rows cols row_bytes scale_row_bytes n_scales n_biases
  data [rows * row_bytes], scales [n_scales], biases [n_biases], expected float32 [rows * cols]
Blocks are random, but their scales include zeros of both signs, negative, subnormal and huge values.
"""

import sys

import gguf
import mlx.core as mx
import numpy as np
from gguf import GGMLQuantizationType as Type

# Byte offsets of a block's float16 scales.
HALVES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82],
    "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0],
    "MXFP4": [], "IQ2_XXS": [0], "IQ2_XS": [0], "IQ2_S": [0], "IQ3_XXS": [0], "IQ3_S": [0], "IQ1_S": [0], "IQ1_M": [],
    "TQ1_0": [52], "TQ2_0": [64], "NVFP4": [],
}  # fmt: skip
GGUF_NAMES = {"MXFP4": "gguf_mxfp4", "NVFP4": "gguf_nvfp4"}
EXTREMES = [0.0, -0.0, 6e-8, -6e-8, 3e-5, -1.0, 1.0, 1234.5, -65504.0, 65504.0]


class Writer:
    def __init__(self, file):
        self.file = file

    def case(self, name, fmt, data, expected, *, scales=b"", biases=b"", scale_type="f32", bits=0,
             group_size=0, global_scale=1.0, scale_row_bytes=0):  # fmt: skip
        """data: uint8 [rows, row_bytes]; expected: float32 [rows, cols]."""
        expected = np.ascontiguousarray(expected, dtype=np.float32)
        (rows, cols), row_bytes = expected.shape, data.shape[1]
        fields = [name, fmt, scale_type, bits, group_size, repr(float(np.float32(global_scale))), rows,
                  cols, row_bytes, scale_row_bytes, len(scales), len(biases)]  # fmt: skip
        self.file.write((" ".join(str(f) for f in fields) + "\n").encode())
        self.file.write(np.ascontiguousarray(data).tobytes() + scales + biases + expected.tobytes())


def random_scales(rng, shape):
    scales = rng.normal(size=shape).astype(np.float32) * np.float32(0.05)
    extreme = rng.random(shape) < 0.3
    scales[extreme] = rng.choice(EXTREMES, size=int(extreme.sum()))
    return scales


def plain(writer, rng):
    values = rng.normal(size=(3, 41)).astype(np.float32)
    values[0, :10] = EXTREMES
    values[1, :4] = [np.inf, -np.inf, np.nan, 1e-40]
    halves = values.astype(np.float16)
    upper = (values.view(np.uint32) >> 16).astype(np.uint16)
    writer.case("f32", "f32", values.view(np.uint8), values)
    writer.case("f16", "f16", halves.view(np.uint8), halves.astype(np.float32))
    writer.case("bf16", "bf16", upper.view(np.uint8), (upper.astype(np.uint32) << 16).view(np.float32))


def affine(writer, rng):
    for bits in (2, 3, 4, 5, 6, 8):
        for group_size in (32, 64, 128):
            for scale_type, dtype in (("f32", mx.float32), ("f16", mx.float16), ("bf16", mx.bfloat16)):
                rows, cols = 5, 384
                words = rng.integers(0, 2**32, (rows, cols * bits // 32), dtype=np.uint32)
                scales, biases = (
                    mx.array(random_scales(rng, (rows, cols // group_size))).astype(dtype) for _ in range(2)
                )
                expected = mx.dequantize(
                    mx.array(words), scales.astype(mx.float32), biases.astype(mx.float32), group_size, bits
                )
                raw = [np.array(s.view(mx.uint8)) for s in (scales, biases)]
                writer.case(
                    f"affine{bits}_g{group_size}_{scale_type}", "affine", words.view(np.uint8), np.array(expected),
                    scales=raw[0].tobytes(), biases=raw[1].tobytes(), scale_type=scale_type, bits=bits,
                    group_size=group_size, scale_row_bytes=raw[0].shape[1],
                )  # fmt: skip


def mlx_floats(writer, rng):
    """Every scale byte once, every element code in random places."""
    for fmt, bits, group_size, cols in (("mxfp4", 4, 32, 4096), ("nvfp4", 4, 16, 2064), ("mxfp8", 8, 32, 4096)):
        for global_scale in (None, 0.3, 777.7) if fmt == "nvfp4" else (None,):
            rows = 2
            words = rng.integers(0, 2**32, (rows, cols * bits // 32), dtype=np.uint32)
            n_scales = rows * cols // group_size
            scales = np.concatenate([np.arange(256), rng.integers(0, 256, max(0, n_scales - 256))])
            scales = scales.astype(np.uint8)[:n_scales].reshape(rows, -1)
            expected = mx.dequantize(
                mx.array(words), mx.array(scales), group_size=group_size, bits=bits, mode=fmt, dtype=mx.float32,
                **({} if global_scale is None else {"global_scale": mx.array(np.float32(global_scale))}),
            )  # fmt: skip
            factor = 1.0 if global_scale is None else np.float32(global_scale) / np.float32(2688)
            writer.case(
                fmt if global_scale is None else f"{fmt}_{global_scale}", fmt, words.view(np.uint8),
                np.array(expected), scales=scales.tobytes(), bits=bits, group_size=group_size,
                global_scale=factor, scale_row_bytes=scales.shape[1],
            )  # fmt: skip


def gguf_blocks(writer, rng):
    for name, halves in HALVES.items():
        columns, size = gguf.GGML_QUANT_SIZES[Type[name]]
        # Of codebooks as many random codes as meet every word of them.
        rows, n_blocks = (24, 24) if name.startswith("IQ") else (3, 8 if columns == 256 else 24)
        blocks = rng.integers(0, 256, (rows, n_blocks, size), dtype=np.uint8)
        blocks[0, 1] = 0
        for at in halves:
            scales = random_scales(rng, (rows, n_blocks)).astype(np.float16)
            blocks[..., at : at + 2] = scales.view(np.uint8).reshape(rows, n_blocks, 2)
        if name == "MXFP4":  # E8M0: one byte, its ends included
            blocks[1, :, 0] = np.concatenate([[0, 1, 2, 3, 252, 253, 254, 255], rng.integers(100, 140, n_blocks - 8)])
        data = blocks.reshape(rows, -1)
        with np.errstate(all="ignore"):
            expected = gguf.dequantize(data, Type[name])
        writer.case(GGUF_NAMES.get(name, name.lower()), GGUF_NAMES.get(name, name.lower()), data, expected)


def few_bits(writer, rng):
    """Blocks that the gguf package does not read: a float16 scale d, then codes, LSB first: 1 bit is -d or d, 2 bits q are
    (q - 1) d."""
    for name, bits, columns in (("q1_0", 1, 128), ("q2_0", 2, 64)):
        rows, n_blocks = 3, 12
        scales = random_scales(rng, (rows, n_blocks, 1)).astype(np.float16)
        codes = rng.integers(0, 2**bits, (rows, n_blocks, columns), dtype=np.uint8)
        stream = np.unpackbits(codes[..., None], axis=-1, bitorder="little")[..., :bits]
        packed = np.packbits(stream.reshape(rows, n_blocks, -1), axis=-1, bitorder="little")
        data = np.concatenate([scales.view(np.uint8).reshape(rows, n_blocks, 2), packed], axis=-1)
        values = codes.astype(np.float32) - 1 if bits == 2 else 2 * codes.astype(np.float32) - 1
        writer.case(name, name, data.reshape(rows, -1), (values * scales.astype(np.float32)).reshape(rows, -1))


def main():
    mx.set_default_device(mx.cpu)
    rng = np.random.default_rng(20240607)
    with open(sys.argv[1], "wb") as file:
        for write in (plain, affine, mlx_floats, gguf_blocks, few_bits):
            write(Writer(file), rng)


if __name__ == "__main__":
    main()
