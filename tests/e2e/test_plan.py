"""sluice plan: what it says before anything runs is what a run then does."""

import json
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from program import BINARY, Sluice
from small_models import small_gguf

MB = 1_000_000
TOKENS = 24  # what bench -p 16 -n 8 keeps
MACHINE = ("--sim-disk", "2GB/s", "--sim-bandwidth", "30GB/s")
FIELDS = {
    "model",
    "architecture",
    "file_bytes",
    "bytes_active",
    "simulated",
    "kv_bits",
    "max_kv_size",
    "snap_kv",
    "kept_tokens",
    "spilled_bytes",
    "state_bits",
    "memory_bandwidth",
    "disk_bandwidth",
    "smallest_budget",
    "mapped_budget",
    "residency",
    "parts",
    "table",
    "bytes_read_per_token",
    "memory_bytes_per_token",
    "hit_rate",
    "bound_tps",
    "expected_tps",
}


def plan(sluice: Sluice, model: Path, *options: str, machine=MACHINE) -> dict:
    return sluice.json("plan", model, "--ctx", str(TOKENS), *machine, *options)


def same_model(a: dict, b: dict) -> bool:
    """The process is measured each time, and told in steps of 1 MiB."""
    return all(a[name] == b[name] for name in ("file_bytes", "bytes_active")) and all(
        abs(a[name] - b[name]) <= 1 << 20 for name in ("smallest_budget", "mapped_budget")
    )


def test_the_smallest_budget_is_what_a_refusal_names(sluice: Sluice, model: Path) -> None:
    told = sluice.least_budget("bench", model, "-p", "16", "-n", "8")
    # Both measure their process, and tell it in steps of 1 MiB.
    assert abs(plan(sluice, model)["smallest_budget"] - told) <= 1 << 20


def test_a_plan_is_what_bench_then_does(sluice: Sluice, model: Path) -> None:
    smallest = plan(sluice, model)["smallest_budget"]
    for more in (2, 5, 200):
        budget = str(smallest + more * MB)
        planned = plan(sluice, model, "--ram", budget)
        ran = sluice.json("bench", model, "-p", "16", "-n", "8", "-r", "1", "--no-probe", "--ram", budget)
        assert planned["bytes_active"] == ran["bytes_active"]
        assert planned["residency"]["budget"] == ran["residency"]["budget"]
        assert planned["residency"]["context"] == ran["residency"]["context"] == TOKENS
        assert planned["residency"]["mapped"] == ran["residency"]["mapped"] == (more == 200)
        assert abs(planned["residency"]["total"] - ran["residency"]["total"]) <= 2 * MB
        assert abs(planned["residency"]["dense_bytes_streamed"] - ran["residency"]["dense_bytes_streamed"]) <= 2 * MB
        # A slot is 0.24 MB.
        assert abs(planned["residency"]["expert_slots"] - ran["residency"]["expert_slots"]) <= 6


def test_below_the_smallest_budget_it_refuses_as_run_does(sluice: Sluice, model: Path) -> None:
    smallest = plan(sluice, model)["smallest_budget"]
    result = sluice.run("plan", model, "--ctx", str(TOKENS), "--ram", str(smallest - 3 * MB), *MACHINE)
    assert result.returncode == 4 and result.stdout == ""
    assert re.search(r"at least \d+ bytes are needed: .* process \+ .* activations \+ .* KV for 24 tokens", result.stderr)


def test_more_memory_never_reads_more(sluice: Sluice, model: Path) -> None:
    found = plan(sluice, model, "--ram", "1GB")
    table = found["table"]
    assert [row["budget"] for row in table] == sorted(row["budget"] for row in table)
    read = [row["bytes_read_per_token"] for row in table]
    assert read == sorted(read, reverse=True) and read[0] > 0 and read[-1] == 0
    assert table[0]["budget"] == found["smallest_budget"] and not table[0]["mapped"]
    assert table[-1]["budget"] == found["mapped_budget"] and table[-1]["mapped"]
    tps = [row["expected_tps"] for row in table]
    assert tps == sorted(tps) and all(row["expected_tps"] <= 1.0001 * row["bound_tps"] for row in table)


def test_json_has_its_fields_and_its_parts_add_up(sluice: Sluice, model: Path) -> None:
    smallest = plan(sluice, model)["smallest_budget"]
    found = plan(sluice, model, "--ram", str(smallest + 3 * MB))
    assert set(found) == FIELDS
    assert sum(part["memory_bytes"] for part in found["parts"]) == found["residency"]["total"]
    assert sum(part["bytes_read_per_token"] for part in found["parts"]) == found["bytes_read_per_token"]
    assert found["simulated"] and found["memory_bandwidth"] == 30e9 and found["disk_bandwidth"] == 2e9


def test_without_flags_it_is_this_machine(sluice: Sluice, model: Path) -> None:
    found = sluice.json("plan", model)
    assert not found["simulated"] and found["memory_bandwidth"] > 1e8
    assert found["residency"]["mapped"] and found["expected_tps"] > 0
    assert 100 * MB < found["residency"]["budget"]


