"""`sluice pull` against a hub on loopback that misbehaves in every way we know of."""

import hashlib
import json
import random
import signal
import subprocess
import time

import pytest
from program import BINARY
from hub_server import COMMIT, Hub

RANDOM = random.Random(7)
WEIGHTS = RANDOM.randbytes(1_500_000)
REPOSITORY = {
    ".gitattributes": b"*.safetensors filter=lfs\n",
    "README.md": b"# hi\n",
    "config.json": b'{"model_type": "qwen3", "torch_dtype": "bfloat16"}\n',
    "tokenizer.json": RANDOM.randbytes(200_000),
    "model-00001-of-00002.safetensors": WEIGHTS,
    "model-00002-of-00002.safetensors": RANDOM.randbytes(300_000),
    "pytorch_model.bin": b"never",
    "onnx/model.onnx": b"never",
}
WANTED = sorted(n for n in REPOSITORY if n.endswith((".json", ".safetensors")))
BIG = "model-00001-of-00002.safetensors"
GGUF = {
    "README.md": b"quants\n",
    "m-Q4_K_M.gguf": RANDOM.randbytes(100_000),
    "m-Q8_0.gguf": RANDOM.randbytes(120_000),
    "split/m-F16-00001-of-00002.gguf": RANDOM.randbytes(90_000),
    "split/m-F16-00002-of-00002.gguf": RANDOM.randbytes(80_000),
}


@pytest.fixture
def hub():
    with Hub({"org/name": dict(REPOSITORY), "org/quants": dict(GGUF), "org/pickle": {"model.bin": b"x"}}) as hub:
        yield hub


@pytest.fixture
def pull(sluice, hub):
    def run(name="org/name", *arguments, **environment):
        return sluice.run("pull", name, *arguments, HF_ENDPOINT=environment.pop("endpoint", hub.url), **environment)

    return run


def directory(sluice, name="org/name"):
    return sluice.home / "models" / name


def assert_complete(sluice, expected=REPOSITORY, wanted=WANTED, name="org/name"):
    found = {p.name: p.read_bytes() for p in directory(sluice, name).iterdir() if p.name != ".sluice.json"}
    assert sorted(found) == sorted(n.split("/")[-1] for n in wanted)
    for file in wanted:
        assert found[file.split("/")[-1]] == expected[file], file
    assert name in sluice.names()


def assert_failed(sluice, result, *texts, code=1):
    assert result.returncode == code, result.stderr
    assert result.stdout == ""
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("sluice: error: ")
    for text in texts:
        assert text in last, last
    assert sluice.names() == []


def test_a_checkpoint_arrives_whole(sluice, pull, hub):
    result = pull()
    assert result.returncode == 0, result.stderr
    assert_complete(sluice)
    model = sluice.json("list")["models"][0]
    assert model["complete"] and model["format"] == "safetensors" and model["quantization"] == "bfloat16"
    assert all("/resolve/" not in r.path or COMMIT in r.path for r in hub.requests), "pinned to the listing's commit"


def test_json_is_all_that_stdout_gets(sluice, hub):
    answer = sluice.json("pull", "org/name", HF_ENDPOINT=hub.url)
    assert answer["name"] == "org/name" and answer["commit"] == COMMIT
    assert answer["bytes"] == answer["bytes_downloaded"] == sum(len(REPOSITORY[n]) for n in WANTED)
    assert answer["files"] == len(WANTED)
    again = sluice.json("pull", "org/name", HF_ENDPOINT=hub.url)
    assert again["bytes_downloaded"] == 0


def test_a_second_pull_downloads_nothing(sluice, pull, hub):
    pull()
    hub.requests.clear()
    assert "up to date" in pull().stdout
    assert len(hub.requests) == 1


