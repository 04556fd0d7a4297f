"""The clients from npm. A script of node/ asks and prints what it heard; what that has to be is said here."""

import json

import pytest
from asked import fits_weather, wait_until_idle


def check(told, served):
    assert told["whole"] and told["whole"] == told["streamed"]
    assert fits_weather(json.loads(told["json"]))
    assert told["overflow"]["status"] == 400 and told["missing"]["status"] == 404
    wait_until_idle(served)  # it began an answer of thousands of tokens and left


def test_openai(served, node):
    told = node("openai", served)
    check(told, served)
    assert told["overflow"]["kind"] == "BadRequestError" and told["overflow"]["code"] == "context_length_exceeded"
    assert told["missing"]["kind"] == "NotFoundError"
    assert told["vector"] == pytest.approx(told["floats"]) and sum(x * x for x in told["vector"]) == pytest.approx(1, abs=1e-4)
    assert told["models"] == [served.name] and told["response"] == told["whole"]
    assert len(told["logprobs"]) == 4 and all(len(token["top_logprobs"]) == 2 for token in told["logprobs"])


def test_anthropic(served, node):
    told = node("anthropic", served)
    check(told, served)
    assert "prompt is too long" in told["overflow"]["message"]
    assert told["counted"] == told["prompt_tokens"]


def test_ollama(served, node):
    told = node("ollama", served)
    check(told, served)
    assert told["models"] == [served.name] and told["generated"] == 4


def test_vercels_ai(served, node):
    check(node("ai", served), served)


@pytest.mark.parametrize("client", ["openai", "anthropic", "ai"])  # Ollama's has no way to demand a call
def test_a_tool_that_has_to_be_called_is(served, node, client):
    call = node(client, served)["tool"]
    assert call["name"] == "get_weather" and fits_weather(call["arguments"])
