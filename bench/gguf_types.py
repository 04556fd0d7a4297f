#!/usr/bin/env python3
"""GGUF's block types as Sluice writes them beside ggml's own, from the same floats with the same importance matrix.

    bench/gguf_types.py SLUICE LIBRARY FLOATS.gguf IMATRIX TEXT [TYPE ...] [--windows N]

SLUICE is the program. LIBRARY is a shared library that exports ggml_quantize_chunk, what llama-quantize calls for each tensor: a libggml-base,
or the extension of the wheel xllamacpp. FLOATS.gguf is a model of llama's layout in f32, IMATRIX what `sluice imatrix` wrote. For each type
(default: all) `sluice convert` makes a file, and a copy of it gets ggml's blocks of the same tensors, so that recipes are alike. Printed: how
many of those bytes are equal, the error that the matrix weighs (sum of importance times squared difference, relative to the same sum of
squares) of both, and, of the types for which a matrix counts, how far both are from FLOATS on TEXT: the mean Kullback-Leibler divergence, and
both perplexities, which few tokens say less about. TEXT "-" leaves these out. Needs the package gguf.
"""

import argparse
import ctypes
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader
from gguf.quants import dequantize

EXACT = ("q8_0", "q4_0", "q4_1", "q5_0", "q5_1")  # bits of ggml's reference, which uses no matrix
FITTED = ("q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs")


MODULES = {
    "token_embd.weight": "model.embed_tokens", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip


def module_of(tensor: str) -> str:
    """As an importance matrix names it: "blk.3.attn_q.weight" is of "model.layers.3.self_attn.q_proj"."""
    if not tensor.startswith("blk."):
        return MODULES.get(tensor, tensor)
    _, layer, part, _ = tensor.split(".", 3)
    return f"model.layers.{layer}.{MODULES.get(part, part)}"


def read_imatrix(path: Path) -> dict[str, np.ndarray]:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    return {n: np.frombuffer(data[slice(*t["data_offsets"])], np.float32) for n, t in header.items() if n != "__metadata__"}


class Ggml:
    def __init__(self, library: str) -> None:
        self.quantize_chunk = ctypes.CDLL(library).ggml_quantize_chunk
        self.quantize_chunk.restype = ctypes.c_size_t

    def quantize(self, floats: np.ndarray, kind: int, importance: np.ndarray | None, n_bytes: int) -> np.ndarray:
        """floats: [rows, cols]; importance: [cols]."""
        rows, cols = floats.shape
        out = np.zeros(n_bytes, np.uint8)
        weights = None if importance is None else importance.ctypes.data_as(ctypes.c_void_p)
        n = self.quantize_chunk(
            ctypes.c_int(kind), floats.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_int64(0), ctypes.c_int64(rows), ctypes.c_int64(cols), weights,
        )  # fmt: skip
        assert n == n_bytes
        return out


def divergence(sluice: str, floats: Path, model: Path, text: str, windows: int) -> tuple[float, float]:
    """Mean KL from `floats`, and the perplexity."""
    command = [sluice, "kl", floats, model, "--file", text, "--windows", str(windows), "--activations", "float32", "--json", "--quiet"]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return told["kl"]["mean"], told["ppl"][1]


def compare(options: argparse.Namespace, ggml: Ggml, kind: str, folder: Path) -> str:
    sluice, source, text = options.sluice, options.floats, options.text
    ours, theirs = folder / "ours.gguf", folder / "theirs.gguf"
    fitted = kind in FITTED
    matrix = ["--imatrix", options.imatrix] if fitted else []
    subprocess.run([sluice, "convert", source, ours, "--to", "gguf", "--type", kind, *matrix, "--quiet"], check=True)
    shutil.copy(ours, theirs)
    wanted = GGMLQuantizationType[kind.upper()]
    floats = {t.name: t.data for t in GGUFReader(source).tensors}
    importance = read_imatrix(options.imatrix)
    same = total = 0
    error = np.zeros(3)  # ours, theirs, of squares
    with theirs.open("r+b") as file:
        for tensor in GGUFReader(ours).tensors:
            if tensor.tensor_type != wanted:
                continue
            x = np.ascontiguousarray(floats[tensor.name].reshape(-1, floats[tensor.name].shape[-1]))
            weights = np.ascontiguousarray(importance[module_of(tensor.name)]) if fitted else None
            blocks = ggml.quantize(x, int(wanted), weights, tensor.n_bytes)
            file.seek(tensor.data_offset)
            file.write(blocks.tobytes())
            mine = np.asarray(tensor.data).reshape(-1).view(np.uint8)
            same, total = same + int((mine == blocks).sum()), total + len(blocks)
            per_row = blocks.reshape(len(x), -1)
            w = np.float32(1) if weights is None else weights
            parts = (dequantize(per, wanted).reshape(x.shape) - x for per in (mine.reshape(per_row.shape), per_row))
            error += [*(float((w * d * d).sum(dtype=np.float64)) for d in parts), float((w * x * x).sum(dtype=np.float64))]
    line = f"{kind:7} equal bytes {same / total:9.4%}  error {error[0] / error[2]:.4e} ggml {error[1] / error[2]:.4e} ratio {error[0] / error[1] if error[1] else 1:.4f}"
    if fitted and text != "-":
        (kl, ppl), (ggml_kl, ggml_ppl) = (divergence(sluice, source, path, text, options.windows) for path in (ours, theirs))
        line += f"  KL {kl:.6f} ggml {ggml_kl:.6f} ratio {kl / ggml_kl:.4f}  perplexity {ppl:.4f} ggml {ggml_ppl:.4f} ratio {ppl / ggml_ppl:.4f}"
    ours.unlink()
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sluice")
    parser.add_argument("library")
    parser.add_argument("floats", type=Path)
    parser.add_argument("imatrix", type=Path)
    parser.add_argument("text")
    parser.add_argument("kinds", nargs="*", metavar="TYPE")
    parser.add_argument("--windows", type=int, default=16, help="of 512 tokens of TEXT, at most (default: 16); the second half of each is predicted")
    options = parser.parse_args()
    ggml = Ggml(options.library)
    for kind in options.kinds or (*EXACT, *FITTED):
        with tempfile.TemporaryDirectory() as folder:
            print(compare(options, ggml, kind, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
