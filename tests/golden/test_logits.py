"""Every tiny model: logits and greedy tokens as mlx-lm computes them, however the prompt is cut."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Choices, Sluice, assert_same_choices, relative_error
from tiny.cases import CASES, Case
from tiny.gguf_cases import GGUF_CASES, GgufCase

ALL_CASES = CASES + GGUF_CASES
# Of the largest |logit|: the most that any row's middle error may be, in models of random weights. Where a token's experts are
# chosen a rounding may choose another one, whose output has nothing to do with the first, also for the tokens that
# attend to it: there a quarter of the rows must be near. Gemma 4's gates of gates multiply errors, and so do Falcon-H1's factors
# and Muse's of scores; GLM-5 may choose other keys too, and DeepSeek-V4.1
# rows, which are rounded to few bits once more.
ROW_TOLERANCE = {"int8": 4e-2, "refined": 3e-2}
ROUGHER = {"gemma4_text": 2.0, "falcon_h1": 4.0, "muse_glimmer": 1.5, "glm_moe_dsa": 1.5, "deepseek_v41": 2.0}
OTHER_EXPERTS_TOLERANCE = 0.25
# Its keys, values and queries are rounded to E4M3 and E2M1: moving the embeddings by 1e-7 moves mlx-lm's own logits by up to 0.24
# of the largest from the token on where an element falls on the other side of a tie, and its greedy tokens with them. The family
# with heads that nobody rounds is held by all of these tests; what is rounded is compared bit by bit in ops/rounding_test.cpp.
ROUNDED = "deepseek_v41-rounded"
EXPERT_KEYS = ("num_experts", "num_local_experts", "n_routed_experts", "top_k_experts", "moe_num_experts")


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.name)
def test_logits_equal_the_reference_and_do_not_depend_on_chunks(
    case: Case | GgufCase, sluice: Sluice, tiny_models: Path
) -> None:
    directory = tiny_models / case.name
    model, golden = case.model_path(directory), np.load(directory / "golden.npz")
    one_pass = sluice.logits(model, golden["tokens"])
    assert one_pass.dtype == np.float32
    if case.name.startswith(ROUNDED):
        rows = np.abs(one_pass - golden["logits"]).max(axis=1) / np.abs(golden["logits"]).max()
        assert np.quantile(rows, 0.25) < case.tolerance, np.sort(rows)
    else:
        assert relative_error(one_pass, golden["logits"]) < case.tolerance
    for chunk in (7, 1):
        assert np.array_equal(sluice.logits(model, golden["tokens"], "--chunk", chunk), one_pass), f"chunk {chunk}"


@pytest.mark.parametrize("case", [case for case in ALL_CASES if not case.name.startswith(ROUNDED)], ids=lambda case: case.name)
def test_greedy_tokens_equal_the_reference(case: Case | GgufCase, sluice: Sluice, tiny_models: Path) -> None:
    directory = tiny_models / case.name
    golden = np.load(directory / "golden.npz")
    got = sluice.greedy(case.model_path(directory), golden["prompt"], len(golden["greedy"]))
    unclear_below = case.greedy_tolerance * float(np.abs(golden["logits"]).max())
    wanted = Choices(golden["prompt"], golden["greedy"], golden["gaps"])
    assert_same_choices(got, wanted, unclear_below, sluice, case.model_path(directory))


INTEGER_CASES = [case for case in ALL_CASES if case.has_integer_weights]


@pytest.mark.parametrize("activations", ROW_TOLERANCE)
@pytest.mark.parametrize("case", INTEGER_CASES, ids=lambda case: case.name)
def test_8_bit_activations_do_not_depend_on_chunks_or_threads(
    case: Case | GgufCase, activations: str, sluice: Sluice, tiny_models: Path, tmp_path: Path
) -> None:
    directory = tiny_models / case.name
    model, golden = case.model_path(directory), np.load(directory / "golden.npz")
    tokens, out = ",".join(map(str, golden["tokens"].tolist())), tmp_path / "int8.npy"

    def logits(*options: str) -> np.ndarray:
        options = ("--tokens", tokens, "--out", out, "--ctx", 1024, "--activations", activations, *options)
        assert sluice.json("logits", model, *options)["activations"] == activations
        return np.load(out)

    one_pass = logits()
    error = np.median(np.abs(one_pass - golden["logits"]), axis=1) / np.abs(golden["logits"]).max()
    assert 0 < error.min()
    rougher = ROUGHER.get(case.config["model_type"], 1.0)
    tolerance = ROW_TOLERANCE[activations] * rougher
    if any(case.config.get(key) for key in EXPERT_KEYS):
        assert np.quantile(error, 0.25) < tolerance and error.max() < OTHER_EXPERTS_TOLERANCE * rougher, np.sort(error)
    else:
        assert error.max() < tolerance, f"row {error.argmax()}: {error.max():.4f}"
    for options in (["--chunk", 3, "--threads", 3], ["--chunk", 1, "--threads", 1]):
        assert np.array_equal(logits(*options), one_pass), options
