"""mlx_lm.sample_utils: samplers and logits processors, over rows of log probabilities [..., vocab_size].

Arrays are numpy's or MLX's; what is returned is of the kind that was given. Those that make_sampler() and
make_logits_processors() return are recognized by stream_generate(), which lets the engine do their work where its own
stages mean the same."""

from collections.abc import Callable, Sequence
from typing import Any

Array = Any
"""numpy.ndarray or mlx.core.array."""


def _numpy(x: Array) -> Any:
    import numpy

    if isinstance(x, numpy.ndarray):
        return x.astype(numpy.float32)
    if str(getattr(x, "dtype", "")) == "mlx.core.bfloat16":
        import mlx.core as mx

        x = x.astype(mx.float32)
    return numpy.array(x, dtype=numpy.float32)


def _like(given: Array, result: Any) -> Array:
    import numpy

    if isinstance(given, (numpy.ndarray, list)):
        return result
    import mlx.core as mx

    return mx.array(result)


def _require(ok: bool, text: str) -> None:
    if not ok:
        raise ValueError(text)


def apply_top_k(logprobs: Array, top_k: int) -> Array:
    """Keeps the k best of each row; the others become -infinity."""
    import numpy

    x = _numpy(logprobs)
    n = x.shape[-1]
    _require(isinstance(top_k, int) and 0 < top_k < n, f"top_k is {top_k}, it must be an integer from 1 to {n - 1}")
    dropped = numpy.argpartition(-x, top_k - 1, axis=-1)[..., top_k:]
    numpy.put_along_axis(x, dropped, -numpy.inf, axis=-1)
    return _like(logprobs, x)


def apply_min_p(logprobs: Array, min_p: float, min_tokens_to_keep: int = 1) -> Array:
    """Keeps tokens with min_p times the best one's probability (arXiv:2407.01082), and the best min_tokens_to_keep."""
    import numpy

    _require(0 <= min_p <= 1, f"min_p is {min_p}, it must be from 0 to 1")
    _require(
        isinstance(min_tokens_to_keep, int) and min_tokens_to_keep >= 1,
        f"min_tokens_to_keep is {min_tokens_to_keep}, it must be an integer from 1 on",
    )
    x = _numpy(logprobs)
    least = x.max(-1, keepdims=True) + (numpy.log(min_p) if min_p > 0 else -numpy.inf)
    if min_tokens_to_keep > 1:
        kth = -numpy.partition(-x, min_tokens_to_keep - 1, axis=-1)[..., min_tokens_to_keep - 1 : min_tokens_to_keep]
        least = numpy.minimum(least, kth)
    return _like(logprobs, numpy.where(x < least, -numpy.inf, x).astype(numpy.float32))


def apply_top_p(logprobs: Array, top_p: float) -> Array:
    """Keeps the smallest set of best tokens whose probabilities reach top_p of all (arXiv:1904.09751)."""
    import numpy

    x = _numpy(logprobs)
    best_first = -numpy.sort(-x, axis=-1)
    mass = numpy.cumsum(numpy.exp(best_first - best_first[..., :1]), axis=-1, dtype=numpy.float64)
    n_kept = 1 + (mass < top_p * mass[..., -1:]).sum(-1, keepdims=True)
    least = numpy.take_along_axis(best_first, numpy.minimum(n_kept, x.shape[-1]) - 1, axis=-1)
    return _like(logprobs, numpy.where(x < least, -numpy.inf, x).astype(numpy.float32))


def _uniform(shape: tuple[int, ...] = ()) -> Any:
    """In [0, 1), from MLX's generator: mx.random.seed() decides, as in mlx_lm."""
    import mlx.core as mx
    import numpy

    return numpy.array(mx.random.uniform(shape=shape))


Random = Callable[..., Any]
"""A shape to numbers in [0, 1)."""


