"""Models, sessions, and the calls that make answers."""

import atexit
import json
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import _native
from ._prompts import Prompt, read_prompt, token_ids
from ._sampling import Options, chained, read_request
from ._stream import Answer, Stream, Token, cancel_all
from ._tokenizer import Tokenizer
from .errors import BadRequest, Unsupported

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self, Unpack

    from ._native import Result

_open: "weakref.WeakSet[Engine | Session]" = weakref.WeakSet()


def _close_all() -> None:
    """The engine's threads end while there is an interpreter."""
    cancel_all()
    for one in sorted(_open, key=lambda one: isinstance(one, Engine)):
        one.close()


atexit.register(_close_all)


class _Answers:
    """What an Engine and a Session have in common."""

    _start: Callable[..., _native.Stream]

    def _tokenizer_of(self) -> Tokenizer:
        raise NotImplementedError

    def _begin(self, prompt: Prompt, options: Options, on_end: "Callable[[list[int], Result], None] | None" = None) -> Stream:
        tokens, continues_text = read_prompt(prompt, self._tokenizer_of())
        request = read_request(tokens, continues_text, options)
        native = self._start(
            request, chained(options.get("logits_processors")), options.get("sampler"), options.get("logits", False)
        )
        draws = request.sampling.temperature > 0 and "sampler" not in options
        seed = request.sampling.seed if draws else None
        told = None if on_end is None else (lambda result: on_end(tokens, result))
        return Stream(native, seed, options.get("progress"), told)

    def stream(self, prompt: Prompt, **options: "Unpack[Options]") -> Stream:
        """Begins an answer and returns at once. Raises BadRequest for an empty prompt, one longer than the context, ids
        outside the vocabulary, and options out of range."""
        return self._begin(prompt, options)

    def generate(self, prompt: Prompt, **options: "Unpack[Options]") -> Answer:
        """An answer, whole. Raises as stream(), and KeyboardInterrupt after Ctrl-C, which ends it."""
        return self.stream(prompt, **options).read()


class Engine(_Answers):
    """A loaded model. Every method may be called from any thread; all of them wait without holding the interpreter.
    Answers that are made at the same time are computed together, and each gets the bits it would get alone."""

    def __init__(self, native: _native.Engine, opened: Mapping[str, Any]) -> None:
        """Use load(), whose arguments are `opened`."""
        self._native = native
        self._opened = opened
        self._variants: dict[tuple[Any, ...], Engine] = {}
        self._start = native.begin
        self._tokenizer: Tokenizer | None = None
        _open.add(self)

    @property
    def tokenizer(self) -> Tokenizer:
        """Raises BadModel when the model has none."""
        if self._tokenizer is None:
            self._tokenizer = Tokenizer(self._native.tokenizer(), self._native.chat_template)
        return self._tokenizer

    def _tokenizer_of(self) -> Tokenizer:
        return self.tokenizer

    @property
    def architecture(self) -> str:
        """The family, as "llama" or "qwen3_moe"."""
        return self._native.architecture

    @property
    def vocab_size(self) -> int:
        """Logits of a token."""
        return self._native.vocab_size

    @property
    def hidden_size(self) -> int:
        """Numbers of a vector that embed() gives."""
        return self._native.hidden_size

    @property
    def n_layers(self) -> int:
        return self._native.n_layers

    @property
    def context(self) -> int:
        """Most tokens of a sequence."""
        return self._native.context

    @property
    def activations(self) -> str:
        """What quantized weights are multiplied with: "int8", "refined" or "float32"."""
        return self._native.activations

    @property
    def left_out(self) -> str:
        """What of the model's files is not used (what sees and hears), one line; empty: nothing of note."""
        return self._native.left_out

    @property
    def load_seconds(self) -> float:
        return self._native.load_seconds

    @property
    def file_bytes(self) -> int:
        return self._native.file_bytes

    @property
    def kv_bytes(self) -> int:
        """Allocated for keys and values so far."""
        return self._native.kv_bytes

    @property
    def residency(self) -> dict[str, Any] | None:
        """How the budget was divided, in bytes, and what streaming did so far; None without `ram`."""
        found: dict[str, Any] | None = json.loads(self._native.residency())
        return found

    def logits(self, tokens: Sequence[Any], first: int = 0) -> "NDArray[np.float32]":
        """Logits after each of `tokens` from `first` on, of a fresh sequence: float32 [len(tokens) - first, vocab_size],
        in memory that numpy takes over without a copy. Raises BadRequest when the tokens exceed the context or the
        vocabulary."""
        return self._native.logits(token_ids(tokens), first)

    def embed(self, texts: Sequence[Prompt]) -> "NDArray[np.float32]":
        """A vector for each text (or its token ids), as the model says it pools: float32 [len(texts), hidden_size], each of
        length 1. Together they are computed together; each is the same alone. Raises BadRequest, and Unsupported where
        more than pooling would make them."""
        if isinstance(texts, str):
            raise BadRequest("texts is one text, it must be a list of texts")
        return self._native.embed([read_prompt(text, self.tokenizer)[0] if isinstance(text, str) else token_ids(text) for text in texts])

    def session(self, name: str | None = None) -> "Session":
        """A token timeline of its own. With a name: what was computed is shared by all sessions of that name, and kept
        when this one ends; on disk, where the model was loaded with `disk_cache`."""
        return Session(self, name)

    def variant(self, **changes: Any) -> "Engine":
        """The same model as load() would open it with these arguments changed (`draft_model`, `kv_bits` ...). It is opened
        when it is first asked for and closed with this engine; mapped files are in memory once. Raises Unsupported with
        `ram`, which cannot be divided anew, and as load()."""
        changes = {name: value for name, value in changes.items() if self._opened[name] != value}
        if not changes:
            return self
        if self._opened["ram"] is not None:
            raise Unsupported(f"within ram={self._opened['ram']} a model cannot be opened again; give load() {', '.join(changes)}")
        key = tuple(sorted(changes.items()))
        if key not in self._variants:
            self._variants.setdefault(key, load(**{**self._opened, **changes}))  # two threads may both come here
        return self._variants[key]

    def flush(self) -> None:
        """Writes what the disk cache has to write, within a minute."""
        self._native.flush()

    def close(self) -> None:
        """Gives the memory back, once the sessions and streams are gone that use it; what is asked afterwards raises
        BadRequest."""
        self._tokenizer = None
        while self._variants:
            self._variants.popitem()[1].close()
        self._native.close()

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        self.close()


