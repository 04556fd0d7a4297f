"""Several models of one server, and when they are there."""

import json
import time

from server import TINY, Server

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
