"""mlx_lm.utils: load()."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload

from .. import _native
from .._api import Engine, pull
from .._api import load as load_engine
from .._tokenizer import Tokenizer
from ..errors import Unsupported
from ._refuse import refuse


class TokenizerWrapper(Tokenizer):
    """A Tokenizer with the defaults that mlx_lm's has: special tokens in a text are read, and no answer is begun."""

    def encode(self, text: str, *, add_special_tokens: bool = True, parse_special: bool = True) -> list[int]:
        return super().encode(text, add_special_tokens=add_special_tokens, parse_special=parse_special)

    def apply_chat_template(  # type: ignore[override]
        self,
        conversation: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        add_generation_prompt: bool = False,
        tokenize: bool = True,
        return_dict: bool = False,
        **variables: Any,
    ) -> Any:
        """list[int], or str unless `tokenize`."""
        if return_dict:
            raise Unsupported("apply_chat_template: return_dict is not honoured; it returns ids")
        return super().apply_chat_template(  # type: ignore[call-overload]
            conversation, tools, add_generation_prompt=add_generation_prompt, tokenize=tokenize, **variables
        )


def _check_tokenizer_config(config: Mapping[str, Any] | None, tokenizer: TokenizerWrapper) -> None:
    rest = dict(config or {})
    rest.pop("trust_remote_code", None)  # none is run
    if rest.get("eos_token") == tokenizer.eos_token:
        rest.pop("eos_token", None)
    refuse("load: tokenizer_config", rest, {name: (None, "the model's own files decide") for name in rest})


def _config_of(path: Path) -> dict[str, Any]:
    file = path / "config.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found


@overload
def load(
    path_or_hf_repo: str,
    tokenizer_config: dict[str, Any] | None = None,
    model_config: dict[str, Any] | None = None,
    adapter_path: str | None = None,
    lazy: bool = False,
    return_config: Literal[False] = False,
    revision: str | None = None,
    trust_remote_code: bool = False,
    *,
    ram: str | int | None = None,
    draft_model: str | None = None,
    kv_bits: int | str | None = None,
    max_kv_size: int | None = None,
) -> tuple[Engine, TokenizerWrapper]: ...
@overload
def load(
    path_or_hf_repo: str,
    tokenizer_config: dict[str, Any] | None = None,
    model_config: dict[str, Any] | None = None,
    adapter_path: str | None = None,
    lazy: bool = False,
    *,
    return_config: Literal[True],
    revision: str | None = None,
    trust_remote_code: bool = False,
    ram: str | int | None = None,
    draft_model: str | None = None,
    kv_bits: int | str | None = None,
    max_kv_size: int | None = None,
) -> tuple[Engine, TokenizerWrapper, dict[str, Any]]: ...
def load(
    path_or_hf_repo: str,
    tokenizer_config: dict[str, Any] | None = None,
    model_config: dict[str, Any] | None = None,
    adapter_path: str | None = None,
    lazy: bool = False,
    return_config: bool = False,
    revision: str | None = None,
    trust_remote_code: bool = False,
    *,
    ram: str | int | None = None,
    draft_model: str | None = None,
    kv_bits: int | str | None = None,
    max_kv_size: int | None = None,
) -> tuple[Engine, TokenizerWrapper] | tuple[Engine, TokenizerWrapper, dict[str, Any]]:
    """A model and its tokenizer; one that is on the hub only is downloaded. `ram`, draft_model, kv_bits and max_kv_size are Sluice's: see sluice.load().
    Weights are always mapped, whatever `lazy` says, and no model's code is ever run, whatever is trusted."""
    given = {"model_config": model_config, "adapter_path": adapter_path}
    refuse("load", given, {
        "model_config": (None, "a model's config.json decides"),
        "adapter_path": (None, "fuse the adapter with `mlx_lm.fuse` first"),
    })  # fmt: skip
    model = str(path_or_hf_repo)
    if _native.lacks(model):
        pull(model, revision=revision or "main")
    elif revision is not None:
        raise Unsupported(f"load: revision is not honoured for what is here already; `sluice pull {model} --revision {revision}`")
    engine = load_engine(model, ram=ram, draft_model=draft_model, kv_bits=kv_bits, max_kv_size=max_kv_size, disk_cache=True)
    tokenizer = TokenizerWrapper(engine._native.tokenizer(), engine._native.chat_template)
    _check_tokenizer_config(tokenizer_config, tokenizer)
    return (engine, tokenizer, _config_of(_native.resolve(model))) if return_config else (engine, tokenizer)
