"""HTTP as hostile, slow and odd clients speak it."""

import json
import re
import signal
import socket
import threading
import time

import pytest
from server import Server, head, read_all

CHAT = {"messages": [{"role": "user", "content": "Tell me a story."}], "max_tokens": 4}


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", answer)]


@pytest.mark.parametrize(
    "headers, status",
    [
        ("Host: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Host: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n", 400),
        ("Host: a\r\nContent-Length: 2, 2\r\n", 400),
        ("Host: a\r\nContent-Length: +2\r\n", 400),
        ("Host: a\r\nContent-Length: 99999999999999999999\r\n", 400),
        ("Host: a\r\nContent-Length: 9000000000\r\n", 413),
        ("Host: a\r\nTransfer-Encoding: gzip, chunked\r\n", 501),
        ("Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Host: a\r\nTransfer-Encoding : chunked\r\n", 400),
        ("Host: a\r\nX: a\r\n b\r\n", 400),
        ("Host: a\r\nX: a\rb\r\n", 400),
        ("Host: a\nX: b\n", 400),
        ("Host: a\r\nX: \0\r\n", 400),
        ("Host: a\r\nHost: b\r\n", 400),
        ("X: no host\r\n", 400),
        ("Host: a\r\nExpect: 200-maybe\r\n", 417),
        ("Host: a\r\n" + "X: y\r\n" * 101, 431),
        ("Host: a\r\nX: " + "y" * 70000 + "\r\n", 431),
        (": no name\r\nHost: a\r\n", 400),
        # What a proxy in between may read otherwise: CL.TE, TE.CL and their disguises.
        ("Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n", 400),
        ("Host: a\r\nContent-Length: 0\r\nContent-Length: 44\r\n", 400),
        ("Host: a\r\nContent-Length: 0x2\r\n", 400),
        ("Host: a\r\nContent-Length: -1\r\n", 400),
        ("Host: a\r\nContent-Length: 2 2\r\n", 400),
        ("Host: a\r\nContent-Length:\r\n", 400),
        ("Host: a\r\nContent-Length : 2\r\n", 400),
        ("Host: a\r\nContent_Length: 2\r\nContent-Length: 2\r\nContent-Length: 3\r\n", 400),
        ("Host: a\r\nTransfer-Encoding: identity\r\n", 501),
        ("Host: a\r\nTransfer-Encoding: xchunked\r\n", 501),
        ("Host: a\r\nTransfer-Encoding: chunked, chunked\r\n", 501),
        ("Host: a\r\nTransfer-Encoding: chunked;x=1\r\n", 501),
        ("Host: a\r\nTransfer-Encoding: \"chunked\"\r\n", 501),
        ("Host: a\r\nTransfer-Encoding:\r\n", 501),
        ("Host: a\r\nTransfer-Encoding: \x0bchunked\r\n", 400),
        ("Host: a\r\nTransfer-Encoding:\r\n chunked\r\n", 400),
        ("Host: a\r\nX: y\r\n\tTransfer-Encoding: chunked\r\n", 400),
        ("Host: a\r\n Content-Length: 2\r\n", 400),
        ("Host: a\r\nX: y\rContent-Length: 2\r\n", 400),
        ("Host: a\r\nX: y\nContent-Length: 2\r\n", 400),
        ("Host: a\r\nX\r\nContent-Length: 0\r\n", 400),
        ("Host: a\r\nX\xe9: y\r\n", 400),
    ],
)
def test_a_head_that_could_be_read_in_two_ways_is_refused(server, headers, status):
    answer = server.say(f"POST /health HTTP/1.1\r\n{headers.replace('Host: a', 'Host: localhost')}\r\nGET / HTTP/1.1\r\n\r\n")
    assert statuses(answer) == [status]
    assert b"Connection: close" in answer
    assert "error" in json.loads(answer.split(b"\r\n\r\n")[1])


@pytest.mark.parametrize(
    "line, status",
    [
        ("GET /health HTTP/1.1", 200),
        ("GET http://localhost/health HTTP/1.1", 200),
        ("GET /health/ HTTP/1.1", 200),
        ("GET /%68ealth?x=1 HTTP/1.1", 200),
        ("HEAD /health HTTP/1.1", 200),
        ("GET /nothing HTTP/1.1", 404),
        ("GET /%zz HTTP/1.1", 400),
        ("GET /a%00b HTTP/1.1", 400),
        ("GET health HTTP/1.1", 400),
        ("GET /health HTTP/2.0", 505),
        ("GET  /health HTTP/1.1", 400),
        ("GET /health", 400),
        ("\x16\x03\x01\x02", 400),
    ],
)
def test_a_first_line_is_read_strictly(server, line, status):
    assert statuses(server.say(head(line))) == [status]


def test_head_has_the_length_and_not_the_body(server):
    answer = server.say(head("HEAD /health HTTP/1.1"))
    assert answer.endswith(b"\r\n\r\n") and re.search(rb"Content-Length: [1-9]", answer)


