#!/usr/bin/env python3
"""Sluice's server and llama.cpp's under the same clients, in turns: total tokens a second, times to the first token and between tokens.

    bench/serve.py [--model FILE] [--clients 1,2,4,8,16] [--tokens 32,256] [--rounds 5] [--requests 3] [--peer | --llama-server FILE]

A round starts one server, has every client ask --requests times in a row, each prompt 200 words of its own, and ends it; servers take turns.
--peer: llama.cpp's server of its PyPI package, built once under build/peers; without it, or --llama-server, Sluice is measured alone.
The model is a GGUF file, which both read. Every sample goes to bench/results. $SLUICE_BIN names another binary.
"""

import argparse
import statistics
import time
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

import llama_cpp
from measure import ROOT, circumstances, report, run_as_program
from serve_clients import Heard, crowd, running
from workplace import SLUICE, built_at, check_not_rebuilt, fetched, write

SLOTS = 16  # llama-server's, each with the context below
SLOT_CONTEXT = 2048
OURS, PEER = "sluice", "llama.cpp"


@dataclass(frozen=True)
class Bar:
    """What the ratio of our median to llama.cpp's has to reach."""

    clients: int
    figure: str
    ratio: float
    at_least: bool

    def holds(self, ratio: float) -> bool:
        return ratio >= self.ratio if self.at_least else ratio <= self.ratio


BARS = [Bar(8, "tokens_per_s", 1.3, True), Bar(16, "tokens_per_s", 1.3, True), Bar(8, "first_p95_ms", 0.8, False), Bar(8, "between_p95_ms", 1.0, False)]


def servers(options: argparse.Namespace, model: Path) -> dict[str, list[str]]:
    commands = {OURS: [str(SLUICE), "serve", str(model), "--port", "{port}", "-q", "--no-disk-cache", "--threads", str(options.threads), *options.ours]}
    program = options.llama_server or (llama_cpp.build_server(ROOT / "build/peers") if options.peer else None)
    if program:
        commands[PEER] = [str(program), "-m", str(model), "--port", "{port}", "-np", str(SLOTS), "-c", str(SLOTS * SLOT_CONTEXT), "-t", str(options.threads), "--no-webui"]
    return commands


def medians(samples: list[dict], server: str, clients: int, tokens: int) -> dict[str, float]:
    mine = [s["figures"] for s in samples if (s["server"], s["clients"], s["tokens"]) == (server, clients, tokens)]
    return {name: statistics.median(figures[name] for figures in mine) for name in mine[0]}


def verdicts(samples: list[dict], clients: int, tokens: int) -> list[dict]:
    ours, peers = (medians(samples, server, clients, tokens) for server in (OURS, PEER))
    found = []
    for bar in BARS:
        if bar.clients == clients:
            ratio = ours[bar.figure] / peers[bar.figure]
            found.append({"tokens": tokens, **asdict(bar), "got": ratio, "held": bar.holds(ratio)})
    return found


def bench(options: argparse.Namespace) -> bool:
    """Returns whether every bar that could be looked at was held."""
    built, clock = built_at(), time.monotonic()
    model = options.model or fetched("gemma-3-270m-q4_k_m")
    commands = servers(options, model)
    result = {"started": datetime.now(timezone.utc).isoformat(timespec="seconds"), **circumstances(SLUICE), "model": str(model), "threads": options.threads, "requests": options.requests}
    samples: list[dict] = []
    checks: list[dict] = []
    for n_tokens in options.tokens:
        for n in options.clients:
            for round_ in range(options.rounds):
                for name, command in commands.items():
                    report(f"{n_tokens} tokens, {n} clients, round {round_ + 1} of {options.rounds}: {name}")
                    with running(command) as port:
                        crowd(port, 1, 8, 777_777, 1)  # warms up
                        heard: Heard = crowd(port, n, n_tokens, round_ * 100_000, options.requests)
                    samples.append({"server": name, "clients": n, "tokens": n_tokens, "round": round_, "figures": heard.figures()})
            for name in commands:
                told = medians(samples, name, n, n_tokens)
                print(f"{n_tokens:4} tokens {n:3} clients {name:10} " + "  ".join(f"{k} {v:8.1f}" for k, v in told.items()), flush=True)
            if PEER in commands:
                checks += verdicts(samples, n, n_tokens)
    check_not_rebuilt(built)
    result |= {"seconds": time.monotonic() - clock, "samples": samples, "checks": checks}
    for check in checks:
        wanted = f"{'at least' if check['at_least'] else 'at most'} {check['ratio']}"
        print(f"{check['tokens']:4} tokens {check['clients']:3} clients {check['figure']}: {check['got']:.2f} of llama.cpp's, {wanted}: {'held' if check['held'] else 'NOT HELD'}")
    print(f"every sample: {write(result, 'serve-').relative_to(ROOT)}; load average at the start: {result['machine']['load_average'][0]:.1f}")
    return all(check["held"] for check in checks)


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a GGUF file (default: Gemma 3 270M of the model store)")
    parser.add_argument("--peer", action="store_true", help="build llama.cpp's server and compare with it")
    parser.add_argument("--llama-server", type=Path, help="compare with this binary")
    parser.add_argument("--ours", type=str.split, default=[], metavar="OPTIONS", help="of `sluice serve`, as in '--scheduling latency'")
    parser.add_argument("--clients", type=numbers, default=[1, 2, 4, 8, 16])
    parser.add_argument("--tokens", type=numbers, default=[32, 256])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=3, help="of a client in a round (default: 3)")
    parser.add_argument("--threads", type=int, default=2, help="of each server (default: 2)")
    options = parser.parse_args()
    if min(options.rounds, options.requests, options.threads, *options.clients, *options.tokens) < 1:
        parser.error("--rounds, --requests, --threads, --clients and --tokens must be positive")
    run_as_program(lambda: bench(options))


if __name__ == "__main__":
    main()
