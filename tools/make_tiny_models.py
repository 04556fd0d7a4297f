#!/usr/bin/env python3
"""Makes tiny random checkpoints with mlx-lm, and beside each a golden.npz of what mlx-lm computes from it.

    tools/make_tiny_models.py OUT [--only REGEX] [--jobs N]

OUT/<name>/ gets config.json, safetensors and golden.npz (see tiny.golden.Golden). The same call gives the same bytes, and
what is there and current is not made again.
"""

from pathlib import Path

import mlx.nn as nn
from mlx_lm.utils import load_model

from tiny.cases import CASES, Case
from tiny.checkpoint import as_published, write_checkpoint
from tiny.making import make_stale_cases, parse_arguments


def _write(case: Case, directory: Path) -> nn.Module:
    """The reference is the model as mlx-lm reads it back, which checks the layout; silent configurations and what others quantized it
    cannot read."""
    model = write_checkpoint(case, directory)
    if case.published or case.misread or (case.quantization and case.quantization.told == "silent"):
        return model
    model = load_model(directory)[0]
    as_published(model, case.config)
    return model


def make_stale(out: Path, only: str = "", jobs: int = 2) -> None:
    make_stale_cases(CASES, _write, out, only, jobs)


if __name__ == "__main__":
    make_stale(*parse_arguments(__doc__))
