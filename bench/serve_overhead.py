#!/usr/bin/env python3
"""What the server costs over the engine: decoding beside `sluice run`, in turns, and an answer's way through an idle server.

    bench/serve_overhead.py [--model MODEL] [--tokens 256] [--rounds 5] [--speculate off] [--asks 200]

Decoding: tokens after the first a second, as they reach a client that does nothing else, beside what `sluice run` reports of the same prompt.
The way: the time from connecting to an answer's last byte, less what the engine says it computed (`timings` of the answer); prompt in
the cache, one token, one connection after another. Of tokens: what the server adds. Of a chat: with template and tokenizer, which every
use of the engine pays. Bars: decoding at most 2 % slower, the way of tokens under 1 ms.
"""

import argparse
import json
import socket
import statistics
import time
from datetime import datetime, timezone

from measure import ROOT, BenchError, alternate, circumstances, medians, report, run, run_as_program
from serve_clients import p95, posted, prompt, running
from workplace import SLUICE, built_at, check_not_rebuilt, write

SLOWER = 0.02
WAY_MS = 1.0
WARM_UP = 5  # answers that do not count
SEED = 4242


def decode_of_run(options: argparse.Namespace) -> dict[str, float]:
    command = [str(SLUICE), "run", options.model, "--raw", "-p", prompt(SEED), "-n", str(options.tokens), "--ignore-eos", "--temp", "0", "--speculate", options.speculate, "--json", "-q"]
    told = json.loads(run(command).stdout)
    if told["generation_tokens"] != options.tokens:
        raise BenchError(f"sluice run generated {told['generation_tokens']} tokens, wanted {options.tokens}")
    return {"decode_tps": told["decode_tps"]}


def check_status(answer: bytes) -> None:
    status = answer.split(b"\r\n")[0]
    if b" 200 " not in status:
        raise BenchError(f"a request was answered {status.decode()}")


def streamed(port: int, n_tokens: int) -> tuple[float, float]:
    """When a stream's first and last bytes came. The client only takes them: where two threads compute on two processors, what it
    does beside that is paid for by decoding."""
    body = {"prompt": prompt(SEED), "max_tokens": n_tokens, "stream": True, "temperature": 0, "ignore_eos": True}
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(posted("/v1/completions", body))
        head = connection.recv(1 << 16)
        check_status(head)
        while b"data: " not in head and (part := connection.recv(1 << 16)):
            head += part
        first = last = time.perf_counter()
        while connection.recv(1 << 16):
            last = time.perf_counter()
    return first, last


def decode_of_server(options: argparse.Namespace) -> dict[str, float]:
    with running(command_of(options)) as port:
        streamed(port, 8)  # warms up
        first, last = streamed(port, options.tokens)
    return {"decode_tps": (options.tokens - 1) / (last - first)}


def command_of(options: argparse.Namespace) -> list[str]:
    return [str(SLUICE), "serve", options.model, "--port", "{port}", "-q", "--no-disk-cache", "--speculate", options.speculate]


def answered(port: int, path: str, body: dict) -> tuple[float, dict]:
    """Milliseconds from connecting to the answer's last byte, and the answer."""
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(posted(path, body))
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    wall_ms = (time.perf_counter() - began) * 1e3
    check_status(answer)
    return wall_ms, json.loads(answer.partition(b"\r\n\r\n")[2])


def way(port: int, path: str, body: dict) -> float:
    """Milliseconds of one answer that no computing explains."""
    wall_ms, answer = answered(port, path, body | {"max_tokens": 1, "temperature": 0, "ignore_eos": True})
    return wall_ms - answer["timings"]["prompt_ms"] - answer["timings"]["predicted_ms"]


def ways(options: argparse.Namespace) -> dict[str, list[float]]:
    with running(command_of(options)) as port:
        _, tokenized = answered(port, "/tokenize", {"content": prompt(SEED), "add_special": True})
        asks = {
            "of tokens": ("/v1/completions", {"prompt": tokenized["tokens"]}),
            "of a chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": prompt(SEED)}]}),
        }
        return {name: [way(port, *ask) for _ in range(options.asks + WARM_UP)][WARM_UP:] for name, ask in asks.items()}


def bench(options: argparse.Namespace) -> bool:
    """Returns whether both bars were held."""
    built = built_at()
    result = {"started": datetime.now(timezone.utc).isoformat(timespec="seconds"), **circumstances(SLUICE), "model": options.model}
    series = alternate("decoding", {"run": lambda: decode_of_run(options), "serve": lambda: decode_of_server(options)}, options.rounds)
    report(f"{options.asks} answers through an idle server")
    waited = ways(options)
    check_not_rebuilt(built)
    found = medians(series)
    slower = 1 - found["serve"]["decode_tps"] / found["run"]["decode_tps"]
    held = {"decoding": slower <= SLOWER, "way": statistics.median(waited["of tokens"]) < WAY_MS}
    print(f"decoding: run {found['run']['decode_tps']:.1f}, serve {found['serve']['decode_tps']:.1f} tok/s: {slower * 100:+.1f} % slower, at most {SLOWER * 100:.0f} %: {word(held['decoding'])}")
    for name, values in waited.items():
        print(f"an idle server's way, {name}: median {statistics.median(values):.2f} ms, p95 {p95(values):.2f} ms")
    print(f"of tokens below {WAY_MS} ms: {word(held['way'])}")
    path = write(result | {"decoding": series, "way_ms": waited, "held": held}, "serve-overhead-")
    print(f"every sample: {path.relative_to(ROOT)}; load average at the start: {result['machine']['load_average'][0]:.1f}")
    return all(held.values())


def word(held: bool) -> str:
    return "held" if held else "NOT HELD"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct", help="default: SmolLM2 of the model store")
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--speculate", default="off", help="auto: with guessed tokens (default: off)")
    parser.add_argument("--asks", type=int, default=200)
    options = parser.parse_args()
    if min(options.tokens, options.rounds, options.asks) < 2:
        parser.error("--tokens, --rounds and --asks must be at least 2")
    run_as_program(lambda: bench(options))


if __name__ == "__main__":
    main()
