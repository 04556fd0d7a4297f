"""Writes the seeds of the server's fuzzers: requests (a byte that picks the API, then a body), http_head, splitter, grammar,
answer_stream (tests/fuzz/NAME_fuzz.cpp says what the first bytes are)."""

import json
from pathlib import Path

CORPUS = Path(__file__).resolve().parents[1] / "tests/fuzz/corpus"
FOLDER = CORPUS / "requests"
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


HEADS = {
    "get": b"GET /v1/models?limit=1 HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n",
    "post": b"POST http://localhost/v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\nExpect: 100-continue\r\nConnection: close, x\r\n\r\n",
    "chunked": b"POST /api%2Fchat/ HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\n\r\n",
    "smuggled": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
    "old": b"OPTIONS * HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "bare": b"GET / HTTP/1.1\nHost: a\n\n",
}
ANSWERS = {
    "marked": (2, "<think>Hm.</think>So <tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}}</tool_call>"),
    "coder": (0, "<tool_call><function=f><parameter=a>7</parameter></function></tool_call> x"),
    "kimi": (0, "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>"),
    "minimax": (0, '<minimax:tool_call><invoke name="f"><parameter name="a">7</parameter></invoke></minimax:tool_call>'),
    "gemma": (0, '<|tool_call>call:f{a:<|"|>x<|"|>,n:[1,{k:true}]}<tool_call|>'),
    "python": (0, "<|tool_call_start|>[f(a='x', n={\"k\": None}), g()]<|tool_call_end|>"),
    "channels": (1, '<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}<|call|>'),
    "final": (17, "<|channel|>final<|message|>Hi<|return|>"),
    "mistral": (16, '[TOOL_CALLS]f[ARGS]{"a": 1}'),
}
GRAMMARS = {
    "schema": (0, json.dumps({"type": "object", "properties": {"a": {"enum": [1, "x"]}, "b": {"type": "array", "items": {"$ref": "#/$defs/c"}}}, "required": ["a"], "$defs": {"c": {"type": "string", "pattern": "^[a-z]+$"}}})),
    "regex": (1, "[a-z]{2,5}(x|y)+"),
    "lark": (2, 'start: "a" b*\nb: /[0-9]/ | %json {"type": "null"}\n'),
    "gbnf": (3, 'root ::= [a-z]+ ("x" | y)?\ny ::= "\\n"'),
}
STREAMS = {
    "chat": b'data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":"length"}]}\r\n\r\n: ping\n\ndata: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":1}},"timings":{"prompt_per_second":1.5}}\n\ndata: [DONE]\n\n',
    "error": b'data: {"error": {"message": "no"}}\n\n',
    "whole": b'{"error": {"message": "no key"}}',
}


def write(name: str, seed: str, content: bytes):
    (CORPUS / name).mkdir(exist_ok=True)
    (CORPUS / name / seed).write_bytes(content)


def main():
    for seed, head in HEADS.items():
        write("http_head", seed, head)
    for seed, (bits, text) in ANSWERS.items():
        write("splitter", seed, bytes([bits, 2]) + text.encode())
    for seed, (kind, text) in GRAMMARS.items():
        write("grammar", seed, bytes([kind, 3]) + text.encode())
    for seed, stream in STREAMS.items():
        write("answer_stream", seed, b"\5" + stream)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for api, name, body in SEEDS:
        (FOLDER / f"{api}-{name}").write_bytes(bytes([APIS.index(api)]) + json.dumps(body).encode())
    (FOLDER / "nested").write_bytes(b"\0" + b'{"a":' * 70)
    (FOLDER / "cut").write_bytes(b'\0{"messages": [{"role": "us')
    (FOLDER / "not-utf8").write_bytes(b'\1{"prompt": "\xff\xfe", "stream": true}')


if __name__ == "__main__":
    main()
