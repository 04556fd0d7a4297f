#!/usr/bin/env python3
"""Records what llama.cpp computes from a GGUF file: greedy tokens with the two best logits at each step, and a perplexity.

    tools/llama_cpp_reference.py BUILD MODEL.gguf TEXT OUT.json

BUILD is a llama.cpp build directory (docs/testing-with-llama-cpp.md). llama.cpp rounds activations to 8 bits where weights are
quantized. So that its rounding is not taken for the truth, everything is recorded a second time with the weights expanded to
float32.
"""

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

N_GREEDY = 32
N_CTX = 512

# Written before any model saw them, and kept whatever came out.
PROMPTS = {
    "english": "The old lighthouse had not been used for thirty years when the harbour master decided that somebody should "
    "climb its stairs again and find out why",
    "code": "def binary_search(items, target):\n    \"\"\"Return the index of target in the sorted list items, or -1.\"\"\"\n"
    "    low, high = 0, len(items) - 1\n    while low <= high:\n",
    "german": "Die Bundesrepublik Deutschland besteht aus sechzehn Ländern. Das größte Land nach der Fläche ist Bayern, "
    "das kleinste ist",
    "japanese": "東京は日本の首都であり、世界で最も人口の多い都市圏の一つです。東京の歴史は江戸時代にさかのぼり、"
    "当時は江戸と呼ばれていました。",
    "maths": "Theorem. There are infinitely many prime numbers. Proof. Suppose that there are only finitely many primes "
    "p_1, p_2, ..., p_n, and consider the number N =",
    "list": "Things to pack for a week in the mountains:\n1. Walking boots\n2. A rain jacket\n3. A map and a compass\n"
    "4. Two water bottles\n5.",
    "dialogue": '"Did you lock the door?" asked Maria.\n"I thought you did," said Tom.\n"I never lock the door. You always '
    'lock the door."\n',
    "poem": "The wind went walking through the wheat,\nIt had no shadow and no feet,\nIt asked the poppies for the way\n"
    "And in the evening",
}


def greedy(program: Path, model: Path, text: str) -> dict:
    """Returns {"text", "tokens", "steps": [[id, logit, second id, its logit], ...]}."""
    with tempfile.NamedTemporaryFile(suffix=".npy") as out:
        command = [program, model, out.name, "--text", text, "--greedy", str(N_GREEDY)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        logits = np.load(out.name)[-N_GREEDY:]
    tokens = json.loads(done.stdout)
    assert len(tokens["prompt"]) >= 20, f"only {len(tokens['prompt'])} tokens: {text}"
    steps = []
    for row, chosen in zip(logits, tokens["greedy"]):
        best, second = np.argsort(-row, kind="stable")[:2]
        assert best == chosen
        steps.append([int(best), round(float(row[best]), 4), int(second), round(float(row[second]), 4)])
    return {"text": text, "tokens": tokens["prompt"], "steps": steps}


def perplexity(program: Path, model: Path, text: Path) -> float:
    arguments = ["-m", model, "-f", text, "-c", str(N_CTX), "-t", "1"]
    done = subprocess.run([program, *arguments], check=True, capture_output=True, text=True)
    return float(re.search(r"Final estimate: PPL = ([\d.]+)", done.stdout + done.stderr)[1])


def expand_to_float32(program: Path, model: Path, expanded: Path) -> None:
    subprocess.run([program, "--allow-requantize", model, expanded, "F32"], check=True, capture_output=True)


def version(program: Path) -> str:
    done = subprocess.run([program, "--version"], check=True, capture_output=True, text=True)
    return re.search(r"version: (.*)", done.stdout + done.stderr)[1]


def instruction_sets(model: Path, program: Path, text: Path) -> str:
    """What llama.cpp's CPU backend used: its last digits depend on it."""
    done = subprocess.run([program, "-m", model, "-f", text, "-c", "32", "--chunks", "1"], capture_output=True, text=True)
    line = re.search(r"CPU : (.*)", done.stdout + done.stderr)[1]
    return " ".join(re.findall(r"(\w+) = 1", line))


def greedy_prompts(program: Path, model: Path, float32_model: Path) -> dict:
    prompts = {name: greedy(program, model, text) for name, text in PROMPTS.items()}
    for prompt in prompts.values():
        prompt["steps_float32"] = greedy(program, float32_model, prompt["text"])["steps"]
    return prompts


def main() -> None:
    build, model, text, out = map(Path, sys.argv[1:])
    logits, ppl, quantize = (build / "bin" / name for name in ("llama_cpp_logits", "llama-perplexity", "llama-quantize"))
    with tempfile.TemporaryDirectory() as scratch:
        float32_model = Path(scratch) / "float32.gguf"
        expand_to_float32(quantize, model, float32_model)
        reference = {
            "llama.cpp": version(ppl),
            "cpu": instruction_sets(model, ppl, text),
            "model_sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
            "greedy_command": f"llama_cpp_logits MODEL OUT --text TEXT --greedy {N_GREEDY}",
            "prompts": greedy_prompts(logits, model, float32_model),
            "perplexity_command": f"llama-perplexity -m MODEL -f {text.name} -c {N_CTX} -t 1",
            "ppl": perplexity(ppl, model, text),
            "ppl_float32": perplexity(ppl, float32_model, text),
        }
    lines = json.dumps(reference, ensure_ascii=False, indent=1)
    flat = re.sub(r"\[[^][]*\]", lambda found: " ".join(found[0].split()), lines)  # lists of numbers on one line
    out.write_text(flat + "\n")


if __name__ == "__main__":
    main()
