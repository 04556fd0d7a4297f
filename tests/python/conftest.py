"""The package as it is built, or installed (then leave PYTHONPATH alone), and models that are in the store or the repository."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "build/release/python"
BINARY = Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/bin/sluice"))
TINY_MOE = ROOT / "tests/models/tiny-moe"
CHAT_MODEL = "smollm2-135m-instruct"

if importlib.util.find_spec("sluice") is None:
    sys.path.insert(0, str(BUILT))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(BUILT), os.environ.get("PYTHONPATH", "")])


@pytest.fixture(scope="module")
def model():
    """A chat model, closed at the end."""
    import sluice

    with sluice.load(CHAT_MODEL) as engine:
        yield engine


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A model store of the test's own, with the models that are here."""
    import sluice._native as native

    models = native.resolve(CHAT_MODEL).parents[1 if native.resolve(CHAT_MODEL).is_file() else 0]
    (tmp_path / "models").symlink_to(models)
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path))
    return tmp_path
