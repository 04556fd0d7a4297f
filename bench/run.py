#!/usr/bin/env python3
"""Is a mapped model as fast and as small as a copied one? Prints three tables, writes all samples to bench/results.

    make bench
    bench/run.py [--gemma FILE] [--repeats N]

The three benchmarks are those of the paper that tables.py names: loading (mapped, copied, mlx-lm), inference (mapped, copied),
keys and values reserved when loading (off, 2048 and 4096 tokens). Every sample is a fresh process with the page cache warm; the
first two share their processes. No tokenizer is loaded, as mlx-lm's load_model loads none; only a GGUF always brings its own.
$SLUICE_BIN names another binary than build/release/bin/sluice. A row that did not hold is told, not an exit status.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Literal

import tables
from measure import ROOT, Sample, alternate, circumstances, medians, run, run_as_program
from workplace import SLUICE, built_at, check_not_rebuilt, fetched, tool, write

SYNTHETIC = ROOT / "build/bench-models"
LOAD_MODES = {"mapped": "map", "copied": "copy"}
RESERVE_LENGTHS = (240, 20)  # prompt and generated tokens: they cross the first border between KV blocks


@dataclass(frozen=True)
class Model:
    """What is measured of one model.

    lengths: prompt and generated tokens of the inference benchmark. reserved: tokens whose keys and values are allocated when
    loading, 0 first. mlx_lm: whether that loads it too, and whether it then computes a token: on a CPU that takes seconds.
    """

    name: str
    path: Path
    lengths: tuple[int, int]
    reserved: tuple[int, ...] = ()
    mlx_lm: Literal["no", "load", "token"] = "load"


def models(gemma: Path, scratch: Path) -> list[Model]:
    tiny = scratch / "tiny-moe"
    tiny.mkdir()
    for name in ("config.json", "model.safetensors"):
        (tiny / name).symlink_to(ROOT / "tests/models/tiny-moe" / name)
    return [
        Model("tiny-moe", tiny, (256, 128), reserved=(0, 2048, 4096), mlx_lm="token"),
        # mlx-lm reads no GGUF.
        Model("gemma-3-270m-q4_k_m", gemma, (64, 32), reserved=(0, 2048, 4096), mlx_lm="no"),
        Model("qwen3-synthetic-0.6b", SYNTHETIC / "qwen3-synthetic-0.6b", (32, 16), reserved=(0, 4096)),
        Model("qwen3-synthetic-1.7b", SYNTHETIC / "qwen3-synthetic-1.7b", (32, 16)),
    ]


def sluice_bench(model: Model, lengths: tuple[int, int], *options: str) -> Sample:
    """load_ms, ttft_ms, prefill_tps, decode_tps and peak_mb of one process, its warm-up included in the peak."""
    prompt, generate = lengths
    command = [str(SLUICE), "bench", str(model.path), "-p", str(prompt), "-n", str(generate), "-r", "1", "--json"]
    told = json.loads(run([*command, *options]).stdout)
    kept = {metric: told[metric] for metric in ("load_ms", "ttft_ms", "prefill_tps", "decode_tps")}
    # The program's own figure: after it, probing the memory's bandwidth allocates 1 GB.
    return {**kept, "peak_mb": told["peak_rss_bytes"] / 1e6, "memory_gb_per_s": told["memory_bandwidth"] / 1e9}


def sluice_sample(model: Model, mode: str, scratch: Path) -> Sample:
    """A `sluice bench`, and a process that computes one token's logits and ends: that one's peak is load_peak_mb."""
    sample = sluice_bench(model, model.lengths, "--load", mode)
    command = [str(SLUICE), "logits", str(model.path), "--load", mode, "--tokens", "2", "--out", str(scratch / "logits.npy")]
    process = run(command)
    return {**sample, "start_to_first_token_ms": process.wall_ms, "load_peak_mb": process.peak_mb}


def mlx_lm_sample(model: Model) -> Sample:
    tokens = ["--token"] if model.mlx_lm == "token" else []
    process = run([sys.executable, "bench/mlx_lm_load.py", str(model.path), *tokens])
    sample = {"load_ms": json.loads(process.stdout)["load_ms"], "load_peak_mb": process.peak_mb}
    return {**sample, "start_to_first_token_ms": process.wall_ms} if tokens else sample


class Benchmarks:
    """rows: of the three tables; samples: every single value, for the JSON."""

    def __init__(self, repeats: int, scratch: Path) -> None:
        self.repeats = repeats
        self.scratch = scratch
        self.rows: dict[str, list[tables.Row]] = {kind: [] for kind in tables.COLUMNS}
        self.samples: list[dict] = []
        self.empty_mb = run([str(SLUICE), "--version"]).peak_mb

    def inspect(self, model: Model) -> dict:
        return json.loads(run([str(SLUICE), "inspect", str(model.path), "--json"]).stdout)

    def measure(
        self, kind: str, model: Model, lengths: tuple[int, int], variants: dict[str, Callable[[], Sample]]
    ) -> dict[str, Sample]:
        series = alternate(f"{kind}, {model.name}", variants, self.repeats)
        found = medians(series)
        self.samples.append({"benchmark": kind, "model": model.name, "prompt_and_generated_tokens": lengths})
        self.samples[-1] |= {"medians": found, "samples": series}
        return found

    def load_and_inference(self, model: Model) -> None:
        variants = {name: partial(sluice_sample, model, mode, self.scratch) for name, mode in LOAD_MODES.items()}
        if model.mlx_lm != "no":
            variants["mlx-lm"] = partial(mlx_lm_sample, model)
        found = self.measure("load and inference", model, model.lengths, variants)
        file_mb = self.inspect(model)["file_bytes"] / 1e6
        load = tables.load_row(model.name, found, file_mb, self.empty_mb)
        inference = tables.inference_row(model.name, found, file_mb, self.empty_mb)
        self.rows["load"].append(load)
        self.rows["inference"].append(inference)
        self.samples[-1]["held"] = {"load": load.verdicts, "inference": inference.verdicts}

    def reserve(self, model: Model) -> None:
        if not model.reserved:
            return
        variants = {
            str(n): partial(sluice_bench, model, RESERVE_LENGTHS, "--kv-reserve", str(n)) for n in model.reserved
        }
        found = self.measure("reserve", model, RESERVE_LENGTHS, variants)
        shape = self.inspect(model)
        # Keys and values, 16 bits each: the KV type of all these models.
        per_token = 2 * 2 * shape["n_layers"] * shape["n_kv_heads"] * shape["head_dim"]
        rows = tables.reserve_rows(model.name, found, per_token)
        self.rows["reserve"].extend(rows)
        self.samples[-1]["held"] = {str(n): row.verdicts for n, row in zip(model.reserved, rows, strict=True)}


def bench(options: argparse.Namespace) -> None:
    started, clock = datetime.now(timezone.utc).isoformat(timespec="seconds"), time.monotonic()
    built = built_at()
    tool("tools/make_synthetic.py", str(SYNTHETIC))
    gemma = options.gemma.resolve() if options.gemma else fetched("gemma-3-270m-q4_k_m")
    around = circumstances(SLUICE)
    with tempfile.TemporaryDirectory() as scratch:
        benchmarks = Benchmarks(options.repeats, Path(scratch))
        measured = models(gemma, Path(scratch))
        for model in measured:
            benchmarks.load_and_inference(model)
        for model in measured:
            benchmarks.reserve(model)
    check_not_rebuilt(built)
    method = f"medians of {options.repeats} fresh processes, variants in turns, one round before that does not count, "
    result = {"started": started, "seconds": time.monotonic() - clock, "method": method + "page cache warm", **around}
    result |= {"criteria": tables.CRITERIA, "empty_process_mb": benchmarks.empty_mb, "benchmarks": benchmarks.samples}
    for kind, rows in benchmarks.rows.items():
        print(f"{kind}\n\n{tables.markdown(kind, rows)}\n")
    machine = around["machine"]
    busy = machine["load_average"][0]
    print(f"load average at the start: {busy:.1f} on {machine['cores']} cores")
    if busy > machine["cores"] / 2:
        print("the machine was busy: what is told of speed and loading may be noise, memory is not")
    print(f"{result['seconds']:.0f} s; every sample and what `held` means: {write(result).relative_to(ROOT)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gemma", type=Path, help="Gemma 3 270M's GGUF (default: from the model store)")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error("--repeats must be positive")
    run_as_program(lambda: bench(options))


if __name__ == "__main__":
    main()
