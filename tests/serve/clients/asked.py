"""What every client of this folder asks, and what becomes of it once the client has left."""

import json
import time

STORY = [{"role": "user", "content": "Tell me a story."}]
WEATHER = {"type": "object", "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}, "days": {"type": "integer", "minimum": 1, "maximum": 7}}, "required": ["city", "days"], "additionalProperties": False}
TOOL = {"type": "function", "function": {"name": "get_weather", "description": "The weather of a city", "parameters": WEATHER, "strict": True}}
TOO_LONG = [{"role": "user", "content": "word " * 40000}]


def fits_weather(value) -> bool:
    return isinstance(value, dict) and value.keys() == {"city", "days"} and value["city"] in ("Paris", "Rome") and type(value["days"]) is int and 1 <= value["days"] <= 7


def wait_until_idle(server, seconds=10):
    deadline = time.monotonic() + seconds
    while json.loads(server.request("GET", "/slots")[2]):
        assert time.monotonic() < deadline, "it goes on without its client"
        time.sleep(0.01)
