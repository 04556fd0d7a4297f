"""The command line of `llm`, told of the server by its file of more models."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from asked import WEATHER, fits_weather

pytest.importorskip("llm", reason="llm is not installed: make test-clients")
PROGRAM = pathlib.Path(sys.executable).parent / "llm"


@pytest.fixture
def llm(served, tmp_path):
    entry = {"model_id": "sluice", "model_name": served.name, "api_base": f"{served.url}/v1", "can_stream": True, "supports_tools": True, "supports_schema": True}
    (tmp_path / "extra-openai-models.yaml").write_text(json.dumps([entry]))  # which is YAML too

    def run(*arguments):
        return subprocess.run([PROGRAM, *arguments, "-m", "sluice"], env={**os.environ, "LLM_USER_PATH": str(tmp_path)}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)

    return run


def test_a_stream_is_the_whole(llm):
    texts = [llm("Tell me a story.", "-o", "temperature", "0", "-o", "max_tokens", "16", *more) for more in ([], ["--no-stream"])]
    assert [text.returncode for text in texts] == [0, 0], texts[0].stderr
    assert texts[0].stdout == texts[1].stdout != "\n"


def test_a_schema_is_kept(llm):
    told = llm("The weather of Rome", "--schema", json.dumps(WEATHER), "-o", "temperature", "0")
    assert told.returncode == 0 and fits_weather(json.loads(told.stdout)), told.stderr


def test_a_prompt_that_is_too_long_says_so(llm):
    told = llm("word " * 20000)
    assert told.returncode == 1 and "maximum context length" in told.stderr
