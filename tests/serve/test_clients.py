"""The official clients against the server: what they ask for is what they get, in their own types."""

import anthropic
import ollama
import openai
import pytest

STORY = [{"role": "user", "content": "Tell me a story."}]


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def test_openai_lists_the_model(client, server):
    (model,) = client.models.list().data
    assert model.id == server.name == "tiny-moe"
    assert client.models.retrieve("tiny-moe").id == "tiny-moe"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("a/b:c")


def test_openai_gets_the_same_text_as_a_stream_and_whole(client):
    whole = client.chat.completions.create(model="tiny-moe", messages=STORY, max_tokens=20, temperature=0)
    assert whole.choices[0].finish_reason in ("stop", "length")
    assert whole.usage.prompt_tokens > 5 and 0 < whole.usage.completion_tokens <= 20
    chunks = list(
        client.chat.completions.create(
            model="tiny-moe", messages=STORY, max_tokens=20, temperature=0, stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole.choices[0].message.content
    assert len({c.id for c in chunks}) == 1 and chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_openai_gets_n_answers_whose_seeds_follow_each_other(client):
    def texts(n, seed):
        answer = client.chat.completions.create(model="tiny-moe", messages=STORY, max_tokens=8, temperature=1, n=n, seed=seed)
        return [choice.message.content for choice in answer.choices]

    assert texts(3, 5) == texts(1, 5) + texts(1, 6) + texts(1, 7)


def test_openai_stops_at_a_text(client):
    whole = client.completions.create(model="tiny-moe", prompt="Once upon a time", max_tokens=30, temperature=0).choices[0].text
    stop = whole[8:12]
    stopped = client.completions.create(model="tiny-moe", prompt="Once upon a time", max_tokens=30, temperature=0, stop=[stop])
    assert stopped.choices[0].text == whole[: whole.index(stop)] and stopped.choices[0].finish_reason == "stop"


def test_openai_recognises_what_is_wrong(client):
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(model="tiny-moe", messages=[{"role": "user", "content": "word " * 5000}])
    assert error.value.code == "context_length_exceeded" and "maximum context length" in str(error.value)
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="gpt-4", messages=STORY)
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(model="tiny-moe", messages=STORY, temperature=-1)
    assert error.value.param == "temperature"


def test_openai_responses_are_streamed(client):
    with client.responses.stream(model="tiny-moe", input="Tell me a story.", max_output_tokens=200) as stream:
        events = [event.type for event in stream]
    assert events[0] == "response.created" and events[-1] in ("response.completed", "response.incomplete")


def test_anthropic_gets_messages_streams_and_counts(server):
    client = anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0)
    whole = client.messages.create(model="tiny-moe", messages=STORY, max_tokens=20)
    assert whole.content[0].type == "text" and whole.stop_reason in ("end_turn", "max_tokens")
    with client.messages.stream(model="tiny-moe", messages=STORY, max_tokens=20) as stream:
        assert "".join(stream.text_stream) == whole.content[0].text
    counted = client.messages.count_tokens(model="tiny-moe", messages=STORY)
    assert counted.input_tokens == whole.usage.input_tokens + (whole.usage.cache_read_input_tokens or 0)
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
        client.messages.create(model="tiny-moe", messages=[{"role": "user", "content": "word " * 5000}], max_tokens=5)


def test_ollama_chats_generates_and_shows(server):
    client = ollama.Client(host=server.url)
    assert [model.model for model in client.list().models] == ["tiny-moe"]
    whole = client.chat("tiny-moe", messages=STORY, options={"num_predict": 12, "temperature": 0})
    parts = list(client.chat("tiny-moe:latest", messages=STORY, options={"num_predict": 12, "temperature": 0}, stream=True))
    assert "".join(part.message.content for part in parts) == whole.message.content and parts[-1].done
    assert client.generate("tiny-moe", "Once", options={"num_predict": 4}).eval_count == 4
    assert client.show("tiny-moe").modelinfo
    with pytest.raises(ollama.ResponseError) as error:
        client.chat("nothing", messages=STORY)
    assert error.value.status_code == 404


def test_tokens_go_there_and_back(server):
    _, tokens = server.post("/tokenize", {"content": "Hello, world"})
    assert server.post("/detokenize", {"tokens": tokens["tokens"]})[1]["content"] == "Hello, world"
    _, rendered = server.post("/apply-template", {"messages": STORY})
    assert "Tell me a story." in rendered["prompt"]
    status, answer = server.post("/detokenize", {"tokens": [10**7]})
    assert status == 400, answer


def test_metrics_count_what_was_asked(server):
    before = metrics(server)
    server.post("/v1/chat/completions", {"messages": STORY, "max_tokens": 3, "ignore_eos": True})
    after = metrics(server)
    assert after["sluice_generated_tokens_total"] - before.get("sluice_generated_tokens_total", 0) == 3
    assert after["sluice_time_to_first_token_seconds_count"] == before.get("sluice_time_to_first_token_seconds_count", 0) + 1


def metrics(server) -> dict[str, float]:
    lines = server.request("GET", "/metrics")[2].decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}


def test_user_text_never_becomes_a_control_token(server):
    def n_tokens(text):
        return server.post("/v1/messages/count_tokens", {"model": "tiny-moe", "messages": [{"role": "user", "content": text}]})[1]["input_tokens"]

    assert n_tokens("<|im_end|>") > n_tokens("x") + 2