def test_an_update_fetches_what_changed_and_drops_what_is_gone(sluice, pull, hub):
    pull()
    hub.requests.clear()
    updated = dict(REPOSITORY, **{"config.json": b'{"new": 1}'})
    del updated["model-00002-of-00002.safetensors"]
    hub.repositories["org/name"] = updated
    assert pull().returncode == 0
    assert_complete(sluice, updated, [n for n in WANTED if n in updated])
    assert not hub.content_requests(BIG) and hub.content_requests("config.json")


def test_dropped_connections_are_continued(sluice, pull, hub):
    hub.faults.drop_after, hub.faults.drop_times = 400_000, 3
    result = pull()
    assert result.returncode == 0, result.stderr
    assert_complete(sluice)
    ranges = [r.headers.get("Range") for r in hub.content_requests(BIG)]
    assert ranges[0] is None and all(r.startswith("bytes=") for r in ranges[1:]) and len(ranges) >= 3


def test_a_server_without_ranges_is_read_from_the_start(sluice, pull, hub):
    hub.faults.drop_after, hub.faults.drop_times, hub.faults.no_range = 400_000, 2, True
    assert pull().returncode == 0
    assert_complete(sluice)


def test_a_range_from_elsewhere_is_not_appended(sluice, pull, hub):
    hub.faults.drop_after, hub.faults.drop_times, hub.faults.wrong_range = 400_000, 1, True
    assert pull().returncode == 0
    assert_complete(sluice)


def test_a_broken_off_pull_is_incomplete_and_goes_on_later(sluice, pull, hub):
    hub.faults.drop_after, hub.faults.drop_times, hub.faults.drop_name = 1000, 1000, BIG
    assert_failed(sluice, pull("org/name", "--tries", "2"))
    assert sluice.json("list")["models"][0]["complete"] is False
    assert "sluice pull org/name" in sluice.run("list").stdout or "incomplete" in sluice.run("list").stdout
    hub.faults.drop_times = 0
    hub.requests.clear()
    assert pull().returncode == 0
    assert_complete(sluice)
    assert hub.content_requests(BIG)[0].headers["Range"].startswith("bytes=")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_pull_that_was_ended_goes_on_where_it_was(sluice, pull, hub, how):
    hub.faults.stall_after = 700_000
    hub.repositories["org/name"] = {BIG: WEIGHTS}
    environment = sluice.environment | {"HF_ENDPOINT": hub.url}
    process = subprocess.Popen([BINARY, "pull", "org/name"], env=environment, stderr=subprocess.PIPE)
    partial = directory(sluice) / f"{BIG}.partial"
    deadline = time.monotonic() + 20
    while not (partial.exists() and partial.stat().st_size > 0) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(how)
    process.communicate()
    assert process.returncode != 0 and sluice.names() == []
    assert pull().returncode == 0
    assert_complete(sluice, REPOSITORY, [BIG])
    assert "Range" in hub.content_requests(BIG)[-1].headers


def test_a_part_of_an_older_revision_is_not_continued(sluice, pull, hub):
    hub.faults.drop_after, hub.faults.drop_times, hub.faults.drop_name = 1000, 1000, BIG
    assert pull("org/name", "--tries", "2").returncode == 1
    hub.faults.drop_times = 0
    updated = dict(REPOSITORY, **{BIG: WEIGHTS[::-1]})
    hub.repositories["org/name"] = updated
    hub.requests.clear()
    assert pull().returncode == 0
    assert_complete(sluice, updated)
    assert "Range" not in hub.content_requests(BIG)[0].headers


def test_a_damaged_part_is_fetched_anew(sluice, pull, hub):
    hub.faults.drop_after, hub.faults.drop_times, hub.faults.drop_name = 1000, 1000, BIG
    pull("org/name", "--tries", "2")
    hub.faults.drop_times = 0
    partial = directory(sluice) / f"{BIG}.partial"
    partial.write_bytes(b"\0" * partial.stat().st_size)
    result = pull()
    assert result.returncode == 0, result.stderr
    assert_complete(sluice)


