"""mlx_lm.generate: the calls that make text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._api import Engine
from .._prompts import token_ids
from .._stream import Answer, Stream, Token
from .._tokenizer import Tokenizer
from ..errors import BadRequest
from ._refuse import refuse
from .models.cache import PromptCache
from .sample_utils import engine_options, log_softmax

if TYPE_CHECKING:
    import mlx.core as mx
    import numpy as np
    from numpy.typing import NDArray

_OF_STEPS = {
    "stream": (None, "Sluice has streams of its own"),
    "input_embeddings": (None, "give tokens"),
    "prefill_step_size": (2048, "sluice.load(chunk=...) decides, which changes no result"),
}
_OF_KV_BITS = {
    "kv_bits": (None, "it is 8 or 4"),
    "kv_group_size": (64, "Sluice's groups are fixed (docs/few-bits.md)"),
    "quantized_kv_start": (5000, "what is not recent has few bits: sluice.load(kv_bits=..., kv_recent=...)"),
}
_OF_DRAFTS = {
    "draft_model": (None, "it is a model that load() opened"),
    "num_draft_tokens": (None, "as many are guessed as save time, by measure; leave it out"),
}
_OF_BATCHES = {
    "completion_batch_size": (32, "the scheduler decides"),
    "prefill_batch_size": (8, "the scheduler decides"),
    "prefill_step_size": _OF_STEPS["prefill_step_size"],
    "stream": _OF_STEPS["stream"],
}


@dataclass
class GenerationResponse:
    """What stream_generate() yields."""

    text: str
    """The next piece; may be empty."""
    token: int
    logits: "NDArray[np.float32] | None"
    """float32 [vocab_size]: what logprobs is made from."""
    from_draft: bool
    """False: which tokens were guessed is not told."""
    prompt_tokens: int
    prompt_tps: float
    generation_tokens: int
    generation_tps: float
    peak_memory: float
    """Of the process, GB."""
    finish_reason: str | None = None
    """In the last one: "stop" or "length"."""

    @property
    def logprobs(self) -> "mx.array":
        """float32 [vocab_size], made when it is asked for."""
        import mlx.core as mx

        return mx.array(log_softmax(self.logits))


@dataclass
class BatchStats:
    """Of all prompts of a batch together."""

    prompt_tokens: int = 0
    prompt_tps: float = 0
    prompt_time: float = 0
    generation_tokens: int = 0
    generation_tps: float = 0
    generation_time: float = 0
    peak_memory: float = 0


@dataclass
class BatchResponse:
    """What batch_generate() returns."""

    texts: list[str]
    stats: BatchStats
    caches: list[PromptCache] | None
    token_ids: list[list[int]] | None = None
    logprobs: list[list[float]] | None = None


def _peak_memory() -> float:
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9


def _prompt_tokens(tokenizer: Tokenizer, prompt: Any) -> list[int]:
    if not isinstance(prompt, str):
        return token_ids(prompt)
    bos = tokenizer.bos_token
    has_bos = bos is not None and prompt.startswith(bos)
    return tokenizer.encode(prompt, add_special_tokens=not has_bos, parse_special=True)


def _asked_of(
    model: Engine, draft_model: Engine | None, num_draft_tokens: int | None, kv_bits: int | None, kv_group_size: int, quantized_kv_start: int,
    max_kv_size: int | None,
) -> Engine:
    """The model as it is opened with these, which Sluice decides when it opens one."""
    changes: dict[str, Any] = {}
    if draft_model is not None:
        given = {"draft_model": None if isinstance(draft_model, Engine) else draft_model, "num_draft_tokens": num_draft_tokens}
        refuse("stream_generate", given, _OF_DRAFTS)
        changes["draft_model"] = draft_model._opened["model"]
    if kv_bits is not None:
        given = {"kv_bits": None if kv_bits in (4, 8) else kv_bits, "kv_group_size": kv_group_size, "quantized_kv_start": quantized_kv_start}
        refuse("stream_generate", given, _OF_KV_BITS)
        changes["kv_bits"] = kv_bits
    if max_kv_size is not None:
        changes["max_kv_size"] = max_kv_size
    return model.variant(**changes)


def _begin(model: Engine, tokens: list[int], cache: PromptCache | None, max_tokens: int, options: dict[str, Any]) -> Stream:
    if max_tokens == 0:
        raise BadRequest("max_tokens is 0, it must be positive, or -1 for as many as the context holds")
    options["max_tokens"] = model.context if max_tokens < 0 else max_tokens
    if cache is None:
        return model.stream(tokens, **options)
    return cache.session(model).stream(cache.tokens + tokens, **options)


def stream_generate(
    model: Engine,
    tokenizer: Tokenizer,
    prompt: Any,
    max_tokens: int = 256,
    draft_model: Engine | None = None,
    *,
    sampler: Any = None,
    logits_processors: Sequence[Any] | None = None,
    prompt_cache: PromptCache | None = None,
    prompt_progress_callback: Any = None,
    num_draft_tokens: int | None = None,
    kv_bits: int | None = None,
    kv_group_size: int = 64,
    quantized_kv_start: int = 5000,
    max_kv_size: int | None = None,
    **kwargs: Any,
) -> Iterator[GenerationResponse]:
    """Yields the answer to a prompt (text or token ids) piece by piece. A prompt_cache goes on where it is, and holds
    afterwards what was generated. A draft_model changes no token, only the time; which tokens it guessed is not told. With it,
    with kv_bits or with max_kv_size the model is opened once more (Engine.variant). num_draft_tokens, kv_group_size and quantized_kv_start mean
    nothing without a draft_model and kv_bits, as in mlx_lm."""
    shows_logits = kwargs.pop("_shows_logits", True)  # generate() has no use for them
    refuse("stream_generate", kwargs, _OF_STEPS)
    model = _asked_of(model, draft_model, num_draft_tokens, kv_bits, kv_group_size, quantized_kv_start, max_kv_size)
    tokens = _prompt_tokens(tokenizer, prompt)
    options = engine_options(sampler, logits_processors, shows_logits)
    options |= {"logits": shows_logits, "progress": prompt_progress_callback}
    stream = _begin(model, tokens, prompt_cache, max_tokens, options)
    return _responses(stream, tokenizer, len(tokens), tokens, prompt_cache)


def _responses(
    stream: Stream, tokenizer: Tokenizer, n_prompt: int, prompt: list[int], cache: PromptCache | None
) -> Iterator[GenerationResponse]:
    import time

    begin = time.perf_counter()
    prompt_tps = 0.0
    before: GenerationResponse | None = None  # held back until it is known not to be the last
    n = 0
    taken = list(prompt)
    try:
        for token in stream:
            if token.token < 0:
                if before is not None:
                    before.text += token.text
                continue
            now = time.perf_counter()
            if n == 0:
                prompt_tps = n_prompt / (now - begin)
                begin = now
            n += 1
            taken.append(token.token)
            if before is not None:
                yield before
            before = _response(token, n_prompt, prompt_tps, n, now - begin)
        last = _last(stream, tokenizer, before, n_prompt, prompt_tps, n)
        if last.finish_reason == "stop":
            if before is not None:
                before, last.text = before, ""
                yield before
            taken.append(last.token)
        yield last
    finally:
        stream.cancel()
        if cache is not None:
            cache.tokens += taken


def _response(token: Token, n_prompt: int, prompt_tps: float, n: int, seconds: float) -> GenerationResponse:
    tps = n / seconds if seconds > 0 else 0.0
    return GenerationResponse(token.text, token.token, token.logits, False, n_prompt, prompt_tps, n, tps, _peak_memory())


def _last(
    stream: Stream, tokenizer: Tokenizer, before: GenerationResponse | None, n_prompt: int, prompt_tps: float, n: int
) -> GenerationResponse:
    """The end as mlx_lm tells it: with the end token, or the last one that fitted."""
    import dataclasses

    if stream.answer.finish_reason != "stop" and before is not None:
        return dataclasses.replace(before, finish_reason="length")
    logits = stream.end_logits()
    eos = sorted(tokenizer.eos_token_ids) or [0]
    token = eos[0] if logits is None else max(eos, key=lambda t: float(logits[t]))
    tps = before.generation_tps if before is not None else 0.0
    return GenerationResponse("", token, logits, False, n_prompt, prompt_tps, n + 1, tps, _peak_memory(), "stop")


def generate(model: Engine, tokenizer: Tokenizer, prompt: Any, verbose: bool = False, **kwargs: Any) -> str:
    """The answer's text. verbose: printed as it comes, and how fast that was. The rest as stream_generate()."""
    if verbose:
        print("=" * 10)
    text = ""
    response: GenerationResponse | None = None
    for response in stream_generate(model, tokenizer, prompt, _shows_logits=False, **kwargs):
        if verbose:
            print(response.text, end="", flush=True)
        text += response.text
    if verbose and response is not None:
        print(f"\n{'=' * 10}")
        print(f"Prompt: {response.prompt_tokens} tokens, {response.prompt_tps:.3f} tokens-per-sec")
        print(f"Generation: {response.generation_tokens} tokens, {response.generation_tps:.3f} tokens-per-sec")
        print(f"Peak memory: {response.peak_memory:.3f} GB")
    return text


