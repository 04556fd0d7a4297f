#!/usr/bin/env python3
"""Records what llama.cpp computes from a GGUF file: greedy tokens with the two best logits at each step, and a perplexity.

    tools/llama_cpp_reference.py BUILD MODEL.gguf TEXT OUT.json

BUILD is a llama.cpp build directory (docs/testing-with-llama-cpp.md). llama.cpp rounds activations to 8 bits where weights are
quantized. So that its rounding is not taken for the truth, everything is computed a second time with the weights expanded to
float32: the greedy tokens must be the same, and both perplexities are recorded.
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

# Each continuation is clear: rounded activations move the gap between two logits by up to 1.
PROMPTS = {
    "english": "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of "
    "foolishness, it was the epoch of belief,",
    "code": "public class Main {\n    public static void main(String[] args) {\n        int a = 1;\n        int b = 2;\n"
    "        int c = 3;\n        int d =",
    "german": "Wer reitet so spät durch Nacht und Wind? Es ist der Vater mit seinem Kind. Wer reitet so spät durch Nacht "
    "und Wind?",
    "japanese": "古池や蛙飛びこむ水の音。古池や蛙飛びこむ水の音。古池や",
    "maths": "7 x 1 = 7\n7 x 2 = 14\n7 x 3 = 21\n7 x 4 = 28\n7 x 5 = 35\n7 x 6 =",
    "list": "Things to take to the mountains:\n1. Boots\n2. Map\n3. Rope\n4. Lamp\n5. Tent\n\n"
    "Things to take to the mountains:\n1. Boots\n2.",
    "dialogue": "Q: What is the capital of France?\nA: Paris.\nQ: What is the capital of Italy?\nA: Rome.\n"
    "Q: What is the capital of Spain?\nA:",
    "poem": "Roses are red,\nViolets are blue,\nSugar is sweet,\nAnd so are you.\n\nRoses are red,\n",
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
    for name, prompt in prompts.items():
        again = greedy(program, float32_model, prompt["text"])
        if [step[0] for step in again["steps"]] != [step[0] for step in prompt["steps"]]:
            raise SystemExit(f"{name}: llama.cpp's rounding changes the tokens, take another prompt")
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
