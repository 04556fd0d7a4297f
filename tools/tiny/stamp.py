"""Tells whether a generated model is up to date, so that adding one case makes one model."""

import hashlib
from pathlib import Path
from typing import Any

_TOOLS = Path(__file__).parent
_REQUIREMENTS = _TOOLS.parent.parent / "requirements-test.txt"
_LISTS = ("families.py", "cases.py", "gguf_cases.py", "llama_cpp_cases.py", "llama_cpp_known.py")  # a case carries what it needs of these


def fingerprint(case: Any) -> str:
    """Of the case, the code that makes it and the versions of the libraries it is made with."""
    digest = hashlib.sha256(repr(case).encode())
    sources = sorted(p for p in _TOOLS.glob("*.py") if p.name not in _LISTS)
    for path in (*sources, _REQUIREMENTS, _REQUIREMENTS.with_name("requirements.txt")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def is_current(directory: Path, case: Any) -> bool:
    stamp = directory / "stamp"
    return stamp.exists() and stamp.read_text() == fingerprint(case)


def mark_current(directory: Path, case: Any) -> None:
    """Last step of making a case: an interrupted one has no stamp and is made again."""
    (directory / "stamp").write_text(fingerprint(case))
