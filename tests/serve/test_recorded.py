"""What real clients send, replayed; each answer is read as that client reads it."""

import json
import pathlib

import pytest
import readers

RECORDED = sorted((pathlib.Path(__file__).parent / "recorded").glob("*.json"))
REQUESTS = [pytest.param(request, id=f"{path.stem}: {request['name']}") for path in RECORDED for request in json.loads(path.read_text())["requests"]]


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_recorded_request_gets_what_its_client_reads(server, request_):
    body = request_.get("body")
    if body and "max_output" in request_:  # what the client would let run for thousands of tokens
        body = body | request_["max_output"]
    status, headers, content = server.request(request_["method"], request_["path"], body, request_["headers"])
    assert status == request_.get("status", 200), content.decode()
    if content and "type" in request_:
        assert headers["content-type"].split(";")[0] == request_["type"]
    told = getattr(readers, request_["reader"])(content)
    for name, wanted in request_.get("told", {}).items():
        assert told[name] == wanted, name


def test_a_line_that_differs_in_each_request_of_claude_code_costs_nothing(server):
    (recorded,) = [json.loads(path.read_text())["requests"] for path in RECORDED if path.stem == "claude_code"]
    (asked,) = [request for request in recorded if "billing" in request["name"]]
    usages = []
    for digits in ("cch=00aaa", "cch=fffff"):
        text = json.dumps(asked["body"] | {"max_tokens": 4, "stream": False})
        assert text.count("cch=1a2b3") == 1
        status, answer = server.post(asked["path"], text.replace("cch=1a2b3", digits), asked["headers"])
        assert status == 200, answer
        usages.append(answer["usage"])
    assert usages[1]["input_tokens"] == 1  # the last one is always computed
