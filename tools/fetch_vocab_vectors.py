#!/usr/bin/env python3
"""Gets the tokenizer test vectors that llama.cpp ships (ggml-vocab-*.gguf with .inp and .out) and its
collection of chat templates, from llama-cpp-python's source package on PyPI. They are other projects'
data, so they stay out of the repository: in .cache/llama-cpp-models, which this prints. Does nothing
when they are there."""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VERSION = "0.3.36"
SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
CACHE = Path(__file__).resolve().parent.parent / ".cache"
TARGET = CACHE / "llama-cpp-models"
INSIDE = f"llama_cpp_python-{VERSION}/vendor/llama.cpp/models/"


def download(folder: Path) -> Path:
    package = f"llama-cpp-python=={VERSION}"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    pip += ["--no-deps", "--no-binary", "llama-cpp-python", "--dest", str(folder), package]
    subprocess.run(pip, check=True, stdout=sys.stderr)
    archive = folder / f"llama_cpp_python-{VERSION}.tar.gz"
    if hashlib.sha256(archive.read_bytes()).hexdigest() != SHA256:
        sys.exit(f"error: {archive.name} is not the file expected (sha256 {SHA256})")
    return archive


def extract(archive: Path, target: Path) -> None:
    with tarfile.open(archive) as tar:
        for member in tar:
            name = member.name.removeprefix(INSIDE)
            wanted = name.startswith(("ggml-vocab-", "templates/")) and member.isfile()
            if member.name.startswith(INSIDE) and wanted:
                path = target / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(tar.extractfile(member).read())


def main() -> None:
    complete = TARGET / f".complete-{VERSION}"
    if not complete.exists():
        print(f"fetching llama-cpp-python {VERSION}'s test vectors (77 MB)", file=sys.stderr)
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            fresh = Path(work) / "models"
            extract(download(Path(work)), fresh)
            (fresh / complete.name).touch()
            shutil.rmtree(TARGET, ignore_errors=True)
            fresh.rename(TARGET)
    print(TARGET.relative_to(CACHE.parent))


main()
