#!/usr/bin/env python3
"""Makes tiny random checkpoints with mlx-lm, and beside each a golden.npz of what mlx-lm computes from it.

    tools/make_tiny_models.py OUT [--only REGEX] [--jobs N]

OUT/<name>/ gets config.json, safetensors and golden.npz (see tiny.golden.Golden). The same call gives the same bytes, and
what is there and current is not made again.
"""

import argparse
import dataclasses
import re
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from mlx_lm.utils import load_model

from tiny.cases import CASES, Case
from tiny.checkpoint import write_checkpoint
from tiny.golden import make_golden
from tiny.stamp import is_current, mark_current

NOISE_LIMIT = 2e-5  # above this mlx-lm disagrees with itself, and the case needs a reference_chunk


def make(case: Case, directory: Path) -> str:
    """Returns a line about the case's logits."""
    shutil.rmtree(directory, ignore_errors=True)
    model = write_checkpoint(case, directory)
    if not (case.quantization and case.quantization.told == "silent"):  # which mlx-lm cannot read
        model, _ = load_model(directory)
    golden = make_golden(model, case.config["vocab_size"], case.n_tokens, case.reference_chunk, case.seed)
    spread = float(golden.logits.std())
    largest = float(np.abs(golden.logits).max())
    if not 0.3 < spread < 8.0:
        raise ValueError(f"{case.name}: logits have a standard deviation of {spread:.2f}")
    if golden.noise > NOISE_LIMIT:
        raise ValueError(f"{case.name}: mlx-lm's prefill and cached steps differ by {golden.noise:.1e}")
    np.savez(directory / "golden.npz", **dataclasses.asdict(golden))
    mark_current(directory, case)
    return (
        f"{case.name:32} std {spread:5.2f}  max {largest:6.2f}  noise {golden.noise:.1e}  "
        f"gap {golden.gaps.min() / largest:.1e}  distinct {len(set(golden.greedy.tolist())):2d}"
    )


def make_stale(out: Path, only: str = "", jobs: int = 2) -> None:
    """Makes every case whose name matches and whose directory is missing or out of date; one process per job."""
    stale = [c for c in CASES if re.search(only, c.name) and not is_current(out / c.name, c)]
    if not stale:
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for line in pool.map(make, stale, [out / c.name for c in stale]):
            print(line, file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default="", help="regular expression on the case's name")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    make_stale(args.out, args.only, args.jobs)


if __name__ == "__main__":
    main()