class Session(_Answers):
    """One token timeline, as of a chat: what was computed of it is kept for what comes next, and for nobody else. Each
    prompt is the whole timeline; what is held of it is not computed again. Keeps its engine open."""

    def __init__(self, engine: Engine, name: str | None = None) -> None:
        self.engine = engine
        self._native = _native.Session(engine._native, name)
        self._start = self._native.begin
        self._tokens: list[int] = []
        _open.add(self)

    def _tokenizer_of(self) -> Tokenizer:
        return self.engine.tokenizer

    @property
    def tokens(self) -> list[int]:
        """Those whose keys and values were held at the end of the last answer."""
        return list(self._tokens)

    def stream(self, prompt: Prompt, **options: "Unpack[Options]") -> Stream:
        return self._begin(prompt, options, self._hold)

    def _hold(self, prompt: list[int], result: "Result") -> None:
        self._tokens = (prompt + result.tokens)[: result.n_held]

    def reset(self) -> None:
        """Forgets what was computed."""
        self._native.reset()
        self._tokens = []

    def close(self) -> None:
        self._native.close()


def _engine_options(
    context: int, threads: int, chunk: int, activations: str, kv_type: str | None, **rest: Any
) -> _native.EngineOptions:
    options = _native.EngineOptions()
    options.context = context
    options.n_threads = threads
    options.chunk = chunk
    options.set_activations(activations)
    if kv_type is not None:
        options.set_kv_type(kv_type)
    for name, value in rest.items():
        setattr(options, name, value)
    return options


