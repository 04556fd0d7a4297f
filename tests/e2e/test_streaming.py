"""What a streaming run tells of itself, and the files it leaves: timeline, trace, profile."""

import json
from pathlib import Path

import pytest
from program import MODEL, Sluice

RUN = ("run", MODEL, "-p", "The kernel", "-n", "24", "--ignore-eos", "--ctx", "256")


@pytest.fixture
def budget(sluice: Sluice) -> str:
    """Enough for a third of the experts or so."""
    return str(sluice.least_budget(*RUN) + 4_000_000)


def test_a_run_tells_what_its_streaming_cost(sluice: Sluice, budget: str) -> None:
    mapped = sluice.json(*RUN)
    found = sluice.json(*RUN, "--ram", budget)
    assert found["text"] == mapped["text"] and mapped["residency"] is None
    streaming = found["residency"]["streaming"]
    assert streaming["hits"] + streaming["misses"] + streaming["late_prefetches"] >= 24 * 6 * 4
    assert streaming["bytes_read"] > 0 and streaming["evictions"] > 0 and streaming["failed_reads"] == 0
    assert 0 < streaming["hit_rate"] < 1 and 0 <= streaming["overlap"] <= 1
    assert 0 <= streaming["wasted_prefetches"] <= streaming["prefetches"]
    assert found["residency"]["governor"]["expert_bytes"] > 0


@pytest.mark.parametrize("command", [RUN, ("bench", MODEL, "-p", "8", "-n", "16", "-r", "2", "--no-probe", "--ctx", "256")])
def test_what_layers_waited_for_is_told_in_bytes(sluice: Sluice, budget: str, command: tuple) -> None:
    residency = sluice.json(*command, "--ram", budget)["residency"]
    told = residency["streaming"]
    waited = told["misses"] - told["skipped_experts"] + told["late_prefetches"]
    assert told["bytes_awaited"] == waited * residency["per_slot"] > 0


def test_prefetching_and_the_governor_can_be_turned_off_and_change_no_token(sluice: Sluice, budget: str) -> None:
    with_both = sluice.json(*RUN, "--ram", budget)
    without = sluice.json(*RUN, "--ram", budget, "--no-prefetch", "--no-governor")
    assert without["tokens"] == with_both["tokens"]
    assert with_both["residency"]["streaming"]["prefetches"] > 0
    assert without["residency"]["streaming"]["prefetches"] == 0 and without["residency"]["governor"] is None


def test_the_timeline_shows_computing_waiting_and_reading(sluice: Sluice, budget: str, tmp_path: Path) -> None:
    path = tmp_path / "timeline.json"
    sluice.json(*RUN, "--ram", str(int(budget) + 7_000_000), "--timeline", path)  # its events count too
    events = json.loads(path.read_text())["traceEvents"]
    lanes = [e["args"]["name"] for e in events if e["name"] == "thread_name"]
    assert lanes[:3] == ["compute", "waits for reads", "io 0"]
    names = {e["name"] for e in events if e["ph"] == "X"}
    assert {"moe", "wait", "demand"} <= names
    sluice.json("run", MODEL, "-p", "a", "-n", "2", "--timeline", path)
    events = json.loads(path.read_text())["traceEvents"]
    assert {e["args"]["name"] for e in events if e["name"] == "thread_name"} == {"compute"}


def test_a_trace_has_every_token_and_does_not_depend_on_the_budget(sluice: Sluice, budget: str, tmp_path: Path) -> None:
    paths = [tmp_path / "mapped.jsonl", tmp_path / "streamed.jsonl"]
    for path, options in zip(paths, ([], ["--ram", budget]), strict=True):
        sluice.json(*RUN, "--record-trace", path, *options)
    assert paths[0].read_text() == paths[1].read_text()
    header, *entries = [json.loads(line) for line in paths[0].read_text().splitlines()]
    assert header == {"format": "sluice-trace", "version": 1, "n_layers": 6, "n_experts": 32}
    decoded = [e for e in entries if e[2] == 0 and len(e) == 3 + 4]
    assert len(decoded) >= 23 * 6


def test_a_profile_warms_the_next_start(sluice: Sluice, budget: str, tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    first = sluice.json(*RUN, "--ram", budget, "--profile", profile, "--no-prefetch")
    uses = json.loads(profile.read_text())["uses"]
    assert len(uses) == 6 and all(len(layer) == 32 for layer in uses)
    second = sluice.json(*RUN, "--ram", budget, "--profile", profile, "--no-prefetch")
    assert second["tokens"] == first["tokens"]
    misses = [r["residency"]["streaming"]["misses"] for r in (first, second)]
    assert misses[1] < misses[0]
    profile.write_text('{"format": "sluice-expert-profile", "version": 1, "uses": [[1]]}')
    refused = sluice.run(*RUN, "--ram", budget, "--profile", profile)
    assert refused.returncode == 2 and "another model's" in refused.stderr


@pytest.mark.parametrize("option", ["--policy=lru", "--no-prefetch", "--no-governor", "--profile=p.json"])
def test_what_only_a_budget_can_honour_needs_one(sluice: Sluice, option: str) -> None:
    refused = sluice.run(*RUN, option)
    assert refused.returncode == 2 and "--ram" in refused.stderr


def test_lossy_options_are_told_and_do_what_they_say(sluice: Sluice, budget: str, tmp_path: Path) -> None:
    assert sluice.json(*RUN)["lossy"] is None
    fewer, trace = sluice.json(*RUN, "--top-k-experts", "2", "--record-trace", tmp_path / "t"), tmp_path / "t"
    assert fewer["lossy"] == {"top_k_experts": 2}
    assert {len(json.loads(line)) for line in trace.read_text().splitlines()[-30:]} == {3 + 2}
    assert sluice.json(*RUN, "--top-k-experts", "4")["tokens"] == sluice.json(*RUN)["tokens"], "as trained"
    adaptive = sluice.json(*RUN, "--top-k-experts", "adaptive", "--record-trace", trace)
    assert adaptive["lossy"] == {"top_k_experts": "adaptive"}
    lengths = {len(json.loads(line)) for line in trace.read_text().splitlines()[-120:]}
    assert lengths <= {4, 5, 6, 7} and len(lengths) > 1
    skipping = sluice.json(*RUN, "--ram", budget, "--on-miss", "skip")
    assert skipping["lossy"] == {"on_miss": "skip"} and skipping["residency"]["streaming"]["skipped_experts"] > 0
    for options, line in ((["--top-k-experts", "5"], "uses 4"), (["--top-k-experts", "x"], "adaptive"), (["--on-miss", "skip"], "--ram")):
        refused = sluice.run(*RUN, *options)
        assert refused.returncode == 2 and line in refused.stderr
