"""How clients read answers: the strictest of each API, as facts and their own sources have it. A reader fails where that client would."""

import datetime
import json
import re

USAGE_OF_RESPONSES = ("input_tokens", "output_tokens", "total_tokens")


def events(content: bytes) -> list[tuple[str | None, str]]:
    """(event or None, data) of a stream as Zed and the SDKs divide it: LF, "data: " with its space, comments between."""
    text = content.decode()
    assert "\r" not in text and text.endswith("\n\n")
    found = []
    for block in text.split("\n\n")[:-1]:
        lines = [line for line in block.split("\n") if not line.startswith(":")]
        if not lines:
            continue
        names = [line[7:] for line in lines if line.startswith("event: ")]
        data = [line[6:] for line in lines if line.startswith("data: ")]
        assert len(data) == 1 and len(names) <= 1 and len(lines) == len(data) + len(names), block
        found.append((names[0] if names else None, data[0]))
    return found


def openai_error(content: bytes) -> dict:
    error = json.loads(content)["error"]
    assert error.keys() >= {"message", "type", "param", "code"} and error["message"]
    return error


def check_usage(usage: dict) -> None:
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert 0 <= usage["prompt_tokens_details"]["cached_tokens"] <= usage["prompt_tokens"]


def openai_chat(content: bytes) -> dict:
    whole = json.loads(content)
    assert whole["object"] == "chat.completion" and whole["id"] and whole["created"] and whole["model"]
    for index, choice in enumerate(whole["choices"]):
        assert choice["index"] == index and choice["finish_reason"] in ("stop", "length", "tool_calls")
        message = choice["message"]
        assert message["role"] == "assistant" and "content" in message
        for call in message.get("tool_calls") or []:
            assert call["id"] and call["type"] == "function" and isinstance(json.loads(call["function"]["arguments"]), dict)
        assert (choice["finish_reason"] == "tool_calls") <= bool(message.get("tool_calls"))
    check_usage(whole["usage"])
    return whole


def openai_chat_stream(content: bytes) -> dict:
    """Concatenates as openai-py does: every string of a delta is added to what was there, so each name may come once."""
    told = events(content)
    assert told[-1] == (None, "[DONE]")
    chunks = [json.loads(data) for _, data in told[:-1]]
    assert len({(c["id"], c["created"], c["model"], c["object"]) for c in chunks}) == 1
    assert chunks[0]["object"] == "chat.completion.chunk" and not any("error" in c for c in chunks)
    message, calls, ends, usage = {}, [], [], None
    for chunk in chunks:
        assert usage is None, "the usage is the last chunk"
        if not chunk["choices"]:
            usage = chunk["usage"]
            check_usage(usage)
            continue
        (choice,) = chunk["choices"]
        assert choice["index"] == 0 and not ends, "nothing comes after the end"
        for name, value in choice["delta"].items():
            if name == "tool_calls":
                for part in value:
                    if part["index"] == len(calls):
                        assert part["id"] and part["type"] == "function" and part["function"]["name"]
                        calls.append({"id": "", "name": "", "arguments": ""})
                    call = calls[part["index"]]
                    call["id"] += part.get("id") or ""
                    call["name"] += part["function"].get("name") or ""
                    call["arguments"] += part["function"].get("arguments") or ""
            elif isinstance(value, str):
                message[name] = message.get(name, "") + value
        ends += [choice["finish_reason"]] if choice["finish_reason"] else []
    assert message["role"] == "assistant" and ends in (["stop"], ["length"], ["tool_calls"])
    for call in calls:
        assert re.fullmatch(r"[\w.:/-]{1,256}", call["name"]) and isinstance(json.loads(call["arguments"]), dict)
    return {"message": message, "tool_calls": calls, "finish_reason": ends[0], "usage": usage}


def openai_completion(content: bytes) -> dict:
    whole = json.loads(content)
    assert whole["object"] == "text_completion"
    assert all(c["index"] == i and isinstance(c["text"], str) and c["finish_reason"] in ("stop", "length") for i, c in enumerate(whole["choices"]))
    check_usage(whole["usage"])
    return whole


