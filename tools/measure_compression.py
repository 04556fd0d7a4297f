#!/usr/bin/env python3
"""What lossless coding would save of weights: entropies of the codes, and LZ4's and ZSTD's ratios and speeds, as Markdown tables.

    tools/measure_compression.py BF16 GGUF [--mlx tests/models/tiny-moe]

BF16 is a plain Hugging Face checkpoint (one file), which is also quantized here; GGUF a file of trained weights; --mlx a
checkpoint in MLX's 4 bits. Docs: docs/compression.md.
"""

import argparse
import sys
from pathlib import Path

import gguf
import mlx.core as mx
import numpy as np
from compression import streams
from compression.coders import Coded, adaptive_bits, entropy, huffman_bits, lz4_coded, zstd_coded
from compression.streams import Stream, Tensor

ROOT = Path(__file__).resolve().parents[1]
DISKS = (1.0, 2.5)  # GB/s
CONTEXTS = 8  # classes of scales, equally frequent
SAMPLE = 4_000_000  # codes of a tensor at most
CODERS = {"LZ4": lz4_coded} | {f"ZSTD {level}": lambda stream, level=level: zstd_coded(stream, level) for level in (1, 3, 19)}


def all_streams(bf16: Path, file: Path, mlx: Path) -> list[tuple[str, Stream]]:
    """(model, stream): what the files hold, then what other quantizers make of the same weights."""
    matrices = list(streams.matrices_of(bf16).values())
    plain = [np.array(w.astype(mx.float32)) for w in matrices]
    found = [("tiny-moe", streams.bfloat16_stream("bfloat16", matrices)), ("tiny-moe", streams.mlx_stream(mlx))]
    for bits in (2, 3, 8):
        triples = [mx.quantize(w, group_size=64, bits=bits) for w in matrices]
        found.append(("tiny-moe", streams.affine_stream(f"MLX {bits}-bit, groups of 64", triples, bits)))
    for kind in ("Q4_0", "Q8_0"):
        blocks = [gguf.quants.quantize(w, gguf.GGMLQuantizationType[kind]) for w in plain]
        found.append(("tiny-moe", streams.gguf_stream(kind, blocks)))
    found += [("tiny-moe", streams.tensor_stream(f"uint{bits}, one scale a tensor", plain, bits)) for bits in (4, 8)]
    found += [("Gemma", stream) for stream in streams.gguf_streams(file)]
    embedding = next(t for t in gguf.GGUFReader(file).tensors if t.name == "token_embd.weight")
    weights = gguf.quants.dequantize(embedding.data[:32768], embedding.tensor_type)
    triple = mx.quantize(mx.array(weights).astype(mx.bfloat16), group_size=64, bits=4)
    return [*found, ("Gemma", streams.affine_stream("MLX 4-bit of the Q8_0 embedding", [triple], 4))]


def histogram(codes: np.ndarray, contexts: np.ndarray, n_contexts: int, n_symbols: int) -> np.ndarray:
    pairs = contexts.astype(np.int64) * n_symbols + codes
    return np.bincount(pairs.reshape(-1), minlength=n_contexts * n_symbols).reshape(n_contexts, n_symbols)


