"""Servers to measure, and clients that ask and listen with a clock: for serve.py and serve_overhead.py."""

import asyncio
import json
import random
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from measure import BenchError

WORDS = ("river stone market window letter garden winter engine table paper music bridge forest silver morning island captain "
         "story valley harbor copper lantern orchard thunder ribbon castle meadow compass feather anchor").split()


@dataclass
class Heard:
    """What clients heard: seconds, each of one answer, and the tokens of all."""

    first: list[float] = field(default_factory=list)
    between: list[float] = field(default_factory=list)
    tokens: int = 0
    wall: float = 0.0

    def figures(self) -> dict[str, float]:
        return {"tokens_per_s": self.tokens / self.wall, "first_p50_ms": statistics.median(self.first) * 1e3,
                "first_p95_ms": p95(self.first) * 1e3, "between_p95_ms": p95(self.between) * 1e3}


def p95(values: list[float]) -> float:
    """The least value that 95 % of them do not exceed; 0 of none."""
    return sorted(values)[-(-len(values) * 95 // 100) - 1] if values else 0.0


def prompt(seed: int, n_words: int = 200) -> str:
    """Words of its own: nothing of it is in a cache."""
    words = random.Random(seed)
    return "Continue this text. " + " ".join(words.choice(WORDS) for _ in range(n_words))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def running(command: list[str]) -> Iterator[int]:
    """The server until the block ends; gives its port, which the command's {port} stands for."""
    port = free_port()
    process = subprocess.Popen([part.format(port=port) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        asyncio.run(ready(process, port, command[0]))
        yield port
    finally:
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def ready(process: subprocess.Popen, port: int, name: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise BenchError(f"{name}: the server ended with {process.returncode}")
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
            if b" 200 " in answer.split(b"\r\n")[0]:
                return
        except OSError:
            pass
        await asyncio.sleep(0.1)
    raise BenchError(f"{name}: the server is not ready after 120 s")


def posted(path: str, body: dict) -> bytes:
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


async def ask(port: int, seed: int, n_tokens: int, heard: Heard) -> None:
    """A stream of n_tokens, whatever the model would rather say."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    writer.write(posted("/v1/completions", {"prompt": prompt(seed), "max_tokens": n_tokens, "stream": True, "temperature": 0, "ignore_eos": True, "seed": 1}))
    status = await reader.readline()
    if b" 200 " not in status:
        raise BenchError(f"a request was answered {status.decode().strip()}")
    last, ended = None, False
    async for line in reader:
        if b"[DONE]" in line:
            ended = True
            break
        if not line.startswith(b"data: {"):
            continue
        chunk = json.loads(line[6:])
        if not chunk.get("choices") or not chunk["choices"][0].get("text"):
            continue
        now = time.monotonic()
        (heard.first if last is None else heard.between).append(now - (began if last is None else last))
        last = now
    writer.close()
    if last is None or not ended:
        raise BenchError("a stream ended before its answer")
    heard.tokens += n_tokens


def crowd(port: int, n_clients: int, n_tokens: int, seed: int, requests: int) -> Heard:
    """n_clients at once, each asks `requests` times in a row."""

    async def client(heard: Heard, i: int) -> None:
        for k in range(requests):
            await ask(port, seed + i * 1000 + k, n_tokens, heard)

    async def all_of_them() -> Heard:
        heard = Heard()
        began = time.monotonic()
        await asyncio.gather(*(client(heard, i) for i in range(n_clients)))
        heard.wall = time.monotonic() - began
        return heard

    return asyncio.run(all_of_them())
