"""Makes the cases that are missing or out of date, several at once."""

import argparse
import dataclasses
import re
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import mlx.nn as nn
import numpy as np

from tiny.golden import make_golden
from tiny.stamp import is_current, mark_current

NOISE_LIMIT = 2e-5  # above this mlx-lm disagrees with itself, and the case needs a reference_chunk

Write = Callable[[Any, Path], nn.Module]


def _make(write: Write, case: Any, directory: Path) -> str:
    """Writes the model, then golden.npz from what was written. Returns a line about the case's logits."""
    shutil.rmtree(directory, ignore_errors=True)
    model = write(case, directory)
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


def make_stale_cases(cases: list, write: Write, out: Path, only: str, jobs: int) -> None:
    """One process per job; write(case, directory) returns the model that the directory now holds."""
    stale = [c for c in cases if re.search(only, c.name) and not is_current(out / c.name, c)]
    if not stale:
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for line in pool.map(partial(_make, write), stale, [out / c.name for c in stale]):
            print(line, file=sys.stderr)


def parse_arguments(description: str) -> tuple[Path, str, int]:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default="", help="regular expression on the case's name")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    return args.out, args.only, args.jobs
