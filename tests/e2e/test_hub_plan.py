"""`sluice plan org/name` and the line that `sluice pull` begins with: from config and headers alone, over ranges."""

import json
import signal
import struct
import subprocess
import time
from pathlib import Path

import pytest
from hub_server import Hub
from program import BINARY, MODEL, Sluice
from small_models import small_gguf

MB = 1_000_000
MACHINE = ("--sim-ram", "8GB", "--sim-disk", "2GB/s", "--sim-bandwidth", "30GB/s")
PART = 1 << 20  # what a GGUF's header is first asked for


def files_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


def safetensors(header: dict, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def longer_header(gguf: bytes, n_bytes: int) -> bytes:
    """With a string of so many bytes as one more key; n_bytes is a multiple of 32, which keeps the data aligned."""
    key = b"general.remark12"  # 16 bytes; with two lengths and a type 36
    value = b"x" * (n_bytes - 36)
    pair = struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, len(value)) + value
    (n_pairs,) = struct.unpack_from("<Q", gguf, 16)
    return gguf[:16] + struct.pack("<Q", n_pairs + 1) + pair + gguf[24:]


@pytest.fixture(scope="module")
def gguf(tmp_path_factory) -> bytes:
    return small_gguf(tmp_path_factory.mktemp("gguf"), "moe").read_bytes()


@pytest.fixture
def hub(gguf):
    with Hub({"org/moe": files_of(MODEL), "org/gguf": {"m-Q4_0.gguf": gguf}}) as hub:
        yield hub


