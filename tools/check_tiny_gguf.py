#!/usr/bin/env python3
"""Compares what llama.cpp and Sluice compute from the tiny GGUF files: proves that the files are what its converter would have written.

    tools/check_tiny_gguf.py LLAMA_CPP_LOGITS OUT [--only REGEX]      LLAMA_CPP_LOGITS: the program built from tools/llama_cpp_logits.cpp

Prints a table of the largest differences relative to llama.cpp's largest |logit|: of Sluice ($SLUICE_BIN, exact activations) and of
mlx-lm's golden.npz. Float files must agree to 1e-3 (llama.cpp's GELU is a float16 table), but for a few whose reason is known. llama.cpp
quantizes activations for the other types, so their differences are only printed, as are files that it refuses, with its words.
"""

import argparse
import os
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from tiny.gguf_cases import GGUF_CASES, GgufCase

SLUICE = os.environ.get("SLUICE_BIN") or "build/release/bin/sluice"
BAR = 1e-3
# Where llama.cpp computes something else, and why (docs/testing-with-llama-cpp.md).
EXPLAINED = {
    "lfm2_moe-gguf": "it has no key for routed_scaling_factor",
    "kimi_linear-gguf": "experts of other groups are minus infinity to it, not 0",
    "gemma4_text-gguf": "its GELU is a float16 table, and there are many",
    "gemma4_text-moe-gguf": "its GELU is a float16 table, and there are many",
}


class Refused(Exception):
    """A program did not compute the logits; its last words."""


def logits(command: list[str | Path], out: Path) -> np.ndarray:
    """float32 [L, vocab_size], which the command writes to out."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise Refused(next((line for line in said if "error" in line.lower()), said[-1] if said else f"status {done.returncode}"))
    return np.load(out)


def differences(program: Path, case: GgufCase, directory: Path) -> tuple[float, float]:
    """Of Sluice and of mlx-lm from llama.cpp. Raises Refused."""
    golden = np.load(directory / "golden.npz")
    model, tokens = case.model_path(directory), ",".join(map(str, golden["tokens"]))
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "logits.npy"
        theirs = logits([program, model, out, "--tokens", tokens, "--float32-cache"], out)
        usual = ["--exact-activations", "--kv-type", "f32", "--ctx", "1024"]
        ours = logits([SLUICE, "logits", model, "--tokens", tokens, "--out", out, *usual], out)
    largest = np.abs(theirs).max()
    return tuple(float(np.abs(other - theirs).max() / largest) for other in (ours, golden["logits"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path, metavar="LLAMA_CPP_LOGITS")
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default="", metavar="REGEX")
    options = parser.parse_args()
    failed = []
    print(f"{'file':32} {'Sluice':>8} {'mlx-lm':>8}")
    for case in GGUF_CASES:
        if not re.search(options.only, case.name):
            continue
        try:
            ours, golden = differences(options.program, case, options.out / case.name)
        except Refused as refused:
            print(f"{case.name:32} refused: {refused}", flush=True)
            continue
        why = EXPLAINED.get(case.name, "")
        print(f"{case.name:32} {ours:8.1e} {golden:8.1e}  {why}", flush=True)
        if case.tensor_type == "F32" and not case.expert_type and not why and max(ours, golden) > BAR:
            failed.append(case.name)
    if failed:
        raise SystemExit(f"they disagree by more than {BAR:g}: {', '.join(failed)}")


if __name__ == "__main__":
    main()