def test_a_path_tells_its_methods(server):
    status, headers, _ = server.request("GET", "/v1/chat/completions")
    assert (status, headers["allow"]) == (405, "POST, OPTIONS")
    status, headers, _ = server.request("OPTIONS", "/health")
    assert (status, headers["allow"]) == (200, "GET, HEAD, OPTIONS")


def test_errors_have_the_shape_of_the_api_they_belong_to(server):
    assert server.post("/v1/chat/completions", "{")[1]["error"]["message"]
    assert server.post("/v1/messages", "{")[1]["type"] == "error"
    assert isinstance(server.post("/api/chat", "{")[1]["error"], str)


@pytest.mark.parametrize("body", ["", "{", "[]", "nul", '{"messages": 1}', '{"a":' * 5000, b"\xff\xfe{", '"' + "x" * 100000])
def test_a_body_that_is_no_request_is_a_400(server, body):
    status, answer = server.post("/v1/chat/completions", body)
    assert status == 400 and answer["error"]["message"]


def test_requests_sent_at_once_are_answered_in_their_order(server):
    asked = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20
    assert statuses(server.say(asked + head("GET /health HTTP/1.1"))) == [200, 404] * 20 + [200]


def test_a_request_may_come_byte_by_byte_and_in_chunks(server):
    body = json.dumps(CHAT).encode()
    chunks = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(body[i : i + 7]), body[i : i + 7]) for i in range(0, len(body), 7))
    text = head("POST /v1/chat/completions HTTP/1.1", "Transfer-Encoding: chunked").encode() + chunks + b"0\r\n\r\n"
    with server.connect() as connection:
        for byte in text:
            connection.sendall(bytes([byte]))
        assert statuses(read_all(connection)) == [200]


CHUNKS = ["zz", "-1", "+2", "0x2", " 2", "2 ;x", "", "10000000000000000", "ffffffffffffffff", "2\r\n{}x", "2\n{}\r\n0", "2\r\n{}\n0\n", "2\r{}"]


@pytest.mark.parametrize("chunk", CHUNKS)
def test_damaged_chunks_end_the_connection(server, chunk):
    """A second request behind them is never answered: whose bytes are its own could be read in two ways."""
    answer = server.say(head("POST /v1/completions HTTP/1.1", "Transfer-Encoding: chunked") + chunk + "\r\n\r\n" + head("GET /health HTTP/1.1"))
    assert statuses(answer) in ([400], [413])


def test_a_body_of_nobody_is_no_second_request(server):
    """GET and HEAD may have a body; its bytes are not a request."""
    inner = head("GET /v1/models HTTP/1.1")
    asked = f"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(inner)}\r\n\r\n{inner}" + head("GET /ready HTTP/1.1")
    answer = server.say(asked)
    assert statuses(answer) == [200, 200] and b"max_model_len" not in answer
    trailers = head("POST /v1/completions HTTP/1.1", "Transfer-Encoding: chunked") + "2\r\n{}\r\n0\r\nContent-Length: 9\r\nX: y\r\n\r\n"
    assert len(statuses(server.say(trailers))) == 1


def test_who_expects_it_is_told_to_go_on(server):
    body = json.dumps(CHAT)
    with server.connect() as connection:
        connection.sendall(head("POST /v1/chat/completions HTTP/1.1", "Expect: 100-continue", f"Content-Length: {len(body)}").encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body.encode())
        assert statuses(read_all(connection)) == [200]


def test_who_has_ended_its_own_words_still_gets_a_short_answer(server):
    with server.connect() as connection:
        connection.sendall(head("GET /v1/models HTTP/1.1").encode())
        connection.shutdown(socket.SHUT_WR)
        assert statuses(read_all(connection)) == [200]


def test_http_1_0_gets_a_body_that_ends_with_the_connection(server):
    body = json.dumps(CHAT | {"stream": True})
    answer = server.say(f"POST /v1/chat/completions HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n{body}")
    assert b"chunked" not in answer and answer.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    "header, status",
    [
        ("Host: evil.example", 403),
        ("Host: evil.example:80", 403),
        ("Host: 127.0.0.1:1", 200),
        ("Host: [::1]:80", 200),
        ("Host: me.localhost", 200),
        ("Host: localhost\r\nOrigin: https://evil.example", 403),
        ("Host: localhost\r\nOrigin: null", 403),
        ("Host: localhost:9\r\nOrigin: http://localhost:9", 200),
        ("Host: localhost\r\nSec-Fetch-Mode: cors", 200),
    ],
)
def test_pages_of_others_may_not_ask(server, header, status):
    answer = server.say(f"GET /health HTTP/1.1\r\n{header}\r\nConnection: close\r\n\r\n")
    assert statuses(answer) == [status]
    assert b"Access-Control" not in answer