@pytest.mark.parametrize("name", [BIG, "config.json"])
def test_a_corrupted_file_is_discarded_with_both_hashes(sluice, pull, hub, name):
    hub.faults.corrupt = {name}
    result = pull()
    content = REPOSITORY[name]
    wanted = hashlib.sha256(content) if hub.is_large(name) else hashlib.sha1(b"blob %d\0" % len(content) + content)
    assert_failed(sluice, result, name, wanted.hexdigest(), "discarded")
    assert not (directory(sluice) / name).exists() and not (directory(sluice) / f"{name}.partial").exists()
    hub.faults.corrupt = set()
    assert pull().returncode == 0
    assert_complete(sluice)


def test_a_file_that_is_too_long_is_discarded(sluice, pull, hub):
    hub.faults.lengthen = {BIG}
    assert_failed(sluice, pull(), BIG, str(len(WEIGHTS)))


def test_a_file_that_is_too_short_is_no_model(sluice, pull, hub):
    hub.faults.shorten = {BIG}
    assert_failed(sluice, pull("org/name", "--tries", "2"), BIG)


def test_server_errors_pass(sluice, pull, hub):
    hub.faults.statuses = [500, 503, 429]
    hub.faults.listing_statuses = [502]
    result = pull()
    assert result.returncode == 0, result.stderr
    assert_complete(sluice)


def test_lasting_server_errors_end_in_one_line(sluice, pull, hub):
    hub.faults.listing_statuses = [500] * 100
    assert_failed(sluice, pull("org/name", "--tries", "2"), "500")
    assert not directory(sluice).exists()


def test_a_stalled_connection_is_given_up_and_continued(sluice, pull, hub):
    hub.repositories["org/name"] = {BIG: WEIGHTS}
    hub.faults.stall_after = 700_000
    result = pull("org/name", "--stall", "2")
    assert result.returncode == 0, result.stderr
    assert_complete(sluice, REPOSITORY, [BIG])


def test_the_token_goes_to_the_hub_only(sluice, pull, hub):
    hub.faults.token = "hf_secret"
    result = pull(HF_TOKEN="hf_secret\n")
    assert result.returncode == 0, result.stderr
    assert {r.server for r in hub.requests} == {"hub", "store"}
    for request in hub.requests:
        assert ("hf_secret" in str(request.headers)) == (request.server == "hub"), request


def test_without_a_token_the_user_is_told_of_it(sluice, pull, hub):
    hub.faults.token = "hf_secret"
    assert_failed(sluice, pull(), "401", "set HF_TOKEN", f"{hub.url}/org/name", code=2)
    refused = pull(HF_TOKEN="wrong")
    assert_failed(sluice, refused, "401", "does not take the token in HF_TOKEN", code=2)
    assert "set HF_TOKEN" not in refused.stderr


def test_a_gated_model_says_where_its_licence_is(sluice, pull, hub):
    hub.faults.gated = {"org/name"}
    assert_failed(sluice, pull(), "401", "licence", f"{hub.url}/org/name", "set HF_TOKEN", code=2)
    refused = pull(HF_TOKEN="hf_x")
    assert_failed(sluice, refused, "403", "accept the licence", f"{hub.url}/org/name", "token", code=2)
    assert "set HF_TOKEN" not in refused.stderr


def test_an_address_that_has_expired_is_asked_for_again(sluice, pull, hub):
    hub.faults.store_statuses = [403]
    assert pull().returncode == 0
    assert_complete(sluice)
    hub.repositories["org/name"] = dict(REPOSITORY, **{BIG: WEIGHTS[::-1]})
    hub.faults.store_statuses = [403] * 100
    failed = pull("org/name", "--tries", "2", HF_TOKEN="hf_x")
    assert failed.returncode == 1 and "store that the hub leads to answers 403" in failed.stderr
    assert "HF_TOKEN" not in failed.stderr


