"""Many clients at once, most of them rude, for some seconds: the server neither ends, grows nor changes an answer.

    python tests/serve/stress.py [--seconds 300] [--clients 32] [--model PATH] [serve options]

Kept prompts are capped (--prompt-cache), so that memory can be flat. It is read each second; what counts is its median
over the second quarter of the time, when the cap is reached, and over the last one.
"""

import argparse
import json
import random
import socket
import statistics
import sys
import threading
import time
from pathlib import Path

from server import TINY, Server, head, read_all

BUSY = (429, 503)  # answers or bodies, all that there may be, are on their way
PROMPTS = ["Tell me a story.", "What is the capital of France?", "Count to ten.", "Why is the sky blue? " * 20]


class Client(threading.Thread):
    """Asks until the end; `wrong` says what it found."""

    def __init__(self, server: Server, seed: int, expected: dict, end: float):
        super().__init__()
        self.server, self.random, self.expected, self.end = server, random.Random(seed), expected, end
        self.wrong: list[str] = []
        self.done = self.cancelled = self.refused = 0

    def run(self):
        ways = [self.ask, self.ask, self.stream, self.leave, self.malformed, self.slow, self.too_much, self.embed]
        while time.monotonic() < self.end and not self.wrong:
            try:
                self.random.choice(ways)()
            except (OSError, ValueError) as error:
                self.wrong.append(f"{type(error).__name__}: {error}")

    def body(self, prompt: str, **more) -> str:
        return json.dumps({"messages": [{"role": "user", "content": prompt}], "max_tokens": 24, "temperature": 0} | more)

    def check(self, prompt: str, text: str):
        self.done += 1
        if text != self.expected[prompt]:
            self.wrong.append(f"{prompt!r}: {text!r} instead of {self.expected[prompt]!r}")

    def ask(self):
        prompt = self.random.choice(PROMPTS)
        status, answer = self.server.post("/v1/chat/completions", self.body(prompt))
        if status in BUSY:
            self.refused += 1
        elif status == 200:
            self.check(prompt, answer["choices"][0]["message"]["content"])
        else:
            self.wrong.append(f"{status}: {answer}")

    def stream(self):
        prompt = self.random.choice(PROMPTS)
        status, _, content = self.server.request("POST", "/v1/chat/completions", self.body(prompt, stream=True))
        if status in BUSY:
            self.refused += 1
            return
        chunks = [json.loads(line[6:]) for line in content.decode().splitlines() if line.startswith("data: {")]
        self.check(prompt, "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"]))

    def send(self, text: str) -> socket.socket:
        connection = self.server.connect(timeout=120)
        connection.sendall(text.encode())
        return connection

    def chat(self, body: str) -> str:
        return head("POST /v1/chat/completions HTTP/1.1", f"Content-Length: {len(body)}") + body

    def leave(self):
        body = self.body(self.random.choice(PROMPTS), stream=self.random.random() < 0.5, max_tokens=400, ignore_eos=True)
        with self.send(self.chat(body)):
            time.sleep(self.random.random() * 0.5)
        self.cancelled += 1

    def malformed(self):
        body = bytearray(self.body("x").encode())
        body[self.random.randrange(len(body))] = self.random.randrange(256)
        status, _, _ = self.server.request("POST", self.random.choice(["/v1/chat/completions", "/v1/messages", "/api/chat"]), bytes(body))
        if status not in (200, 400, 404, *BUSY):
            self.wrong.append(f"{status} for {bytes(body)!r}")

    def slow(self):
        prompt = self.random.choice(PROMPTS)
        with self.send(self.chat(self.body(prompt, stream=True))) as connection:
            time.sleep(self.random.random())
            answer = read_all(connection)
        if not any(b" %d " % busy in answer[:20] for busy in BUSY) and not answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"):
            self.wrong.append(f"a slow reader got {answer[-200:]!r}")

    def too_much(self):
        status, _ = self.server.post("/v1/chat/completions", self.body("word " * 20000))
        if status not in (400, *BUSY):
            self.wrong.append(f"{status} for a prompt beyond the context")

    def embed(self):
        inputs = self.random.sample(PROMPTS, 2)
        status, answer = self.server.post("/v1/embeddings", {"input": inputs})
        if status in BUSY:
            self.refused += 1
        elif status != 200 or [entry["embedding"] for entry in answer["data"]] != [self.expected["vector", text] for text in inputs]:
            self.wrong.append(f"{status} or other vectors for {inputs}")
        else:
            self.done += 1


def expected_of(server: Server) -> dict:
    """What each request gets alone."""
    expected = {}
    for prompt in PROMPTS:
        status, answer = server.post("/v1/chat/completions", {"messages": [{"role": "user", "content": prompt}], "max_tokens": 24, "temperature": 0})
        assert status == 200, answer
        expected[prompt] = answer["choices"][0]["message"]["content"]
        expected["vector", prompt] = server.post("/v1/embeddings", {"input": prompt})[1]["data"][0]["embedding"]
    return expected


def stress(server: Server, seconds: float, n_clients: int) -> dict:
    begin = time.monotonic()
    expected = expected_of(server)
    clients = [Client(server, seed, expected, begin + seconds) for seed in range(n_clients)]
    for client in clients:
        client.start()
    resident = []  # (part of the time, bytes)
    while any(client.is_alive() for client in clients):
        resident.append(((time.monotonic() - begin) / seconds, server.resident()))
        time.sleep(min(1, seconds / 20))
    for client in clients:
        client.join()

    def median(first: float, last: float) -> float:
        return statistics.median(bytes for part, bytes in resident if first <= part < last)

    return {
        "answers": sum(client.done for client in clients),
        "cancelled": sum(client.cancelled for client in clients),
        "put_off": sum(client.refused for client in clients),
        "resident_second_quarter": median(0.25, 0.5),
        "resident_last_quarter": median(0.75, 1),
        "growth": median(0.75, 1) / median(0.25, 0.5) - 1,
        "wrong": [wrong for client in clients for wrong in client.wrong],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--model", type=Path, default=TINY)
    options, rest = parser.parse_known_args()
    if not any(option.startswith("--prompt-cache") for option in rest):
        rest += ["--prompt-cache", "8MB"]
    server = Server(*rest, model=options.model)
    result = stress(server, options.seconds, options.clients)
    result["exit"] = server.stop()
    print(json.dumps(result, indent=1))
    return 1 if result["wrong"] or result["growth"] > 0.02 else 0


if __name__ == "__main__":
    sys.exit(main())
