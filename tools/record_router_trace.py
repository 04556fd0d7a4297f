#!/usr/bin/env python3
"""Records which experts the routers of a Qwen3-MoE checkpoint choose on held-out texts, as mlx-lm computes them in float32.

    tools/record_router_trace.py MODEL OUT [--tokens 400] [--texts 3]

MODEL is a checkpoint with heldout.json (tests/models/tiny-moe has one); OUT gets one trace a domain, as `sluice run --record-trace`
writes them (sluice/residency/experts/trace.h), and `all.jsonl` with the domains in turns. A text starts with an empty context.
"""

import argparse
import json
import sys
from pathlib import Path

import mlx.core as mx
import numpy as np
from mlx_lm.models.qwen3_moe import Qwen3MoeSparseMoeBlock
from mlx_lm.utils import load_model
from tokenizers import Tokenizer


class Recorder:
    """Stands in for the sparse block's __call__ and keeps what each layer's router chose: [L, n_experts_per_tok]."""

    def __init__(self):
        self.chosen: list[np.ndarray] = []
        compute = Qwen3MoeSparseMoeBlock.__call__

        def call(block, x):
            gates = mx.softmax(block.gate(x), axis=-1, precise=True)
            best = mx.argpartition(gates, kth=-block.top_k, axis=-1)[..., -block.top_k :]
            self.chosen.append(np.array(best[0]))
            return compute(block, x)

        Qwen3MoeSparseMoeBlock.__call__ = call

    def run(self, model, tokens: list[int]) -> np.ndarray:
        """[n_layers, L, n_experts_per_tok] of one text."""
        self.chosen.clear()
        mx.eval(model(mx.array([tokens])))
        return np.stack(self.chosen)


def write(path: Path, texts: list[np.ndarray], n_experts: int) -> None:
    """One text after the other, token by token, as decoding would have asked."""
    with path.open("w") as file:
        header = {"format": "sluice-trace", "version": 1, "n_layers": len(texts[0]), "n_experts": n_experts}
        file.write(json.dumps(header, separators=(",", ":")) + "\n")
        token = 0
        for chosen in texts:
            for step in chosen.transpose(1, 0, 2):
                for layer, experts in enumerate(step):
                    file.write(json.dumps([token, layer, 0, *experts.tolist()], separators=(",", ":")) + "\n")
                token += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokens", type=int, default=400, help="of each text")
    parser.add_argument("--texts", type=int, default=3, help="of each domain")
    args = parser.parse_args()
    model, config = load_model(args.model)
    model.set_dtype(mx.float32)
    tokenizer = Tokenizer.from_file(str(args.model / "tokenizer.json"))
    by_domain: dict[str, list[str]] = {}
    for entry in json.loads((args.model / "heldout.json").read_text()):
        by_domain.setdefault(entry["domain"], []).append(entry["text"])
    recorder = Recorder()
    args.out.mkdir(parents=True, exist_ok=True)
    chosen = {}
    for domain, texts in by_domain.items():
        print(f"record: {domain}", file=sys.stderr)
        chosen[domain] = [recorder.run(model, tokenizer.encode(t).ids[: args.tokens]) for t in texts[: args.texts]]
        write(args.out / f"{domain}.jsonl", chosen[domain], config["num_experts"])
    in_turns = [texts[i] for i in range(args.texts) for texts in chosen.values() if i < len(texts)]
    write(args.out / "all.jsonl", in_turns, config["num_experts"])


if __name__ == "__main__":
    main()
