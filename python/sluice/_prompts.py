"""What may be asked: text, token ids, or a conversation."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex

from .errors import BadRequest

if TYPE_CHECKING:
    from ._tokenizer import Tokenizer

Prompt = str | Sequence[SupportsIndex] | Sequence[Mapping[str, Any]]
"""Text, which is completed as it is and whose special tokens stay text; token ids (an array of them will do); or messages,
[{"role": ..., "content": ...}, ...], which become what the model's chat template makes of them."""


def token_ids(tokens: Any) -> list[int]:
    """Ids as the engine takes them. Raises BadRequest for what is no list of whole numbers."""
    import operator

    flat = tokens.tolist() if hasattr(tokens, "tolist") else tokens
    try:
        return [operator.index(token) for token in flat]
    except TypeError as error:
        raise BadRequest(f"a prompt is text, token ids or messages, not {type(tokens).__name__}: {error}") from None


def read_prompt(prompt: Prompt, tokenizer: "Tokenizer") -> tuple[list[int], bool]:
    """The tokens, and whether the answer goes on with a text."""
    if isinstance(prompt, str):
        return tokenizer.encode(prompt), True
    if len(prompt) > 0 and isinstance(prompt[0], Mapping):
        return tokenizer.apply_chat_template(prompt, add_generation_prompt=True), False  # type: ignore[arg-type]
    return token_ids(prompt), True
