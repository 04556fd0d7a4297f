"""--ram holds whatever clients send."""

import concurrent.futures
import json
import pathlib
import re
import time

from server import Server, head, read_all

RAM = 130_000_000


def peak(server: Server) -> int:
    """Bytes the process has had resident."""
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024


def ask(text: str, **more) -> str:
    return json.dumps({"messages": [{"role": "user", "content": text}], "max_tokens": 8, "temperature": 0} | more)


def test_large_requests_at_once_stay_within_it_and_small_ones_are_answered():
    server = Server("--ram", str(RAM), "--prompt-cache", "0")
    small = ask("Tell me a story.")
    large = [ask("word " * 50_000), ask("x" * 200_000), '{"messages": [' + "[]," * 60_000 + "[]]}", ask("漢字" * 40_000), ask("y" * 2_000_000)]
    try:
        status, expected = server.post("/v1/chat/completions", small)
        assert status == 200
        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            answers = [pool.submit(server.post, "/v1/chat/completions", body) for body in large * 24]
            beside = [server.post("/v1/chat/completions", small) for _ in range(10)]
            statuses = {answer.result()[0] for answer in answers}
        assert statuses <= {400, 413, 503} and 400 in statuses
        for status, answer in beside:
            assert status == 503 or answer["choices"] == expected["choices"]
        assert server.post("/v1/chat/completions", small)[1]["choices"] == expected["choices"], "there is room again"
        assert peak(server) <= RAM
    finally:
        assert server.stop() == -15


def hold(server: Server, part: bytes, body: str):
    """A connection that has sent so much and waits, and how `body` was refused meanwhile: once both came in that order."""
    for _ in range(50):
        waiting = server.connect()
        waiting.sendall(part)
        status, headers, _ = server.request("POST", "/v1/chat/completions", body)
        if status != 400:
            return waiting, status, headers
        waiting.close()
        time.sleep(0.1)
    raise AssertionError("nothing was refused")


def test_bodies_beyond_what_all_may_take_are_put_off():
    """One whose end never comes holds the room, one that is only announced does not; a chunked one finds none either."""
    server = Server("--ram", str(RAM), "--prompt-cache", "0")
    too_large = server.say(head("POST /v1/chat/completions HTTP/1.1", "Content-Length: 30000000"))
    assert b" 413 " in too_large
    most = int(float(re.search(rb"larger than ([\d.]+) KB", too_large)[1]) * 1000)
    try:
        body = ask("word " * (most // 20))
        announced = head("POST /v1/chat/completions HTTP/1.1", f"Content-Length: {most * 9 // 10}").encode()
        with server.connect() as waiting:
            waiting.sendall(announced)
            assert server.post("/v1/chat/completions", body)[0] == 400
        waiting, status, headers = hold(server, announced + b"x" * (most * 8 // 10), body)
        with waiting:
            assert (status, headers["retry-after"]) == (503, "1")
            chunked = head("POST /v1/chat/completions HTTP/1.1", "Transfer-Encoding: chunked").encode() + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body.encode())
            with server.connect() as connection:
                connection.sendall(chunked)
                assert b" 503 " in read_all(connection)[:20]
        status, _ = server.post("/v1/chat/completions", ask("Tell me a story."))
        assert status == 200
    finally:
        assert server.stop() == -15
