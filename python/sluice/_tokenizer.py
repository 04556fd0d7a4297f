"""Text to tokens and back."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, overload

from ._prompts import token_ids

if TYPE_CHECKING:
    from . import _native


class Tokenizer:
    """A model's tokenizer and chat template. Safe to use from several threads; keeps its model open."""

    def __init__(self, native: "_native.Tokenizer", chat_template: str | None) -> None:
        self._native = native
        self.chat_template = chat_template
        """The Jinja template that came with the model; None: it has none. Another one may be set."""
        self._own_template = chat_template

    @property
    def vocab_size(self) -> int:
        """The largest id and one."""
        return self._native.vocab_size

    @property
    def has_chat_template(self) -> bool:
        return self.chat_template is not None

    @property
    def bos_token(self) -> str | None:
        return self._native.token_named("bos_token")

    @property
    def bos_token_id(self) -> int | None:
        return self._native.bos

    @property
    def eos_token(self) -> str | None:
        return self._native.token_named("eos_token")

    @property
    def eos_token_id(self) -> int | None:
        """What eos_token is; where that has no name, the first of eos_token_ids."""
        named = self.eos_token
        token = None if named is None else self._native.token_id(named)
        return token if token is not None else next(iter(self._native.eos), None)

    @property
    def eos_token_ids(self) -> set[int]:
        """Any of these ends an answer."""
        return set(self._native.eos)

    def encode(self, text: str, *, add_special_tokens: bool = True, parse_special: bool = False) -> list[int]:
        """The ids of a text. add_special_tokens: what the model's own post-processor adds (BOS, ...).
        parse_special: "<|im_end|>" in the text becomes that one token, not the text of it."""
        return self._native.encode(text, add_special_tokens, parse_special)

    def decode(self, tokens: Sequence[SupportsIndex], *, skip_special_tokens: bool = False) -> str:
        """The text of ids; bytes that are no UTF-8 become U+FFFD, ids out of range nothing."""
        return self._native.decode(token_ids(tokens), skip_special_tokens)

    def token_bytes(self, token: int) -> bytes:
        """What one token stands for, which can be part of a character."""
        return self._native.token_bytes(token)

    def token_id(self, text: str) -> int | None:
        """The token that is spelled so; None: there is none."""
        return self._native.token_id(text)

    @overload
    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        add_generation_prompt: bool = True,
        tokenize: Literal[True] = True,
        **variables: Any,
    ) -> list[int]: ...
    @overload
    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        add_generation_prompt: bool = True,
        tokenize: Literal[False],
        **variables: Any,
    ) -> str: ...
    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        add_generation_prompt: bool = True,
        tokenize: bool = True,
        **variables: Any,
    ) -> list[int] | str:
        """The prompt that the model's template makes of a conversation, as ids or as text. Special tokens are read
        where the template spells them; what messages hold stays text. `variables` go to the template.
        Raises BadRequest when the template refuses, or the model has none."""
        source = self.chat_template if self.chat_template != self._own_template else None
        call = self._native.encode_chat if tokenize else self._native.render
        return call(json.dumps(list(messages)), json.dumps(tools), json.dumps(variables), add_generation_prompt, source or "")