def test_another_machine_decides_auto(sluice: Sluice, model: Path) -> None:
    def budget(size: str) -> int:
        return plan(sluice, model, "--sim-ram", size)["residency"]["budget"]

    assert budget("48GB") == 43_200_000_000 and budget("2GB") == 1_500_000_000
    fast = plan(sluice, model, "--sim-ram", "8GB", machine=("--sim-disk", "2GB/s", "--sim-bandwidth", "400GB/s"))
    assert fast["expected_tps"] > 5 * plan(sluice, model, "--sim-ram", "8GB")["expected_tps"]


@pytest.mark.parametrize(
    "flags",
    [("--sim-disk", "fast"), ("--sim-disk", "0"), ("--sim-bandwidth", "5GB/h"), ("--sim-ram", "2GB", "--ram", "3GB"), ("--ram", "much")],
)
def test_nonsense_is_bad_usage(sluice: Sluice, model: Path, flags: tuple[str, ...]) -> None:
    result = sluice.run("plan", model, *flags)
    assert result.returncode == 2 and result.stdout == ""


def test_for_people(sluice: Sluice, model: Path) -> None:
    smallest = plan(sluice, model)["smallest_budget"]
    arguments = ("plan", model, "--ctx", str(TOKENS), "--ram", str(smallest + 3 * MB), *MACHINE)
    text = sluice.run(*arguments).stdout
    for words in ("keys and values", "activations", "process", "in memory", "tok/s", "It runs from", "all is mapped", "█"):
        assert words in text, text
    assert "\x1b" not in text
    assert sluice.run(*arguments, LC_ALL="C").stdout.isascii()


def large_safetensors(directory: Path, layers: int) -> Path:
    """A checkpoint of real shapes whose weights are a hole."""
    hidden, inner, vocab, heads, kv_heads, head_dim = 8192, 28672, 128256, 64, 8, 128
    shapes = {"model.embed_tokens.weight": [vocab, hidden], "model.norm.weight": [hidden], "lm_head.weight": [vocab, hidden]}
    for i in range(layers):
        layer = f"model.layers.{i}."
        for name, rows, cols in (
            ("self_attn.q_proj", heads * head_dim, hidden),
            ("self_attn.k_proj", kv_heads * head_dim, hidden),
            ("self_attn.v_proj", kv_heads * head_dim, hidden),
            ("self_attn.o_proj", hidden, heads * head_dim),
            ("mlp.gate_proj", inner, hidden),
            ("mlp.up_proj", inner, hidden),
            ("mlp.down_proj", hidden, inner),
        ):
            shapes[f"{layer}{name}.weight"] = [rows, cols]
        shapes[layer + "input_layernorm.weight"] = shapes[layer + "post_attention_layernorm.weight"] = [hidden]
    header, offset = {}, 0
    for name, shape in shapes.items():
        end = offset + 2 * shape[0] * (shape[1] if len(shape) == 2 else 1)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    with open(directory / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + offset)
    config = {
        "model_type": "llama",
        "vocab_size": vocab,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": False,
    }
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def test_a_plan_needs_the_headers_alone(sluice: Sluice, tmp_path: Path) -> None:
    directory = large_safetensors(tmp_path, 60)
    file = directory / "model.safetensors"
    assert file.stat().st_size > 100e9 and file.stat().st_blocks < 1000
    whole = sluice.json("plan", directory, "--ram", "24GB", *MACHINE)
    assert file.stat().st_blocks < 1000 and whole["file_bytes"] == file.stat().st_size
    assert whole["bytes_read_per_token"] > 70e9 and not whole["residency"]["mapped"]

    # A hole is not how fast a disk is.
    unknown = sluice.json("plan", directory, "--ram", "24GB", "--sim-bandwidth", "30GB/s")
    assert unknown["disk_bandwidth"] is None and unknown["expected_tps"] is None and unknown["bound_tps"] is None
    assert unknown["bytes_read_per_token"] == whole["bytes_read_per_token"]

    # The first part of a download will do.
    with open(file, "r+b") as opened:
        opened.truncate(1_000_000)
    part = sluice.json("plan", directory, "--ram", "24GB", *MACHINE)
    assert same_model(part, whole)
    assert sluice.run("bench", directory, "-p", "1", "-n", "1").returncode == 3

    file.unlink()
    nothing = sluice.run("plan", directory)
    assert nothing.returncode == 3 and "its beginning is enough" in nothing.stderr


def test_a_plan_takes_little_memory(sluice: Sluice, tmp_path: Path) -> None:
    directory = large_safetensors(tmp_path, 60)
    script = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [sys.executable, "-c", script, str(BINARY), "plan", str(directory), "--ram", "24GB", *MACHINE]
    ran = subprocess.run(command, env=sluice.environment, capture_output=True, text=True, check=True, timeout=60)
    assert int(ran.stdout) * (1 if sys.platform == "darwin" else 1024) < 60 * MB


@pytest.mark.parametrize("shape", ["dense", "moe"])
def test_a_gguf_may_end_behind_its_header(sluice: Sluice, tmp_path: Path, shape: str) -> None:
    path = small_gguf(tmp_path, shape)
    whole = plan(sluice, path)
    with open(path, "r+b") as file:
        file.truncate(200_000)
    assert same_model(plan(sluice, path), whole)
    assert sluice.run("bench", path, "-p", "1", "-n", "1").returncode == 3
