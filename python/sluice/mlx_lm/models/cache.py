"""mlx_lm.models.cache: prompt caches."""

import json
import os
import struct
from pathlib import Path
from typing import Any

from ..._api import Engine, Session
from ...errors import BadModel, BadRequest
from .._refuse import refuse

_FORMAT = "sluice prompt cache 1"
_MOST_HEADER = 1 << 20  # bytes


class PromptCache:
    """The tokens that came so far, and a session that holds their keys and values. In a file are the tokens; their keys
    and values are in Sluice's disk cache (`sluice cache`), and where that has lost them they are computed again, to the
    same bits."""

    def __init__(self, engine: Engine | None = None) -> None:
        self.tokens: list[int] = []
        self._name: str | None = None
        self._model: str | None = None
        self._session: Session | None = None
        if engine is not None:
            self.session(engine)

    @property
    def offset(self) -> int:
        """Tokens."""
        return len(self.tokens)

    def session(self, engine: Engine) -> Session:
        """Raises BadRequest when it was made with another model."""
        model = f"{engine.architecture} {engine.vocab_size} {engine.n_layers} {engine.file_bytes}"
        if self._model not in (None, model):
            raise BadRequest(f"this prompt cache was made with another model ({self._model}, not {model})")
        self._model = model
        if self._session is None or self._session.engine is not engine:
            self._session = engine.session(self._name)
        return self._session

    def save(self, file: str, metadata: dict[str, str]) -> None:
        if self._session is None or not self.tokens:
            raise BadRequest("this prompt cache holds nothing: generate with it first")
        if self._name is None:
            self._name = "mlx_lm " + os.urandom(8).hex()
        engine = self._session.engine
        engine.session(self._name).generate(self.tokens, max_tokens=0)
        engine.flush()
        about = {"format": _FORMAT, "name": self._name, "model": str(self._model), "metadata": json.dumps(metadata)}
        data = struct.pack(f"<{len(self.tokens)}i", *self.tokens)
        tensor = {"dtype": "I32", "shape": [len(self.tokens)], "data_offsets": [0, len(data)]}
        header = json.dumps({"__metadata__": about, "tokens": tensor}).encode()
        header += b" " * (-len(header) % 8)
        half = Path(f"{file}.{os.getpid()}.part")
        half.write_bytes(struct.pack("<Q", len(header)) + header + data)
        half.replace(file)

    @classmethod
    def load(cls, file: str) -> tuple["PromptCache", dict[str, str]]:
        content = Path(file).read_bytes()
        try:
            (length,) = struct.unpack_from("<Q", content)
            if length > _MOST_HEADER:
                raise ValueError("its header is too long")
            header = json.loads(content[8 : 8 + length])
            about = header["__metadata__"]
            if about.get("format") != _FORMAT:
                raise ValueError("its format is another one")
            cache = cls()
            cache._name, cache._model = str(about["name"]), str(about["model"])
            data = content[8 + length :]
            cache.tokens = list(struct.unpack(f"<{len(data) // 4}i", data))
            metadata: dict[str, str] = json.loads(about["metadata"])
        except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
            raise BadModel(f"{file}: is no prompt cache that sluice.mlx_lm saved: {error}") from None
        return cache, metadata


def make_prompt_cache(model: Engine, max_kv_size: int | None = None) -> PromptCache:
    """A cache that holds nothing yet."""
    refuse("make_prompt_cache", {"max_kv_size": max_kv_size}, {
        "max_kv_size": (None, "the model's own window decides; bound memory with load(ram=...)"),
    })  # fmt: skip
    return PromptCache(model)


def save_prompt_cache(file_name: str, cache: PromptCache, metadata: dict[str, str] | None = None) -> None:
    """Writes the tokens to the file, and their keys and values to Sluice's disk cache. They are computed once more for
    that."""
    cache.save(file_name, metadata or {})


def load_prompt_cache(file_name: str, return_metadata: bool = False) -> Any:
    """The PromptCache, or (PromptCache, metadata). Raises BadModel for another file, OSError where there is none."""
    cache, metadata = PromptCache.load(file_name)
    return (cache, metadata) if return_metadata else cache


def can_trim_prompt_cache(cache: PromptCache) -> bool:
    """Always: what is cut off is computed again where a model cannot go back."""
    return True


def trim_prompt_cache(cache: PromptCache, num_tokens: int) -> int:
    """Forgets the last tokens; returns how many these were."""
    n = max(0, min(num_tokens, len(cache.tokens)))
    del cache.tokens[len(cache.tokens) - n :]
    return n
