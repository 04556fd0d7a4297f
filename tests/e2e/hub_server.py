"""A model hub on loopback that speaks Hugging Face's protocol and can be told to misbehave.

Two servers: the hub (listing, small files, redirects) and the store it redirects large files to, on another
port, so that tests see which headers reach which origin.
"""

import hashlib
import json
import threading
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git_blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Faults:
    """What goes wrong. Names are file names of the repository."""

    drop_after: int | None = None  # close the connection after so many bytes of a body ...
    drop_times: int = 0  # ... so many times
    corrupt: set = field(default_factory=set)  # one byte of these is wrong
    shorten: set = field(default_factory=set)  # these lack their last byte
    lengthen: set = field(default_factory=set)  # these have a byte too many
    statuses: list = field(default_factory=list)  # answers to give first, one a request for content
    listing_statuses: list = field(default_factory=list)  # the same for the listing
    no_range: bool = False  # always send the whole file
    wrong_range: bool = False  # answer a range request with a range from elsewhere
    stall_after: int | None = None  # stop sending after so many bytes, keep the connection (once)
    listing: object = None  # send this as the listing
    token: str | None = None  # ask for this bearer token
    redirect_to: str | None = None  # redirect large files to here instead


@dataclass
class Request:
    server: str  # "hub" or "store"
    path: str
    headers: dict


class Hub:
    """with Hub({"org/name": {"config.json": b"{}", ...}}) as hub: ... hub.url"""

    def __init__(self, repositories: dict[str, dict[str, bytes]]):
        self.repositories = repositories
        self.faults = Faults()
        self.requests: list[Request] = []
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.servers = {}
        for name in ("hub", "store"):
            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            server.daemon_threads = True
            server.hub, server.name = self, name
            self.servers[name] = server

    def __enter__(self):
        for server in self.servers.values():
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for server in self.servers.values():
            server.shutdown()
            server.server_close()

    @property
    def url(self) -> str:
        return self.url_of("hub")

    def url_of(self, name: str) -> str:
        return f"http://127.0.0.1:{self.servers[name].server_address[1]}"

    def content_requests(self, name: str) -> list[Request]:
        """Requests that got bytes of this file, not a redirect."""
        return [r for r in self.requests if r.path.endswith("/" + name) and not self.redirects(r)]

    @staticmethod
    def is_large(name: str) -> bool:
        return name.endswith((".safetensors", ".gguf", "tokenizer.json"))

    def redirects(self, request: Request) -> bool:
        return request.server == "hub" and self.is_large(request.path)

    def listing(self, repository: str) -> dict:
        siblings = []
        for name, content in self.repositories[repository].items():
            entry = {"rfilename": name, "size": len(content), "blobId": git_blob_id(content)}
            if self.is_large(name):
                entry["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
            siblings.append(entry)
        return {"id": repository, "sha": COMMIT, "siblings": siblings}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        hub, faults = self.server.hub, self.server.hub.faults
        path = urllib.parse.unquote(self.path.partition("?")[0])
        with hub.lock:
            hub.requests.append(Request(self.server.name, path, dict(self.headers)))
        if self.server.name == "hub" and faults.token and self.headers["Authorization"] != f"Bearer {faults.token}":
            return self.answer(401, b"no")
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            return self.send_listing("/".join(parts[2:-2]))
        repository, name = "/".join(parts[:2]), "/".join(parts[4:])
        content = hub.repositories.get(repository, {}).get(name)
        if content is None or parts[2] != "resolve":
            return self.answer(404, b"not here")
        if self.server.name == "hub" and hub.is_large(name):
            target = (faults.redirect_to or hub.url_of("store")) + self.path
            return self.answer(302, b"over there", Location=target)
        return self.send_content(name, content)

    def next_status(self, statuses: list) -> int | None:
        with self.server.hub.lock:
            return statuses.pop(0) if statuses else None

    def answer(self, status: int, body: bytes = b"", **headers):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_listing(self, repository: str):
        hub = self.server.hub
        if status := self.next_status(hub.faults.listing_statuses):
            return self.answer(status, b"listing fault", Retry_After="0")
        if repository not in hub.repositories:
            return self.answer(404, b"no such model")
        listing = hub.faults.listing if hub.faults.listing is not None else hub.listing(repository)
        self.answer(200, json.dumps(listing).encode())

    def send_content(self, name: str, content: bytes):
        faults = self.server.hub.faults
        if status := self.next_status(faults.statuses):
            return self.answer(status, b"content fault", Retry_After="0")
        etag = f'"{hashlib.md5(content).hexdigest()}"'
        if name in faults.corrupt:
            middle = len(content) // 2
            content = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        if name in faults.shorten:
            content = content[:-1]
        if name in faults.lengthen:
            content += b"x"
        start = self.wanted_start(etag, len(content))
        if start is None:
            return self.answer(416)
        self.send_response(206 if start else 200)
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            shown = start - 1 if faults.wrong_range else start
            self.send_header("Content-Range", f"bytes {shown}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        self.send_body(content[start:])

    def wanted_start(self, etag: str, size: int) -> int | None:
        wanted = self.headers["Range"]
        if not wanted or self.server.hub.faults.no_range or self.headers.get("If-Range", etag) != etag:
            return 0
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        return start if start < size else None

    def send_body(self, body: bytes):
        faults = self.server.hub.faults
        with self.server.hub.lock:
            drop = faults.drop_after is not None and faults.drop_times > 0 and len(body) > faults.drop_after
            faults.drop_times -= drop
            stall, faults.stall_after = faults.stall_after, None
        if drop:
            self.wfile.write(body[: faults.drop_after])
            self.close_connection = True
        elif stall is not None:
            self.wfile.write(body[:stall])
            self.wfile.flush()
            self.server.hub.stopping.wait(60)
            self.close_connection = True
        else:
            self.wfile.write(body)
