"""The server as tests run it: on a free port, in a store of its own, and ways to speak to it that no client has."""

import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/bin/sluice"))
TINY = ROOT / "tests/models/tiny-moe"

# Who runs the tests may have it ignored, which servers would inherit. Not as a preexec_fn: between fork and exec Python
# may wait for a lock that another thread of the tests held, for ever.
signal.signal(signal.SIGTERM, signal.SIG_DFL)


class Server:
    """`sluice serve` until stop(); what it wrote on stderr is in `errors` then."""

    def __init__(self, *arguments, model=TINY, scheme="http"):
        models = [model] if model else []
        if not any("disk-cache" in str(argument) for argument in arguments):
            arguments = ("--no-disk-cache", *arguments)  # nothing of one test is found by another
        self.process = subprocess.Popen(
            [BINARY, "serve", *models, "--port", "0", "--log", *arguments],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.name, self.port, self.errors = "", 0, ""
        for line in self.process.stderr:
            self.errors += line
            if found := re.search(r"^(.*) at https?://127\.0\.0\.1:(\d+)$", line):
                self.name, self.port = found[1], int(found[2])
                break
        assert self.port, f"the server did not start: {self.errors}"
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self.reader = threading.Thread(target=self.read_errors, daemon=True)
        self.reader.start()

    def read_errors(self):
        """A full pipe would stop the server."""
        for line in self.process.stderr:
            self.errors += line

    def stop(self, timeout=30) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout)
        self.reader.join()
        return code

    def connect(self, timeout=20) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def say(self, text: str | bytes, timeout=20) -> bytes:
        """Sends that and reads until the server closes."""
        with self.connect(timeout) as connection:
            connection.sendall(text.encode() if isinstance(text, str) else text)
            return read_all(connection)

    def request(self, method: str, path: str, body=None, headers=None) -> tuple[int, dict, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        content = json.dumps(body) if isinstance(body, (dict, list)) else body
        connection.request(method, path, content, headers or {})
        answer = connection.getresponse()
        result = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        connection.close()
        return result

    def post(self, path: str, body, headers=None) -> tuple[int, dict]:
        status, _, content = self.request("POST", path, body, headers)
        return status, json.loads(content)

    def resident(self) -> int:
        """Bytes."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024


def read_all(connection: socket.socket) -> bytes:
    content = b""
    try:
        while piece := connection.recv(65536):
            content += piece
    except ConnectionResetError:
        pass
    return content


def head(line: str, *headers: str) -> str:
    """A request without a body that asks for the connection's end."""
    return "\r\n".join([line, "Host: localhost", "Connection: close", *headers, "", ""])
