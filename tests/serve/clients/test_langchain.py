"""LangChain's ChatOpenAI, and its embeddings."""

from typing import Literal

import pytest
from asked import fits_weather

langchain_openai = pytest.importorskip("langchain_openai", reason="langchain-openai is not installed: make test-clients")
import openai  # noqa: E402: comes with it
import pydantic  # noqa: E402
from langchain_core.exceptions import ContextOverflowError  # noqa: E402


class Weather(pydantic.BaseModel):
    """The weather of a city."""

    city: str = pydantic.Field(json_schema_extra={"enum": ["Paris", "Rome"]})
    days: int = pydantic.Field(ge=1, le=7)


@pytest.fixture
def model(served):
    return langchain_openai.ChatOpenAI(base_url=f"{served.url}/v1", api_key="none", model=served.name, temperature=0, max_tokens=60, max_retries=0, stream_usage=True)


def test_a_stream_adds_up_to_the_whole(model):
    whole = model.invoke("Tell me a story.")
    added = None
    for chunk in model.stream("Tell me a story."):
        added = chunk if added is None else added + chunk
    assert added.content == whole.content and whole.content
    assert added.usage_metadata["output_tokens"] == whole.usage_metadata["output_tokens"] > 0
    assert added.response_metadata["finish_reason"] == whole.response_metadata["finish_reason"]


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output_is_what_was_asked_for(model, method):
    found = model.with_structured_output(Weather, method=method, strict=True).invoke("The weather of Rome for 3 days")
    assert fits_weather(found.model_dump())


def test_a_tool_that_has_to_be_called_is(model):
    def get_weather(city: Literal["Paris", "Rome"], days: int) -> str:
        """The weather of a city."""

    message = model.bind_tools([get_weather], tool_choice="any", strict=True).invoke("How is the weather in Rome?")
    assert [call["name"] for call in message.tool_calls] == ["get_weather"] and not message.invalid_tool_calls
    streamed = None
    for chunk in model.bind_tools([get_weather], tool_choice="any", strict=True).stream("How is the weather in Rome?"):
        streamed = chunk if streamed is None else streamed + chunk
    assert [(call["name"], call["args"]) for call in streamed.tool_calls] == [(call["name"], call["args"]) for call in message.tool_calls]


def test_log_probabilities_are_told(model):
    content = model.bind(logprobs=True, top_logprobs=2, max_tokens=4).invoke("Hi").response_metadata["logprobs"]["content"]
    assert content and all(len(token["top_logprobs"]) == 2 for token in content)


def test_errors_are_of_their_classes(model, served):
    with pytest.raises((ContextOverflowError, openai.BadRequestError)) as error:
        model.invoke("word " * 40000)
    assert "maximum context length" in str(error.value)
    with pytest.raises(openai.NotFoundError):
        langchain_openai.ChatOpenAI(base_url=f"{served.url}/v1", api_key="none", model="nothing", max_retries=0).invoke("Hi")


def test_embeddings_are_vectors_of_length_one(served):
    embeddings = langchain_openai.OpenAIEmbeddings(base_url=f"{served.url}/v1", api_key="none", model=served.name, check_embedding_ctx_length=False, max_retries=2)
    one, two = embeddings.embed_documents(["Hi", "A longer text"])
    assert embeddings.embed_query("Hi") == pytest.approx(one) and sum(x * x for x in two) == pytest.approx(1, abs=1e-4)
