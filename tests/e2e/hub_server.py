"""A model hub on loopback that speaks Hugging Face's protocol and can be told to misbehave.

Two servers: the hub (listing, small files, redirects) and the store it redirects large files to, on another
port, so that tests see which headers reach which origin.
"""

import hashlib
import json
import re
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
    drop_times: int = 0  # ... so many times ...
    drop_name: str | None = None  # ... of this file, or of every one
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
    gated: set = field(default_factory=set)  # repositories whose files no token may read
    store_statuses: list = field(default_factory=list)  # answers that the store gives first
    instead: dict = field(default_factory=dict)  # what is sent with 200 in a file's place
    # Of requests for a part that has an end, as for headers; the faults above are of whole files.
    part_statuses: list = field(default_factory=list)
    wrong_part: bool = False  # answer with another part
    drop_parts: int = 0  # close the connection half-way, so many times
    stall_parts: bool = False  # answer none


@dataclass
class Request:
    server: str  # "hub" or "store"
    path: str
    headers: dict

    @property
    def part(self) -> tuple[int, int] | None:
        """First byte and end of a range that has an end."""
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        return (int(found[1]), int(found[2]) + 1) if found else None


class Hub:
    """with Hub({"org/name": {"config.json": b"{}", ...}}) as hub: ... hub.url"""

    def __init__(self, repositories: dict[str, dict[str, bytes]]):
        self.repositories = repositories
        self.renamed: dict[str, str] = {}  # old name to new
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
        """Requests that got all bytes of this file from some place on, not a redirect."""
        return [r for r in self.requests if r.path.endswith("/" + name) and not self.redirects(r) and not r.part]

    def part_requests(self, name: str) -> list[tuple[int, int]]:
        """First byte and end of the parts that were asked for."""
        return [r.part for r in self.requests if r.path.endswith("/" + name) and not self.redirects(r) and r.part]

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
        self.request_read = Request(self.server.name, path, dict(self.headers))
        with hub.lock:
            hub.requests.append(self.request_read)
        if self.server.name == "hub" and faults.token and self.headers["Authorization"] != f"Bearer {faults.token}":
            return self.answer(401, b"no")
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            return self.send_listing("/".join(parts[2:-2]))
        repository, name = "/".join(parts[:2]), "/".join(parts[4:])
        if repository in hub.renamed:
            return self.answer(307, Location=self.path.replace(repository, hub.renamed[repository]))
        if self.server.name == "hub" and repository in faults.gated:
            return self.answer(403 if self.headers["Authorization"] else 401, b"Access is restricted")
        if self.server.name == "store" and (status := self.next_status(faults.store_statuses)):
            return self.answer(status, b"this address has expired")
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
        if repository in hub.renamed:
            return self.answer(307, Location=self.path.replace(repository, hub.renamed[repository]))
        if status := self.next_status(hub.faults.listing_statuses):
            return self.answer(status, b"listing fault", Retry_After="0")
        if repository not in hub.repositories:
            return self.answer(404, b"no such model")
        listing = hub.faults.listing if hub.faults.listing is not None else hub.listing(repository)
        self.answer(200, json.dumps(listing).encode())

    def send_content(self, name: str, content: bytes):
        faults = self.server.hub.faults
        if name in faults.instead:
            return self.answer(200, faults.instead[name])
        if self.request_read.part and not faults.no_range:
            return self.send_part(*self.request_read.part, content)
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
        self.send_body(name, content[start:])

    def send_part(self, start: int, end: int, content: bytes):
        faults = self.server.hub.faults
        if status := self.next_status(faults.part_statuses):
            return self.answer(status, b"part fault", Retry_After="0")
        if faults.stall_parts:
            self.server.hub.stopping.wait(60)
        if start >= len(content):
            return self.answer(416)
        with self.server.hub.lock:
            drop, faults.drop_parts = faults.drop_parts > 0, max(0, faults.drop_parts - 1)
        start += faults.wrong_part
        part = content[start:end]
        self.send_response(206)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Content-Range", f"bytes {start}-{start + len(part) - 1}/{len(content)}")
        self.end_headers()
        self.wfile.write(part[: len(part) // 2] if drop else part)
        self.close_connection = drop

    def wanted_start(self, etag: str, size: int) -> int | None:
        wanted = self.headers["Range"]
        if not wanted or self.request_read.part or self.server.hub.faults.no_range or self.headers.get("If-Range", etag) != etag:
            return 0
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        return start if start < size else None

    def send_body(self, name: str, body: bytes):
        faults = self.server.hub.faults
        with self.server.hub.lock:
            named = faults.drop_name in (None, name)
            drop = named and faults.drop_after is not None and faults.drop_times > 0 and len(body) > faults.drop_after
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