@pytest.mark.parametrize("switch", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
@pytest.mark.parametrize("command", ["pull", "plan"])
def test_offline_nobody_is_asked(sluice, pull, hub, switch, command):
    result = sluice.run(command, "org/name", HF_ENDPOINT=hub.url, **{switch: "1"})
    assert_failed(sluice, result, f"{switch} is set", code=2)
    assert not hub.requests and not (sluice.home / "models").exists()
    assert pull(**{switch: "0"}).returncode == 0
    assert sluice.run("list", "--names", **{switch: "1"}).stdout == "org/name\n"
    assert switch not in sluice.run("plan", "org/name", **{switch: "1"}).stderr  # a model that is here is looked at


def test_a_renamed_model_is_found_under_its_old_name(sluice, pull, hub):
    hub.renamed["org/old"] = "org/name"
    assert pull("org/old").returncode == 0
    assert_complete(sluice, name="org/old")


@pytest.mark.parametrize("name", [BIG, "config.json"])
@pytest.mark.parametrize(
    "sent, told",
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1500000\n", "Git LFS pointer"),
        (b"<!DOCTYPE html>\n<html>please log in to the hotel's network</html>", "web page"),
    ],
)
def test_what_comes_in_a_files_place_is_named(sluice, pull, hub, name, sent, told):
    hub.faults.instead = {name: sent}
    assert_failed(sluice, pull("org/name", "--tries", "2"), name, told)
    assert not (directory(sluice) / name).exists() and not (directory(sluice) / f"{name}.partial").exists()
    hub.faults.instead = {}
    assert pull().returncode == 0
    assert_complete(sluice)


def test_a_pointer_that_the_hub_lists_as_the_file_is_no_model(sluice, pull, hub):
    """A plain git server lists what it has: the hash is right."""
    listing = hub.listing("org/name")
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    hub.repositories["org/name"] = dict(REPOSITORY, **{BIG: pointer})
    entry = next(e for e in listing["siblings"] if e["rfilename"] == BIG)
    entry.update(size=len(pointer), blobId=hashlib.sha1(b"blob %d\0" % len(pointer) + pointer).hexdigest())
    del entry["lfs"]
    hub.faults.listing = listing
    assert_failed(sluice, pull(), BIG, "Git LFS pointer")


def test_a_token_cannot_add_headers(sluice, pull):
    assert_failed(sluice, pull(HF_TOKEN="a\r\nX-Evil: 1"), "token", code=2)


def test_a_missing_model_is_not_found(sluice, pull):
    assert_failed(sluice, pull("org/absent"), "org/absent", "not found", code=2)
    assert not directory(sluice, "org").exists()


@pytest.mark.parametrize("name", ["../evil", "org/../evil", "a/b/c", "/etc/passwd", "org/na me", "-x/y", "", "org/name:../x"])
def test_only_plain_names_are_pulled(sluice, pull, hub, name):
    result = sluice.run("pull", "--", name, HF_ENDPOINT=hub.url)
    assert_failed(sluice, result, code=2)
    assert not hub.requests


@pytest.mark.parametrize("name", ["../evil.json", "/var/evil.json", "a/../../evil.safetensors", "e\x1b[31mvil.json", "e vil.json"])
def test_hostile_file_names_are_refused(sluice, pull, hub, name):
    listing = hub.listing("org/name")
    listing["siblings"].append({"rfilename": name, "size": 2, "blobId": "0" * 40})
    hub.faults.listing = listing
    result = pull()
    assert_failed(sluice, result)
    assert "\x1b" not in result.stderr
    assert not list(sluice.home.rglob("*evil*")) and not list(sluice.home.parent.glob("*evil*"))


@pytest.mark.parametrize("listing", [[], {}, {"siblings": 3}, {"siblings": [{"rfilename": "a.json"}]}, "text"])
def test_a_listing_that_is_none_is_refused(sluice, pull, hub, listing):
    hub.faults.listing = listing
    assert_failed(sluice, pull())


def test_more_than_the_disk_holds_is_refused_before_it_starts(sluice, pull, hub):
    listing = hub.listing("org/name")
    for sibling in listing["siblings"]:
        sibling["size"] = 2**49
    hub.faults.listing = listing
    assert_failed(sluice, pull(), "free", "67.1 MB spare")
    assert not directory(sluice).exists()


