"""The trained tiny MoE in the repository, 4 bits, against mlx-lm in float32 (tools/make_tiny_moe.py)."""

import json

import numpy as np
import pytest
from conftest import ROOT, Choices, Sluice, assert_same_choices, relative_error
from tokenizers import Tokenizer

MODEL = ROOT / "tests/models/tiny-moe"
GOLDEN = np.load(ROOT / "tests/golden/tiny_moe.npz")
TOLERANCE = 2e-2  # scales are bfloat16, so K and V may be stored in 16 bits


def test_logits_equal_the_reference_and_do_not_depend_on_chunks(sluice: Sluice) -> None:
    one_pass = sluice.logits(MODEL, GOLDEN["tokens"])
    assert relative_error(one_pass[GOLDEN["rows"]], GOLDEN["logits"]) < TOLERANCE
    assert np.array_equal(sluice.logits(MODEL, GOLDEN["tokens"], "--chunk", 7), one_pass)


def test_greedy_tokens_equal_the_reference(sluice: Sluice) -> None:
    got = sluice.greedy(MODEL, GOLDEN["tokens"], len(GOLDEN["greedy"]))
    unclear_below = TOLERANCE * float(np.abs(GOLDEN["logits"]).max())
    wanted = Choices(GOLDEN["tokens"], GOLDEN["greedy"], GOLDEN["gaps"])
    assert_same_choices(got, wanted, unclear_below, sluice, MODEL)


def test_run_decodes_the_tokens_it_reports(sluice: Sluice) -> None:
    prompt = str(GOLDEN["text"])
    result = sluice.json("run", MODEL, "--raw", "-p", prompt, "-n", 24, "--temp", 0)
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    assert result["prompt_tokens"] == len(GOLDEN["tokens"])
    assert result["text"] == tokenizer.decode(result["tokens"])


HELDOUT = json.loads((MODEL / "heldout.json").read_text())


@pytest.mark.parametrize("domain", sorted({entry["domain"] for entry in HELDOUT}))
def test_tokens_of_a_text_are_those_of_the_reference_tokenizer(domain: str, sluice: Sluice) -> None:
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    text = next(entry["text"] for entry in HELDOUT if entry["domain"] == domain)[:2000]
    tokens = sluice.json("tokenize", MODEL, "-p", text)["tokens"]
    assert tokens == tokenizer.encode(text).ids
    assert tokenizer.decode(tokens) == text


def test_perplexity_equals_the_reference(sluice: Sluice, tmp_path) -> None:
    file = tmp_path / "text.txt"
    file.write_text(str(GOLDEN["perplexity_text"]))
    result = sluice.json("perplexity", MODEL, "--file", file, "--ctx", 512)
    assert result["ppl"] == pytest.approx(float(GOLDEN["perplexity"]), rel=5e-3)
