"""Conversion between kinds of model files, and putting a model on the hub."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import _native
from .errors import BadRequest

Decision = bool | Mapping[str, Any]
"""True: as usual. False: floats. {"bits": ..., "group_size": ..., "mode": ...}: so, where they are named."""


@dataclass(frozen=True, slots=True)
class Converted:
    """What a conversion made."""

    out: Path
    bytes: int
    bytes_resumed: int
    """Of a run that was killed before."""
    left_out: str
    """What of the source is not in the result, one line; may be empty."""
    notes: list[str]
    """What became other than asked for, line by line."""


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What an upload came to."""

    url: str
    commit: str
    bytes: int
    """Of all files."""
    bytes_sent: int
    """Of large ones that the hub did not have."""


def _asked(predicate: Callable[[str, list[int]], Decision]) -> Callable[..., Any]:
    def decide(path: str, shape: list[int], usual: tuple[int, int, str]) -> tuple[int, int, str] | None:
        said = predicate(path, shape)
        if isinstance(said, Mapping):
            if unknown := set(said) - {"bits", "group_size", "mode"}:
                raise BadRequest(f"{path}: the predicate's answer has {', '.join(sorted(unknown))}; known are bits, group_size, mode")
            return (said.get("bits", usual[0]), said.get("group_size", usual[1]), said.get("mode", usual[2]))
        return usual if said else None

    return decide


def convert(
    model: str,
    out: str | Path,
    *,
    to: str = "mlx",
    bits: int = 0,
    group_size: int = 0,
    mode: str = "affine",
    recipe: str = "",
    keep: Sequence[str] = (),
    predicate: Callable[[str, list[int]], Decision] | None = None,
    dtype: str | None = None,
    dequantize: bool = False,
    type: str = "",
    imatrix: str | Path = "",
    tokenizer: str | Path = "",
    threads: int = 0,
    ram: str | int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Converted:
    """Makes a model of another kind, or of fewer bits, as `sluice convert` does: `out` must not be there; a run that was
    killed goes on when it is called again.

    to: "mlx" (a directory) or "gguf" (a file).
    bits, group_size, mode, recipe, keep, dtype, dequantize: of MLX; type, imatrix: of GGUF. `sluice convert --help` tells.
    predicate: asked with the path of each module that would be quantized and its weight's shape.
    tokenizer: a directory, where the source's own cannot be carried over.
    ram: most memory of this whole process.
    progress: called with (bytes that are done, all of them), reading back included.
    Raises BadRequest, BadModel, Unsupported, OverBudget or IoError."""
    options = _native.ConvertOptions()
    options.set_to(to)
    given = {"bits": bits, "group_size": group_size, "mode": mode, "recipe": recipe, "keep": list(keep), "dequantize": dequantize,
             "type": type, "imatrix": Path(imatrix) if imatrix else Path(), "tokenizer": Path(tokenizer) if tokenizer else Path(),
             "n_threads": threads}  # fmt: skip
    for name, value in given.items():
        if name not in ("imatrix", "tokenizer") or value != Path():
            setattr(options, name, value)
    options.set_dtype(dtype or "")
    if ram is not None:
        options.set_ram(str(ram))
    decide = None if predicate is None else _asked(predicate)
    return Converted(*_native.convert(str(model), Path(out), options, decide, progress))


def upload(
    model: str,
    repository: str,
    *,
    private: bool = False,
    revision: str = "main",
    message: str = "Upload with sluice",
    progress: Callable[[int, int], object] | None = None,
) -> Uploaded:
    """Puts a model into "org/name" on the hub, made where it is not there; what the hub has is not sent again. The token is
    HF_TOKEN, or what `hf auth login` left. Raises BadRequest or IoError."""
    return Uploaded(*_native.upload(str(model), repository, private, revision, message, progress))
