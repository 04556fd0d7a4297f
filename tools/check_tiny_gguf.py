#!/usr/bin/env python3
"""Compares what llama.cpp and Sluice compute from tiny GGUF files of every architecture.

    tools/check_tiny_gguf.py LLAMA BUILD [--python PYTHON] [--only REGEX] [--record]

LLAMA, BUILD: llama.cpp's sources and a build of them (docs/testing-with-llama-cpp.md). Two kinds of files are compared: those of
tools/make_tiny_gguf.py, and those that llama.cpp's own converter makes of tiny checkpoints (tiny/llama_cpp_cases.py), for which
PYTHON must have torch and transformers; without it they are left out.

Prints the largest differences relative to llama.cpp's largest |logit|: of Sluice ($SLUICE_BIN, exact activations) and of mlx-lm's
golden.npz. Float files must agree to 1e-4, but where a reason is known (tiny/llama_cpp_known.py). llama.cpp quantizes activations
for the other types, so their differences are only printed, as are files that it refuses, with its words. --record writes
tests/golden/llama_cpp.json, of which tools/make_models_table.py makes a column; with --only, what it says of other files stays.
"""

import argparse
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from make_tiny_gguf import make_stale
from tiny.gguf_cases import GGUF_CASES
from tiny.llama_cpp_cases import converted_cases, write_published
from tiny.llama_cpp_known import KNOWN
from tiny.making import make_stale_cases

ROOT = Path(__file__).resolve().parents[1]
SLUICE = os.environ.get("SLUICE_BIN") or ROOT / "build/release/bin/sluice"
MODELS, CONVERTED = ROOT / "build/test-models", ROOT / "build/llama-cpp"
RECORD = ROOT / "tests/golden/llama_cpp.json"
BAR = 1e-4
# Where llama.cpp chooses blocks of keys with flash attention alone.
FLASH_ATTENTION = ("minimax_m3",)


class Refused(Exception):
    """A program did not compute the logits; its last words."""


@dataclass(frozen=True)
class Compared:
    """A file that is compared. is_exact: all of its matrices are float32."""

    name: str
    model: Path
    golden: Path
    is_exact: bool
    refused: str = ""  # by the converter


def build_logits(llama: Path, build: Path) -> Path:
    """The program of tools/llama_cpp_logits.cpp."""
    program, libraries = CONVERTED / "llama_cpp_logits", build / "bin"
    source = ROOT / "tools/llama_cpp_logits.cpp"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        CONVERTED.mkdir(parents=True, exist_ok=True)
        includes = [f"-I{llama / 'include'}", f"-I{llama / 'ggml/include'}"]
        links = [f"-L{libraries}", "-lllama", "-lggml", "-lggml-base", f"-Wl,-rpath,{libraries}"]
        subprocess.run(["c++", "-std=c++20", "-O2", *includes, source, *links, "-o", program], check=True)
    return program


def written(only: str) -> Iterator[Compared]:
    """By tools/make_tiny_gguf.py."""
    make_stale(MODELS, only)
    for case in GGUF_CASES:
        if re.search(only, case.name):
            directory = MODELS / case.name
            is_exact = case.tensor_type == "F32" and not case.expert_type
            yield Compared(case.name, case.model_path(directory), directory / "golden.npz", is_exact)


def converted(llama: Path, python: str, only: str) -> Iterator[Compared]:
    """By llama.cpp's converter."""
    cases = [case for case in converted_cases() if re.search(only, case.name)]
    make_stale_cases(cases, write_published, CONVERTED, only, 2)
    directories = [CONVERTED / case.name for case in cases]
    missing = [d for d in directories if not (d / "model.gguf").exists()]
    if missing:
        environment = os.environ | {"PYTHONPATH": str(ROOT / "tools"), "PYTHONWARNINGS": "ignore"}
        command = [python, ROOT / "tools/llama_cpp_convert.py", llama, *missing]
        subprocess.run(command, check=True, env=environment, stderr=subprocess.DEVNULL)
    for case, directory in zip(cases, directories, strict=True):
        refused = directory / "refused.txt"
        words = refused.read_text().strip() if refused.exists() else ""
        if words.startswith("NotImplementedError"):
            continue  # an architecture that llama.cpp has not
        yield Compared(case.name, directory / "model.gguf", directory / "golden.npz", True, words)


def logits(command: list[str | Path], out: Path) -> np.ndarray:
    """float32 [L, vocab_size], which the command writes to out."""
    environment = os.environ | {"GGML_NO_BACKTRACE": "1"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    except subprocess.TimeoutExpired:
        raise Refused("does not end") from None
    if done.returncode != 0:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        words = [line for line in said if "error" in line.lower() or "assert" in line.lower()]
        raise Refused((words or said or [f"status {done.returncode}"])[0])
    return np.load(out)


def compare(program: Path, file: Compared) -> tuple[float, float]:
    """How far Sluice and mlx-lm are from llama.cpp. Raises Refused."""
    if file.refused:
        raise Refused(f"converter: {file.refused}")
    golden = np.load(file.golden)
    tokens = ",".join(map(str, golden["tokens"]))
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "logits.npy"
        flash = ["--flash-attention"] if file.name.startswith(FLASH_ATTENTION) else []
        theirs = logits([program, file.model, out, "--tokens", tokens, "--float32-cache", *flash], out)
        usual = ["--exact-activations", "--kv-type", "f32", "--ctx", "1024"]
        ours = logits([SLUICE, "logits", file.model, "--tokens", tokens, "--out", out, *usual], out)
    largest = np.abs(theirs).max()
    return tuple(float(np.abs(other - theirs).max() / largest) for other in (ours, golden["logits"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("llama", type=Path, metavar="LLAMA")
    parser.add_argument("build", type=Path, metavar="BUILD")
    parser.add_argument("--python", default="", metavar="PYTHON")
    parser.add_argument("--only", default="", metavar="REGEX")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    program = build_logits(options.llama, options.build)
    files = list(written(options.only))
    if options.python:
        files += converted(options.llama, options.python, options.only)
    failed, record = [], {}
    print(f"{'file':32} {'Sluice':>8} {'mlx-lm':>8}")
    for file in files:
        why = KNOWN.get(file.name, "")
        try:
            ours, golden = compare(program, file)
        except Refused as refused:
            print(f"{file.name:32} refused: {refused}  {why}", flush=True)
            record[file.name] = {"refused": str(refused).replace(str(ROOT) + "/", ""), "why": why}
            failed += [] if why else [file.name]
            continue
        print(f"{file.name:32} {ours:8.1e} {golden:8.1e}  {why}", flush=True)
        record[file.name] = {"sluice": float(f"{ours:.1e}"), "mlx_lm": float(f"{golden:.1e}"), "why": why}
        if file.is_exact and not why and ours > BAR:
            failed.append(file.name)
    if options.record:
        if options.only:
            old = json.loads(RECORD.read_text())
            record |= {name: said for name, said in old.items() if not re.search(options.only, name)}
        lines = (f"{json.dumps(name)}: {json.dumps(said)}" for name, said in sorted(record.items()))
        RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    if failed:
        raise SystemExit(f"they disagree, and nothing says why: {', '.join(failed)}")


if __name__ == "__main__":
    main()
