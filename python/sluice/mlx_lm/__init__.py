"""mlx_lm's public calls, by Sluice: a script runs with `mlx_lm` replaced by `sluice.mlx_lm` in its imports.

What is computed is Sluice's, from the original files and within `ram`, if load() is given one. An argument that is not
honoured raises sluice.Unsupported, which says what to do instead."""

from .convert import convert
from .generate import batch_generate, generate, stream_generate
from .utils import load

__all__ = ["batch_generate", "convert", "generate", "load", "stream_generate"]
