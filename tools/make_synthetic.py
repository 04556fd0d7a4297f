#!/usr/bin/env python3
"""Makes models of Qwen3's shapes, and of a few other families', with random weights: files of a real model's size that need no download.

    tools/make_synthetic.py OUT [--only NAME ...] [--seed N]      makes OUT/NAME and prints, for each, what a command takes as MODEL
    tools/make_synthetic.py OUT --only NAME --as OTHER --set n_layers=64 n_experts=256        any other size: 44 GB

    qwen3-synthetic-0.6b        335 MB, the shapes of Qwen3 0.6B; this one and the next are made when none is named
    qwen3-synthetic-1.7b        968 MB, the shapes of Qwen3 1.7B
    qwen3-synthetic-moe         4.4 GB, 24 layers of 64 experts, of which a token uses 4
    qwen3-synthetic-moe-random  4.6 GB, the same shape with an output matrix of its own; says a text, not noise
    qwen3-synthetic-moe-reuse   the same; a text whose experts come back as a trained model's do
    ...-1.7b-q4_0 -q4_k -q6_k, ...-moe-q4_0, ...-moe-random-q4_0
                                the same shapes as GGUF files, every matrix in that type
    qwen3.5-moe-synthetic, nemotron-h-synthetic, glm-4.7-flash-synthetic, lfm2-synthetic, gemma4-synthetic
                                0.6 to 1.1 GB, GGUF: hybrids, latent attention, shared keys and values (synthetic/families.py)

Without a type: MLX affine, 4 bits in groups of 64, scales and norms bfloat16, no tokenizer. Every matrix has mean 0 and variance
1 / columns, so logits are finite; what they say is noise. The same seed gives the same bytes. A second call does nothing. Tensors
are written one by one: a model of 40 GB takes less than 1 GB of memory.

Noise repeats itself: decoded greedily, qwen3-synthetic-moe chooses 0.88 of a token's experts again, so it says nothing about
a cache of experts. The other two walk through their vocabulary (synthetic/text.py). 400 tokens decoded with `sluice bench -p 0`,
beside the trained tests/models/tiny-moe on its held-out texts (docs/decisions/004-expert-cache-policy.md): share of experts that
the token before used too; share of the next layer's experts that its router names a layer before; hit rates of a pool of a quarter
of all experts under LRU, LFU (sluice/residency's, which forgets, and one that does not) and Belady, then of a half.

    |                 | again | next | LRU 1/4 | LFU 1/4     | Belady 1/4 | LRU 1/2 | LFU 1/2     | Belady 1/2 |
    | ...-moe         | 0.88  | -    | 0.98    | 0.98 / -    | 0.98       | 0.98    | 0.98 / -    | 0.98       |
    | ...-moe-random  | 0.07  | 0.78 | 0.24    | 0.28 / 0.29 | 0.60       | 0.49    | 0.52 / 0.54 | 0.79       |
    | ...-moe-reuse   | 0.19  | 0.77 | 0.52    | 0.56 / 0.55 | 0.76       | 0.77    | 0.79 / 0.79 | 0.90       |
    | tiny-moe        | 0.33  | 0.70 | 0.52    | 0.60 / 0.55 | 0.75       | 0.81    | 0.84 / 0.81 | 0.92       |

tiny-moe's token uses an eighth of a layer's experts, these a sixteenth, hence fewer of the token before at the same hit rates.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

from synthetic.families import FAMILIES, write_family
from synthetic.gguf_file import write_gguf
from synthetic.mlx_checkpoint import write_checkpoint
from synthetic.shapes import SHAPES, Shape

FORMAT = 1  # of the recipe: raise it when the same seed and shape would give other bytes

# Name -> (shape, GGUF type or "" for MLX's format).
MODELS = {name: (name, "") for name in SHAPES} | {
    f"{shape}-{quantization}": (shape, quantization)
    for shape, quantization in (  # of those that llama.cpp is measured with
        ("qwen3-synthetic-1.7b", "q4_0"),
        ("qwen3-synthetic-1.7b", "q4_k"),
        ("qwen3-synthetic-1.7b", "q6_k"),
        ("qwen3-synthetic-moe", "q4_0"),
        ("qwen3-synthetic-moe-random", "q4_0"),
    )
}
SIZES = [field.name for field in fields(Shape) if field.type is int]
USUAL = ["qwen3-synthetic-0.6b", "qwen3-synthetic-1.7b"]


def make(name: str, recipe: dict, write: Callable[[Path], None], in_file: bool, out: Path) -> Path:
    """Makes OUT/name, which is whole: it gets its name by a rename. Returns that directory, or the .gguf file in it.

    write: gets the path of what is returned. recipe: what its bytes depend on; the same recipe is not made again.
    """
    target = out / name
    model = target / f"{name}.gguf" if in_file else target
    recipe = {"format": FORMAT} | recipe
    if (target / "recipe.json").exists() and json.loads((target / "recipe.json").read_text()) == recipe:
        return model
    print(f"{name}: making random weights", file=sys.stderr)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=f".{name}.") as scratch:
        made = Path(scratch) / name
        made.mkdir()
        write(made / model.name if in_file else made)
        (made / "recipe.json").write_text(json.dumps(recipe, indent=2) + "\n")
        shutil.rmtree(target, ignore_errors=True)
        os.rename(made, target)
    return model


def make_shape(name: str, shape: Shape, quantization: str, out: Path, seed: int) -> Path:
    def write(path: Path) -> None:
        if quantization:
            write_gguf(path, name, shape, quantization, seed)
        else:
            write_checkpoint(path, shape, seed)

    recipe = {"seed": seed, "quantization": quantization, **shape.recipe()}
    return make(name, recipe, write, bool(quantization), out)


def make_family(name: str, out: Path, seed: int) -> Path:
    return make(name, {"seed": seed} | FAMILIES[name], lambda path: write_family(path, name, seed), True, out)


def size(text: str) -> tuple[str, int]:
    name, _, value = text.partition("=")
    if name not in SIZES or not value.isdecimal():
        raise argparse.ArgumentTypeError(f"{text}: wanted one of {', '.join(SIZES)}, =, and a number")
    return name, int(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="+", choices=[*MODELS, *FAMILIES], metavar="NAME", default=USUAL)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--as", dest="other", metavar="NAME", help="of the one model that --set makes out of --only's")
    parser.add_argument("--set", nargs="+", type=size, default=[], metavar="SIZE=N", help=f"{', '.join(SIZES)}")
    options = parser.parse_args()
    if bool(options.other) != bool(options.set) or (options.other and (len(options.only) != 1 or options.only[0] not in MODELS or options.other in MODELS)):
        parser.error("--set and a new name, --as, go together and with one --only")
    try:
        for name in options.only:
            if name in FAMILIES:
                print(make_family(name, options.out, options.seed))
                continue
            shape, quantization = SHAPES[MODELS[name][0]], MODELS[name][1]
            print(make_shape(options.other or name, replace(shape, **dict(options.set)), quantization, options.out, options.seed))
    except OSError as error:
        sys.exit(f"make_synthetic: {error}")


if __name__ == "__main__":
    main()
