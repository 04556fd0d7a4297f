"""Small dense and sparse models of both file formats, large enough that a budget streams them."""

import sys
from pathlib import Path

from program import ROOT

sys.path.insert(0, str(ROOT / "tools"))
from synthetic.gguf_file import write_gguf  # noqa: E402
from synthetic.mlx_checkpoint import write_checkpoint  # noqa: E402
from synthetic.shapes import Shape  # noqa: E402

SMALL = {"n_heads": 8, "n_kv_heads": 4, "head_dim": 64, "vocab_size": 4096}
SHAPES = {
    "dense": Shape(hidden_size=512, intermediate_size=1536, n_layers=12, **SMALL),
    "windowed": Shape(hidden_size=512, intermediate_size=1024, n_layers=12, window=300, **SMALL),
    "moe": Shape(
        hidden_size=256, intermediate_size=512, n_layers=4, n_experts=32, n_experts_per_tok=4, moe_intermediate_size=512, **SMALL
    ),
}


def small_gguf(directory: Path, shape: str) -> Path:
    write_gguf(directory / "model.gguf", "model", SHAPES[shape], "q4_0", 1)
    return directory / "model.gguf"


def small_model(directory: Path, name: str) -> Path:
    """name: a shape and a kind of file, as in moe-gguf. Returns what a command takes as MODEL."""
    shape, kind = name.split("-")
    if kind == "gguf":
        return small_gguf(directory, shape)
    write_checkpoint(directory, SHAPES[shape], 1)
    return directory