def openai_response_stream(content: bytes) -> dict:
    """Codex keeps the items of output_item.done and the usage of response.completed; the SDKs want all between in order."""
    told = [(name, json.loads(data)) for name, data in events(content) if data != "[DONE]"]
    assert all(name == event["type"] for name, event in told)
    assert [event["sequence_number"] for _, event in told] == list(range(len(told)))
    assert told[0][0] == "response.created" and told[0][1]["response"]["status"] == "in_progress"
    open_items, done, text = {}, {}, ""
    for name, event in told[1:-1]:
        index = event.get("output_index")
        if name == "response.output_item.added":
            assert index == len(open_items) + len(done)
            open_items[index] = event["item"]
        elif name == "response.output_item.done":
            begun = open_items.pop(index)
            done[index] = event["item"]
            assert all(event["item"].get(key) == begun.get(key) for key in ("type", "id", "call_id"))
        elif index is not None:
            assert index in open_items and event["item_id"] == open_items[index]["id"]
            if name == "response.output_text.delta":
                assert event["logprobs"] == []
                text += event["delta"]
    last, event = told[-1]
    assert last in ("response.completed", "response.incomplete") and not open_items
    response = event["response"]
    assert response["id"] == told[0][1]["response"]["id"] and response["output"] == [done[i] for i in range(len(done))]
    assert response["usage"]["total_tokens"] == response["usage"]["input_tokens"] + response["usage"]["output_tokens"]
    assert response["usage"]["input_tokens_details"]["cached_tokens"] >= 0 and response["usage"]["output_tokens_details"]["reasoning_tokens"] >= 0
    assert text == "".join(part["text"] for item in response["output"] if item["type"] == "message" for part in item["content"])
    return response


def openai_response(content: bytes) -> dict:
    response = json.loads(content)
    assert response["object"] == "response" and response["status"] in ("completed", "incomplete") and response["error"] is None
    assert all(response["usage"][name] >= 0 for name in USAGE_OF_RESPONSES)
    return response


def openai_models(content: bytes) -> dict:
    """OpenAI's list, Anthropic's and the one whose absence ends Codex, in one object."""
    answer = json.loads(content)
    assert answer["object"] == "list" and answer["models"] == [] and answer["has_more"] is False
    for model in answer["data"]:
        assert model["id"] and model["display_name"] and model["max_model_len"] > 0
        assert isinstance(model["created"], int) and model["created"] < 2**32
    return answer


def anthropic_message(content: bytes) -> dict:
    message = json.loads(content)
    assert message["type"] == "message" and message["role"] == "assistant" and message["id"].startswith("msg_")
    assert message["stop_reason"] in ("end_turn", "max_tokens", "stop_sequence", "tool_use")
    for block in message["content"]:
        assert isinstance(block[{"text": "text", "thinking": "thinking", "tool_use": "input"}[block["type"]]], (str, dict))
    return message


DELTAS = {"text_delta": ("text", "text"), "thinking_delta": ("thinking", "thinking"), "signature_delta": ("thinking", "signature"), "input_json_delta": ("tool_use", "partial_json")}


def anthropic_stream(content: bytes) -> dict:
    """One open block at a time, indices without gaps, deltas of the block's own type: else Claude Code says "Content block not found"."""
    told = [(name, json.loads(data)) for name, data in events(content)]
    assert all(name == event["type"] for name, event in told)
    told = [(name, event) for name, event in told if name != "ping"]
    assert told[0][0] == "message_start" and told[-1][0] == "message_stop"
    message = told[0][1]["message"]
    assert message["content"] == [] and message["stop_reason"] is None
    assert {"input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"} <= message["usage"].keys()
    blocks, is_open, inputs = [], False, {}
    for name, event in told[1:-2]:
        if name == "content_block_start":
            assert not is_open and event["index"] == len(blocks)
            blocks.append(dict(event["content_block"]))
            is_open = True
        else:
            assert is_open and event["index"] == len(blocks) - 1
            if name == "content_block_stop":
                is_open = False
                continue
            assert name == "content_block_delta"
            type_, field = DELTAS[event["delta"]["type"]]
            assert blocks[-1]["type"] == type_
            target = inputs if type_ == "tool_use" else blocks[-1]
            key = len(blocks) - 1 if type_ == "tool_use" else field
            target[key] = target.get(key, "") + event["delta"][field]
    name, end = told[-2]
    assert name == "message_delta" and not is_open
    assert end["delta"]["stop_reason"] in ("end_turn", "max_tokens", "stop_sequence", "tool_use") and end["usage"]["output_tokens"] >= 0
    for index, text in inputs.items():
        blocks[index]["input"] = json.loads(text or "{}")
    assert all("text" in block for block in blocks if block["type"] == "text") and all("thinking" in block for block in blocks if block["type"] == "thinking")
    return message | {"content": blocks, "stop_reason": end["delta"]["stop_reason"], "usage": message["usage"] | end["usage"]}


def anthropic_count(content: bytes) -> dict:
    answer = json.loads(content)
    assert answer.keys() == {"input_tokens"} and answer["input_tokens"] > 0
    return answer


def anthropic_error(content: bytes) -> dict:
    answer = json.loads(content)
    assert answer["type"] == "error" and answer["error"].keys() >= {"type", "message"} and answer["request_id"]
    return answer["error"]


