#!/usr/bin/env python3
"""Makes tiny random checkpoints with mlx-lm, and beside each a golden.npz of what mlx-lm computes from it.

    tools/make_tiny_models.py OUT [--only REGEX]

OUT/<name>/ gets config.json, safetensors and golden.npz (see tiny.golden.Golden). The same call gives the same bytes.
"""

import argparse
import dataclasses
import re
import sys
from pathlib import Path

import numpy as np
from mlx_lm.utils import load_model

from tiny.cases import CASES, Case
from tiny.checkpoint import write_checkpoint
from tiny.golden import make_golden

NOISE_LIMIT = 2e-5  # above this mlx-lm disagrees with itself, and the case needs a reference_chunk


def make(case: Case, directory: Path) -> None:
    model = write_checkpoint(case, directory)
    if not (case.quantization and case.quantization.told == "silent"):  # which mlx-lm cannot read
        model, _ = load_model(directory)
    golden = make_golden(model, case.config["vocab_size"], case.n_tokens, case.reference_chunk, case.seed)
    spread = float(golden.logits.std())
    largest = float(np.abs(golden.logits).max())
    print(
        f"{case.name:32} std {spread:5.2f}  max {largest:6.2f}  noise {golden.noise:.1e}  "
        f"gap {golden.gaps.min() / largest:.1e}  distinct {len(set(golden.greedy.tolist())):2d}",
        file=sys.stderr,
    )
    if not 0.3 < spread < 8.0:
        raise SystemExit(f"{case.name}: logits have a standard deviation of {spread:.2f}")
    if golden.noise > NOISE_LIMIT:
        raise SystemExit(f"{case.name}: mlx-lm's prefill and cached steps differ by {golden.noise:.1e}")
    np.savez(directory / "golden.npz", **dataclasses.asdict(golden))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default="", help="regular expression on the case's name")
    args = parser.parse_args()
    for case in CASES:
        if re.search(args.only, case.name):
            make(case, args.out / case.name)


if __name__ == "__main__":
    main()
