"""Tools that have to be called: whatever the model would rather say, what it calls can be called."""

import json

import pytest

ASKED = [{"role": "user", "content": "What is the weather in Paris?"}]
WEATHER = {
    "name": "get_weather",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "Rome"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["city", "days"],
        "additionalProperties": False,
    },
}
TIME = {"name": "get_time", "parameters": {"type": "object", "properties": {}}}
TOOLS = [{"type": "function", "function": tool} for tool in (WEATHER, TIME)]
NAMED = {"type": "function", "function": {"name": "get_weather"}}


def body(seed: int, **more) -> dict:
    return {"messages": ASKED, "tools": TOOLS, "temperature": 1.5, "seed": seed, "max_tokens": 400} | more


def fits(call: dict) -> bool:
    arguments = json.loads(call["function"]["arguments"])
    if call["function"]["name"] == "get_time":
        return isinstance(arguments, dict)
    return set(arguments) == {"city", "days"} and arguments["city"] in ("Paris", "Rome") and 1 <= arguments["days"] <= 9


@pytest.mark.parametrize("seed", range(8))
def test_a_named_tool_is_called_once_and_as_its_schema_has_it(server, seed):
    status, answer = server.post("/v1/chat/completions", body(seed, tool_choice=NAMED))
    choice = answer["choices"][0]
    assert (status, choice["finish_reason"], choice["message"]["content"]) == (200, "tool_calls", None)
    (call,) = choice["message"]["tool_calls"]
    assert call["function"]["name"] == "get_weather" and fits(call)


@pytest.mark.parametrize("seed", range(4))
def test_one_of_the_tools_is_called_where_that_is_demanded(server, seed):
    asked = body(seed, tool_choice="required", parallel_tool_calls=False)
    choice = server.post("/v1/chat/completions", asked)[1]["choices"][0]
    if choice["finish_reason"] == "length":  # arguments without a schema may have any length
        return
    (call,) = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls" and fits(call)


def test_other_apis_get_the_same_call(server):
    tool = {"name": "get_weather", "strict": True, "input_schema": WEATHER["parameters"]}
    asked = {"messages": ASKED, "tools": [tool], "tool_choice": {"type": "tool", "name": "get_weather"}, "max_tokens": 400}
    message = server.post("/v1/messages", asked)[1]
    assert message["stop_reason"] == "tool_use"
    (block,) = message["content"]
    assert block["type"] == "tool_use" and block["input"]["city"] in ("Paris", "Rome")

    function = {"type": "function", "name": "get_weather", "strict": True, "parameters": WEATHER["parameters"]}
    asked = {"input": "Weather?", "tools": [function], "tool_choice": {"type": "function", "name": "get_weather"}}
    (item,) = server.post("/v1/responses", asked)[1]["output"]
    assert item["type"] == "function_call" and json.loads(item["arguments"])["days"] in range(1, 10)


def events(content: bytes) -> list[dict]:
    return [json.loads(line[6:]) for line in content.decode().splitlines() if line.startswith("data: {")]


def test_arguments_come_as_they_are_generated(server):
    asked = body(3, tool_choice=NAMED)
    whole = server.post("/v1/chat/completions", asked)[1]["choices"][0]["message"]["tool_calls"][0]["function"]
    chunks = events(server.request("POST", "/v1/chat/completions", asked | {"stream": True})[2])
    deltas = [call for chunk in chunks for choice in chunk["choices"] for call in choice["delta"].get("tool_calls", [])]
    assert deltas[0]["function"]["name"] == "get_weather" and deltas[0]["id"]
    assert all("name" not in delta["function"] and delta["index"] == 0 for delta in deltas[1:])
    pieces = [delta["function"]["arguments"] for delta in deltas]
    assert len([piece for piece in pieces if piece]) > 2
    assert json.loads("".join(pieces)) == json.loads(whole["arguments"])

    tool = {"name": "get_weather", "strict": True, "input_schema": WEATHER["parameters"]}
    asked = {"messages": ASKED, "tools": [tool], "tool_choice": {"type": "tool", "name": "get_weather"}, "max_tokens": 400, "stream": True}
    list_ = events(server.request("POST", "/v1/messages", asked)[2])
    pieces = [event["delta"]["partial_json"] for event in list_ if event.get("delta", {}).get("type") == "input_json_delta"]
    assert len(pieces) > 2 and set(json.loads("".join(pieces))) == {"city", "days"}


def test_a_strict_schema_that_cannot_be_kept_is_refused(server):
    tool = {"type": "function", "function": {"name": "f", "strict": True, "parameters": {"type": "object", "properties": 3}}}
    asked = {"messages": ASKED, "tools": [tool], "tool_choice": {"type": "function", "function": {"name": "f"}}}
    assert server.post("/v1/chat/completions", asked)[0] == 400
