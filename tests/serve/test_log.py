"""What the server tells of itself while it answers."""

import json

from server import Server

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
CHAT = {"messages": [{"role": "user", "content": "a secret word"}], "max_tokens": 2}


def lines_of(server: Server) -> list[dict]:
    server.stop()
    return [json.loads(line) for line in server.errors.splitlines() if line.startswith("{")]


def test_lines_are_json_with_the_requests_own_names_and_not_its_words():
    server = Server("--log-format", "json")
    _, headers, _ = server.request("POST", "/v1/chat/completions", CHAT, {"x-request-id": "mine", "traceparent": TRACE})
    assert (headers["x-request-id"], headers["traceparent"]) == ("mine", TRACE)
    _, headers, _ = server.request("GET", "/nothing", headers={"x-request-id": "a b", "traceparent": "no"})
    assert headers["x-request-id"].startswith("req_") and "traceparent" not in headers
    lines = lines_of(server)
    answer, request, missing = lines
    assert (request["event"], request["status"], request["path"]) == ("request", 200, "/v1/chat/completions")
    assert (answer["event"], answer["completion_tokens"], answer["model"]) == ("answer", 2, "tiny-moe")
    for line in (answer, request):
        assert (line["request_id"], line["trace_id"]) == ("mine", TRACE[3:35])
    assert missing["status"] == 404 and "trace_id" not in missing
    assert "secret" not in server.errors


def test_prompts_are_logged_where_that_is_asked_for():
    server = Server("--log-format", "json", "--log-prompts")
    server.post("/v1/chat/completions", CHAT)
    assert "a secret word" in next(line["prompt"] for line in lines_of(server) if line["event"] == "prompt")


def test_slots_tell_what_each_answer_is_for(server):
    body = json.dumps(CHAT | {"max_tokens": 3000, "stream": True, "ignore_eos": True, "temperature": 0.5})
    with server.connect() as connection:
        connection.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        assert connection.recv(1)
        (slot,) = json.loads(server.request("GET", "/slots")[2])
    assert (slot["path"], slot["stream"], slot["params"]["temperature"]) == ("/v1/chat/completions", True, 0.5)
    assert slot["state"] in ("waiting", "prefill", "decode") and "secret" not in json.dumps(slot)
