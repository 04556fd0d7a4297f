#!/usr/bin/env python3
"""Sluice's server and llama.cpp's under the same clients, in turns: total tokens a second, times to the first token and between tokens.

    bench/serve.py [--model FILE] [--clients 1,2,4,8,16] [--rounds 3] [--tokens 32,256] [--llama-server FILE] [--out FILE]

A round starts one server, has every client ask so many times in a row, each prompt 200 words of its own, and ends it; servers take
turns. --llama-server: llama.cpp's own binary (bench/llama_cpp.py builds it); without it Sluice is measured alone.
"""

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PORT = 18080
REQUESTS = 3  # of a client in a round
WORDS = ("river stone market window letter garden winter engine table paper music bridge forest silver morning island captain "
         "story valley harbor copper lantern orchard thunder ribbon castle meadow compass feather anchor").split()


@dataclass
class Heard:
    """What one round's clients heard: seconds, and tokens of all."""

    first: list[float] = field(default_factory=list)
    between: list[float] = field(default_factory=list)
    tokens: int = 0
    wall: float = 0.0


def prompt(seed: int) -> str:
    words = random.Random(seed)
    return "Continue this text. " + " ".join(words.choice(WORDS) for _ in range(200))


@contextmanager
def server(command: list[str]):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        asyncio.run(ready(process))
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


async def ready(process: subprocess.Popen) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise SystemExit(f"the server ended with {process.returncode}")
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
            writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
            if b" 200 " in answer.split(b"\r\n")[0]:
                return
        except OSError:
            pass
        await asyncio.sleep(0.1)
    raise SystemExit("the server does not become ready")


async def ask(seed: int, n_tokens: int, heard: Heard) -> None:
    body = json.dumps({"prompt": prompt(seed), "max_tokens": n_tokens, "stream": True, "temperature": 0,
                       "ignore_eos": True, "seed": 1}).encode()
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT, limit=1 << 22)
    writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
                 b"Content-Length: %d\r\n\r\n" % len(body) + body)
    last = None
    tokens = 0
    async for line in reader:
        if not line.startswith(b"data: {"):
            if b"[DONE]" in line:
                break
            continue
        chunk = json.loads(line[6:])
        if not chunk.get("choices") or not chunk["choices"][0].get("text"):
            continue
        now = time.monotonic()
        (heard.first if last is None else heard.between).append(now - (began if last is None else last))
        last = now
        tokens += 1
    writer.close()
    if tokens == 0:
        raise SystemExit("a request got no text")
    heard.tokens += n_tokens


async def clients(n: int, n_tokens: int, seed: int) -> Heard:
    heard = Heard()

    async def client(i: int) -> None:
        for k in range(REQUESTS):
            await ask(seed + i * 1000 + k, n_tokens, heard)

    began = time.monotonic()
    await asyncio.gather(*(client(i) for i in range(n)))
    heard.wall = time.monotonic() - began
    return heard


def p95(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(0.95 * len(values)))] if values else 0.0


def figures(heard: Heard) -> dict[str, float]:
    return {"tokens_per_s": heard.tokens / heard.wall, "first_p50_ms": statistics.median(heard.first) * 1e3,
            "first_p95_ms": p95(heard.first) * 1e3, "between_p95_ms": p95(heard.between) * 1e3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=str(Path.home() / ".cache/sluice/models/smollm2-135m-instruct"))
    parser.add_argument("--sluice", default=str(ROOT / "build/release/bin/sluice"))
    parser.add_argument("--llama-server")
    parser.add_argument("--clients", default="1,2,4,8,16")
    parser.add_argument("--tokens", default="32,256")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    model = Path(options.model)
    file = next(model.glob("*.gguf"), None) if model.is_dir() else model
    servers = {"sluice": [options.sluice, "serve", options.model, "--port", str(PORT), "-q"]}
    if options.llama_server:
        servers["llama.cpp"] = [options.llama_server, "-m", str(file), "--port", str(PORT), "-np", "16", "-c", "32768", "-t", "2",
                                "--no-webui"]
    samples: list[dict] = []
    for n_tokens in map(int, options.tokens.split(",")):
        for n in map(int, options.clients.split(",")):
            for round_ in range(options.rounds):
                for name, command in servers.items():
                    with server(command):
                        asyncio.run(clients(1, 8, 777))  # warms up
                        heard = asyncio.run(clients(n, n_tokens, round_ * 100_000))
                    samples.append({"server": name, "clients": n, "tokens": n_tokens, **figures(heard)})
            for name in servers:
                mine = [s for s in samples if (s["server"], s["clients"], s["tokens"]) == (name, n, n_tokens)]
                told = {k: statistics.median(s[k] for s in mine) for k in figures(Heard([1], [1], 1, 1))}
                print(f"{n_tokens:4} tokens {n:3} clients {name:10} " + "  ".join(f"{k} {v:8.1f}" for k, v in told.items()), flush=True)
    if options.out:
        options.out.write_text(json.dumps(samples, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
