"""One server for all tests that leave it as it was."""

import pytest
from server import BINARY, Server


@pytest.fixture(scope="session")
def server():
    assert BINARY.exists(), f"{BINARY} is not built"
    running = Server()
    yield running
    running.stop()
