"""LiteLLM through each of the dialects it translates to."""

import json

import pytest
from asked import STORY, TOO_LONG, TOOL, WEATHER, fits_weather, wait_until_idle

litellm = pytest.importorskip("litellm", reason="litellm is not installed: make test-clients")


def where(served, provider: str) -> dict:
    base = f"{served.url}/v1" if provider in ("openai", "hosted_vllm") else served.url
    return {"model": f"{provider}/{served.name}", "api_base": base, "api_key": "none", "num_retries": 0, "max_retries": 0}


def test_every_dialect_gets_the_same_text_whole_and_as_a_stream(served):
    texts = set()
    for provider in ("openai", "hosted_vllm", "ollama_chat", "anthropic"):
        asked = {**where(served, provider), "messages": STORY, "max_tokens": 16, "temperature": 0}
        whole = litellm.completion(**asked)
        texts.add(whole.choices[0].message.content)
        texts.add("".join(chunk.choices[0].delta.content or "" for chunk in litellm.completion(**asked, stream=True)))
        assert whole.usage.completion_tokens <= 16 and whole.usage.prompt_tokens > 3
    assert len(texts) == 1 and texts.pop()


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_a_named_tool_is_called_and_its_result_is_taken(served, provider):
    if provider == "anthropic" and served.name == "tiny-moe":
        pytest.skip("LiteLLM drops `strict` on the way, and the tiny model's free arguments do not end")
    asked = {**where(served, provider), "max_tokens": 200, "temperature": 0, "tools": [TOOL]}
    message = litellm.completion(**asked, messages=STORY, tool_choice={"type": "function", "function": {"name": "get_weather"}}).choices[0].message
    (call,) = message.tool_calls
    assert call.function.name == "get_weather" and isinstance(json.loads(call.function.arguments), dict)
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    assert litellm.completion(**asked | {"max_tokens": 8}, messages=[*STORY, message.model_dump(), result]).choices[0].finish_reason


def test_a_schema_is_kept(served):
    format_ = {"type": "json_schema", "json_schema": {"name": "weather", "strict": True, "schema": WEATHER}}
    for provider in ("openai", "hosted_vllm"):
        whole = litellm.completion(**where(served, provider), messages=STORY, temperature=1, seed=1, response_format=format_, max_tokens=60)
        assert fits_weather(json.loads(whole.choices[0].message.content))


def test_log_probabilities_are_told(served):
    whole = litellm.completion(**where(served, "hosted_vllm"), messages=STORY, max_tokens=4, temperature=0, logprobs=True, top_logprobs=3)
    content = whole.choices[0].logprobs.content
    assert len(content) == whole.usage.completion_tokens
    assert all(len(token.top_logprobs) == 3 and token.logprob <= token.top_logprobs[0].logprob <= 0 for token in content)


def test_errors_are_of_their_classes(served):
    for provider in ("openai", "anthropic"):
        with pytest.raises(litellm.ContextWindowExceededError):
            litellm.completion(**where(served, provider), messages=TOO_LONG, max_tokens=5)
        with pytest.raises(litellm.NotFoundError):
            litellm.completion(**where(served, provider) | {"model": f"{provider}/nothing"}, messages=STORY, max_tokens=5)
    with pytest.raises(litellm.BadRequestError, match="temperature"):
        litellm.completion(**where(served, "openai"), messages=STORY, temperature=-1)


def test_a_stream_that_is_closed_ends_its_answer(served):
    stream = litellm.completion(**where(served, "openai"), messages=STORY, max_tokens=3000, stream=True, extra_body={"ignore_eos": True})
    next(iter(stream))
    assert json.loads(served.request("GET", "/slots")[2])
    stream.completion_stream.close()
    wait_until_idle(served)


def test_a_base_model_completes_texts_and_says_that_it_does_not_chat(base):
    asked = {**where(base, "openai"), "model": f"text-completion-openai/{base.name}", "prompt": "The capital of France is", "max_tokens": 8, "temperature": 0}
    whole = litellm.text_completion(**asked).choices[0].text
    assert whole and "".join(chunk.choices[0].text or "" for chunk in litellm.text_completion(**asked, stream=True)) == whole
    with pytest.raises(litellm.BadRequestError, match="base model"):
        litellm.completion(**where(base, "openai"), messages=STORY)
