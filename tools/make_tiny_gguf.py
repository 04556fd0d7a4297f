#!/usr/bin/env python3
"""Makes tiny GGUF files of every family and every tensor type, and beside each a golden.npz of mlx-lm's logits.

    tools/make_tiny_gguf.py OUT [--only REGEX] [--jobs N]

The reference is mlx-lm in float32 on the values that the gguf package reads from each tensor. docs/testing-with-llama-cpp.md
says how the files were compared with llama.cpp itself.
"""

from pathlib import Path

import mlx.nn as nn

from tiny.checkpoint import build_model
from tiny.gguf_cases import GGUF_CASES, GgufCase
from tiny.gguf_file import write_gguf
from tiny.making import make_stale_cases, parse_arguments


def _write(case: GgufCase, directory: Path) -> nn.Module:
    model = build_model(case.config, case.seed)
    write_gguf(case, model, directory)
    return model


def make_stale(out: Path, only: str = "", jobs: int = 2) -> None:
    make_stale_cases(GGUF_CASES, _write, out, only, jobs)


if __name__ == "__main__":
    make_stale(*parse_arguments(__doc__))