def ollama_lines(content: bytes) -> list[dict]:
    """Zed and ollama-py parse every line; ollama-js raises wherever the key "error" is."""
    text = content.decode()
    assert text.endswith("\n")
    lines = [json.loads(line) for line in text[:-1].split("\n")]
    for line in lines:
        assert "error" not in line and line["model"]
        datetime.datetime.fromisoformat(line["created_at"].replace("Z", "+00:00"))
        assert len(re.search(r"(?:\.(\d+))?(?:Z|[+-]\d\d:\d\d)$", line["created_at"])[1] or "") <= 6
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert lines[-1]["done_reason"] in ("stop", "length", "load", "unload")
    return lines


def check_costs(line: dict) -> None:
    for name in ("total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration"):
        assert type(line[name]) is int and line[name] >= 0, name


def ollama_chat(content: bytes) -> dict:
    lines = ollama_lines(content)
    assert all(line["message"]["role"] == "assistant" and "content" in line["message"] for line in lines)
    calls = [call["function"] for line in lines for call in line["message"].get("tool_calls", [])]
    assert all(isinstance(call["arguments"], dict) and call["name"] for call in calls)
    check_costs(lines[-1])
    return {"content": "".join(line["message"]["content"] for line in lines), "tool_calls": calls, **{k: lines[-1][k] for k in ("done_reason", "eval_count")}}


def ollama_generate(content: bytes) -> dict:
    lines = ollama_lines(content)
    check_costs(lines[-1])
    return {"response": "".join(line["response"] for line in lines), "done_reason": lines[-1]["done_reason"]}


def ollama_loaded(content: bytes) -> dict:
    """Loading or unloading: one object."""
    (line,) = ollama_lines(content if content.endswith(b"\n") else content + b"\n")
    assert line["done_reason"] in ("load", "unload")
    return line


def ollama_tags(content: bytes) -> dict:
    """Zed wants every one of these."""
    answer = json.loads(content)
    for model in answer["models"]:
        assert model["name"] and model["model"] and model["digest"] and type(model["size"]) is int and model["modified_at"]
        assert model["details"].keys() >= {"format", "family", "families", "parameter_size", "quantization_level"}
    return answer


def ollama_running(content: bytes) -> dict:
    answer = json.loads(content)
    for model in answer["models"]:
        datetime.datetime.fromisoformat(model["expires_at"].replace("Z", "+00:00"))
    return answer


def ollama_show(content: bytes) -> dict:
    answer = json.loads(content)
    arch = answer["model_info"]["general.architecture"]
    assert answer["model_info"][f"{arch}.context_length"] > 0 and "completion" in answer["capabilities"]
    assert answer["details"]["family"] and re.search(r"^num_ctx\s+\d+$", answer["parameters"], re.MULTILINE)
    return answer


def ollama_version(content: bytes) -> dict:
    """Codex takes 0.13.4 and later."""
    answer = json.loads(content)
    assert tuple(map(int, answer["version"].split("."))) >= (0, 13, 4)
    return answer


def lmstudio_models(content: bytes) -> dict:
    """One word that Zed does not know loses it the whole list."""
    answer = json.loads(content)
    for model in answer["data"]:
        assert model["id"] and model["object"] == "model" and model["publisher"] and model["arch"] and isinstance(model["quantization"], str)
        assert model["type"] in ("llm", "vlm", "embeddings") and model["compatibility_type"] in ("gguf", "mlx")
        assert model["state"] in ("loaded", "loading", "not-loaded") and model["max_context_length"] > 0
        assert set(model["capabilities"]) <= {"tool_use", "vision"}
    return answer


def lmstudio_chat(content: bytes) -> dict:
    whole = openai_chat(content)
    assert whole["stats"]["tokens_per_second"] >= 0 and whole["stats"]["stop_reason"]
    return whole


def llama_stream(content: bytes) -> dict:
    told = [json.loads(data) for _, data in events(content) if data != "[DONE]"]
    assert [piece["stop"] for piece in told] == [False] * (len(told) - 1) + [True]
    return {"content": "".join(piece["content"] for piece in told), "last": told[-1]}


def llama_infill(content: bytes) -> dict:
    """llama.vim asks for some fields and finds nested ones under flat names."""
    answer = json.loads(content)
    assert isinstance(answer["content"], str) and all(isinstance(answer[name], (int, float)) for name in answer if name.startswith("timings/"))
    return answer


def llama_props(content: bytes) -> dict:
    answer = json.loads(content)
    assert answer["default_generation_settings"]["n_ctx"] > 0 and answer["total_slots"] > 0
    return answer


def nothing(content: bytes) -> dict:
    assert content == b""
    return {}


def anything(content: bytes) -> dict:
    assert content
    return {}
