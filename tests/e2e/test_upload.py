"""`sluice upload` to a hub on loopback: what arrives, what is not sent twice, and where the token goes."""

import random
import signal

import pytest
from program import assert_bad_usage
from upload_server import TOKEN, UploadHub

RANDOM = random.Random(11)
FILES = {
    "config.json": b'{"model_type": "qwen3"}\n',
    "empty.txt": b"",
    "model-00001-of-00002.safetensors": RANDOM.randbytes(700_000),
    "model-00002-of-00002.safetensors": RANDOM.randbytes(256 * 1024),  # whole parts
    "tokenizer.json": b'{"version": "1.0"}' * 1000,
}
LARGE = [name for name in FILES if name.endswith(".safetensors")]


@pytest.fixture
def model(tmp_path):
    directory = tmp_path / "my-model"
    directory.mkdir()
    for name, content in FILES.items():
        (directory / name).write_bytes(content)
    (directory / ".sluice.json").write_text("{}")
    return directory


@pytest.fixture
def upload(sluice, model):
    def run(hub, *arguments, source=model, **environment):
        environment = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN} | environment
        return sluice.run("upload", source, "org/name", *arguments, **environment)

    return run


@pytest.mark.parametrize("part_bytes", [0, 128 * 1024])
def test_everything_arrives_and_the_token_goes_to_the_hub_alone(upload, part_bytes):
    with UploadHub(part_bytes) as hub:
        result = upload(hub)
        assert result.returncode == 0, result.stderr
        assert hub.repositories == {"org/name": FILES}
        assert len(hub.puts()) == (2 if part_bytes == 0 else 6 + 2)
        for server, _, _, headers in hub.requests:
            assert ("Authorization" in headers) == (server == "hub")
        assert TOKEN not in result.stdout + result.stderr
        again = upload(hub)
        assert again.returncode == 0 and "of which 0 B were sent" in again.stdout, again.stdout


def test_one_file_is_a_model_too(upload, tmp_path):
    (tmp_path / "m.gguf").write_bytes(b"GGUF\0" + RANDOM.randbytes(1000))
    with UploadHub() as hub:
        assert upload(hub, source=tmp_path / "m.gguf").returncode == 0
        assert list(hub.repositories["org/name"]) == ["m.gguf"]


def test_lost_connections_busy_stores_and_addresses_that_expired_are_tried_again(upload):
    with UploadHub() as hub:
        hub.drop_puts, hub.store_statuses = 1, [503, 403]
        result = upload(hub)
        assert result.returncode == 0, result.stderr
        assert hub.repositories["org/name"] == FILES


def test_an_upload_that_was_killed_goes_on_with_the_file_that_was_not_there_yet(sluice, upload, model):
    with UploadHub() as hub:
        hub.stall_after_objects = 1
        sluice.environment |= {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN}
        process = sluice.start("upload", model, "org/name")
        assert hub.stalled.wait(20)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert hub.repositories["org/name"] == {} and len(hub.objects) == 1
        hub.stall_after_objects = None
        before = len(hub.puts())
        assert upload(hub).returncode == 0
        assert hub.repositories["org/name"] == FILES and len(hub.puts()) == before + 1


def test_the_token_is_found_where_the_hubs_own_client_leaves_it(sluice, upload, tmp_path):
    with UploadHub() as hub:
        refused = upload(hub, HF_TOKEN="")
        assert refused.returncode == 2 and "HF_TOKEN" in refused.stderr and hub.requests == []
        (sluice.home / ".cache/huggingface").mkdir(parents=True)
        (sluice.home / ".cache/huggingface/token").write_text(TOKEN + "\n")
        assert upload(hub, HF_TOKEN="").returncode == 0
        wrong = upload(hub, HF_TOKEN="hf_another")
        assert wrong.returncode != 0 and "401" in wrong.stderr and "hf_another" not in wrong.stderr


def test_what_cannot_be_uploaded_is_refused(sluice, upload, model, tmp_path):
    with UploadHub() as hub:
        for name in ("name", "org/na me", "org/name:Q4", "../name"):
            assert sluice.run("upload", model, name, HF_ENDPOINT=hub.url, HF_TOKEN=TOKEN).returncode == 2
        (tmp_path / "none").mkdir()
        assert upload(hub, source=tmp_path / "none").returncode != 0
        assert_bad_usage(upload(hub, HF_HUB_OFFLINE="1"), "HF_HUB_OFFLINE")
        assert hub.requests == []
