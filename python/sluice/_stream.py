"""An answer as it comes."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
import weakref

if TYPE_CHECKING:
    import asyncio

    import numpy as np
    from numpy.typing import NDArray

    from . import _native

_open: "weakref.WeakSet[Stream]" = weakref.WeakSet()


@dataclass(frozen=True, slots=True)
class Token:
    """One token as it comes."""

    token: int
    """-1: the rest of the text, at its end."""
    text: str
    """May be empty: part of a character, or held back for a stop string."""
    logprob: float | None = None
    """Natural logarithm of its probability, with `top_logprobs`."""
    top_logprobs: list[tuple[int, float]] | None = None
    """The best tokens and theirs, best first."""
    logits: "NDArray[np.float32] | None" = None
    """float32 [vocab_size], with `logits`: after logits processors, before all else."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a generation came to."""

    text: str
    tokens: list[int]
    """Without the end token."""
    finish_reason: str
    """"stop", "stop_string", "length", "context_full" or "cancelled"."""
    stop_string: str
    """Which one ended it, with "stop_string"."""
    prompt_tokens: int
    reused_tokens: int
    """Of the prompt, whose keys and values were there."""
    queued_seconds: float
    prefill_seconds: float
    """Until the first token was chosen."""
    decode_seconds: float
    """From then to the end."""
    prefill_tps: float
    """Tokens of the prompt per second, those that were computed."""
    decode_tps: float
    """Tokens after the first, per second."""
    guessed_tokens: int
    right_guesses: int
    """Tokens that were guessed, and checked by the model several at a time; those of them that it said too."""
    pruned: tuple[int, int] | None
    """Of the prompt, tokens whose keys and values were kept, and all; None: all of them were (load(snap_kv=))."""
    seed: int | None
    """What it was drawn with; None: nothing was."""


class Stream:
    """An answer on its way: `for token in stream`, or `async for`. It is computed whether it is read or not; when this is
    deleted, it is cancelled. Ctrl-C while one is read cancels it and raises KeyboardInterrupt."""

    def __init__(
        self,
        native: "_native.Stream",
        seed: int | None,
        progress: Callable[[int, int], object] | None,
        on_end: Callable[["_native.Result"], None] | None = None,
    ) -> None:
        self._native = native
        self._seed = seed
        self._progress = progress
        self._on_end = on_end
        self._answer: Answer | None = None
        _open.add(self)

    def cancel(self) -> None:
        """Ends it within a layer of the model; the answer's finish_reason is "cancelled". Any thread may."""
        self._native.cancel()

    @property
    def ended(self) -> bool:
        """Whether all of it was read."""
        return self._native.has_ended()

    @property
    def answer(self) -> Answer:
        """All of it, once it has been read to its end. Raises BadRequest before that, and what ended it."""
        if self._answer is None:
            result = self._native.result()
            names = [name for name in Answer.__slots__ if name != "seed"]
            self._answer = Answer(**{name: getattr(result, name) for name in names}, seed=self._seed)
            if self._on_end is not None:
                self._on_end(result)
        return self._answer

    def end_logits(self) -> "NDArray[np.float32] | None":
        """With `logits`, those that the end token was chosen from, which is not told; None where none came. Once, after
        the end."""
        return self._native.end_logits()

    def read(self) -> Answer:
        """Reads what is left."""
        for _ in self:
            pass
        return self.answer

    def __iter__(self) -> Iterator[Token]:
        return self

    def __next__(self) -> Token:
        while (message := self._native.next()) is not None:
            if (token := self._take(message)) is not None:
                return token
        self._finish()
        raise StopIteration

    def _take(self, message: tuple[Any, ...]) -> Token | None:
        """The token in a message; None where it tells of progress, which is told."""
        if len(message) == 5:
            return Token(*message)
        if self._progress is not None:
            try:
                self._progress(*message)
            except BaseException:
                self.cancel()
                raise
        return None

    def _finish(self) -> None:
        _ = self.answer

    async def __aiter__(self) -> AsyncIterator[Token]:
        """Waits without a thread. A task that is cancelled cancels the answer."""
        import asyncio
        import os

        loop = asyncio.get_running_loop()
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        os.set_blocking(reader, False)
        told = asyncio.Event()
        loop.add_reader(reader, _drain, reader, told)
        self._native.notify(writer)
        try:
            while True:
                told.clear()
                while (message := self._native.poll()) is not None:
                    if (token := self._take(message)) is not None:
                        yield token
                if self._native.has_ended():
                    break
                await told.wait()
            self._finish()
        finally:
            self._native.notify(-1)
            loop.remove_reader(reader)
            os.close(reader)
            os.close(writer)
            if not self._native.has_ended():
                self.cancel()


def _drain(reader: int, told: "asyncio.Event") -> None:
    import os

    os.read(reader, 4096)
    told.set()


def cancel_all() -> None:
    """When the interpreter ends: no hook may be waited for then."""
    for stream in list(_open):
        stream.cancel()
        while not stream._native.has_ended():
            stream._native.next()
