#!/usr/bin/env python3
"""Makes models of Qwen3's shapes with random weights: files of a real model's size that need no download.

    tools/make_synthetic.py OUT [--only NAME ...] [--seed N]      makes OUT/NAME and prints, for each, what a command takes as MODEL

    qwen3-synthetic-0.6b        335 MB, the shapes of Qwen3 0.6B; this one and the next are made when none is named
    qwen3-synthetic-1.7b        968 MB, the shapes of Qwen3 1.7B
    qwen3-synthetic-moe         4.4 GB, 24 layers of 64 experts, of which a token uses 4
    ...-1.7b-q4_0 -q4_k -q6_k, ...-moe-q4_0
                                the same shapes as GGUF files, every matrix in that type

Without a type: MLX affine, 4 bits in groups of 64, scales and norms bfloat16, no tokenizer. Every matrix has mean 0 and variance
1 / columns, so logits are finite; what they say is noise. The same seed gives the same bytes. A second call does nothing.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from synthetic.gguf_file import write_gguf
from synthetic.mlx_checkpoint import write_checkpoint
from synthetic.shapes import SHAPES

FORMAT = 1  # of the recipe: raise it when the same seed and shape would give other bytes

# Name -> (shape, GGUF type or "" for MLX's format).
MODELS = {name: (name, "") for name in SHAPES} | {
    f"{shape}-{quantization}": (shape, quantization)
    for shape, quantization in (
        ("qwen3-synthetic-1.7b", "q4_0"),
        ("qwen3-synthetic-1.7b", "q4_k"),
        ("qwen3-synthetic-1.7b", "q6_k"),
        ("qwen3-synthetic-moe", "q4_0"),
    )
}
USUAL = ["qwen3-synthetic-0.6b", "qwen3-synthetic-1.7b"]


def make(name: str, out: Path, seed: int) -> Path:
    """Makes OUT/name, which is whole: it gets its name by a rename. Returns that directory, or the .gguf file in it."""
    (shape_name, quantization), target = MODELS[name], out / name
    shape = SHAPES[shape_name]
    model = target / f"{name}.gguf" if quantization else target
    recipe = {"format": FORMAT, "seed": seed, "quantization": quantization, **asdict(shape)}
    if (target / "recipe.json").exists() and json.loads((target / "recipe.json").read_text()) == recipe:
        return model
    print(f"{name}: making random weights", file=sys.stderr)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=f".{name}.") as scratch:
        made = Path(scratch) / name
        made.mkdir()
        if quantization:
            write_gguf(made / model.name, name, shape, quantization, seed)
        else:
            write_checkpoint(made, shape, seed)
        (made / "recipe.json").write_text(json.dumps(recipe, indent=2) + "\n")
        shutil.rmtree(target, ignore_errors=True)
        os.rename(made, target)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="+", choices=MODELS, metavar="NAME", default=USUAL)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        for name in options.only:
            print(make(name, options.out, options.seed))
    except OSError as error:
        sys.exit(f"make_synthetic: {error}")


if __name__ == "__main__":
    main()
