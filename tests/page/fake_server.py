"""A server of scripted answers for the page: what it answers depends on the question's first word."""

import json
import math
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "sluice" / "server" / "page"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
# As the program sends it.
POLICY = "".join(re.findall(r'"(.*?)"', (PAGE / "page.h").read_text().split("page_policy =")[1].split(";\n")[0]))

SAMPLE = (Path(__file__).parent / "sample.md").read_text()
HOSTILE = (Path(__file__).parent / "hostile.md").read_text()
TABLE = "|a|b|\n|-|-|\n" + "|x|y|\n" * 20000


def delta(finish=None, **fields):
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def pieces(text, size=7):
    return [delta(content=text[i : i + size]) for i in range(0, len(text), size)]


def call(name, arguments):
    function = {"name": name, "arguments": arguments}
    return delta(tool_calls=[{"index": 0, "id": "call_1", "type": "function", "function": function}])


def script(question):
    """Chunks of the answer; a number is a pause in seconds, a string is sent as it is."""
    word = (re.findall(r"\w+", question) or [""])[0].lower()
    if word == "slow":
        return [x for i in range(600) for x in (delta(content=f"word{i} "), 0.05)]
    if word == "think":
        return [delta(reasoning_content="First I *ponder*."), 0.2, *pieces("It is so."), delta("stop")]
    if word == "tool":
        return [call("look_up", '{"city": "Par'), delta(tool_calls=[{"index": 0, "function": {"arguments": 'is"}'}}]), delta("tool_calls")]
    if word == "break":
        return [*pieces("Half an ans"), {"error": {"message": "the model's file was changed", "code": "io"}}]
    if word == "cut":
        return [*pieces("Half an ans"), None]
    if word == "sample" or "quadratic" in question:
        return [*pieces(SAMPLE, 40), delta("stop")]
    if word == "hostile":
        return [*pieces(HOSTILE, 11), delta("stop")]
    if word == "table":
        return [*pieces(TABLE, 5000), delta("stop")]
    return [": alive\n\n", *pieces(f"You said: **{question}**"), delta("stop")]


class FakeServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, key=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.key = key
        self.asked = []  # bodies of chat completions
        self.left = threading.Event()  # a client left in an answer
        self.busy = 0  # so many questions are refused
        self.polls = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def send(self, status, kind, body, **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def send_json(self, status, value, **headers):
        self.send(status, "application/json", json.dumps(value).encode(), **headers)

    def allowed(self):
        if self.server.key is None or self.headers.get("Authorization") == f"Bearer {self.server.key}":
            return True
        self.send_json(401, {"error": {"message": "a key is needed"}})
        return False

    def do_GET(self):
        path = self.path.split("?")[0]
        file = PAGE / ("index.html" if path == "/" else path.removeprefix("/page/"))
        if file.parent == PAGE and file.suffix in TYPES and file.is_file():
            self.send(200, TYPES[file.suffix], file.read_bytes(), Content_Security_Policy=POLICY)
        elif not self.allowed():
            return
        elif path == "/v1/models":
            self.send_json(200, {"data": [{"id": "smollm2-135m-instruct", "max_model_len": 8192}, {"id": "qwen3-30b-a3b"}]})
        elif path == "/metrics":
            self.send(200, "text/plain", metrics(self.server).encode())
        elif path == "/slots":
            self.send_json(200, slots(self.server, self.path))
        else:
            self.send_json(404, {"error": {"message": f"no {path} here"}})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.allowed():
            return
        self.server.asked.append(body)
        if self.server.busy > 0:
            self.server.busy -= 1
            self.send_json(503, {"error": {"message": "the queue is full", "code": "queue_full"}}, Retry_After="1")
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            self.stream(script(body["messages"][-1]["content"]), body["model"])
        except OSError:
            self.server.left.set()

    def stream(self, chunks, model):
        common = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": model}
        self.event({**common, **delta(role="assistant", content="")})
        for chunk in chunks:
            if isinstance(chunk, float):
                time.sleep(chunk)
            elif isinstance(chunk, str):
                self.wfile.write(chunk.encode())
            elif chunk is None or "error" in chunk:
                if chunk:
                    self.event(chunk)
                return
            else:
                self.event({**common, **chunk})
        usage = {"prompt_tokens": 31, "completion_tokens": 12, "prompt_tokens_details": {"cached_tokens": 24}}
        self.event({**common, "choices": [], "usage": usage, "timings": {"predicted_per_second": 48.2}})
        self.wfile.write(b"data: [DONE]\n\n")

    def event(self, value):
        self.wfile.write(f"data: {json.dumps(value)}\n\n".encode())
        self.wfile.flush()


def metrics(server):
    server.polls += 1
    n = server.polls
    wave = 2 + 2 * math.sin(n / 17) + 0.6 * math.sin(n * 1.3)
    memory = {"weights": 5.2e9, "experts": 6.1e9, "kv": 1.4e9 + wave * 2e7, "prompt_cache": 0.9e9, "scratch": 0.2e9}
    lines = [f'sluice_memory_bytes{{owner="{owner}"}} {value:.0f}' for owner, value in memory.items()]
    lines += [
        "# TYPE sluice_generated_tokens_total counter",
        "sluice_memory_budget_bytes 16000000000",
        f"sluice_generated_tokens_total {n * 40 + 30 * math.sin(n / 23) + 3 * math.sin(n * 1.7):.0f}",
        f"sluice_prompt_tokens_total {n * 300}",
        f"sluice_prompt_tokens_computed_total {n * 90 + 300 * math.sin(n / 11) + 20 * math.sin(n * 0.9):.0f}",
        f'sluice_prompt_tokens_cached_total{{tier="ram"}} {n * 200}',
        f'sluice_prompt_tokens_cached_total{{tier="disk"}} {n * 10}',
        f'sluice_cache_lookups_total{{cache="prompt",result="hit"}} {n * 80 + 40 * math.sin(n / 31):.0f}',
        f'sluice_cache_lookups_total{{cache="prompt",result="miss"}} {n * 20}',
        f'sluice_cache_lookups_total{{cache="experts",result="hit"}} {n * 900 + 800 * math.sin(n / 37):.0f}',
        f'sluice_cache_lookups_total{{cache="experts",result="miss"}} {n * 100}',
        f'sluice_disk_read_bytes_total{{what="weights"}} {n * 3e8 + 2e9 * math.sin(n / 13) + 4e7 * math.sin(n * 1.1):.0f}',
        f'sluice_disk_written_bytes_total{{what="prompt_cache"}} {n * 2e7 + 1e8 * math.sin(n / 29):.0f}',
        "sluice_disk_cache_bytes 2100000000",
        f"sluice_requests_running {3 + round(2 * math.sin(n / 19))}",
        f"sluice_requests_waiting {round(max(0, 1.6 * math.sin(n / 19)))}",
        f'sluice_requests_total{{api="openai",status="200"}} {n}',
        'sluice_requests_total{api="ollama",status="200"} 4',
        'sluice_requests_total{api="anthropic",status="499"} 1',
    ]
    for name, bound in (("time_to_first_token", 0.4), ("inter_token", 0.03)):
        for le, part in ((bound, 5), (bound * 2, 9), ("+Inf", 10)):
            lines.append(f'sluice_{name}_seconds_bucket{{le="{le}"}} {n * part}')
    return "\n".join(lines) + "\n"


def slots(server, path):
    now = server.polls * 1000
    after = int(path.partition("steps=")[2] or 0)
    first = max(after + 1, server.polls * 25 - 700, 1)
    steps = [
        {"seq": i, "at_ms": i * 40, "ms": 36 + (i * 13) % 4, "decode_rows": 2 + (i // 40) % 3, "prefill_tokens": 48 * (i % 60 < 12), "waiting": 0}
        for i in range(first, now // 40 + 1)
    ]
    rows = [
        {"id": 0, "model": "qwen3-30b-a3b", "state": "decode", "prompt_tokens": 2048, "cached_tokens": 1792, "generated": 96, "seconds": 4.1},
        {"id": 1, "model": "qwen3-30b-a3b", "state": "prefill", "prompt_tokens": 812, "cached_tokens": 0, "prompt_done": 384, "generated": 0, "seconds": 0.9},
    ]
    return {"slots": rows, "steps": steps[-512:]}
