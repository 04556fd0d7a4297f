"""The fixture of every test here: the program with a model store of its own."""

import pytest
from program import BINARY, Sluice


@pytest.fixture
def sluice(tmp_path) -> Sluice:
    assert BINARY.exists(), f"{BINARY} is not built"
    return Sluice(tmp_path / "home")
