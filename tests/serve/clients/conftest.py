"""Servers of each model at hand, and Node's clients. `make test-clients` installs what these tests drive and runs them; elsewhere they are skipped."""

import functools
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from server import BINARY, ROOT, TINY, Server

CLIENTS = pathlib.Path(os.environ.get("SLUICE_CLIENTS", ROOT / ".cache/clients"))
NODE = CLIENTS / "node"


def serve(name):
    """A server of that model until the tests end; `name` is what it calls it."""
    if pathlib.Path(sys.prefix) != CLIENTS:
        pytest.skip("run by make test-clients")
    stored = json.loads(subprocess.run([BINARY, "list", "--json"], capture_output=True, text=True, check=True).stdout)
    if name != TINY.name and name not in json.dumps(stored):
        pytest.skip(f"{name} is not in the model store: make test fetches it")
    running = Server(model=TINY if name == TINY.name else name)
    yield running
    running.stop()


@pytest.fixture(scope="session", params=["tiny-moe", "smollm2-135m-instruct"])
def served(request):
    yield from serve(request.param)


@pytest.fixture(scope="session")
def base():
    """Of a model without a chat template."""
    yield from serve("gemma-3-270m-q4_k_m")


@pytest.fixture(scope="session")
def node():
    """node(script, server): what that script of node/ prints as JSON; each is run once a server."""
    program = shutil.which("node")
    if program is None or not (NODE / "node_modules").is_dir():
        pytest.skip("Node's clients are not installed: make test-clients")

    @functools.cache
    def run(name, server):
        folder = pathlib.Path(__file__).parent / "node"
        script = (folder / "common.mjs").read_text() + (folder / f"{name}.mjs").read_text()
        # From standard input, imports are looked for where it runs.
        told = subprocess.run([program, "--input-type=module"], input=script, cwd=NODE, env={"PATH": os.environ["PATH"], "SLUICE_URL": server.url, "SLUICE_MODEL": server.name}, capture_output=True, text=True, timeout=300)
        assert told.returncode == 0, told.stderr
        return json.loads(told.stdout)

    return run
