"""Fixtures: the sluice binary as a function, and the tiny models, made once per version of the tools."""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

BINARY = Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/bin/sluice"))
TINY_MODELS = Path(os.environ.get("SLUICE_TEST_MODELS", ROOT / "build/test-models"))


LEAST_CLEAR = 0.5  # of a reference's steps must be far enough from a tie to be compared


class Sluice:
    """Runs the binary; a failure shows its stderr."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch

    def __call__(self, *args: Any, timeout_s: float = 300) -> str:
        done = subprocess.run([BINARY, *map(str, args)], capture_output=True, text=True, timeout=timeout_s)
        assert done.returncode == 0, f"sluice {' '.join(map(str, args))}: exit {done.returncode}\n{done.stderr[-2000:]}"
        return done.stdout

    def json(self, *args: Any, timeout_s: float = 300) -> dict:
        return json.loads(self(*args, "--json", timeout_s=timeout_s))

    def logits(self, model: Path, tokens: np.ndarray, *args: Any) -> np.ndarray:
        """Returns float32 [len(tokens), vocab_size]."""
        out = self._scratch / "logits.npy"
        self("logits", model, "--tokens", comma_separated(tokens), "--out", out, *reference_options(model), *args)
        return np.load(out)

    def greedy(self, model: Path, prompt: np.ndarray, n: int) -> list[int]:
        """Returns the n tokens of largest logit that follow the prompt."""
        out = self._scratch / "prompt.npy"
        tokens = comma_separated(prompt)
        return self.json(
            "logits", model, "--tokens", tokens, "--out", out, *reference_options(model), "--greedy", n
        )["greedy"]


def sluice_home() -> Path:
    """As sluice::engine::ModelStore::default_root()."""
    if home := os.environ.get("SLUICE_HOME"):
        return Path(home)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sluice"


def reference_options(model: Path) -> list[str]:
    """What makes Sluice compute as the references do: float32 activations, and for a GGUF (whose references are
    made from its dequantized weights) float32 keys and values. Tiny models claim contexts shorter than the tests."""
    kv_type = ["--kv-type", "f32"] if model.suffix == ".gguf" else []
    return ["--exact-activations", "--ctx", "1024", *kv_type]


def comma_separated(tokens: np.ndarray) -> str:
    return ",".join(str(int(t)) for t in tokens)


def random_tokens(directory: Path, n: int) -> np.ndarray:
    """Of a tiny model's vocabulary."""
    vocab = int(np.load(directory / "golden.npz")["logits"].shape[1])
    return np.random.default_rng(5).integers(0, vocab, n)


def refusal(model: Path, scratch: Path, *options: str) -> str:
    """What `sluice logits` with these options says, which refuses them."""
    command = [BINARY, "logits", model, "--tokens", comma_separated(np.arange(3)), "--out", scratch / "x.npy", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    return done.stderr


def relative_error(got: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference relative to the largest |logit|."""
    assert got.shape == wanted.shape, f"got {got.shape}, wanted {wanted.shape}"
    return float(np.abs(got - wanted).max() / np.abs(wanted).max())


class Choices(NamedTuple):
    """A reference's greedy tokens after a prompt, and how far its two best logits lay apart at each."""

    prompt: np.ndarray
    tokens: np.ndarray
    gaps: np.ndarray


def assert_same_choices(got: list[int], wanted: Choices, unclear_below: float, sluice: Sluice, model: Path) -> None:
    """Equal at every step but where the reference's two best logits lie closer than unclear_below. After the first such
    step that differs, the texts part: from there on the model chooses after the reference's tokens, so that every step
    is compared."""
    assert len(got) == len(wanted.tokens)
    clear = wanted.gaps >= unclear_below
    assert clear.sum() >= LEAST_CLEAR * len(clear), f"only {clear.sum()} of {len(clear)} steps say anything"
    different = np.array(got) != wanted.tokens
    if not different.any():
        return
    first = int(different.argmax())
    assert not clear[first], f"step {first}: got {got[first]}, wanted {wanted.tokens[first]}, gap {wanted.gaps[first]:.4f}"
    given = np.concatenate([wanted.prompt, wanted.tokens[:-1]])
    best = sluice.logits(model, given)[len(wanted.prompt) - 1 :].argmax(axis=1)
    wrong = np.flatnonzero((best != wanted.tokens) & clear)
    assert wrong.size == 0, f"steps {wrong}: got {best[wrong]}, wanted {wanted.tokens[wrong]}, gaps {wanted.gaps[wrong]}"


@pytest.fixture
def sluice(tmp_path: Path) -> Sluice:
    return Sluice(tmp_path)


@pytest.fixture(scope="session")
def tiny_models() -> Path:
    """The directory of all tiny models; test programs that start together make them once."""
    import make_tiny_gguf
    import make_tiny_models

    TINY_MODELS.mkdir(parents=True, exist_ok=True)
    with (TINY_MODELS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        make_tiny_models.make_stale(TINY_MODELS)
        make_tiny_gguf.make_stale(TINY_MODELS)
    return TINY_MODELS