def apply_xtc(
    logits: Array,
    xtc_probability: float,
    xtc_threshold: float,
    xtc_special_tokens: Sequence[int],
    random: Random = _uniform,
) -> Array:
    """With xtc_probability, drops all but the least likely of the tokens above xtc_threshold, special ones aside."""
    import numpy

    _require(0 <= xtc_threshold <= 0.5, f"xtc_threshold is {xtc_threshold}, it must be from 0 to 0.5")
    _require(0 <= xtc_probability <= 1, f"xtc_probability is {xtc_probability}, it must be from 0 to 1")
    x = _numpy(logits)
    if random() >= xtc_probability:
        return _like(logits, x)
    p = numpy.exp(x - x.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    dropped = p > numpy.where(p > xtc_threshold, p, numpy.inf).min(-1, keepdims=True)
    dropped[..., list(xtc_special_tokens)] = False
    return _like(logits, numpy.where(dropped, -numpy.inf, x).astype(numpy.float32))


def categorical_sampling(logits: Array, temp: float, random: Random = _uniform) -> Array:
    """Draws from each row's softmax(logits / temp)."""
    import numpy

    x = _numpy(logits).astype(numpy.float64) / temp
    p = numpy.cumsum(numpy.exp(x - x.max(-1, keepdims=True)), axis=-1)
    drawn = (p <= random(x.shape[:-1])[..., None] * p[..., -1:]).sum(-1)
    return _like(logits, numpy.minimum(drawn, x.shape[-1] - 1).astype(numpy.uint32))


class Sampler:
    """What make_sampler() returns: log probabilities [..., vocab_size] to tokens [...]."""

    def __init__(self, temp: float, steps: "list[Callable[[Array, Random], Array]]", options: dict[str, Any] | None) -> None:
        self._temp = temp
        self._steps = steps
        self.options = options
        """The engine's, where they choose by the same probabilities; None: they cannot."""

    def __call__(self, logprobs: Array, random: Random = _uniform) -> Array:
        import numpy

        if self._temp == 0:
            return _like(logprobs, numpy.argmax(_numpy(logprobs), axis=-1).astype(numpy.uint32))
        x = _numpy(logprobs)
        for step in self._steps:
            x = step(x, random)
        return _like(logprobs, categorical_sampling(x, self._temp, random))


def make_sampler(
    temp: float = 0.0,
    top_p: float = 0.0,
    min_p: float = 0.0,
    min_tokens_to_keep: int = 1,
    top_k: int = 0,
    xtc_probability: float = 0.0,
    xtc_threshold: float = 0.1,
    xtc_special_tokens: list[int] | None = None,
) -> Sampler:
    """As mlx_lm: top_p, min_p, XTC and top_k in this order, and only then the temperature; 0 takes the best token."""
    if temp == 0:
        return Sampler(0, [], {})
    steps: list[Callable[[Array, Random], Array]] = []
    options: dict[str, Any] = {"temperature": temp}
    if 0 < top_p < 1:
        steps.append(lambda x, _: apply_top_p(x, top_p))
        options["top_p"] = top_p
    if min_p != 0:
        steps.append(lambda x, _: apply_min_p(x, min_p, min_tokens_to_keep))
        options["min_p"] = min_p
    if xtc_probability > 0:
        steps.append(lambda x, random: apply_xtc(x, xtc_probability, xtc_threshold, xtc_special_tokens or [], random))
        options |= {"xtc_probability": xtc_probability, "xtc_threshold": xtc_threshold}
    if top_k > 0:
        steps.append(lambda x, _: apply_top_k(x, top_k))
        options["top_k"] = top_k
    # The engine applies the temperature first: the same for the k best, and for a single stage at temperature 1.
    same = not steps or (len(steps) == 1 and (top_k > 0 or temp == 1) and not xtc_special_tokens and min_tokens_to_keep == 1)
    return Sampler(temp, steps, options if same else None)


class LogitsProcessor:
    """What make_logits_processors() returns: (tokens so far, logits [1, vocab_size]) to logits."""

    def __init__(self, change: Callable[[list[int], Any], None], context_size: int, options: dict[str, Any]) -> None:
        self._change = change
        self._context_size = context_size
        self.options = options
        """The engine's, which do the same."""

    def __call__(self, tokens: Array, logits: Array) -> Array:
        x = _numpy(logits)
        recent = [int(token) for token in (tokens.tolist() if hasattr(tokens, "tolist") else tokens)]
        self._change(recent[-self._context_size :], x.reshape(-1, x.shape[-1]))
        return _like(logits, x)


def make_logits_processors(
    logit_bias: dict[int, float] | None = None,
    repetition_penalty: float | None = None,
    repetition_context_size: int | None = 20,
    presence_penalty: float | None = None,
    presence_context_size: int | None = 20,
    frequency_penalty: float | None = None,
    frequency_context_size: int | None = 20,
) -> list[LogitsProcessor]:
    """As mlx_lm: what these name, in this order; the penalties see that many of the last tokens."""
    processors = []
    if logit_bias:
        bias = dict(logit_bias)

        def add(_: list[int], x: Any) -> None:
            for token, value in bias.items():
                x[:, token] += value

        processors.append(LogitsProcessor(add, 0, {"logit_bias": bias}))
    if repetition_penalty:
        processors.append(make_repetition_penalty(repetition_penalty, repetition_context_size or 0))
    if presence_penalty:
        processors.append(make_presence_penalty(presence_penalty, presence_context_size or 0))
    if frequency_penalty:
        processors.append(make_frequency_penalty(frequency_penalty, frequency_context_size or 0))
    return processors


def make_repetition_penalty(penalty: float, context_size: int = 20) -> LogitsProcessor:
    """Divides the logits of recent tokens by it, multiplies negative ones (arXiv:1909.05858)."""
    _require(isinstance(penalty, (int, float)) and penalty >= 0, f"penalty is {penalty}, it must be 0 or more")

    def change(recent: list[int], x: Any) -> None:
        import numpy

        at = list(set(recent))
        x[:, at] = numpy.where(x[:, at] < 0, x[:, at] * penalty, x[:, at] / penalty)

    return LogitsProcessor(change, context_size, {"repetition_penalty": penalty, "penalty_window": context_size})


def make_presence_penalty(penalty: float, context_size: int = 20) -> LogitsProcessor:
    """Subtracts it once from each recent token's logit."""

    def change(recent: list[int], x: Any) -> None:
        x[:, list(set(recent))] -= penalty

    return LogitsProcessor(change, context_size, {"presence_penalty": penalty, "penalty_window": context_size})


def make_frequency_penalty(penalty: float, context_size: int = 20) -> LogitsProcessor:
    """Subtracts it from a token's logit for each time that it is among the recent ones."""

    def change(recent: list[int], x: Any) -> None:
        for token in recent:
            x[:, token] -= penalty

    return LogitsProcessor(change, context_size, {"frequency_penalty": penalty, "penalty_window": context_size})


def engine_options(sampler: Any, processors: Sequence[Any] | None, shows_logits: bool) -> dict[str, Any]:
    """What sluice's calls take for a sampler and processors: the engine's own options where these are what
    make_sampler() and make_logits_processors() return, else hooks that give MLX's arrays to what expects them.
    shows_logits: logits are looked at, and what processors did has to be seen in them."""
    options: dict[str, Any] = {}
    if isinstance(sampler, Sampler) and sampler.options is not None:
        options |= sampler.options
        if sampler.options:
            options["seed"] = _seed()
    elif sampler is not None:
        options["sampler"] = _sampler_hook(sampler)
    merged = _merged([getattr(p, "options", None) for p in processors or []])
    if merged is not None and "sampler" not in options and not shows_logits:
        return options | merged
    if processors:
        options["logits_processors"] = [_processor_hook(p) for p in processors]
    return options


def _merged(parts: list[dict[str, Any] | None]) -> dict[str, Any] | None:
    """One set of options for what the engine does in this order anyway; None where it cannot."""
    order = ["logit_bias", "repetition_penalty", "presence_penalty", "frequency_penalty"]
    merged: dict[str, Any] = {}
    last = -1
    for part in parts:
        if part is None or merged.get("penalty_window", part.get("penalty_window")) != part.get("penalty_window", merged.get("penalty_window")):
            return None
        place = order.index(next(iter(part)))
        if place <= last:
            return None
        last = place
        merged |= part
    return merged


def _seed() -> int:
    """Drawn on the caller's thread, for MLX has a generator for each: mx.random.seed() decides."""
    return int(float(_uniform()) * 2**24)


def _sampler_hook(sampler: Callable[[Any], Any]) -> Callable[[Any], int]:
    import numpy

    random = numpy.random.default_rng(_seed()).random if isinstance(sampler, Sampler) else None

    def choose(logits: Any) -> int:
        row = log_softmax(logits)[None]
        if isinstance(sampler, Sampler):
            return int(sampler(row, random or _uniform).item())
        import mlx.core as mx

        return int(sampler(mx.array(row)).item())

    return choose


def _processor_hook(processor: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def process(tokens: Any, logits: Any) -> Any:
        if isinstance(processor, LogitsProcessor):
            return processor(tokens, logits[None])[0]
        import mlx.core as mx

        return _numpy(processor(mx.array(tokens), mx.array(logits[None])))[0]

    return process


def log_softmax(logits: Any) -> Any:
    """float32 [vocab_size] to log probabilities."""
    import numpy

    top = logits.max()
    return logits - (top + numpy.log(numpy.exp(logits - top, dtype=numpy.float32).sum(dtype=numpy.float64)).astype(numpy.float32))
