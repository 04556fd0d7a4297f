"""Responses that go on with earlier ones."""

import json

from server import Server


def ask(server, headers=None, **body) -> tuple[int, dict]:
    return server.post("/v1/responses", {"temperature": 0, "max_output_tokens": 12} | body, headers)


def text_of(response: dict) -> str:
    return "".join(part["text"] for item in response["output"] if item["type"] == "message" for part in item["content"])


def test_a_response_goes_on_with_an_earlier_one(server):
    first = ask(server, input="Tell me a story.", instructions="Be brief.")[1]
    assert first["store"] is True
    second = ask(server, input="Go on.", previous_response_id=first["id"])[1]
    assert second["previous_response_id"] == first["id"]
    turns = [{"role": "user", "content": "Tell me a story."}, {"role": "assistant", "content": text_of(first)}, {"role": "user", "content": "Go on."}]
    by_hand = ask(server, input=turns)[1]
    assert (text_of(second), second["usage"]["input_tokens"]) == (text_of(by_hand), by_hand["usage"]["input_tokens"])


def test_a_response_is_kept_until_it_is_deleted_or_not_at_all(server):
    kept = ask(server, input="Hi")[1]
    path = f"/v1/responses/{kept['id']}"
    assert json.loads(server.request("GET", path)[2]) == kept
    status, _, content = server.request("DELETE", path)
    assert (status, json.loads(content)) == (200, {"id": kept["id"], "object": "response", "deleted": True})
    assert server.request("GET", path)[0] == server.request("DELETE", path)[0] == 404
    status, answer = ask(server, input="Hi", previous_response_id=kept["id"])
    assert (status, answer["error"]["code"]) == (400, "previous_response_not_found")
    fleeting = ask(server, input="Hi", store=False)[1]
    assert fleeting["store"] is False
    assert server.request("GET", f"/v1/responses/{fleeting['id']}")[0] == 404


def test_a_response_is_its_own_clients():
    server = Server("--api-key", "one", "--api-key", "two")
    one, two = ({"Authorization": f"Bearer {key}"} for key in ("one", "two"))
    try:
        response = ask(server, one, input="Hi")[1]
        assert server.request("GET", f"/v1/responses/{response['id']}", headers=two)[0] == 404
        assert ask(server, two, input="Hi", previous_response_id=response["id"])[0] == 400
        assert ask(server, one, input="Hi", previous_response_id=response["id"])[0] == 200
    finally:
        server.stop()
