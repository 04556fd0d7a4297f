"""What the benchmarks share: the program, the tools that make models, where results go."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from measure import ROOT, BenchError, limited

SLUICE = Path(os.environ.get("SLUICE_BIN") or ROOT / "build/release/bin/sluice").absolute()
OVER_BUDGET = 4  # exit status
RESULTS = ROOT / "bench/results"


def built_at() -> int:
    """When the program was built: figures of two builds must not meet in one table."""
    if not SLUICE.is_file():
        raise BenchError(f"{SLUICE} is not there; `make build` makes it")
    return SLUICE.stat().st_mtime_ns


def check_not_rebuilt(since: int) -> None:
    if built_at() != since:
        raise BenchError(f"{SLUICE} was built anew meanwhile: the figures are of two programs; run again")


def tool(*command: str) -> str:
    """Runs one of tools/, whose progress goes to stderr, and returns the last line it prints."""
    done = subprocess.run([sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise BenchError(f"{command[0]} failed")
    return done.stdout.splitlines()[-1]


def named_least(command: list[str]) -> int:
    """The budget in bytes that a command names when its --ram is too little. Raises BenchError where it does not."""
    done = limited.run(command, cwd=ROOT)
    named = re.search(r"at least (\d+) bytes are needed", done.stderr)
    if done.returncode != OVER_BUDGET or not named:
        raise BenchError(f"{' '.join(command)}: exit status {done.returncode} and no word of what is needed")
    return int(named[1])


def fetched(name: str) -> Path:
    """A model of tools/fetch_model.py in the model store, downloaded when it is not there."""
    return Path(tool("tools/fetch_model.py", name))


def files_of(model: Path) -> list[Path]:
    """A GGUF file, or the weights in a folder."""
    return [model] if model.is_file() else sorted(model.glob("*.safetensors"))


def write(result: dict, prefix: str = "") -> Path:
    """Writes the JSON under the time's name, in one step."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{prefix}{result['started'].replace(':', '')}.json"
    partial_path = path.with_suffix(".partial")
    partial_path.write_text(json.dumps(result, indent=2) + "\n")
    os.replace(partial_path, path)
    return path
