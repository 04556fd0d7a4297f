"""Writes the seeds of tests/fuzz/requests_fuzz.cpp: a byte that picks the API, then a body."""

import json
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "tests/fuzz/corpus/requests"
APIS = ["chat", "completions", "responses", "messages", "ollama-chat", "ollama-generate", "completion", "infill", "lmstudio", "count", "tokens", "template"]

HI = [{"role": "user", "content": "Hi"}]
TOOL = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}, "strict": True}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
TURNS = [
    {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
    *HI,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c", "content": "2"},
]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": {"type": "object"}}}
SEEDS = [
    ("chat", "plain", {"messages": HI}),
    ("chat", "everything", {"messages": TURNS, "tools": [{"type": "function", "function": TOOL}], "tool_choice": {"type": "function", "function": {"name": "f"}}, "stream": True, "n": 2, "logprobs": True, "top_logprobs": 2, "stop": ["a", "b"], "logit_bias": {"5": 1}, "seed": 1, "response_format": SCHEMA, "stream_options": {"include_usage": True}}),
    ("completions", "prompts", {"prompt": ["a", "b"], "n": 2, "echo": True, "logprobs": 1, "suffix": None, "stream": True}),
    ("completions", "tokens", {"prompt": [1, 2, 3], "max_tokens": 0}),
    ("responses", "codex", {"instructions": "x", "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}, {"type": "reasoning", "summary": [], "content": None}, {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}, {"type": "function_call_output", "call_id": "c", "output": "1"}], "tools": [{"type": "function", **TOOL}, {"type": "custom", "name": "g"}, {"type": "namespace", "name": "s", "tools": [{"type": "function", "name": "h"}]}], "stream": True, "store": False}),
    ("responses", "previous", {"input": "Hi", "previous_response_id": "resp_1"}),
    ("messages", "blocks", {"max_tokens": 9, "system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}], "messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "1"}]}], "tools": [{"name": "f", "input_schema": {"type": "object"}}], "thinking": {"type": "enabled", "budget_tokens": 1024}, "stream": True}),
    ("ollama-chat", "options", {"model": "m", "messages": HI, "options": {"num_ctx": 9, "stop": None, "temperature": 0.5}, "format": {"type": "object"}, "keep_alive": "5m", "think": "low"}),
    ("ollama-generate", "load", {"model": "m"}),
    ("ollama-generate", "suffix", {"prompt": "a", "suffix": "b", "stream": False}),
    ("completion", "grammar", {"prompt": "a", "grammar": 'root ::= [a-z]+ "x"', "n_probs": 2, "stream": True}),
    ("infill", "files", {"input_prefix": "a", "input_suffix": "b", "input_extra": [{"filename": "f", "text": "t"}]}),
    ("lmstudio", "plain", {"messages": HI, "stream": True}),
    ("count", "plain", {"messages": HI}),
    ("tokens", "plain", {"messages": HI}),
    ("template", "plain", {"messages": TURNS}),
    ("chat", "deep", {"messages": [{"role": "user", "content": "[" * 70}]}),
]


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for api, name, body in SEEDS:
        (FOLDER / f"{api}-{name}").write_bytes(bytes([APIS.index(api)]) + json.dumps(body).encode())
    (FOLDER / "nested").write_bytes(b"\0" + b'{"a":' * 70)
    (FOLDER / "cut").write_bytes(b'\0{"messages": [{"role": "us')
    (FOLDER / "not-utf8").write_bytes(b'\1{"prompt": "\xff\xfe", "stream": true}')


if __name__ == "__main__":
    main()