def test_keys_origins_and_hosts_that_are_named_may_ask(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("first\nsecond key\n")
    server = Server("--api-key-file", str(keys), "--allow-origin", "app://*", "--allow-origin", "https://chat.example")
    try:
        for headers in ({}, {"Authorization": "Bearer firs"}, {"Authorization": "Basic first"}, {"x-api-key": "first\t2"}):
            status, answer_headers, _ = server.request("GET", "/v1/models", headers=headers)
            assert (status, answer_headers["www-authenticate"]) == (401, "Bearer")
        for headers in ({"Authorization": "bearer first"}, {"x-api-key": "second key"}):
            assert server.request("GET", "/v1/models", headers=headers)[0] == 200
        assert server.request("GET", "/health")[0] == 200
        status, headers, _ = server.request(
            "OPTIONS",
            "/v1/models",
            headers={"Origin": "app://x", "Access-Control-Request-Headers": "authorization", "Access-Control-Request-Method": "GET"},
        )
        assert (status, headers["access-control-allow-origin"]) == (200, "app://x")
        assert headers["access-control-allow-headers"] == "authorization"
    finally:
        server.stop()


def test_it_is_not_offered_to_others_without_a_key():
    with pytest.raises(AssertionError, match="--api-key"):
        Server("--host", "0.0.0.0")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/messages", "/api/chat"])
def test_one_more_answer_than_allowed_is_put_off_in_every_api(path):
    server = Server("--max-answers", "1")
    body = {"input": "Hi"} if path == "/v1/responses" else {"messages": CHAT["messages"]}
    if path != "/api/chat":
        body |= {"max_output_tokens": 4} if path == "/v1/responses" else {"max_tokens": 4}
    try:
        assert server.post("/v1/chat/completions", CHAT | {"n": 2})[0] == 400  # will never fit
        long = json.dumps(CHAT | {"max_tokens": 3000, "stream": True, "ignore_eos": True})
        with server.connect() as connection:
            connection.sendall((head("POST /v1/chat/completions HTTP/1.1", f"Content-Length: {len(long)}") + long).encode())
            assert connection.recv(1)
            status, headers, content = server.request("POST", path, body)
            assert (status, headers["retry-after"]) == (429, "1")
            assert json.loads(content)["error"]
        deadline = time.monotonic() + 20
        while server.post("/v1/chat/completions", CHAT)[0] == 429:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        server.stop()


def test_a_client_that_leaves_ends_its_answer(server):
    for stream in (True, False):
        body = json.dumps(CHAT | {"max_tokens": 3000, "stream": stream, "ignore_eos": True})
        with server.connect() as connection:
            connection.sendall((head("POST /v1/chat/completions HTTP/1.1", f"Content-Length: {len(body)}") + body).encode())
            deadline = time.monotonic() + 20
            while not (slots := json.loads(server.request("GET", "/slots")[2])) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert slots and slots[0]["max_tokens"] == 3000
        deadline = time.monotonic() + 10
        while json.loads(server.request("GET", "/slots")[2]):
            assert time.monotonic() < deadline, "it went on without its client"
            time.sleep(0.01)


def test_a_server_that_is_asked_to_end_finishes_its_answers():
    server = Server()
    body = json.dumps(CHAT | {"max_tokens": 200, "stream": True, "ignore_eos": True})
    with server.connect() as connection:
        connection.sendall((head("POST /v1/chat/completions HTTP/1.1", f"Content-Length: {len(body)}") + body).encode())
        first = connection.recv(1)
        ended = threading.Thread(target=server.stop)
        ended.start()
        answer = first + read_all(connection)
    ended.join()
    assert answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert server.process.returncode == -15


def test_a_line_feed_behind_the_last_request_does_not_hold_up_the_end():
    """Some clients send one behind a body; the connection is idle all the same."""
    server = Server()
    body = json.dumps(CHAT | {"max_tokens": 100, "stream": True, "ignore_eos": True})
    with server.connect() as connection:
        asked = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n{body}\r\n"
        connection.sendall(asked.encode())
        answer = connection.recv(1)
        server.process.send_signal(signal.SIGTERM)
        while not answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"):
            piece = connection.recv(65536)
            assert piece
            answer += piece
        assert connection.recv(1) == b""  # closed without the drain's time being waited for
    assert server.stop() == -signal.SIGTERM


def test_it_listens_at_a_socket_too(tmp_path):
    path = tmp_path / "socket"
    import subprocess

    from server import BINARY, TINY

    process = subprocess.Popen([BINARY, "serve", TINY, "--no-disk-cache", "--unix-socket", path], stderr=subprocess.PIPE, text=True)
    try:
        assert str(path) in process.stderr.readline()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(head("GET /health HTTP/1.1").encode())
            assert statuses(read_all(connection)) == [200]
        assert oct(path.stat().st_mode & 0o777) == "0o600"
    finally:
        process.terminate()
        process.communicate()
    assert not path.exists()
