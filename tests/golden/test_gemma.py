"""Gemma 3 270M, Q4_K_M GGUF, against llama.cpp (tools/llama_cpp_reference.py). Needs the model that `make test` fetches."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, Choices, Sluice, assert_same_choices, sluice_home

NAME = "gemma-3-270m-q4_k_m"
REFERENCE = json.loads((ROOT / "tests/golden/gemma270m.json").read_text())
UNCLEAR_BELOW = 0.05  # of llama.cpp's two best logits
PERPLEXITY_TOLERANCE = 5e-3
FLOAT32_PERPLEXITY_TOLERANCE = 1e-3
ROUNDED_PERPLEXITY_TOLERANCE = {"int8": 2e-3, "refined": 1e-3}  # between such and float32 activations
DIVERGENCE = {"int8": 2e-3, "refined": 5e-4}  # mean Kullback-Leibler divergence of the two, in nats
WORST_DIVERGENCE = {"int8": 5e-2, "refined": 1e-2}  # of any token


@pytest.fixture(scope="module")
def gemma() -> Path:
    path = sluice_home() / "models" / NAME / f"{NAME}.gguf"
    if not path.exists():
        pytest.fail(f"{path} is not there; `make test` fetches it")
    return path


@pytest.mark.parametrize("prompt", REFERENCE["prompts"].values(), ids=REFERENCE["prompts"].keys())
def test_tokens_of_a_prompt_equal_the_reference(prompt: dict, sluice: Sluice, gemma: Path) -> None:
    assert sluice.json("tokenize", gemma, "-p", prompt["text"])["tokens"] == prompt["tokens"]


@pytest.mark.parametrize("prompt", REFERENCE["prompts"].values(), ids=REFERENCE["prompts"].keys())
def test_greedy_tokens_equal_llama_cpp_on_the_same_weights_in_float32(prompt: dict, sluice: Sluice, gemma: Path) -> None:
    """What the file's weights say, without the rounding of activations to 8 bits that llama.cpp does by default."""
    steps = np.array(prompt["steps_float32"])  # [32, 4]: best token, its logit, second, its logit
    options = ["--raw", "--temp", 0, "--exact-activations", "-n", len(steps)]
    got = sluice.json("run", gemma, "-p", prompt["text"], *options)["tokens"]
    wanted = Choices(np.array(prompt["tokens"]), steps[:, 0].astype(int), steps[:, 1] - steps[:, 3])
    assert_same_choices(got, wanted, UNCLEAR_BELOW, sluice, gemma)


def perplexity(sluice: Sluice, model: Path, *options: str) -> dict:
    text = ROOT / "tests/golden/perplexity.txt"
    return sluice.json("perplexity", model, "--file", text, "--ctx", 512, *options, timeout_s=600)


def test_perplexity_equals_the_reference(sluice: Sluice, gemma: Path) -> None:
    exact = perplexity(sluice, gemma, "--exact-activations")
    assert exact["activations"] == "float32"
    assert exact["ppl"] == pytest.approx(REFERENCE["ppl_float32"], rel=FLOAT32_PERPLEXITY_TOLERANCE)
    for activations in ("int8", "refined"):
        rounded = perplexity(sluice, gemma, "--activations", activations)
        assert rounded["activations"] == activations
        assert rounded["ppl"] == pytest.approx(REFERENCE["ppl"], rel=PERPLEXITY_TOLERANCE)
        assert rounded["ppl"] == pytest.approx(exact["ppl"], rel=ROUNDED_PERPLEXITY_TOLERANCE[activations])


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("activations", DIVERGENCE)
def test_8_bit_activations_change_little(activations: str, sluice: Sluice, gemma: Path, tmp_path: Path) -> None:
    text = (ROOT / "tests/golden/perplexity.txt").read_text()[:2500]
    tokens = ",".join(map(str, sluice.json("tokenize", gemma, "-p", text)["tokens"]))
    rows = []
    for kind in ("float32", activations):
        sluice("logits", gemma, "--tokens", tokens, "--out", tmp_path / kind, "--activations", kind)
        rows.append(log_softmax(np.load(tmp_path / kind)))
    exact, rounded = rows
    divergence = (np.exp(exact) * (exact - rounded)).sum(axis=-1)
    assert 0 < divergence.mean() < DIVERGENCE[activations]
    assert divergence.max() < WORST_DIVERGENCE[activations]