@pytest.fixture
def plan(sluice: Sluice, hub: Hub, tmp_path: Path):
    """Every plan must leave nothing behind."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def run(name: str, *options: str, machine=MACHINE, **environment):
        result = sluice.run("plan", name, "--json", *machine, *options, HF_ENDPOINT=hub.url, TMPDIR=str(scratch), **environment)
        assert not list(scratch.iterdir()) and not (sluice.home / "models").exists()
        return result

    return run


def planned(result) -> dict:
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def assert_refused(result, code: int, *texts: str) -> None:
    assert result.returncode == code, result.stderr
    assert result.stdout == "" and result.stderr.count("\n") == 1
    for text in texts:
        assert text in result.stderr, result.stderr
    assert "/scratch/" not in result.stderr


def assert_same(found: dict, local: dict) -> None:
    """The process is measured, and a client of HTTP takes a little of it."""
    for name in ("architecture", "file_bytes", "bytes_active"):
        assert found[name] == local[name], name
    assert abs(found["smallest_budget"] - local["smallest_budget"]) < 4 * MB
    assert abs(found["expected_tps"] - local["expected_tps"]) < 0.1 * local["expected_tps"]


@pytest.mark.parametrize("name", ["org/moe", "org/gguf", "org/gguf:Q4_0"])
def test_a_plan_before_the_download_is_the_plan_after_it(sluice: Sluice, hub: Hub, plan, name: str) -> None:
    found = planned(plan(name))
    files = hub.repositories[name.split(":")[0]]
    weights = max(files, key=lambda file: len(files[file]))
    assert sum(end - start for start, end in hub.part_requests(weights)) <= PART
    assert not hub.content_requests(weights)
    assert found["download_bytes"] == sum(len(b) for n, b in files.items() if n.endswith((".json", ".safetensors", ".gguf")))
    assert found["download_room"] > 0

    assert sluice.run("pull", name, HF_ENDPOINT=hub.url).returncode == 0
    hub.requests.clear()
    local = sluice.json("plan", name, *MACHINE, HF_ENDPOINT=hub.url)
    assert not hub.requests and "download_bytes" not in local  # what is here is looked at here
    assert_same(found, local)


def test_options_are_those_of_a_model_that_is_here(plan) -> None:
    found = planned(plan("org/gguf", "--ctx", "64", "--ram", "100MB"))
    assert found["residency"]["context"] == 64 and found["residency"]["budget"] == 100 * MB
    assert found["simulated"] and found["memory_bandwidth"] == 30e9
    assert_refused(plan("org/gguf", "--ram", "1MB"), 4, "org/gguf", "bytes are needed")


def test_a_plan_for_people_says_what_a_pull_takes(sluice: Sluice, hub: Hub) -> None:
    text = sluice.run("plan", "org/gguf", *MACHINE, HF_ENDPOINT=hub.url).stdout
    assert "org/gguf: qwen3moe" in text and "It is on the hub: a download of" in text and "has room for" in text


def test_a_long_vocabulary_is_fetched_as_far_as_it_goes(hub: Hub, plan, gguf: bytes) -> None:
    hub.repositories["org/gguf"] = {"m.gguf": longer_header(gguf, 5 * PART)}
    assert planned(plan("org/gguf"))["architecture"] == "qwen3moe"
    assert hub.part_requests("m.gguf") == [(0, PART), (PART, 2 * PART), (2 * PART, 4 * PART), (4 * PART, 8 * PART)]


@pytest.mark.parametrize("name", ["org/moe", "org/gguf"])
def test_a_server_without_ranges_is_hung_up_on(hub: Hub, plan, gguf: bytes, name: str) -> None:
    hub.faults.no_range = True
    hub.repositories["org/gguf"] = {"m.gguf": longer_header(gguf, 3 * PART)}
    planned(plan(name))


def test_what_fails_in_passing_is_tried_again(hub: Hub, plan) -> None:
    hub.faults.part_statuses = [500, 503]
    hub.faults.drop_parts = 2
    hub.faults.store_statuses = [403]
    planned(plan("org/moe"))


def test_every_shard_is_asked(hub: Hub, plan) -> None:
    whole = (MODEL / "model.safetensors").read_bytes()
    (length,) = struct.unpack_from("<Q", whole)
    header = json.loads(whole[8 : 8 + length])
    header.pop("__metadata__", None)
    files = {n: b for n, b in files_of(MODEL).items() if n.endswith(".json")}
    index = {}
    for i, (tensor, entry) in enumerate(header.items()):
        name = f"model-{i:05d}-of-{len(header):05d}.safetensors"
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        files[name] = safetensors({tensor: {**entry, "data_offsets": [0, end - begin]}}, whole[begin:end])
        index[tensor] = name
    files["model.safetensors.index.json"] = json.dumps({"weight_map": index}).encode()
    assert len(index) > 60
    one = planned(plan("org/moe"))
    hub.repositories["org/moe"] = files
    many = planned(plan("org/moe"))
    assert many["bytes_active"] == one["bytes_active"]
    assert abs(many["smallest_budget"] - one["smallest_budget"]) < 8 * MB  # the process has 60 headers more


def test_what_would_not_run_is_told_before_it_is_fetched(hub: Hub, plan, gguf: bytes) -> None:
    files = files_of(MODEL)
    config = json.loads(files["config.json"])
    hub.repositories["org/moe"] = files | {"config.json": json.dumps(config | {"model_type": "mystery"}).encode()}
    assert_refused(plan("org/moe"), 3, "org/moe", "mystery")
    at = gguf.rindex(b"ffn_norm.weight") + len(b"ffn_norm.weight") + 4 + 8
    hub.repositories["org/gguf"] = {"m.gguf": gguf[:at] + struct.pack("<I", 31) + gguf[at + 4 :]}
    assert_refused(plan("org/gguf"), 3, "org/gguf", "not supported")


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"GGUF",
        b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1),
        b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 1 << 62),
        b"version https://git-lfs.github.com/spec/v1\n",
        b"<!DOCTYPE html>",
        bytes(200_000),
        bytes(3_000_000),
    ],
)
def test_headers_that_are_none_are_refused(hub: Hub, plan, file: bytes) -> None:
    hub.repositories["org/gguf"] = {"m.gguf": file}
    assert_refused(plan("org/gguf"), 3, "org/gguf", "m.gguf")
    assert sum(end - start for start, end in hub.part_requests("m.gguf")) <= 2 * PART
    hub.repositories["org/moe"] = files_of(MODEL) | {"model.safetensors": file}
    assert_refused(plan("org/moe"), 3, "org/moe", "model.safetensors")


def test_a_file_that_is_shorter_than_its_header_says_is_refused(hub: Hub, plan, gguf: bytes) -> None:
    hub.repositories["org/gguf"] = {"m.gguf": gguf[: len(gguf) - 100_000]}
    assert_refused(plan("org/gguf"), 3, "org/gguf", "m.gguf", "on the hub it has")


def test_headers_are_bounded_all_together(hub: Hub, plan) -> None:
    shards = {f"model-{i:05d}-of-00009.safetensors": struct.pack("<Q", 99_999_999) + bytes(140_000) for i in range(9)}
    hub.repositories["org/moe"] = files_of(MODEL) | shards
    listing = hub.listing("org/moe")
    for sibling in listing["siblings"]:
        if sibling["rfilename"] in shards:
            sibling["size"] = 10**10
    hub.faults.listing = listing
    result = plan("org/moe")
    assert_refused(result, 1, "at most 537 MB are fetched")
    assert len(hub.requests) < 200


def test_the_token_stays_with_the_hub_and_a_gated_model_says_so(hub: Hub, plan) -> None:
    hub.faults.token = "hf_secret"
    planned(plan("org/moe", HF_TOKEN="hf_secret"))
    assert {r.server for r in hub.requests} == {"hub", "store"}
    assert all(("hf_secret" in str(r.headers)) == (r.server == "hub") for r in hub.requests)
    hub.faults.gated = {"org/moe"}
    assert_refused(plan("org/moe", HF_TOKEN="hf_secret"), 2, "403", "accept the licence")
    hub.faults.token = None
    assert_refused(plan("org/absent"), 2, "org/absent", "not found")


def test_an_impatient_user_leaves_no_files(sluice: Sluice, hub: Hub, tmp_path: Path) -> None:
    hub.faults.stall_parts = True
    environment = sluice.environment | {"HF_ENDPOINT": hub.url, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen([BINARY, "plan", "org/moe"], env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not hub.part_requests("model.safetensors") and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode != 0 and not list(tmp_path.iterdir())


def test_a_pull_begins_with_what_will_run(sluice: Sluice, hub: Hub) -> None:
    result = sluice.run("pull", "org/moe", HF_ENDPOINT=hub.url)
    assert result.returncode == 0
    first = result.stderr.splitlines()
    assert any(line.startswith("org/moe: qwen3_moe, ") and "runs here" in line and "tok/s" in line for line in first), first
    for name in ("config.json", "tokenizer.json"):  # for the preview they are not fetched again
        assert len(hub.content_requests(name)) == 1 and not hub.part_requests(name)
    hub.requests.clear()
    assert sluice.run("pull", "org/moe", HF_ENDPOINT=hub.url).stderr == ""
    assert len(hub.requests) == 1


def test_a_pull_warns_of_what_will_not_run_and_goes_on(sluice: Sluice, hub: Hub) -> None:
    files = hub.repositories["org/moe"]
    config = json.loads(files["config.json"]) | {"model_type": "mystery"}
    hub.repositories["org/moe"] = files | {"config.json": json.dumps(config).encode()}
    result = sluice.run("pull", "org/moe", HF_ENDPOINT=hub.url)
    assert result.returncode == 0 and sluice.names() == ["org/moe"]
    assert "sluice: warning: it will not run here" in result.stderr and "mystery" in result.stderr


def test_a_pull_that_cannot_look_ahead_goes_on(sluice: Sluice, hub: Hub) -> None:
    hub.faults.wrong_part = True
    result = sluice.run("pull", "org/moe", "--tries", "2", HF_ENDPOINT=hub.url)
    assert result.returncode == 0 and sluice.names() == ["org/moe"]
    assert "whether it runs here cannot be told" in result.stderr
