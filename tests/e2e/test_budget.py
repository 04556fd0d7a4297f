"""--ram: the same bits at every budget, streamed or not, and a refusal that says what would do."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from program import BINARY, MODEL, Sluice
from small_models import small_model

TOKENS = ",".join(str(i * 37 % 4096) for i in range(24))
MB = 1_000_000


def floor(sluice: Sluice, model: Path, out: Path) -> int:
    return sluice.least_budget("logits", model, "--tokens", TOKENS, "--greedy", "8", "--out", out)


def test_logits_are_the_same_at_every_budget(sluice: Sluice, model: Path, tmp_path: Path) -> None:
    def logits(name: str, *options: str) -> tuple[np.ndarray, dict]:
        out = tmp_path / f"{name}.npy"
        result = sluice.json("logits", model, "--tokens", TOKENS, "--greedy", "8", "--out", out, *options)
        return np.load(out), result

    expected, mapped = logits("mapped")
    assert mapped["residency"] is None
    smallest = floor(sluice, model, tmp_path / "none.npy")
    for more in (2, 4, 6):
        for chunk in ("512", "7", "1"):
            got, result = logits("streamed", "--ram", str(smallest + more * MB), "--chunk", chunk)
            assert not result["residency"]["mapped"]
            assert result["residency"]["total"] <= result["residency"]["budget"]
            assert np.array_equal(got, expected), (more, chunk)
            assert result["greedy"] == mapped["greedy"]


@pytest.mark.parametrize("chunk", ["1", "5", "16", "17"])
def test_a_streamed_prompt_in_small_chunks_goes_on_as_it_should(sluice: Sluice, chunk: str) -> None:
    """With a trained model, since random ones hardly look back, and a process that computes it once."""
    text = "Once upon a time a small boat sailed across the wide sea and nobody knew where it went, until one day it came home"
    run = ("run", MODEL, "--raw", "-n", "12", "--ctx", "256", "-p", text)
    got = sluice.json(*run, "--ram", str(sluice.least_budget(*run) + 2 * MB), "--chunk", chunk)
    assert got["residency"]["expert_slots"] > 0 and got["tokens"] == sluice.json(*run)["tokens"]


def test_a_draft_model_shares_the_budget(sluice: Sluice) -> None:
    run = ("run", MODEL, "--raw", "-n", "40", "-p", "Once upon a time", "--temp", "0")
    options = ("--draft-model", MODEL, "--speculate", "always", "--ram")
    got = sluice.json(*run, *options, "130MB")
    assert got["speculation"]["accepted"] > 10 and got["residency"]["expert_slots"] > 0
    assert got["peak_rss_bytes"] < 130 * MB
    assert got["tokens"] == sluice.json(*run)["tokens"]
    refused = sluice.run(*run, *options, "80MB")
    assert refused.returncode == 4 and "model 1 needs" in refused.stderr


@pytest.mark.parametrize("policy", ["lru", "lfu", "lcp", "least-stale", "s3-fifo"])
def test_logits_do_not_depend_on_the_policy(sluice: Sluice, model: Path, tmp_path: Path, policy: str) -> None:
    smallest = floor(sluice, model, tmp_path / "none.npy")
    if "dense" in str(model):
        pytest.skip("it has no experts")
    outs = [tmp_path / "mapped.npy", tmp_path / "streamed.npy"]
    options = [[], ["--ram", str(smallest + 2 * MB), "--policy", policy]]
    for out, more in zip(outs, options, strict=True):
        sluice.json("logits", model, "--tokens", TOKENS, "--out", out, *more)
    assert np.array_equal(np.load(outs[0]), np.load(outs[1]))


def test_bench_counts_what_it_reads(sluice: Sluice, model: Path, tmp_path: Path) -> None:
    smallest = floor(sluice, model, tmp_path / "none.npy")
    found = sluice.json("bench", model, "-p", "16", "-n", "8", "-r", "1", "--ram", str(smallest + 2 * MB))
    assert found["bytes_read_per_token"] > 0
    assert found["bound_no_prediction_tps"] <= found["bound_tps"] * 1.0001
    assert found["peak_rss_bytes"] <= smallest + 2 * MB


@pytest.fixture(scope="module")
def windowed(tmp_path_factory) -> Path:
    """Half of its layers see 300 tokens back."""
    return small_model(tmp_path_factory.mktemp("windowed"), "windowed-mlx")


# Keys and values of 4096 tokens are 50 MB where all are seen, and 8 MB in a window.
WINDOWED_WORK = [
    "-p 16 -n 4 --ctx 4096 --kv-reserve 4096",
    "-p 16 -n 4 --ctx 4096 --kv-reserve 700",
    "-p 1500 -n 4 --chunk 128 --kv-reserve 1000",
    "-p 700 -n 300",
    "-p 40 -n 4 --depth 1100",
    "-p 300 -n 4 --batch 4 --kv-reserve 304",
]


@pytest.mark.parametrize("work", WINDOWED_WORK)
def test_the_peak_stays_below_the_smallest_budget_with_windows(sluice: Sluice, windowed: Path, work: str) -> None:
    """Streamed, and where all is mapped: keys and values have the same cap there."""
    bench = ("bench", windowed, *work.split(), "-r", "1", "--no-probe")
    least = sluice.least_budget(*bench)
    for more, mapped in ((MB, False), (60 * MB, True)):
        found = sluice.json(*bench, "--ram", str(least + more))
        assert found["residency"]["mapped"] == mapped
        assert found["peak_rss_bytes"] <= least + more


def test_a_reserve_costs_a_window_no_more_than_it_keeps(sluice: Sluice, windowed: Path) -> None:
    bench = ("bench", windowed, "-p", "16", "-n", "4", "-r", "1", "--no-probe", "--ctx", "4096")
    used, reserved = (sluice.json(*bench, *more)["peak_rss_bytes"] for more in ((), ("--kv-reserve", "4096")))
    assert reserved - used < 75 * MB  # 58 MB; 101 where each layer keeps all


WORK = [
    "-p 16 -n 4",
    "-p 600 -n 2 --chunk 128",
    "-p 300 -n 2 --exact-activations",
    "-p 20 -n 4 --batch 8",
    "-p 20 -n 4 --depth 300",
    "-p 300 -n 4 --threads 16",
    "-p 16 -n 4 --ctx 2048 --kv-reserve 2048",
]


@pytest.mark.parametrize("work", WORK)
def test_the_peak_stays_below_the_smallest_budget(sluice: Sluice, model: Path, work: str) -> None:
    """Where there is no room that anything could hide in."""
    bench = ("bench", model, *work.split(), "-r", "1", "--no-probe")
    found = sluice.json(*bench, "--ram", str(sluice.least_budget(*bench) + MB))
    assert not found["residency"]["mapped"]
    assert found["peak_rss_bytes"] <= found["residency"]["total"]


def test_the_peak_is_not_that_of_the_program_that_started_it(sluice: Sluice) -> None:
    """getrusage() says otherwise: exec() keeps the old image's peak."""
    command = [str(BINARY), "bench", str(MODEL), "-p", "8", "-n", "2", "-r", "1", "--no-probe", "--json"]
    large = f"import subprocess\nheld = b'x' * {600 * MB}\nsubprocess.run({command!r}, check=True)"
    ran = subprocess.run([sys.executable, "-c", large], env=sluice.environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["peak_rss_bytes"] < 300 * MB


def test_a_prompt_of_many_chunks_reads_each_weight_once(sluice: Sluice, model: Path) -> None:
    if "moe" in str(model):
        pytest.skip("its slots here hold less than a layer's experts")
    bench = ("bench", model, "-p", "240", "-n", "0", "-r", "1", "--no-probe")
    budget = str(sluice.least_budget(*bench) + 4 * MB)
    one, many = (sluice.json(*bench, "--ram", budget, "--chunk", chunk) for chunk in ("240", "24"))
    assert many["prefill_bytes_read"] <= 1.05 * one["prefill_bytes_read"]


def test_a_copy_of_all_and_a_budget_exclude_each_other(sluice: Sluice, model: Path) -> None:
    result = sluice.run("bench", model, "--ram", "1GB", "--load", "copy")
    assert result.returncode == 2
    assert "--load" in result.stderr and "--ram" in result.stderr


@pytest.mark.parametrize("options", [["--record-trace", "t.jsonl"], ["--policy", "lru"], ["--no-prefetch"], ["--no-governor"], ["--profile", "p.json"]])
def test_what_only_experts_can_honour_is_refused_without_them(sluice: Sluice, model: Path, tmp_path: Path, options: list[str]) -> None:
    if "moe" in str(model):
        pytest.skip("it has experts")
    refused = sluice.run("logits", model, "--tokens", "1", "--out", tmp_path / "out.npy", "--ram", "1GB", *options)
    assert refused.returncode == 2 and "this model has no experts" in refused.stderr
