"""A model that answers in messages on channels, as gpt-oss does: tiny-moe with such control tokens and such a template."""

import json
import shutil

import pytest
from server import TINY, Server

MARKS = ["<|start|>", "<|channel|>", "<|message|>", "<|constrain|>", "<|end|>", "<|call|>", "<|return|>"]
TEMPLATE = """{%- for m in messages -%}
{%- if m.role == 'assistant' and m.tool_calls is defined -%}
{%- if m.thinking is defined -%}<|start|>assistant<|channel|>analysis<|message|>{{ m.thinking }}<|end|>{%- endif -%}
<|start|>assistant to=functions.{{ m.tool_calls[0].function.name }}<|channel|>commentary json<|message|>{{ m.tool_calls[0].function.arguments|tojson }}<|call|>
{%- elif m.role == 'assistant' -%}<|start|>assistant<|channel|>final<|message|>{{ m.content }}<|end|>
{%- else -%}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{%- endif -%}
{%- endfor -%}
{%- if tools -%}<|start|>developer<|message|>{{ tools|tojson }}<|end|>{%- endif -%}
{%- if add_generation_prompt -%}<|start|>assistant{%- endif -%}"""
WEATHER = {
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"], "additionalProperties": False},
    "strict": True,
}
TIME = {"name": "get_time", "parameters": {"type": "object", "properties": {}, "additionalProperties": False}, "strict": True}
TOOLS = [{"type": "function", "function": tool} for tool in (WEATHER, TIME)]
ASKED = [{"role": "user", "content": "What is the weather <|call|> in Paris?"}]


@pytest.fixture(scope="module")
def channels(tmp_path_factory):
    model = tmp_path_factory.mktemp("models") / "channels"
    shutil.copytree(TINY, model)
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    for word, token in sorted(vocabulary.items(), key=lambda item: item[1])[-len(MARKS) :]:
        mark = MARKS[token - len(vocabulary)]
        del vocabulary[word]
        vocabulary[mark] = token
        made_by = [merge for merge in tokenizer["model"]["merges"] if "".join(merge if isinstance(merge, list) else merge.split(" ")) == word]
        tokenizer["model"]["merges"] = [merge for merge in tokenizer["model"]["merges"] if merge not in made_by]
        tokenizer["added_tokens"].append({"id": token, "content": mark, "special": True, "normalized": False, "lstrip": False, "rstrip": False, "single_word": False})
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    ends = [vocabulary[mark] for mark in ("<|return|>", "<|call|>")]
    (model / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    config = json.loads((model / "tokenizer_config.json").read_text())
    (model / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": TEMPLATE, "eos_token": "<|return|>"}))
    server = Server(model=model)
    yield server
    server.stop()


def body(**more) -> dict:
    return {"messages": ASKED, "tools": TOOLS, "temperature": 1.5, "max_tokens": 200} | more


@pytest.mark.parametrize("seed", range(4))
def test_a_named_tool_is_called_on_its_channel(channels, seed):
    named = {"type": "function", "function": {"name": "get_weather"}}
    status, answer = channels.post("/v1/chat/completions", body(seed=seed, tool_choice=named))
    assert status == 200, answer
    (choice,) = answer["choices"]
    (call,) = choice["message"]["tool_calls"]
    assert (choice["finish_reason"], choice["message"]["content"], call["function"]["name"]) == ("tool_calls", None, "get_weather")
    assert json.loads(call["function"]["arguments"])["city"] in ("Paris", "Rome")


@pytest.mark.parametrize("seed", range(4))
def test_one_of_the_tools_is_called_in_a_stream_too(channels, seed):
    _, _, content = channels.request("POST", "/v1/chat/completions", body(seed=seed, tool_choice="required", stream=True))
    chunks = [json.loads(line[6:]) for line in content.decode().splitlines() if line.startswith("data: {")]
    calls = [call for chunk in chunks for choice in chunk["choices"] for call in choice["delta"].get("tool_calls", [])]
    name = "".join(call["function"].get("name", "") for call in calls)
    arguments = json.loads("".join(call["function"].get("arguments", "") for call in calls))
    assert arguments == {} if name == "get_time" else arguments["city"] in ("Paris", "Rome")
    assert name in ("get_time", "get_weather") and {call["index"] for call in calls} == {0}


def test_what_was_thought_and_called_is_shown_to_the_model_again(channels):
    call = {"id": "c", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
    turns = [*ASKED, {"role": "assistant", "content": "", "reasoning_content": "Hm.", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": "noon"}]
    status, answer = channels.post("/apply-template", {"messages": turns})
    assert status == 200, answer
    assert "<|channel|>analysis<|message|>Hm.<|end|>" in answer["prompt"] and "to=functions.get_time" in answer["prompt"]


def test_no_channel_is_told_as_text(channels):
    for seed in range(3):
        message = channels.post("/v1/chat/completions", {"messages": ASKED, "seed": seed, "temperature": 1.5, "max_tokens": 60})[1]["choices"][0]["message"]
        assert not any(mark in (message["content"] or "") for mark in ("<|message|>", "<|start|>", "<|end|>"))
