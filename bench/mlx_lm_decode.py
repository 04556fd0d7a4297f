#!/usr/bin/env python3
"""Prints {"decode_tps"} of mlx-lm on the CPU after a prompt of one token: a few tokens, since each takes seconds.

    bench/mlx_lm_decode.py MODEL TOKENS
"""

import json
import sys
import time
from pathlib import Path

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import load_model


def main() -> None:
    path, n = Path(sys.argv[1]), int(sys.argv[2])
    mx.set_default_device(mx.cpu)
    model, _ = load_model(path)
    cache = make_prompt_cache(model)
    token = mx.argmax(model(mx.array([[2]]), cache=cache)[:, -1:], axis=-1)
    mx.eval(token)
    start = time.monotonic()
    for _ in range(n):
        token = mx.argmax(model(token, cache=cache)[:, -1:], axis=-1)
        mx.eval(token)
    print(json.dumps({"decode_tps": n / (time.monotonic() - start)}))


if __name__ == "__main__":
    main()