def batch_generate(
    model: Engine,
    tokenizer: Tokenizer,
    prompts: Sequence[Sequence[int]],
    prompt_caches: Sequence[PromptCache] | None = None,
    max_tokens: int | Sequence[int] = 128,
    verbose: bool = False,
    return_prompt_caches: bool = False,
    return_token_ids: bool = False,
    return_logprobs: bool = False,
    *,
    sampler: Any = None,
    logits_processors: Sequence[Any] | None = None,
    max_kv_size: int | None = None,
    **kwargs: Any,
) -> BatchResponse:
    """Answers to all prompts (token ids), computed together; each is what it would be alone. prompt_caches are gone on
    from, not changed. Log probabilities are those of the tokens before a sampler changes them."""
    refuse("batch_generate", kwargs, _OF_BATCHES)
    if max_kv_size is not None:
        model = model.variant(max_kv_size=max_kv_size)
    most = [max_tokens] * len(prompts) if isinstance(max_tokens, int) else list(max_tokens)
    if len(most) != len(prompts) or (prompt_caches is not None and len(prompt_caches) != len(prompts)):
        raise BadRequest(f"batch_generate: there are {len(prompts)} prompts, and not as many max_tokens or prompt_caches")
    caches = [_copy_of(model, prompt_caches[i] if prompt_caches else None) for i in range(len(prompts))]
    streams = []
    for prompt, cache, n in zip(prompts, caches, most):
        options = engine_options(sampler, logits_processors, False)
        if return_logprobs:
            options["top_logprobs"] = 0
        streams.append(_begin(model, token_ids(prompt), cache, n, options))
    answers, logprobs = [], []
    for i, stream in enumerate(streams):
        logprobs.append([token.logprob for token in stream if token.logprob is not None])
        answers.append(stream.answer)
        if verbose:
            print(f"[batch_generate] Finished processing {i + 1}/{len(prompts)}", end="\r" if i + 1 < len(prompts) else "\n")
    for prompt, cache, answer in zip(prompts, caches, answers):
        cache.tokens += token_ids(prompt) + answer.tokens
    return BatchResponse(
        [tokenizer.decode(answer.tokens) for answer in answers],
        _stats(answers),
        caches if return_prompt_caches else None,
        [answer.tokens for answer in answers] if return_token_ids else None,
        logprobs if return_logprobs else None,
    )


def _copy_of(model: Engine, cache: PromptCache | None) -> PromptCache:
    copy = PromptCache(model)
    if cache is not None:
        cache.session(model)
        copy.tokens = list(cache.tokens)
        copy._session = cache._session
    return copy


def _stats(answers: Sequence[Answer]) -> BatchStats:
    """They ran side by side: the longest says how long all took."""
    stats = BatchStats(peak_memory=_peak_memory())
    stats.prompt_tokens = sum(a.prompt_tokens for a in answers)
    stats.generation_tokens = sum(len(a.tokens) for a in answers)
    stats.prompt_time = max((a.queued_seconds + a.prefill_seconds for a in answers), default=0)
    stats.generation_time = max((a.decode_seconds for a in answers), default=0)
    stats.prompt_tps = stats.prompt_tokens / stats.prompt_time if stats.prompt_time > 0 else 0
    stats.generation_tps = stats.generation_tokens / stats.generation_time if stats.generation_time > 0 else 0
    return stats