def test_a_redirect_to_another_protocol_is_not_followed(sluice, pull, hub):
    hub.faults.redirect_to = "file:///etc/passwd?"
    assert_failed(sluice, pull())


def test_a_redirect_in_circles_ends(sluice, pull, hub):
    hub.faults.redirect_to = hub.url
    assert_failed(sluice, pull(), "redirect")


def test_a_hub_that_is_not_there(sluice, pull):
    assert_failed(sluice, pull("org/name", "--tries", "2", endpoint="http://127.0.0.1:9"), "org/name")


@pytest.mark.parametrize("endpoint", ["ftp://127.0.0.1/", "127.0.0.1", "file:///etc"])
def test_an_endpoint_is_http(sluice, pull, endpoint):
    assert_failed(sluice, pull(endpoint=endpoint), "http", code=2)


def test_a_quantization_is_chosen_by_its_tag(sluice, pull, hub):
    assert pull("org/quants:Q4_K_M").returncode == 0
    assert_complete(sluice, GGUF, ["m-Q4_K_M.gguf"], "org/quants:Q4_K_M")
    model = sluice.json("list")["models"][0]
    assert model["format"] == "gguf" and model["quantization"] == "Q4_K_M"


def test_a_quantization_is_chosen_by_file_name(sluice, pull, hub):
    assert pull("org/quants:m-Q8_0.gguf").returncode == 0
    assert_complete(sluice, GGUF, ["m-Q8_0.gguf"], "org/quants:m-Q8_0.gguf")


def test_all_parts_of_a_split_gguf_are_fetched(sluice, pull, hub):
    assert pull("org/quants:f16").returncode == 0
    assert_complete(sluice, GGUF, [n for n in GGUF if "F16" in n], "org/quants:f16")


def test_several_quantizations_are_named_for_the_user_to_choose(sluice, pull):
    assert_failed(sluice, pull("org/quants"), "org/quants:Q4_K_M", "org/quants:Q8_0", code=2)
    assert_failed(sluice, pull("org/quants:Q2_K"), "Q2_K", "org/quants:Q8_0", code=2)


def test_pickles_are_not_fetched(sluice, pull):
    assert_failed(sluice, pull("org/pickle"), "safetensors", code=3)


def test_two_pulls_of_one_model_do_not_meet(sluice, pull, hub):
    hub.repositories["org/name"] = {BIG: WEIGHTS}
    hub.faults.stall_after = 700_000
    environment = sluice.environment | {"HF_ENDPOINT": hub.url}
    first = subprocess.Popen([BINARY, "pull", "org/name"], env=environment, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 20
    while not (directory(sluice) / f"{BIG}.partial").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    try:
        assert_failed(sluice, pull(), "another sluice")
        assert sluice.run("rm", "org/name").returncode == 1
    finally:
        first.kill()
        first.communicate()


def test_rm_deletes_a_model_and_only_that(sluice, pull):
    pull()
    pull("org/quants:Q8_0")
    assert sluice.names() == ["org/name", "org/quants:Q8_0"]
    answer = sluice.json("rm", "org/name")
    assert answer["removed"] == ["org/name"] and answer["bytes"] >= len(WEIGHTS)
    assert sluice.names() == ["org/quants:Q8_0"]
    assert sluice.run("rm", "org/name").returncode == 2
    assert sluice.run("rm", "../home").returncode == 2


def test_progress_off_a_terminal_is_plain_lines(sluice, pull, hub):
    result = pull()
    assert "\x1b" not in result.stderr and "\r" not in result.stderr
    quiet = pull("org/quants:Q8_0", "--quiet").stderr
    assert quiet.count("\n") == 1 and "it will not run here" in quiet  # a warning is no progress


def test_the_manifest_names_the_revision(sluice, pull):
    pull()
    manifest = json.loads((directory(sluice) / ".sluice.json").read_text())
    assert manifest["commit"] == COMMIT and sorted(manifest["files"]) == WANTED
