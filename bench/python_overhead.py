#!/usr/bin/env python3
"""What Python costs over the command: `sluice run` and the package, each in a process of its own, in turns, the same tokens.

    bench/python_overhead.py [--model MODEL] [--tokens 128] [--rounds 5]

From Python: the time from stream() to the first token, and tokens after the first a second, by Python's clock as a loop reads them.
Of the command: what it reports. The model is open in both. Bars: neither more than 5 % worse.
"""

import argparse
import json
import os
import sys
from datetime import datetime, timezone

from measure import ROOT, BenchError, alternate, circumstances, medians, report, run, run_as_program
from serve_clients import prompt
from workplace import SLUICE, built_at, check_not_rebuilt, write

WORSE = 0.05
SEED = 4242
SCRIPT = """
import json, sys, time
import sluice
with sluice.load(sys.argv[1], keep_prefixes=False) as model:
    begin = time.perf_counter()
    stream = model.stream(sys.argv[2], max_tokens=int(sys.argv[3]), ignore_eos=True)
    times, tokens = [], []
    for token in stream:
        if token.token >= 0:
            times.append(time.perf_counter())
            tokens.append(token.token)
print(json.dumps({"tokens": tokens, "ttft_ms": (times[0] - begin) * 1e3, "decode_tps": (len(times) - 1) / (times[-1] - times[0])}))
"""


def of_command(options: argparse.Namespace) -> dict:
    command = [str(SLUICE), "run", options.model, "--raw", "-p", prompt(SEED), "-n", str(options.tokens), "--ignore-eos", "--temp", "0"]
    return json.loads(run([*command, "--json", "-q"]).stdout)


def of_python(options: argparse.Namespace) -> dict:
    os.environ["PYTHONPATH"] = str(SLUICE.parent.parent / "python")
    return json.loads(run([sys.executable, "-P", "-c", SCRIPT, options.model, prompt(SEED), str(options.tokens)]).stdout)


def bench(options: argparse.Namespace) -> bool:
    """Returns whether both bars were held."""
    built = built_at()
    result = {"started": datetime.now(timezone.utc).isoformat(timespec="seconds"), **circumstances(SLUICE), "model": options.model}
    answers = []

    def sampled(told: dict) -> dict[str, float]:
        answers.append(told["tokens"])
        if answers[0] != answers[-1]:
            raise BenchError("the command and Python gave different tokens")
        return {name: told[name] for name in ("ttft_ms", "decode_tps")}

    series = alternate("python", {"run": lambda: sampled(of_command(options)), "python": lambda: sampled(of_python(options))}, options.rounds)
    check_not_rebuilt(built)
    found = medians(series)
    first = found["python"]["ttft_ms"] / found["run"]["ttft_ms"] - 1
    slower = found["run"]["decode_tps"] / found["python"]["decode_tps"] - 1
    held = {"first token": first <= WORSE, "decoding": slower <= WORSE}
    for name, metric, unit, worse in (("first token", "ttft_ms", "ms", first), ("decoding", "decode_tps", "tok/s", slower)):
        word = "held" if held[name] else "NOT HELD"
        print(f"{name}: run {found['run'][metric]:.1f}, python {found['python'][metric]:.1f} {unit}: {worse * 100:+.1f} % worse, at most {WORSE * 100:.0f} %: {word}")
    path = write(result | {"series": series, "held": held}, "python-overhead-")
    report(f"every sample: {path.relative_to(ROOT)}; load average at the start: {result['machine']['load_average'][0]:.1f}")
    return all(held.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct", help="default: SmolLM2 of the model store")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if min(options.tokens, options.rounds) < 2:
        parser.error("--tokens and --rounds must be at least 2")
    run_as_program(lambda: bench(options))


if __name__ == "__main__":
    main()
