"""Runs language models from their original files, exactly, with a memory you can predict.

    import sluice

    model = sluice.load("smollm2-135m-instruct", ram="1GB")
    print(sluice.generate(model, [{"role": "user", "content": "Why is the sky blue?"}], max_tokens=60))

Importing loads neither MLX nor numpy nor the extension: the first model does.
"""

from typing import TYPE_CHECKING, Any

from .errors import BadModel, BadRequest, InternalError, IoError, OverBudget, SluiceError, Unsupported

if TYPE_CHECKING:
    from ._api import Engine, Session, batch_generate, generate, load, plan, pull, stream_generate
    from ._convert import Converted, Uploaded, convert, upload
    from ._prompts import Prompt
    from ._sampling import Options
    from ._stream import Answer, Stream, Token
    from ._tokenizer import Tokenizer

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "BadModel",
    "BadRequest",
    "Converted",
    "Engine",
    "InternalError",
    "IoError",
    "Options",
    "OverBudget",
    "Prompt",
    "Session",
    "SluiceError",
    "Stream",
    "Token",
    "Tokenizer",
    "Unsupported",
    "Uploaded",
    "batch_generate",
    "convert",
    "generate",
    "load",
    "plan",
    "pull",
    "stream_generate",
    "upload",
]

_MODULES = {"Answer": "_stream", "Stream": "_stream", "Token": "_stream", "Tokenizer": "_tokenizer", "Prompt": "_prompts", "Options": "_sampling", "Converted": "_convert", "Uploaded": "_convert", "convert": "_convert", "upload": "_convert"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'sluice' has no attribute '{name}'")
    from importlib import import_module

    value = getattr(import_module("." + _MODULES.get(name, "_api"), __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__", "errors"])
