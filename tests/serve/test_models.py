"""Several models of one server, and when they are there."""

import concurrent.futures
import json
import pathlib
import re
import subprocess
import time

import pytest
from server import BINARY, TINY, Server

CHAT = {"messages": [{"role": "user", "content": "Hi"}], "options": {"num_predict": 2}, "stream": False}
TWO = ("--model", f"a={TINY}", "--model", f"b={TINY}")


def loaded(server: Server) -> set[str]:
    return {model["name"] for model in json.loads(server.request("GET", "/api/ps")[2])["models"]}


def wait_for(server: Server, names: set[str]):
    deadline = time.monotonic() + 20
    while loaded(server) != names:
        assert time.monotonic() < deadline, f"{loaded(server)} instead of {names}"
        time.sleep(0.05)


def test_a_model_is_loaded_when_asked_for_and_goes_when_its_time_is_over():
    server = Server(*TWO, "--idle-unload", "1", model=None)
    try:
        assert server.post("/api/chat", CHAT | {"model": "b", "keep_alive": -1})[0] == 200
        assert "b" in loaded(server)
        wait_for(server, {"b"})  # a, which was loaded at the start, is idle
        expires = json.loads(server.request("GET", "/api/ps")[2])["models"][0]["expires_at"]
        assert expires > "2090"
        assert server.post("/api/chat", CHAT | {"model": "b", "keep_alive": 0})[0] == 200
        wait_for(server, set())
        assert server.request("GET", "/v1/models")[0] == 200
        assert server.post("/api/chat", CHAT | {"model": "a", "keep_alive": "10m"})[0] == 200
        assert loaded(server) == {"a"}
        assert server.post("/api/generate", {"model": "a", "keep_alive": 0})[1]["done_reason"] == "unload"
        wait_for(server, set())
    finally:
        assert server.stop() == -15


def test_the_one_used_longest_ago_goes_for_another_and_none_that_answers():
    server = Server(*TWO, "--max-models", "1", model=None)
    try:
        assert server.post("/api/chat", CHAT | {"model": "b"})[0] == 200
        assert loaded(server) == {"b"}
        body = json.dumps(CHAT | {"model": "b", "stream": True, "options": {"num_predict": 3000}})
        asked = f"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        with server.connect() as connection:
            connection.sendall(asked.encode())
            assert connection.recv(1)
            status, headers, _ = server.request("POST", "/api/chat", CHAT | {"model": "a"})
            assert (status, headers["retry-after"]) == (503, "1")
        deadline = time.monotonic() + 20
        while server.post("/api/chat", CHAT | {"model": "a"})[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert loaded(server) == {"a"}
    finally:
        assert server.stop() == -15


def peak(server: Server) -> int:
    """Bytes the process has had resident."""
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024


THREE = (*TWO, "--model", f"c={TINY}")
STORY = {"messages": [{"role": "user", "content": "Tell me a long story."}], "options": {"num_predict": 24, "temperature": 0}, "stream": False}


def story(server: Server, model: str) -> str:
    status, answer = server.post("/api/chat", STORY | {"model": model})
    assert status == 200, answer
    return answer["message"]["content"]


@pytest.mark.parametrize("ram", [180, 150])
def test_two_models_answer_in_turn_within_one_budget_and_the_third_takes_the_place_of_one(ram):
    """At the lower one, experts are streamed."""
    server = Server(model=TINY)
    try:
        expected = story(server, server.name)
    finally:
        server.stop()
    server = Server(*THREE, "--max-models", "2", "--ram", f"{ram}MB", model=None)
    try:
        for _ in range(3):
            assert story(server, "a") == story(server, "b") == expected
            assert loaded(server) == {"a", "b"}, "both stay"
        assert story(server, "c") == expected
        assert loaded(server) == {"b", "c"}, "a was used longest ago"
        with concurrent.futures.ThreadPoolExecutor() as pool:
            both = [pool.submit(story, server, name) for name in "bcbc"]
            assert all(one.result() == expected for one in both)
        assert peak(server) <= ram * 1_000_000
    finally:
        assert server.stop() == -15


def test_a_budget_too_small_for_all_is_refused_at_the_start_with_one_that_does():
    """The message's own figure, and a little more for what the process has."""
    command = [BINARY, "serve", "--port", "0", "--no-disk-cache", *TWO, "--ram", "40MB"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 4 and "--max-models" in refused.stderr


def test_aliases_are_listed_where_they_stand_for_one_name():
    server = Server("--alias", "claude-local=tiny-moe", "--alias", "gpt-*=tiny-moe")
    try:
        listed = json.loads(server.request("GET", "/v1/models")[2])
        assert [entry["id"] for entry in listed["data"]] == ["tiny-moe", "claude-local"]
        assert listed["data"][0]["meta"]["n_params"] > 1e6
        assert server.post("/api/chat", CHAT | {"model": "gpt-5"})[0] == 200
    finally:
        assert server.stop() == -15


def test_a_template_and_a_usual_length_of_ones_own(tmp_path):
    template = tmp_path / "own.jinja"
    template.write_text("{% for m in messages %}<<{{ m.content }}>>{% endfor %}")
    server = Server("--chat-template", str(template), "--answer-tokens", "3")
    try:
        asked = {"messages": [{"role": "user", "content": "Hi"}], "ignore_eos": True}
        assert server.post("/apply-template", asked)[1]["prompt"] == "<<Hi>>"
        assert server.post("/v1/chat/completions", asked)[1]["usage"]["completion_tokens"] == 3
        assert server.post("/v1/chat/completions", asked | {"max_tokens": 5})[1]["usage"]["completion_tokens"] == 5
    finally:
        assert server.stop() == -15
