#!/usr/bin/env python3
"""Compares the tiny GGUF files' references with llama.cpp: proves that the files are what its converter would have written.

    tools/check_tiny_gguf.py LLAMA_CPP_LOGITS OUT      LLAMA_CPP_LOGITS: the program built from tools/llama_cpp_logits.cpp

Float files must agree to 1e-3 of the largest |logit| (llama.cpp's GELU is a float16 table). llama.cpp quantizes activations
for the other types, so their differences are only printed.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from tiny.gguf_cases import GGUF_CASES, GgufCase


def difference(program: Path, case: GgufCase, directory: Path) -> float:
    golden = np.load(directory / "golden.npz")
    tokens = ",".join(map(str, golden["tokens"]))
    with tempfile.NamedTemporaryFile(suffix=".npy") as out:
        subprocess.run(
            [program, case.model_path(directory), out.name, "--tokens", tokens, "--float32-cache"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        logits = np.load(out.name)
    return float(np.abs(logits - golden["logits"]).max() / np.abs(golden["logits"]).max())


def main() -> None:
    program, out = map(Path, sys.argv[1:])
    failed = []
    for case in GGUF_CASES:
        error = difference(program, case, out / case.name)
        print(f"{case.name:32} {error:.1e}")
        if case.tensor_type == "F32" and error > 1e-3:
            failed.append(case.name)
    if failed:
        raise SystemExit(f"llama.cpp disagrees: {', '.join(failed)}")


if __name__ == "__main__":
    main()
