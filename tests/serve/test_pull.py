"""/api/pull: refused unless it is allowed; then as Ollama's clients know it, from a hub on loopback."""

import json
import os
import sys
import time

import pytest
from server import ROOT, TINY, Server

sys.path.insert(0, str(ROOT / "tests/e2e"))
from hub_server import Hub  # noqa: E402

FILES = {name: (TINY / name).read_bytes() for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")}


@pytest.fixture
def hub():
    with Hub({"org/tiny": dict(FILES)}) as running:
        yield running


@pytest.fixture
def pulling(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path))
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    running = Server("--allow-pull")
    yield running
    running.stop()


def lines(content: bytes) -> list[dict]:
    return [json.loads(line) for line in content.splitlines()]


def test_it_is_refused_unless_allowed(server):
    status, answer = server.post("/api/pull", {"model": "org/tiny"})
    assert status == 403 and "--allow-pull" in answer["error"]


def test_a_model_comes_with_ollamas_lines(pulling, tmp_path):
    status, headers, content = pulling.request("POST", "/api/pull", {"model": "org/tiny:latest"})
    told = lines(content)
    assert (status, headers["content-type"]) == (200, "application/x-ndjson")
    assert told[0] == {"status": "pulling manifest"} and told[-1] == {"status": "success"}
    last = {line["status"]: line for line in told if "total" in line}
    assert last.keys() == {f"pulling {name}" for name in FILES}
    for name, content in FILES.items():
        line = last[f"pulling {name}"]
        assert line["completed"] == line["total"] == len(content) and len(line["digest"]) > 19
        assert (tmp_path / "models/org/tiny" / name).read_bytes() == content
    assert pulling.post("/api/pull", {"name": "org/tiny", "stream": False}) == (200, {"status": "success"})  # it is here


@pytest.mark.parametrize("body", [{"model": "tiny"}, {"model": "../org/x"}, {"model": "org/tiny", "insecure": True}, {"model": "org/tiny", "path": "/etc"}, {}])
def test_what_is_no_name_of_a_hub_is_refused(pulling, body):
    status, answer = pulling.post("/api/pull", body)
    assert status == 400 and isinstance(answer["error"], str)


def test_a_model_that_the_hub_lacks_is_an_error(pulling):
    status, answer = pulling.post("/api/pull", {"model": "org/none"})
    assert 400 <= status < 500 and "org/none" in answer["error"]


def test_a_client_that_leaves_ends_its_pull_and_the_next_goes_on(pulling, hub, tmp_path):
    hub.faults.stall_after = 10  # of the first file
    body = json.dumps({"model": "org/tiny"})
    with pulling.connect() as connection:
        connection.sendall(f"POST /api/pull HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        while b"completed" not in connection.recv(65536):
            pass
    deadline = time.monotonic() + 20
    while "status=499" not in pulling.errors and time.monotonic() < deadline:
        time.sleep(0.05)
    assert pulling.post("/api/pull", {"model": "org/tiny", "stream": False}) == (200, {"status": "success"})
    assert (tmp_path / "models/org/tiny/model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert os.listdir(tmp_path / "models/org") == ["tiny"]
