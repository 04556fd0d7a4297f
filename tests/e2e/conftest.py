"""The fixtures of the tests here: the program with a model store of its own, and small models that a budget streams."""

import sys
from pathlib import Path

import pytest
from program import BINARY, ROOT, Sluice
from small_models import small_model

sys.path.insert(0, str(ROOT / "tests/harness"))  # for `import limited`


@pytest.fixture
def sluice(tmp_path) -> Sluice:
    assert BINARY.exists(), f"{BINARY} is not built"
    return Sluice(tmp_path / "home")


@pytest.fixture(scope="module", params=["dense-mlx", "moe-mlx", "dense-gguf", "moe-gguf"])
def model(request, tmp_path_factory) -> Path:
    return small_model(tmp_path_factory.mktemp(request.param), request.param)
