"""SmolLM2-135M-Instruct, the default model, against mlx-lm and transformers (tools/make_smollm2_reference.py).

Needs the model that `make test` fetches.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, Choices, Sluice, assert_same_choices, sluice_home

NAME = "smollm2-135m-instruct"
CHATS = json.loads((ROOT / "tests/golden/smollm2.json").read_text())
VECTORS = json.loads((ROOT / "tests/golden/smollm2_vectors.json").read_text())
UNCLEAR_BELOW = 0.02  # of the two best logits
END = 2
# As a command line has them: the last turn, and a system prompt before it.
ONE_TURN = {name: chat for name, chat in CHATS.items() if [m["role"] for m in chat["messages"]] in (["user"], ["system", "user"])}


@pytest.fixture(scope="module")
def smollm2() -> Path:
    path = sluice_home() / "models" / NAME
    if not list(path.glob("*.gguf")):
        pytest.fail(f"{path} is not there; `make test` and `make run` fetch it")
    return path


def options_of(chat: dict) -> list[str]:
    system = [m["content"] for m in chat["messages"] if m["role"] == "system"]
    return ["-p", chat["messages"][-1]["content"], *(["--system", system[0]] if system else [])]


def assert_answers(sluice: Sluice, model: Path, chat: dict, tokens: list[int]) -> None:
    steps = np.array([step for step in chat["steps"] if step[0] != END])  # [n, 4]: best token, its logit, second, its logit
    wanted = Choices(np.array(chat["tokens"]), steps[:, 0].astype(int), steps[:, 1] - steps[:, 3])
    assert_same_choices(tokens, wanted, UNCLEAR_BELOW, sluice, model)


@pytest.mark.parametrize("name", CHATS)
def test_a_rendered_chat_has_the_tokens_of_the_reference(sluice: Sluice, smollm2: Path, name: str) -> None:
    assert sluice.json("tokenize", smollm2, "-p", CHATS[name]["prompt"], "--no-bos")["tokens"] == CHATS[name]["tokens"]


@pytest.mark.parametrize("name", CHATS)
def test_the_answer_to_a_rendered_chat_is_that_of_the_reference(sluice: Sluice, smollm2: Path, name: str) -> None:
    chat = CHATS[name]
    got = sluice.json("run", smollm2, "--raw", "-p", chat["prompt"], "--exact-activations", "-n", len(chat["steps"]))
    assert_answers(sluice, smollm2, chat, got["tokens"])


@pytest.mark.parametrize("name", ONE_TURN)
def test_run_renders_the_chat_itself(sluice: Sluice, smollm2: Path, name: str) -> None:
    chat = ONE_TURN[name]
    got = sluice.json("run", smollm2, *options_of(chat), "--exact-activations", "-n", len(chat["steps"]))
    assert got["prompt_tokens"] == len(chat["tokens"])
    assert_answers(sluice, smollm2, chat, got["tokens"])


def test_the_default_model_knows_the_capital_of_france(sluice: Sluice, smollm2: Path) -> None:
    """With no MODEL named."""
    got = sluice.json("run", "-p", "What is the capital of France?", "--exact-activations")
    assert got["text"] == "The capital of France is Paris." and got["finish_reason"] == "stop"


def test_a_texts_vector_is_the_mean_of_the_states_that_mlx_lm_computes(sluice: Sluice, smollm2: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(VECTORS) + "\n")
    wanted = np.array([vectors["mean"] for vectors in VECTORS.values()])

    def got(*options: str) -> np.ndarray:
        result = sluice.json("embed", smollm2, "--file", texts, "--lines", *options)
        assert result["pooling"] == "mean" and result["tokens"] == sum(len(v["tokens"]) for v in VECTORS.values())
        return np.array(result["vectors"])

    exact = got("--exact-activations")
    assert np.abs(exact - wanted).max() < 2e-4
    assert np.array_equal(got("--exact-activations", "--chunk", "3"), exact)
    assert ((got() * wanted).sum(axis=1) > 0.995).all()  # activations of 8 bits
    out = tmp_path / "vectors.npy"
    shape = sluice.json("embed", smollm2, "--file", texts, "--lines", "--dimensions", "64", "--out", out)["shape"]
    short = np.load(out)
    assert short.shape == tuple(shape) == (len(VECTORS), 64)
    assert np.allclose(np.linalg.norm(short, axis=1), 1, atol=1e-5)
