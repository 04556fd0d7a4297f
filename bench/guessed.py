#!/usr/bin/env python3
"""What guessed tokens give, by kind of work: Sluice with and without them and llama.cpp with its n-gram drafters, in turns.

    bench/guessed.py [--model FILE] [--tokens 160] [--rounds 3] [--only PATTERN ...] [--peer | --llama-server FILE]

Each of bench/prompts.txt is asked once of a fresh server, so that no answer is found in what was said before; a first, short question
warms it up. Compared are the tokens a second that servers report of decoding. Sluice's texts with and without guesses must be equal.
--peer: llama.cpp's server of its PyPI package, built once under build/peers, without drafts and with each of PEER_DRAFTS. The model is
a GGUF file of a model that knows ChatML. Every sample goes to bench/results. Bars: 1.25x in the mean, nowhere below 0.98x, and above
the fastest of llama.cpp's in each kind.
"""

import argparse
import json
import socket
import statistics
from dataclasses import dataclass
from datetime import datetime, timezone
from fnmatch import fnmatch
from pathlib import Path

import llama_cpp
from measure import ROOT, BenchError, circumstances, report, run_as_program
from serve_clients import posted, running
from tables import number
from workplace import SLUICE, built_at, check_not_rebuilt, fetched, write

PROMPTS = ROOT / "bench/prompts.txt"
CONTEXT = 4096
OFF, AUTO = "off", "auto"
PEER_DRAFTS = {
    "none": [],
    "ngram-simple": ["--spec-type", "ngram-simple"],
    "ngram-simple, 3 and 10": ["--spec-type", "ngram-simple", "--spec-ngram-simple-size-n", "3", "--spec-ngram-simple-size-m", "10"],
    "ngram-map-k": ["--spec-type", "ngram-map-k"],
    "ngram-mod": ["--spec-type", "ngram-mod"],
}
MEAN, WORST = 1.25, 0.98


@dataclass(frozen=True)
class Prompt:
    name: str
    temperature: float
    text: str


def prompts(patterns: list[str]) -> list[Prompt]:
    found = []
    for section in PROMPTS.read_text().split("\n== ")[1:]:
        head, _, text = section.partition("\n")
        name, _, temperature = head.partition(" = ")
        if not patterns or any(fnmatch(name, pattern) for pattern in patterns):
            found.append(Prompt(name, float(temperature or 0), text.strip()))
    return found


def chatml(text: str) -> str:
    return f"<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"


def answered(port: int, prompt: Prompt, n_tokens: int) -> dict:
    body = {"prompt": chatml(prompt.text), "max_tokens": n_tokens, "temperature": prompt.temperature, "seed": 7}
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(posted("/v1/completions", body))
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    head, _, content = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n")[0]:
        raise BenchError(f"{prompt.name}: a request was answered {answer[:300].decode(errors='replace')}")
    if b"chunked" in head.lower():
        content = unchunked(content)
    return json.loads(content)


def unchunked(content: bytes) -> bytes:
    joined = b""
    while content:
        size, _, rest = content.partition(b"\r\n")
        n = int(size, 16)
        joined, content = joined + rest[:n], rest[n + 2 :]
    return joined


def round_of(command: list[str], asked: list[Prompt], n_tokens: int) -> dict[str, dict]:
    """Name of a prompt -> tokens a second of decoding, tokens, text, tokens drafted and accepted where the server says so."""
    samples = {}
    with running(command) as port:
        answered(port, Prompt("warm-up", 0, "Say hello."), 8)
        for prompt in asked:
            answer = answered(port, prompt, n_tokens)
            timings = answer["timings"]
            samples[prompt.name] = {
                "decode_tps": 1e3 * timings["predicted_n"] / timings["predicted_ms"],
                "tokens": timings["predicted_n"],
                "text": answer["choices"][0]["text"],
                "drafted": timings.get("draft_n", 0),
                "accepted": timings.get("draft_n_accepted", 0),
            }
    return samples