def entropies(tensor: Tensor) -> list[float]:
    """Bits a code: one histogram a tensor, one for each class of scales, one after each code, one of each group; Huffman's."""
    n = 2**tensor.bits
    codes = tensor.codes[: SAMPLE // tensor.codes.shape[1]]
    scale = np.abs(tensor.scale[: len(codes)])
    classes = np.searchsorted(np.quantile(scale, np.arange(1, CONTEXTS) / CONTEXTS), scale)
    counts = np.bincount(codes.reshape(-1), minlength=n)
    by_class = histogram(codes, np.broadcast_to(classes[:, None], codes.shape), CONTEXTS, n)
    by_previous = histogram(codes[:, 1:], codes[:, :-1], n, n)
    return [entropy(counts[None]), entropy(by_class), entropy(by_previous), adaptive_bits(codes[::16], n), huffman_bits(counts)]


def print_entropies(found: list[tuple[str, Stream]]) -> None:
    print(
        "| model | weights | bits | order 0 | by scale | by code before | own of a group | Huffman | codes saved | file saved |"
    )
    print("|---" * 10 + "|")
    for model, stream in found:
        if not stream.tensors:
            continue
        sizes = [t.codes.size for t in stream.tensors]
        bits, means = stream.tensors[0].bits, np.average([entropies(t) for t in stream.tensors], axis=0, weights=sizes)
        share = sum(sizes) * bits / 8 / stream.raw.size
        saved = 1 - means[0] / bits
        cells = " | ".join(f"{mean:.2f}".replace("nan", "-") for mean in means)
        print(f"| {model} | {stream.kind} | {bits} | {cells} | {saved:.1%} | {saved * share:.1%} |")


def together(parts: list[tuple[int, Coded]]) -> Coded:
    """Parts of given sizes, one decoded after the other; a part that does not shrink is stored as it is."""
    size, shrunk = sum(n for n, _ in parts), [(n, part) for n, part in parts if part.ratio < 1]
    if not shrunk:
        return Coded(1.0, 0.0)
    saved = sum(n * (1 - part.ratio) for n, part in shrunk)
    return Coded(1 - saved / size, size / sum(n / part.decode_gbs for n, part in shrunk))


def row_of(coded: Coded) -> str:
    """Ratio; speed; what a model that waits for the disk gains if one core does nothing but decompress; how many keep up."""
    if coded.ratio >= 1:
        return f"{coded.ratio:.3f} |" + " - |" * (1 + len(DISKS)) + " -"
    gains = " | ".join(f"{min(1 / coded.ratio, coded.decode_gbs / disk):.2f}" for disk in DISKS)
    return f"{coded.ratio:.3f} | {coded.decode_gbs:.1f} | {gains} | {DISKS[-1] / coded.ratio / coded.decode_gbs:.2f}"


def print_coders(found: list[tuple[str, Stream]]) -> None:
    head = " | ".join(f"gain at {disk} GB/s" for disk in DISKS)
    print(f"| model | weights | coder | ratio | GB/s a core | {head} | cores at {DISKS[-1]} GB/s |")
    print("|---" * 8 + "|")
    for model, stream in found:
        for name, coder in CODERS.items():
            print(f"| {model} | {stream.kind} | {name} | {row_of(coder(stream.raw))} |")
            if len(stream.parts) > 1:
                apart = together([(part.size, coder(part)) for part in stream.parts.values()])
                print(f"| {model} | {stream.kind} | {name}, parts apart | {row_of(apart)} |", flush=True)


def print_parts(found: list[tuple[str, Stream]]) -> None:
    print("| model | weights | part | share of bytes | ratio | GB/s a core |\n" + "|---" * 6 + "|")
    for model, stream in found:
        for name, part in stream.parts.items():
            coded = zstd_coded(part, 1)
            cells = f"{part.size / stream.raw.size:.1%} | {coded.ratio:.3f} | {coded.decode_gbs:.1f}"
            print(f"| {model} | {stream.kind} | {name} | {cells} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bf16", type=Path)
    parser.add_argument("gguf", type=Path)
    parser.add_argument("--mlx", type=Path, default=ROOT / "tests/models/tiny-moe")
    args = parser.parse_args()
    print("compression: reading and quantizing", file=sys.stderr)
    found = all_streams(args.bf16, args.gguf, args.mlx)
    print("Bits a code, each histogram for a tensor of its own:\n")
    print_entropies(found)
    print("\nEach part by ZSTD 1, which finds next to no repetition and so is a Huffman coder:\n")
    print_parts(found)
    print("\nBlocks of 1 MB:\n")
    print_coders(found)


if __name__ == "__main__":
    main()
