#!/usr/bin/env python3
"""Quantizes the trained tiny MoE to 4 bits for tests/models/tiny-moe, and records what mlx-lm computes from it.

    tools/make_tiny_moe.py SOURCE MODEL GOLDEN      SOURCE: the bfloat16 checkpoint with heldout.json
                                                    MODEL: directory to write, GOLDEN: .npz to write

MLX affine, 4 bits in groups of 64, routers in 8 bits, as `mlx_lm.convert -q` does; tokenizer files are copied as they are.
"""

import argparse
import json
import shutil
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import load_model, quantize_model, save_config, save_model
from tokenizers import Tokenizer

from tiny.perplexity import perplexity

COPIED = ("tokenizer.json", "tokenizer_config.json", "generation_config.json")
DOMAINS = ("cpp", "py", "pydoc", "man_en", "man_de", "handbook_en-US", "handbook_ja-JP")
BYTES_PER_DOMAIN = 12_000
N_TOKENS, N_ROWS, N_GREEDY = 96, 8, 64
PERPLEXITY_DOMAINS, PERPLEXITY_TOKENS = ("cpp", "man_en", "handbook_ja-JP"), 2048


def trim_heldout(texts: list[dict]) -> list[dict]:
    """The first whole texts of each domain in DOMAINS, up to BYTES_PER_DOMAIN."""
    kept = []
    for domain in DOMAINS:
        left = BYTES_PER_DOMAIN
        for entry in (t for t in texts if t["domain"] == domain):
            left -= len(entry["text"].encode())
            if left < 0:
                break
            kept.append(entry)
    return kept


def quantize(source: Path, directory: Path) -> None:
    model, config = load_model(source)
    model, config = quantize_model(model, config, group_size=64, bits=4)
    save_model(directory, model)
    (directory / "model.safetensors.index.json").unlink()  # one file needs no index
    save_config(config, directory / "config.json")
    for name in COPIED:
        shutil.copyfile(source / name, directory / name)


def greedy(model: nn.Module, tokens: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Returns N_GREEDY tokens after the prompt and the gap between the two best logits at each choice."""
    cache = make_prompt_cache(model)
    logits = model(mx.array([tokens]), cache=cache)[0, -1]
    chosen, gaps = [], []
    for _ in range(N_GREEDY):
        second, best = mx.sort(logits)[-2:].tolist()
        chosen.append(mx.argmax(logits).item())
        gaps.append(best - second)
        logits = model(mx.array([[chosen[-1]]]), cache=cache)[0, -1]
    return np.array(chosen, np.int32), np.array(gaps, np.float32)


def first_texts(heldout: list[dict], domains: tuple[str, ...]) -> str:
    return "".join(next(t["text"] for t in heldout if t["domain"] == domain) for domain in domains)


def record(directory: Path, golden: Path) -> None:
    """Writes text, tokens [L], rows [R], logits [R, vocab_size] at those rows, greedy [N], gaps [N], perplexity."""
    model, _ = load_model(directory)
    model.set_dtype(mx.float32)
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    heldout = json.loads((directory / "heldout.json").read_text())
    tokens = tokenizer.encode(first_texts(heldout, ("handbook_en-US",))).ids[:N_TOKENS]
    stream = tokenizer.encode(first_texts(heldout, PERPLEXITY_DOMAINS)).ids[:PERPLEXITY_TOKENS]
    rows = np.linspace(0, N_TOKENS - 1, N_ROWS).astype(np.int32)
    chosen, gaps = greedy(model, tokens)
    np.savez_compressed(
        golden,
        text=tokenizer.decode(tokens),
        tokens=np.array(tokens, np.int32),
        rows=rows,
        logits=np.array(model(mx.array([tokens]))[0])[rows],
        greedy=chosen,
        gaps=gaps,
        greedy_text=tokenizer.decode(chosen.tolist()),
        perplexity_text=tokenizer.decode(stream),
        perplexity=perplexity(model, stream, 512),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("golden", type=Path)
    args = parser.parse_args()
    args.model.mkdir(parents=True, exist_ok=True)
    quantize(args.source, args.model)
    heldout = trim_heldout(json.loads((args.source / "heldout.json").read_text()))
    (args.model / "heldout.json").write_text(json.dumps(heldout, ensure_ascii=False, indent=0))
    record(args.model, args.golden)


if __name__ == "__main__":
    main()
