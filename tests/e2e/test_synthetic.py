"""tools/make_synthetic.py: models that say what they were made to say, in both file formats, from the same seed the same bytes."""

import hashlib
import subprocess
import sys
from pathlib import Path

import limited
import numpy as np
import pytest
from program import ROOT, Sluice

VOCAB_SIZE = 3000  # more than the rows that are made at a time
SMALL = ["hidden_size=512", "n_layers=3", "n_heads=4", "n_kv_heads=2", "n_experts=8", "moe_intermediate_size=64", f"vocab_size={VOCAB_SIZE}"]


def make(out: Path, base: str, *sizes: str) -> Path:
    command = [sys.executable, ROOT / "tools/make_synthetic.py", out, "--only", base, "--as", "small", "--set", *SMALL, *sizes]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.mark.parametrize("text", ["random", "reuse", "random-q4_0"])
def test_after_every_token_comes_the_next_of_the_vocabulary(sluice: Sluice, tmp_path, text: str) -> None:
    model, tokens = make(tmp_path, f"qwen3-synthetic-moe-{text}"), [5, 6, 7, 1022, 1023, 1024, 17, VOCAB_SIZE - 1]
    done = sluice.run("logits", model, "--tokens", ",".join(map(str, tokens)), "--out", tmp_path / "logits.npy")
    assert done.returncode == 0, done.stderr
    said = np.load(tmp_path / "logits.npy").argmax(axis=1)
    assert said.tolist() == [(token + 1) % VOCAB_SIZE for token in tokens]


def test_the_same_seed_gives_the_same_bytes(tmp_path) -> None:
    made = [make(tmp_path / name, "qwen3-synthetic-moe-reuse") / "model.safetensors" for name in ("one", "other")]
    one, other = (hashlib.sha256(path.read_bytes()).digest() for path in made)
    assert one == other


def test_a_large_model_is_written_tensor_by_tensor(tmp_path) -> None:
    sizes = ["n_layers=24", "moe_intermediate_size=768", "hidden_size=1024"]
    command = ["tools/make_synthetic.py", tmp_path, "--only", "qwen3-synthetic-moe-reuse", "--as", "small", "--set", *SMALL, *sizes]
    finished = limited.run([sys.executable, *command], cwd=ROOT)
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "small/model.safetensors").stat().st_size > 250e6 and finished.peak_rss < 150e6
