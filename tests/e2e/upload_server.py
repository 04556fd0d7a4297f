"""A hub on loopback that takes uploads by Hugging Face's protocol, and a store on another port that it leads large files to."""

import base64
import hashlib
import json
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_upload_token_of_the_tests"


class UploadHub:
    """with UploadHub() as hub: ... hub.url; repositories: by name, file name to content; objects: the store's, by sha256."""

    def __init__(self, part_bytes: int = 0):
        self.part_bytes = part_bytes  # larger files are sent in parts; 0: never
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.objects: dict[str, bytes] = {}
        self.parts: dict[tuple[str, int], bytes] = {}
        self.requests: list[tuple[str, str, str, dict]] = []  # server, method, path, headers
        self.store_statuses: list[int] = []  # answers that the store gives first
        self.drop_puts = 0  # so many PUTs end half-way
        self.stall_after_objects: int | None = None  # PUTs hang once so many objects are there
        self.stalled = threading.Event()
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
        for server in self.servers.values():
            server.shutdown()
            server.server_close()

    @property
    def url(self) -> str:
        return self.url_of("hub")

    def url_of(self, name: str) -> str:
        return f"http://127.0.0.1:{self.servers[name].server_address[1]}"

    def puts(self) -> list[str]:
        return [path for _, method, path, _ in self.requests if method == "PUT"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status: int, body: object = None, **headers: str):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def note(self) -> str:
        path = urllib.parse.unquote(self.path)
        self.server.hub.requests.append((self.server.name, self.command, path, dict(self.headers)))
        return path.strip("/")

    def do_POST(self):
        hub, path = self.server.hub, self.note()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return self.answer(401)
        if path == "api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            there = name in hub.repositories
            hub.repositories.setdefault(name, {})
            return self.answer(409 if there else 200, {"url": f"{hub.url}/{name}"})
        if path.endswith(".git/info/lfs/objects/batch"):
            return self.answer(200, {"objects": [self.plan(o["oid"], o["size"]) for o in json.loads(body)["objects"]]})
        if path.startswith("complete/"):
            return self.complete(path.split("/")[1], json.loads(body)["parts"])
        if path.startswith("verify/"):
            return self.answer(200 if path.split("/")[1] in hub.objects else 404)
        api, models, organization, name, call, _revision = path.split("/")
        if (api, models) != ("api", "models") or f"{organization}/{name}" not in hub.repositories:
            return self.answer(404)
        if call == "preupload":
            return self.preupload(json.loads(body)["files"])
        self.commit(f"{organization}/{name}", [json.loads(line) for line in body.decode().splitlines()])

    def preupload(self, files: list[dict]):
        def mode(file: dict) -> str:
            assert len(base64.b64decode(file["sample"], validate=True)) == min(512, file["size"])
            return "lfs" if file["path"].endswith((".safetensors", ".gguf")) else "regular"

        self.answer(200, {"files": [{"path": f["path"], "uploadMode": mode(f), "shouldIgnore": False} for f in files]})

    def plan(self, oid: str, size: int) -> dict:
        hub = self.server.hub
        described: dict = {"oid": oid, "size": size, "authenticated": True}
        if oid in hub.objects:
            return described
        upload: dict = {"href": f"{hub.url_of('store')}/put/{oid}"}
        if hub.part_bytes and size > hub.part_bytes:
            numbers = range(1, -(-size // hub.part_bytes) + 1)
            parts = {f"{n:05d}": f"{hub.url_of('store')}/part/{oid}/{n}" for n in numbers}
            upload = {"href": f"{hub.url}/complete/{oid}", "header": {"chunk_size": str(hub.part_bytes), **parts}}
        return described | {"actions": {"upload": upload, "verify": {"href": f"{hub.url}/verify/{oid}"}}}

    def complete(self, oid: str, parts: list[dict]):
        hub = self.server.hub
        pieces = [hub.parts[oid, p["partNumber"]] for p in parts]
        if [p["etag"] for p in parts] != [f'"{hashlib.md5(piece).hexdigest()}"' for piece in pieces]:
            return self.answer(400)
        self.keep(oid, b"".join(pieces))

    def keep(self, oid: str, content: bytes):
        if hashlib.sha256(content).hexdigest() != oid:
            return self.answer(400)
        self.server.hub.objects[oid] = content
        self.answer(200, {})

    def do_PUT(self):
        hub, path = self.server.hub, self.note()
        length = int(self.headers["Content-Length"])
        if hub.stall_after_objects is not None and len(hub.objects) >= hub.stall_after_objects:
            hub.stalled.set()
            return threading.Event().wait(60)
        if hub.drop_puts > 0:
            hub.drop_puts -= 1
            self.rfile.read(length // 2)
            self.close_connection = True
            return self.connection.close()
        content = self.rfile.read(length)
        if hub.store_statuses:
            return self.answer(hub.store_statuses.pop(0))
        kind, oid, *number = path.split("/")
        if kind == "put":
            return self.keep(oid, content)
        hub.parts[oid, int(number[0])] = content
        self.answer(200, None, ETag=f'"{hashlib.md5(content).hexdigest()}"')

    def commit(self, repository: str, lines: list[dict]):
        hub = self.server.hub
        assert lines[0]["key"] == "header" and lines[0]["value"]["summary"]
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "lfsFile":
                if value["oid"] not in hub.objects:
                    return self.answer(400)
                content = hub.objects[value["oid"]]
            else:
                content = base64.b64decode(value["content"], validate=True)
            hub.repositories[repository][value["path"]] = content
        self.answer(200, {"commitUrl": f"{hub.url}/{repository}/commit/1", "commitOid": "1" * 40})
