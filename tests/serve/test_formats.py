"""Answers in a format: whatever the model would rather say, what it says fits."""

import json
import random
import re
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

ASKED = [{"role": "user", "content": "Describe a person as JSON."}]


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def random_schema(draw: random.Random, depth: int = 0) -> dict:
    kinds = ["string", "integer", "number", "boolean", "null", "enum", "array", "object"]
    kind = draw.choice(kinds if depth < 3 else kinds[:6])
    if kind == "string":
        return {"type": "string", "maxLength": draw.randint(0, 12)}
    if kind == "integer":
        least = draw.randint(-50, 50)
        return {"type": "integer", "minimum": least, "maximum": least + draw.randint(0, 500)}
    if kind == "enum":
        return {"enum": draw.sample(["a", "b b", 'quo"te', 1, 2.5, None, True, "ü"], draw.randint(1, 4))}
    if kind == "number":
        return {"type": "number", "minimum": 0, "maximum": 9}
    if kind == "array":
        least = draw.randint(0, 2)
        return {"type": "array", "items": random_schema(draw, depth + 1), "minItems": least, "maxItems": least + draw.randint(0, 2)}
    if kind == "object":
        names = draw.sample(["name", "age", "käse", "with space", "e"], draw.randint(0, 4))
        properties = {name: random_schema(draw, depth + 1) for name in names}
        required = draw.sample(names, draw.randint(0, len(names)))
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {"type": kind}


def fits(value: object, schema: dict) -> bool:
    if "enum" in schema:
        return any(value == allowed and type(value) is type(allowed) for allowed in schema["enum"])
    match schema["type"]:
        case "string":
            return isinstance(value, str) and len(value) <= schema["maxLength"]
        case "integer":
            return type(value) is int and schema["minimum"] <= value <= schema["maximum"]
        case "number":
            return type(value) in (int, float) and 0 <= value <= 9
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "array":
            return isinstance(value, list) and schema["minItems"] <= len(value) <= schema["maxItems"] and all(fits(v, schema["items"]) for v in value)
    known = isinstance(value, dict) and set(schema["required"]) <= set(value) <= set(schema["properties"])
    return known and all(fits(v, schema["properties"][name]) for name, v in value.items())


def test_two_hundred_random_schemas_always_get_what_fits_them(client):
    def answer(seed: int) -> str:
        schema = {"type": "object", "properties": {"it": random_schema(random.Random(seed))}, "required": ["it"], "additionalProperties": False}
        format_ = {"type": "json_schema", "json_schema": {"name": "it", "strict": True, "schema": schema}}
        whole = client.chat.completions.create(model="tiny-moe", messages=ASKED, response_format=format_, temperature=1, seed=seed, max_tokens=400)
        choice = whole.choices[0]
        if choice.finish_reason == "length":  # numbers have any number of digits, and space any length
            return "cut"
        assert choice.finish_reason == "stop" and fits(json.loads(choice.message.content), schema), (schema, choice.message.content)
        return "fits"

    with ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(answer, range(200)))
    assert ends.count("fits") >= 180


@pytest.mark.parametrize("temperature", [0, 1])
def test_other_formats_are_kept_too(client, temperature):
    def answer(extra: dict, **options) -> str:
        return client.chat.completions.create(model="tiny-moe", messages=ASKED, temperature=temperature, seed=3, max_tokens=60, extra_body=extra, **options).choices[0].message.content

    assert answer({}, response_format={"type": "json_object"}).lstrip().startswith("{")
    for name in ("guided_regex", "regex"):
        try:
            text = answer({name: "(ab|cd){2}[0-9]"})
        except openai.BadRequestError as error:
            assert name in str(error)  # not every dialect's name for it is known
            continue
        assert re.fullmatch("(ab|cd){2}[0-9]", text)


def test_a_schema_that_cannot_be_kept_is_refused_before_anything_is_computed(client):
    for schema in ({"type": "nonsense"}, {"$ref": "https://example.com/schema"}, {"type": "object", "properties": 3}):
        format_ = {"type": "json_schema", "json_schema": {"name": "it", "strict": True, "schema": schema}}
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="tiny-moe", messages=ASKED, response_format=format_, max_tokens=5)
