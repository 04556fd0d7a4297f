"""How an answer is made: the options that every way to generate takes."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from . import _native
from .errors import BadRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LogitsProcessor = Callable[["NDArray[np.int32]", "NDArray[np.float32]"], "NDArray[np.float32] | None"]
Sampler = Callable[["NDArray[np.float32]"], int]


class Options(TypedDict, total=False):
    """All of them may be left out."""

    max_tokens: int
    """Most tokens of the answer; 512."""
    temperature: float
    """Logits are divided by it; 0 takes the best token. 0, or 1 where one of the next five is given."""
    top_k: int
    top_p: float
    min_p: float
    """Keep the k best; the best that reach probability p (arXiv:1904.09751); those with min_p times the best one's
    probability (arXiv:2407.01082). In this order, after the temperature."""
    xtc_probability: float
    xtc_threshold: float
    """With that chance, drop all but the least likely of the tokens above the threshold."""
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    penalty_window: int
    """Of the last `penalty_window` tokens (64; 0: all) logits are divided by the first, and the others subtracted, once
    and per occurrence."""
    logit_bias: dict[int, float]
    """Added to these tokens' logits, before all else."""
    seed: int
    """Same seed, same text. Unset: another one each time, which the answer tells."""
    stop: str | Sequence[str]
    """The answer ends before these texts."""
    ignore_eos: bool
    """Go on after the model's end token."""
    top_logprobs: int
    """Each token comes with its log probability and those of so many best ones."""
    logits: bool
    """Each token comes with the logits that it was chosen from, float32 [vocab_size]; no copy is made for numpy."""
    logits_processors: Sequence[LogitsProcessor]
    """Called one after the other for each token with (tokens so far, int32 [n]; logits, float32 [vocab_size]); each
    changes the logits where they are, or returns others. They run on the engine's threads, before all of the above."""
    sampler: Sampler
    """Called with the logits; returns the token. In place of everything from temperature to xtc_threshold."""
    progress: Callable[[int, int], object]
    """Called with (tokens of the prompt that are computed, all of them) where the answer is read."""
    client: str
    """Whose it is: clients get equal shares of what is computed."""


_REAL = (
    "temperature top_k top_p min_p xtc_probability xtc_threshold repetition_penalty presence_penalty frequency_penalty "
    "penalty_window logit_bias"
).split()
_DRAWS = ("top_k", "top_p", "min_p", "xtc_probability", "seed")
_OTHERS = {"max_tokens", "seed", "stop", "ignore_eos", "top_logprobs", "logits", "logits_processors", "sampler", "progress", "client"}


def read_sampling(options: Options) -> _native.Sampling:
    """Raises BadRequest for what would do nothing; the engine does so for what is out of range."""
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if unknown := set(given) - set(_REAL) - _OTHERS:
        raise BadRequest(f"there is no option {', '.join(sorted(unknown))}; help(sluice.Options) shows what there is")
    draws = [name for name in _DRAWS if name in given]
    temperature = given.setdefault("temperature", 1.0 if draws else 0.0)
    if temperature == 0 and (idle := [name for name in draws if name != "seed"]):
        raise BadRequest(f"{idle[0]} has no effect at temperature 0; leave one out")
    if "sampler" in given and (idle := [name for name in (*_DRAWS, "xtc_threshold") if name in given] or (["temperature"] if temperature else [])):
        raise BadRequest(f"{idle[0]} has no effect beside a sampler; leave one out")
    sampling = _native.Sampling()
    for name in _REAL:
        if name in given:
            setattr(sampling, name, given[name])
    sampling.seed = given["seed"] if "seed" in given else _random_seed()
    return sampling


def _random_seed() -> int:
    import os

    return int.from_bytes(os.urandom(4), "little")  # 32 bits, which every reader of JSON keeps


def chained(processors: "Sequence[LogitsProcessor] | None") -> "LogitsProcessor | None":
    """One processor for all of them."""
    if not processors:
        return None

    def process(tokens: "NDArray[np.int32]", logits: "NDArray[np.float32]") -> "NDArray[np.float32]":
        import numpy

        for processor in processors:
            changed = processor(tokens, logits)
            if changed is not None:
                logits = changed
        return numpy.ascontiguousarray(logits, dtype=numpy.float32)

    return process


def read_request(tokens: list[int], continues_text: bool, options: Options) -> _native.Request:
    request = _native.Request()
    request.tokens = tokens
    request.continues_text = continues_text
    request.sampling = read_sampling(options)
    request.max_tokens = options.get("max_tokens", 512)
    stop = options.get("stop", ())
    request.stop = [stop] if isinstance(stop, str) else list(stop)
    if "" in request.stop:
        raise BadRequest("stop is empty: every text holds that")
    if request.max_tokens < 0:
        raise BadRequest(f"max_tokens is {request.max_tokens}, it must be 0 or more")
    request.ignore_eos = options.get("ignore_eos", False)
    request.top_logprobs = options.get("top_logprobs")
    request.client = options.get("client", "")
    return request
