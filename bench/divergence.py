#!/usr/bin/env python3
"""Prints {"divergence"}: the mean over positions of KL(reference || other), in nats, between two files of `sluice logits`.

    bench/divergence.py REFERENCE.npy OTHER.npy
"""

import json
import sys

import numpy as np

ROWS = 32  # at a time: a row of logits may take 2 MB in float64


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def main() -> None:
    reference, other = (np.load(path, mmap_mode="r") for path in sys.argv[1:])
    total = 0.0
    for start in range(0, len(reference), ROWS):
        p, q = (log_softmax(logits[start : start + ROWS]) for logits in (reference, other))
        total += float((np.exp(p) * (p - q)).sum())
    print(json.dumps({"divergence": total / len(reference)}))


if __name__ == "__main__":
    main()
