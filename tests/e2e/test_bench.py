"""sluice bench: what its figures are called, and when there is none."""

import re

import pytest
from program import MODEL, Sluice

FIELDS = {
    "prompt_tokens",
    "generation_tokens",
    "depth",
    "batch",
    "prefill_tps",
    "decode_tps",
    "ttft_ms",
    "load_ms",
    "peak_rss_bytes",
    "memory_bandwidth",
    "disk_bandwidth",
    "bytes_active",
    "bytes_read_per_token",
    "prefill_bytes_read",
    "hit_rate",
    "bound_tps",
    "bound_no_prediction_tps",
    "fraction_of_bound",
    "activations",
    "context",
    "lossy",
    "residency",
}
PROBED = {"memory_bandwidth", "disk_bandwidth", "bound_tps", "bound_no_prediction_tps", "fraction_of_bound"}


def bench(sluice: Sluice, *options: str) -> dict:
    return sluice.json("bench", MODEL, "-r", "1", *options)


def not_measured(found: dict) -> set[str]:
    """Null residency and lossy say that there was no budget to divide and nothing given up."""
    return {name for name, value in found.items() if value is None} - {"residency", "lossy"}


def test_json_has_the_fields_of_the_contract(sluice: Sluice) -> None:
    found = bench(sluice, "-p", "20", "-n", "3")
    assert set(found) == FIELDS and not_measured(found) == set()
    assert (found["prompt_tokens"], found["generation_tokens"], found["depth"], found["batch"]) == (20, 3, 0, 1)
    assert min(found[name] for name in ("prefill_tps", "decode_tps", "ttft_ms", "load_ms", "bound_tps")) > 0
    assert 0 < found["fraction_of_bound"] <= 1
    assert 10_000_000 < found["peak_rss_bytes"] < 500_000_000


def test_without_probes_there_is_no_bound(sluice: Sluice) -> None:
    found = bench(sluice, "-p", "8", "-n", "1", "--no-warmup", "--no-probe")
    assert set(found) == FIELDS and not_measured(found) == PROBED
    assert found["decode_tps"] > 0


def test_a_prompt_or_an_answer_of_no_tokens_has_no_speed(sluice: Sluice) -> None:
    found = bench(sluice, "-p", "0", "-n", "2", "--depth", "300", "--no-probe")
    assert not_measured(found) == PROBED | {"prefill_tps", "ttft_ms"} and found["depth"] == 300
    assert not_measured(bench(sluice, "-p", "8", "-n", "0", "--no-probe")) == PROBED | {"decode_tps"}
    nothing = sluice.run("bench", MODEL, "-p", "0", "-n", "0")
    assert nothing.returncode == 2 and "-p and -n" in nothing.stderr


def test_the_bound_of_a_batch_reads_the_weights_once_for_all_sequences(sluice: Sluice) -> None:
    found = bench(sluice, "-p", "4", "-n", "2", "--batch", "3", "--depth", "5")
    assert found["batch"] == 3
    assert found["bound_tps"] == pytest.approx(3 * found["memory_bandwidth"] / found["bytes_active"])


def test_the_table_says_only_what_was_measured(sluice: Sluice) -> None:
    decoded = sluice.run("bench", MODEL, "-r", "1", "-p", "0", "-n", "2", "--batch", "2")
    assert re.match(r"decode  2 tokens in each of 2 sequences +[\d.]+ tok/s, \d+ % of the bound", decoded.stdout)
    prefilled = sluice.run("bench", MODEL, "-r", "1", "-p", "8", "-n", "0", "--no-probe")
    assert re.fullmatch(r"prefill 8 tokens +[\d.]+ tok/s\npeak [\d.]+ MB\n", prefilled.stdout)


@pytest.mark.parametrize("options", [["--depth", "4000", "-n", "97", "-p", "0"], ["-p", "4000", "--batch", "2"]], ids=" ".join)
def test_a_sequence_longer_than_the_context_is_bad_usage(sluice: Sluice, options: list[str]) -> None:
    result = sluice.run("bench", MODEL, *options)
    assert result.returncode == 2 and "context of 4096" in result.stderr and result.stdout == ""


@pytest.mark.parametrize("options", [["--batch", "0"], ["--depth", "-1"], ["-p", "-1"], ["-n", "many"], ["-r", "0"]], ids=" ".join)
def test_wrong_options_are_bad_usage(sluice: Sluice, options: list[str]) -> None:
    result = sluice.run("bench", MODEL, *options)
    assert result.returncode == 2 and result.stdout == "" and result.stderr.count("\n") == 1
