#!/usr/bin/env python3
"""Stands between a client and a server and writes down what the client sends, for tests/serve/recorded.

    tools/record_requests.py --to http://127.0.0.1:8080 --port 8081 --out requests.json

Fields, types, headers and order stay as they were. Texts do not: a long one becomes a few words and its length, since a client's prompts
are its authors' work. Keys, hosts and lengths of bodies are left out. Ctrl-C ends it; the file is whole after each request.
"""

import argparse
import http.client
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

LONGEST = 60
# Of one connection or one user, or the same for everybody.
LEFT_OUT = {"authorization", "x-api-key", "host", "content-length", "connection", "accept-encoding", "transfer-encoding"}
SEVERAL = 6  # of an array's entries of one shape


def shortened(text: str) -> str:
    """The billing line's form matters to a prompt cache; everything else that is long is only long."""
    if len(text) <= LONGEST or text.startswith("x-anthropic-billing-header:"):
        return text
    return f"{' '.join(re.findall(r'[A-Za-z]+', text)[:3])} ({len(text)} characters)"


def shape(value: object) -> object:
    """Equal for entries that differ in their texts alone."""
    if isinstance(value, dict):
        return tuple((key, shape(item)) for key, item in value.items() if key not in ("input_schema", "parameters"))
    if isinstance(value, list):
        return ("list", *(shape(item) for item in value[:1]))
    return type(value).__name__


def trimmed(value: object) -> object:
    if isinstance(value, str):
        return shortened(value)
    if isinstance(value, dict):
        return {key: trimmed(item) for key, item in value.items()}
    if isinstance(value, list):
        seen: dict[object, int] = {}
        kept = []
        for item in value:
            seen[shape(item)] = seen.get(shape(item), 0) + 1
            if seen[shape(item)] <= SEVERAL:
                kept.append(trimmed(item))
        return kept
    return value


class Recorder(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    requests: list[dict] = []
    lock = threading.Lock()
    to: str
    out: Path

    def serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.write_down(body)
        to = urlsplit(self.to)
        upstream = http.client.HTTPConnection(to.hostname, to.port, timeout=600)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection", "accept-encoding")}
        try:
            upstream.request(self.command, self.path, body or None, headers)
            self.pass_on(upstream.getresponse())
        except OSError as error:
            print(f"{self.command} {self.path}: {error}")
        finally:
            upstream.close()
            self.close_connection = True

    def pass_on(self, answer: http.client.HTTPResponse) -> None:
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length", "date", "server"):
                self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        told = b""
        while piece := answer.read1(65536):
            told += piece[: 400 - len(told)] if len(told) < 400 else b""
            self.wfile.write(piece)
            self.wfile.flush()
        print(f"{self.command} {self.path}: {answer.status} {told[:400] if answer.status >= 400 else ''}", flush=True)

    def write_down(self, body: bytes) -> None:
        request = {"method": self.command, "path": self.path, "headers": {name: shortened(value) for name, value in self.headers.items() if name.lower() not in LEFT_OUT}}
        if body:
            try:
                request["body"] = trimmed(json.loads(body))
            except ValueError:
                request["text"] = shortened(body.decode(errors="replace"))
        with self.lock:
            if request not in self.requests:
                self.requests.append(request)
                self.out.write_text(json.dumps(self.requests, indent=1, ensure_ascii=False) + "\n")

    def log_message(self, *_) -> None:
        pass

    do_GET = do_POST = do_HEAD = do_DELETE = do_OPTIONS = do_PUT = serve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", default="http://127.0.0.1:8080")
    parser.add_argument("--port", type=int, default=8081)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    Recorder.to, Recorder.out = options.to, options.out
    server = ThreadingHTTPServer(("127.0.0.1", options.port), Recorder)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