def commands(options: argparse.Namespace, model: Path) -> dict[str, list[str]]:
    ours = [str(SLUICE), "serve", str(model), "--port", "{port}", "-q", "--no-disk-cache", "--threads", str(options.threads), "--ctx", str(CONTEXT)]
    found = {f"sluice {when}": [*ours, "--speculate", when] for when in (OFF, AUTO)}
    program = options.llama_server or (llama_cpp.build_server(ROOT / "build/peers") if options.peer else None)
    if program:
        peer = [str(program), "-m", str(model), "--port", "{port}", "-np", "1", "-c", str(CONTEXT), "-t", str(options.threads), "--no-webui"]
        found |= {f"llama.cpp {name}": [*peer, *drafts] for name, drafts in PEER_DRAFTS.items()}
    return found


def bench(options: argparse.Namespace) -> bool:
    """Returns whether every bar that could be looked at was held."""
    built, asked = built_at(), prompts(options.only)
    if not asked:
        raise BenchError(f"no prompt of {PROMPTS.relative_to(ROOT)} has such a name")
    model = options.model or fetched("qwen2.5-coder-1.5b-instruct")
    result = {"started": datetime.now(timezone.utc).isoformat(timespec="seconds"), **circumstances(SLUICE), "model": model.name, "tokens": options.tokens}
    samples: dict[str, list[dict[str, dict]]] = {}
    for i in range(options.rounds):
        for name, command in commands(options, model).items():
            report(f"round {i + 1} of {options.rounds}: {name}")
            samples.setdefault(name, []).append(round_of(command, asked, options.tokens))
    check_not_rebuilt(built)
    rows = [row_of(prompt.name, samples) for prompt in asked]
    held = told(rows)
    path = write(result | {"samples": samples, "rows": rows, "held": held}, "guessed-")
    print(f"every sample: {path.relative_to(ROOT)}; load average at the start: {result['machine']['load_average'][0]:.1f}")
    return held


def row_of(name: str, samples: dict[str, list[dict[str, dict]]]) -> dict:
    speed = {who: statistics.median(of[name]["decode_tps"] for of in rounds) for who, rounds in samples.items()}
    ours = [of[name] for who in (OFF, AUTO) for of in samples[f"sluice {who}"]]
    if len({of["text"] for of in ours}) != 1:
        raise BenchError(f"{name}: Sluice's text depends on whether tokens are guessed")
    row = {"name": name, "tokens": ours[0]["tokens"], "drafted": ours[-1]["drafted"], "accepted": ours[-1]["accepted"], "speed": speed}
    row["gain"] = speed[f"sluice {AUTO}"] / speed[f"sluice {OFF}"]
    peers = {who: tps for who, tps in speed.items() if who.startswith("llama.cpp")}
    if peers:
        row["best_peer"] = max(peers, key=peers.get).removeprefix("llama.cpp ")
        row["against_peer"] = speed[f"sluice {AUTO}"] / max(peers.values())
    return row


def told(rows: list[dict]) -> bool:
    """Prints the table; returns whether the bars were held."""
    print(f"{'':26} {'tokens':>6} {'accepted':>10} {'off':>6} {'auto':>6} {'gain':>6}  {'against llama.cpp':<30}")
    for row in rows:
        off, auto = (number(row["speed"][f"sluice {when}"]) for when in (OFF, AUTO))
        peer = f"{row['against_peer']:.2f}x ({row['best_peer']})" if "best_peer" in row else "-"
        accepted = f"{row['accepted']}/{row['drafted']}"
        print(f"{row['name']:26} {row['tokens']:>6} {accepted:>10} {off:>6} {auto:>6} {row['gain']:>5.2f}x  {peer}")
    mean, worst = statistics.fmean(row["gain"] for row in rows), min(row["gain"] for row in rows)
    checks = {f"mean {mean:.2f}x, at least {MEAN}x": mean >= MEAN, f"worst {worst:.2f}x, at least {WORST}x": worst >= WORST}
    if "best_peer" in rows[0]:
        least = min(row["against_peer"] for row in rows)
        checks[f"against llama.cpp's best at least {least:.2f}x, above 1x"] = least > 1
    for text, holds in checks.items():
        print(f"{text}: {'held' if holds else 'NOT HELD'}")
    return all(checks.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a GGUF file (default: Qwen2.5-Coder-1.5B of the model store)")
    parser.add_argument("--tokens", type=int, default=160, help="of an answer, at most")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="+", default=[], metavar="PATTERN")
    parser.add_argument("--peer", action="store_true", help="llama.cpp's server, too")
    parser.add_argument("--llama-server", type=Path)
    run_as_program(lambda: bench(parser.parse_args()))


if __name__ == "__main__":
    main()
