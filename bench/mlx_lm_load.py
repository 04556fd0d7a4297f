"""Loads a checkpoint with mlx-lm in a fresh process, evaluated; prints one JSON object.

    bench/mlx_lm_load.py MODEL [--token]      load_ms: of load_model alone, with every import it needs done before
                                              --token: then computes one token
"""

import importlib
import json
import sys
import time
from pathlib import Path

import mlx.core as mx
from mlx_lm.utils import load_model


def main() -> None:
    path = Path(sys.argv[1])
    mx.set_default_device(mx.cpu)  # as Sluice computes
    architecture = json.loads((path / "config.json").read_text())["model_type"]
    importlib.import_module(f"mlx_lm.models.{architecture}")
    start = time.monotonic()
    model, _ = load_model(path)
    load_ms = (time.monotonic() - start) * 1e3
    if "--token" in sys.argv[2:]:
        mx.eval(model(mx.array([[2]])))
    print(json.dumps({"load_ms": load_ms}))


if __name__ == "__main__":
    main()
