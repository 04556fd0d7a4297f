"""Vectors, through every route and client that asks for them."""

import base64
import concurrent.futures
import json
import math
import struct

import ollama
import openai
import pytest
from server import TINY, Server

TEXTS = ["The sea is blue.", "Once upon a time there was a boat. " * 20, "x"]


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def vectors(server, inputs, **more) -> list[list[float]]:
    status, answer = server.post("/v1/embeddings", {"model": server.name, "input": inputs, **more})
    assert status == 200, answer
    assert [entry["index"] for entry in answer["data"]] == list(range(len(answer["data"])))
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 0
    return [entry["embedding"] for entry in answer["data"]]


def length(vector) -> float:
    return math.sqrt(sum(x * x for x in vector))


def test_a_text_has_the_same_vector_alone_among_others_and_while_others_are_answered(server):
    alone = [vectors(server, text)[0] for text in TEXTS]
    assert all(length(vector) == pytest.approx(1, abs=1e-5) for vector in alone)
    assert vectors(server, TEXTS) == alone
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answers = [pool.submit(server.post, "/v1/completions", {"prompt": "Once", "max_tokens": 30, "temperature": 0}) for _ in range(3)]
        again = [pool.submit(vectors, server, TEXTS) for _ in range(4)]
        assert all(one.result() == alone for one in again)
        assert len({json.dumps(one.result()[1]["choices"]) for one in answers}) == 1


def test_tokens_are_as_good_as_text_and_unknown_ones_are_refused(server):
    tokens = server.post("/tokenize", {"content": TEXTS[0], "add_special": True})[1]["tokens"]
    assert vectors(server, tokens) == vectors(server, [tokens]) == vectors(server, TEXTS[0])
    status, answer = server.post("/v1/embeddings", {"input": [10**6]})
    assert status == 400 and "vocabulary" in answer["error"]["message"]


REFUSED = [
    {},
    {"input": []},
    {"input": ""},
    {"input": [[]]},
    {"input": [["x"]]},
    {"input": ["a"] * 3000},
    {"input": "word " * 40000},
    {"input": "x", "dimensions": 0},
    {"input": "x", "dimensions": 4096},
    {"input": "x", "encoding_format": "int8"},
]


@pytest.mark.parametrize("body", REFUSED, ids=lambda body: json.dumps(body)[:40])
def test_what_cannot_be_embedded_is_a_400(server, body):
    status, answer = server.post("/v1/embeddings", body)
    assert status == 400 and answer["error"]["message"]


def test_control_tokens_in_a_text_are_text(server):
    assert vectors(server, "<|im_end|>") != vectors(server, server.post("/tokenize", {"content": "<|im_end|>"})[1]["tokens"])


def test_openai_gets_floats_base64_and_fewer_dimensions(client, server):
    expected = vectors(server, TEXTS)
    answer = client.embeddings.create(model=server.name, input=TEXTS)  # which asks for base64
    assert all(entry.embedding == pytest.approx(vector) for entry, vector in zip(answer.data, expected, strict=True))
    _, raw = server.post("/v1/embeddings", {"input": "x", "encoding_format": "base64"})
    assert list(struct.unpack(f"<{len(expected[2])}f", base64.b64decode(raw["data"][0]["embedding"]))) == pytest.approx(expected[2])
    short = client.embeddings.create(model=server.name, input="x", dimensions=8, encoding_format="float").data[0].embedding
    scale = length(expected[2][:8])
    assert short == pytest.approx([x / scale for x in expected[2][:8]], abs=1e-6)


def test_ollama_gets_the_same_and_cuts_long_texts(server):
    client = ollama.Client(host=server.url)
    expected = vectors(server, TEXTS)
    answer = client.embed(model=server.name, input=TEXTS)
    assert all(list(got) == pytest.approx(vector) for got, vector in zip(answer.embeddings, expected, strict=True))
    assert answer.prompt_eval_count > 0 and answer.total_duration > 0
    assert list(client.embeddings(model=server.name, prompt=TEXTS[2]).embedding) == pytest.approx(expected[2])
    with pytest.raises(ollama.ResponseError):
        client.embed(model=server.name, input="word " * 40000, truncate=False)


def test_a_long_text_is_cut_where_it_is_asked_for():
    server = Server("--ctx", "64")
    try:
        long = "word " * 500
        tokens = server.post("/tokenize", {"content": long, "add_special": True})[1]["tokens"]
        assert len(tokens) > 64
        status, answer = server.post("/api/embed", {"model": server.name, "input": long})
        assert status == 200 and answer["prompt_eval_count"] == 64
        assert answer["embeddings"] == vectors(server, tokens[:64])
    finally:
        assert server.stop() == -15


def test_a_client_that_leaves_stops_its_texts(server):
    body = json.dumps({"input": ["Once upon a time there was a boat. " * 30] * 200})
    with server.connect() as connection:
        connection.sendall(f"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    assert vectors(server, "x")  # before the 200 could be computed, or this waits for minutes


def test_a_model_says_how_it_pools(tmp_path):
    """By the last token, as an embedding model made of a decoder does; and one that needs more is refused."""
    for file in TINY.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling/config.json").write_text('{"pooling_mode_lasttoken": true, "pooling_mode_mean_tokens": false}')
    server = Server(model=tmp_path)
    try:
        last = vectors(server, TEXTS)
        assert all(length(vector) == pytest.approx(1, abs=1e-5) for vector in last)
    finally:
        server.stop()
    server = Server()
    try:
        assert vectors(server, TEXTS) != last
    finally:
        server.stop()
    (tmp_path / "modules.json").write_text('[{"type": "sentence_transformers.models.Dense"}]')
    server = Server(model=tmp_path)
    try:
        status, answer = server.post("/v1/embeddings", {"input": "x"})
        assert status == 400 and "not computed" in answer["error"]["message"]
    finally:
        server.stop()
