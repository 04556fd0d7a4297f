"""OpenAI's Agents SDK over both of OpenAI's APIs."""

import asyncio
from typing import Literal

import pytest

agents = pytest.importorskip("agents", reason="openai-agents is not installed: make test-clients")
import openai  # noqa: E402: comes with it
import pydantic  # noqa: E402

agents.set_tracing_disabled(True)
APIS = [agents.OpenAIChatCompletionsModel, agents.OpenAIResponsesModel]


class Weather(pydantic.BaseModel):
    city: str = pydantic.Field(pattern="^(Paris|Rome)$")
    sunny: bool


def agent(served, api, **more):
    client = openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0)
    settings = {"temperature": 0, "max_tokens": 60, **more.pop("settings", {})}
    return agents.Agent(name="a", instructions="You help.", model=api(model=served.name, openai_client=client), model_settings=agents.ModelSettings(**settings), **more)


@pytest.mark.parametrize("api", APIS)
def test_an_output_type_is_kept_whole_and_as_a_stream(served, api):
    # An answer that is cut at max_tokens is an error to it: this one ends by itself.
    async def run():
        whole = await agents.Runner.run(agent(served, api, output_type=Weather), "The weather of Rome")
        streamed = agents.Runner.run_streamed(agent(served, api, output_type=Weather), "The weather of Rome")
        pieces = [event.data.delta async for event in streamed.stream_events() if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"]
        return whole.final_output, "".join(pieces), streamed.final_output

    whole, pieces, last = asyncio.run(run())
    assert isinstance(whole, Weather) and whole == last == Weather.model_validate_json(pieces)


@pytest.mark.parametrize("api", APIS)
def test_a_tool_that_has_to_be_called_is_called(served, api):
    called = []

    @agents.function_tool
    def get_weather(city: Literal["Paris", "Rome"]) -> str:
        """The weather of a city."""
        called.append(city)
        return "sunny in " + city

    one = agent(served, api, tools=[get_weather], tool_use_behavior="stop_on_first_tool", settings={"tool_choice": "required", "parallel_tool_calls": False, "max_tokens": 120})
    result = asyncio.run(agents.Runner.run(one, "How is the weather in Rome?"))
    assert len(called) == 1 and result.final_output == "sunny in " + called[0]


def test_a_model_that_is_not_there_is_said_so(served):
    client = openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0)
    with pytest.raises(openai.NotFoundError):
        asyncio.run(agents.Runner.run(agents.Agent(name="a", model=agents.OpenAIResponsesModel(model="nothing", openai_client=client)), "Hi"))
