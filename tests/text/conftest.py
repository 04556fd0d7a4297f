"""Fixtures: sluice/text driven through text_probe, and the conversations that templates are tried on."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Iterator

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROBE = Path(os.environ.get("SLUICE_TEXT_PROBE", ROOT / "build/release/bin/text_probe"))


class ProbeError(Exception):
    pass


class Probe:
    """Sends requests to one text_probe process; its failures are ProbeErrors."""

    def __init__(self, process: subprocess.Popen) -> None:
        self._process = process

    def __call__(self, **request: Any) -> Any:
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "text_probe ended"
        answer = json.loads(line)
        if isinstance(answer, dict) and "error" in answer:
            raise ProbeError(answer["error"])
        return answer

    def peak_bytes(self) -> int | None:
        """The most memory that the process has had, where /proc says it."""
        status = Path(f"/proc/{self._process.pid}/status")
        lines = status.read_text().splitlines() if status.exists() else []
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


def started() -> Iterator[Probe]:
    process = subprocess.Popen([PROBE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    yield Probe(process)
    process.stdin.close()
    process.wait(timeout=10)


@pytest.fixture(scope="session")
def probe() -> Iterator[Probe]:
    yield from started()


@pytest.fixture
def new_probe() -> Iterator[Probe]:
    yield from started()


@pytest.fixture(scope="session")
def llama_cpp_models() -> Path:
    path = Path(os.environ.get("SLUICE_LLAMA_CPP_MODELS", ROOT / ".cache/llama-cpp-models"))
    assert path.is_dir(), f"{path} is missing: run tools/fetch_vocab_vectors.py"
    return path