def load(
    model: str,
    *,
    ram: str | int | None = None,
    context: int = 0,
    threads: int = 0,
    chunk: int = 512,
    activations: str = "int8",
    kv_type: str | None = None,
    kv_bits: int | str | None = None,
    kv_recent: int = 128,
    state_type: str = "f32",
    max_kv_size: int | None = None,
    snap_kv: int | None = None,
    spill: str | None = None,
    spill_limit: str | int | None = None,
    draft_model: str | None = None,
    speculate: str = "auto",
    kv_reserve: int = 0,
    keep_prefixes: bool = True,
    prefetch_experts: bool = True,
    yield_memory: bool = True,
    disk_cache: bool = False,
) -> Engine:
    """Opens a model: a directory with config.json and safetensors, a .gguf file, or a name that `sluice list` shows.
    Nothing is copied, so it takes the same time for any size.

    ram: most memory of this whole process, as "3GB", bytes, or "auto" (what the system can spare); what does not fit is
      read from disk while the rest computes. None: the files are mapped, and the system decides.
    context: most tokens of a sequence; 0: what the model was trained for.
    threads: to compute with; 0: every processor this process may use.
    chunk: tokens of a prompt per step. Changes no result, nor do ram, threads and what follows snap_kv.
    activations: "int8", "refined" or "float32": what they are rounded to where they meet quantized weights.
    kv_type: "f32", "f16" or "bf16"; None: what fits the weights.
    kv_bits: 8, 4 or "k8v4" (8 of keys, 4 of values) of those that are not recent, which is lossy; None: as kv_type.
    kv_recent: tokens that see a block's keys and values in full before kv_bits does.
    state_type: "f32", or "f16" or "bf16", which are lossy: what recurrent layers' states are kept as between tokens.
    max_kv_size: of a sequence, the most tokens whose keys and values are kept, the first 4 and the most recent ones, which is lossy;
      None: all.
    snap_kv: of a longer prompt, once it is computed, the tokens whose keys and values are kept, which is lossy: the first ones, the last
      ones and those that its end attends most; a multiple of 256. None: all.
    spill: a folder on a fast disk for keys and values that ram has no room for; they come back to the bit, and nothing is left there.
    spill_limit: most that is written there, all in all, as "20GB" (None) or bytes.
    draft_model: a smaller model with the same vocabulary, named as `model`, which guesses tokens; ram is for both.
    speculate: "auto" checks guessed tokens where that was measured to be faster, "always", "off"; "match", "mtp" or "draft" as "auto", by what
      the text repeats, the model's own drafting layer or draft_model alone. None changes a result.
    kv_reserve: tokens whose keys and values are allocated now.
    keep_prefixes: what was computed is kept for prompts to come that begin alike.
    prefetch_experts, yield_memory: read experts ahead on a guess; give memory back while the system is short of it.
    disk_cache: named sessions outlive the process, in the folder that `sluice cache` shows.
    MLX's own limit of memory that it keeps for reuse is set, for the whole process, with `ram` only.
    Raises BadRequest, BadModel, Unsupported, OverBudget or IoError."""
    opened = dict(locals())  # for variant()
    options = _engine_options(
        context, threads, chunk, activations, kv_type,
        kv_reserve=kv_reserve, keep_prefixes=keep_prefixes, prefetch_experts=prefetch_experts, yield_memory=yield_memory,
    )
    if kv_bits is not None:
        options.set_kv_bits(str(kv_bits), kv_recent)
    options.set_state_type(state_type)
    if max_kv_size is not None:
        if max_kv_size < 1:
            raise BadRequest(f"max_kv_size is {max_kv_size}, it must be positive")
        options.set_max_kv_size(max_kv_size)
    if snap_kv is not None:
        if snap_kv < 1:
            raise BadRequest(f"snap_kv is {snap_kv}, it must be positive")
        options.set_snap_kv(snap_kv)
    if spill is not None:
        options.set_spill(str(spill), None if spill_limit is None else str(spill_limit))
    elif spill_limit is not None:
        raise BadRequest("spill_limit is for spill, which is not given")
    options.set_speculation(speculate)
    if ram is not None:
        options.set_ram(str(ram))
    if disk_cache:
        options.set_prompt_folder()
    return Engine(_native.Engine.open(str(model), options, None if draft_model is None else str(draft_model)), opened)


def generate(model: Engine | Session, prompt: Prompt, **options: "Unpack[Options]") -> str:
    """An answer's text. See Engine.generate() for all of the answer, and Options for what may be asked."""
    return model.generate(prompt, **options).text


def stream_generate(model: Engine | Session, prompt: Prompt, **options: "Unpack[Options]") -> Iterator[Token]:
    """An answer's tokens as they come."""
    return iter(model.stream(prompt, **options))


def batch_generate(
    model: Engine | Session, prompts: Sequence[Prompt], *, on_answer: Callable[[int, Answer], object] | None = None, **options: "Unpack[Options]"
) -> list[Answer]:
    """Answers to all prompts, computed together. Each is what generate() gives alone; with a seed, too.
    on_answer: called with each prompt's number and answer, in the order of the prompts."""
    if isinstance(prompts, str):
        raise BadRequest("prompts is one text, it must be a list of prompts")
    streams = [model.stream(prompt, **options) for prompt in prompts]
    answers = []
    for i, stream in enumerate(streams):
        answers.append(stream.read())
        if on_answer is not None:
            on_answer(i, answers[i])
    return answers


def plan(
    model: str,
    *,
    ram: str | int = "auto",
    context: int = 0,
    threads: int = 0,
    chunk: int = 512,
    activations: str = "int8",
    kv_type: str | None = None,
    sim_ram: int | None = None,
    sim_disk: float | None = None,
    sim_bandwidth: float | None = None,
) -> Mapping[str, Any]:
    """What would be where in memory, and how fast it would run, before it is loaded: what `sluice plan --json` prints.
    Of a model that is only on the hub its files' headers are read. sim_ram (bytes), sim_disk and sim_bandwidth (bytes
    per second): another machine than this one. Raises OverBudget with the sum where it does not fit, and as load()."""
    options = _engine_options(context, threads, chunk, activations, kv_type)
    found: dict[str, Any] = json.loads(_native.plan(str(model), options, str(ram), sim_ram, sim_disk, sim_bandwidth))
    return found


def pull(name: str, *, revision: str = "main", progress: Callable[[int, int], object] | None = None) -> str:
    """Downloads a model ("org/name", "org/name:Q4_K_M") from the hub and returns its directory; goes on where one was
    interrupted. progress: called with (bytes that are here, bytes of all files). Raises BadRequest or IoError."""
    return str(_native.pull(name, revision, progress))
