"""llama.cpp's own benchmark programs: got from PyPI, built once, run.

The source is the copy that the package llama-cpp-python carries; the build is for this machine's processor (GGML_NATIVE) alone.
"""

import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from measure import BenchError, Finished, Sample, read_ahead, report, run

PACKAGE, VERSION = "llama-cpp-python", "0.3.36"
SOURCE_IN_PACKAGE = "vendor/llama.cpp"
PROGRAMS = ("llama-bench", "llama-batched-bench", "llama-quantize")
FLAGS = {
    "CMAKE_BUILD_TYPE": "Release",
    "GGML_NATIVE": "ON",
    "CMAKE_BUILD_RPATH_USE_ORIGIN": "ON",  # the folder may be moved
    # Nothing that is not measured: some of it would be downloaded while building.
    "LLAMA_BUILD_SERVER": "OFF",
    "LLAMA_BUILD_UI": "OFF",
    "LLAMA_USE_PREBUILT_UI": "OFF",
    "LLAMA_BUILD_APP": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_OPENSSL": "OFF",
}
# Where $SLUICE_ISA takes a set that is not the machine's best, llama.cpp gets the same.
AVX2_FLAGS = {"GGML_NATIVE": "OFF", "GGML_AVX": "ON", "GGML_AVX2": "ON", "GGML_FMA": "ON", "GGML_F16C": "ON", "GGML_BMI2": "ON"}
FLAGS_OF_SET = {"avx2": AVX2_FLAGS, "avx_vnni": AVX2_FLAGS | {"GGML_AVX_VNNI": "ON"}}


def step(what: str, command: list[str], log: Path) -> None:
    report(f"llama.cpp: {what}")
    with log.open("ab") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise BenchError(f"llama.cpp: {what} failed: {log} says why")


def get_source(directory: Path, log: Path) -> Path:
    """Returns directory/llama.cpp-VERSION, which is whole: it gets its name by a rename."""
    source = directory / f"llama.cpp-{VERSION}"
    if source.is_dir():
        return source
    with tempfile.TemporaryDirectory(dir=directory, prefix=".source.") as scratch:
        download = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps"]
        download += ["--no-binary", PACKAGE, "--dest", scratch, f"{PACKAGE}=={VERSION}"]
        step(f"downloading {PACKAGE} {VERSION}", download, log)
        (archive,) = Path(scratch).glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            top = archive.name.removesuffix(".tar.gz")
            members = [m for m in tar.getmembers() if m.name.startswith(f"{top}/{SOURCE_IN_PACKAGE}/")]
            tar.extractall(scratch, members, filter="data")
        (Path(scratch) / top / SOURCE_IN_PACKAGE).rename(source)
    return source


def build(directory: Path, instructions: str = "") -> Path:
    """Returns the build's folder; does nothing when it has the programs. CMAKE_BUILD_PARALLEL_LEVEL limits the jobs.

    instructions: a set of Sluice's, or "" for all that the machine has.
    """
    if instructions not in FLAGS_OF_SET:
        return made_in(directory, "build", PROGRAMS, FLAGS)
    return made_in(directory, f"build-{instructions}", PROGRAMS, FLAGS | FLAGS_OF_SET[instructions])


def build_server(directory: Path) -> Path:
    """The same for llama-server, without its page, in a folder of its own: the other programs' stays as it was measured."""
    return made_in(directory, "server-build", ("llama-server",), FLAGS | {"LLAMA_BUILD_SERVER": "ON"}) / "bin" / "llama-server"


def made_in(directory: Path, name: str, programs: tuple[str, ...], settings: dict[str, str]) -> Path:
    made = directory / f"llama.cpp-{VERSION}-{name}"
    if all((made / "bin" / program).is_file() for program in programs):
        return made
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "llama.cpp.log"
    log.unlink(missing_ok=True)
    source = get_source(directory, log)
    flags = [f"-D{flag}={value}" for flag, value in settings.items()]
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    step("configuring", ["cmake", "-S", str(source), "-B", str(made), *generator, *flags], log)
    step("building, which takes minutes", ["cmake", "--build", str(made), "--target", *programs], log)
    return made


@dataclass(frozen=True)
class Work:
    """What both programs do: see engine::Workload. warm_up: a run before the one that counts, in the same process."""

    prompt: int = 0
    generate: int = 0
    depth: int = 0
    batch: int = 1
    warm_up: bool = True


@dataclass(frozen=True)
class Limit:
    """bytes: of the memory cgroup that llama.cpp runs in, with the file mapped. read_ahead_kb: what a fault in the mapping reads."""

    bytes: int
    read_ahead_kb: int


@dataclass(frozen=True)
class LlamaCpp:
    """The programs of one build folder."""

    build: Path
    threads: int

    def program(self, name: str) -> str:
        path = self.build / "bin" / name
        if not path.is_file():
            raise BenchError(f"{path} is not there")
        return str(path)

    def version(self, model: Path) -> dict:
        """Of the source, and what it computes with."""
        (result,), _ = self.bench(model, Work(generate=1, warm_up=False), repack=True)
        return {name: result[name] for name in ("build_commit", "build_number", "cpu_info", "backends")}

    def sample(self, model: Path, work: Work, repack: bool, limit: Limit | None = None) -> Sample:
        """prefill_tps and decode_tps as far as they are measured, wall_ms and peak_mb of the process."""
        if work.batch > 1:
            return self.batched_bench(model, work)
        results, process = self.bench(model, work, repack, limit)
        sample = {"wall_ms": process.wall_ms, "peak_mb": process.peak_mb}
        if limit and process.read_mb is not None:
            sample["read_mb"] = process.read_mb
        for result in results:
            sample["prefill_tps" if result["n_prompt"] else "decode_tps"] = result["avg_ts"]
        return sample

    def bench(self, model: Path, work: Work, repack: bool, limit: Limit | None = None) -> tuple[list[dict], Finished]:
        command = [self.program("llama-bench"), "-m", str(model), "-t", str(self.threads), "-r", "1", "-o", "json"]
        command += ["-p", str(work.prompt), "-n", str(work.generate), "-d", str(work.depth), "--repack", str(int(repack))]
        command += [] if work.warm_up else ["--no-warmup"]
        if limit:
            with read_ahead(model, limit.read_ahead_kb):
                process = run([*command, "-lm", "mmap"], limit.bytes)
        else:
            process = run(command)
        return json.loads(process.stdout), process

    def batched_bench(self, model: Path, work: Work) -> Sample:
        context = work.batch * -(-(work.prompt + work.generate) // 256) * 256  # each sequence gets a multiple of 256
        command = [self.program("llama-batched-bench"), "-m", str(model), "-t", str(self.threads)]
        command += ["-c", str(context), "-npp", str(work.prompt), "-ntg", str(work.generate), "-npl", str(work.batch)]
        process = run([*command, "--output-format", "jsonl"])
        (line,) = [line for line in process.stdout.splitlines() if line.startswith("{")]
        told = json.loads(line)
        speeds = {"prefill_tps": told["speed_pp"], "decode_tps": told["speed_tg"]}
        return {**speeds, "wall_ms": process.wall_ms, "peak_mb": process.peak_mb}
