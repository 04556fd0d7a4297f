"""The fixture of every test here: the program with a model store of its own."""

import sys

import pytest
from program import BINARY, ROOT, Sluice

sys.path.insert(0, str(ROOT / "tests/harness"))  # for `import limited`


@pytest.fixture
def sluice(tmp_path) -> Sluice:
    assert BINARY.exists(), f"{BINARY} is not built"
    return Sluice(tmp_path / "home")
