#!/usr/bin/env python3
"""Conversion of a model larger than memory: seconds beside the bound, peak memory, and what a kill in the middle costs.

    bench/convert.py FOLDER [--gb 10] [--rounds 3] [--to mlx q8_0 q4_k] [--memory 1GB]

Makes FOLDER/source once: bfloat16 weights of Llama's shapes in shards, drawn from one block of random numbers. Per target, in turns: the disk alone
(the source is read with an empty cache, as many bytes as the result has are written and synchronized), the encoder alone on every
processor (bench/micro/encode_bench.cpp, which has to be built), and `sluice convert --ram` in a cgroup of that size with an empty cache. The
bound is the slower of the two; 70 % of it is the bar. Then a conversion is killed by SIGKILL in the middle and called again: its files have to be the
same to the byte. FOLDER needs the source's size and the largest result's; results are removed, the source stays. Where others use the machine
too, `chrt -r 1 bench/convert.py ...` measures all of it before them.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from measure import ROOT, BenchError, alternate, circumstances, forget, limited, medians, report, run_as_program
from workplace import SLUICE, built_at, check_not_rebuilt, fetched, files_of, write

BAR = 0.7
SHARD = 2_000_000_000
BLOCK = 1 << 24  # bytes that are read or written at once
HIDDEN, INTERMEDIATE, HEADS, KV_HEADS, VOCABULARY = 4096, 14336, 32, 8, 49152
TOKENIZER_OF = "smollm2-135m-instruct"
# What encode_bench calls the matrices' type and the embedding's, which makes logits too and has q6_k at least; what asks for it.
TARGETS = {"mlx": ("affine4", "affine4", ["--bits", "4"])} | {
    type_: (type_, "q8_0" if type_ == "q8_0" else "q6_k", ["--to", "gguf", "--type", type_]) for type_ in ("q8_0", "q4_0", "q4_k", "q6_k")
}
ENCODER = SLUICE.with_name("encode_bench")


def tensors(gigabytes: float) -> list[tuple[str, tuple[int, ...]]]:
    kv = HIDDEN * KV_HEADS // HEADS
    layer = {
        "input_layernorm": (HIDDEN,), "post_attention_layernorm": (HIDDEN,), "self_attn.q_proj": (HIDDEN, HIDDEN), "self_attn.k_proj": (kv, HIDDEN),
        "self_attn.v_proj": (kv, HIDDEN), "self_attn.o_proj": (HIDDEN, HIDDEN), "mlp.gate_proj": (INTERMEDIATE, HIDDEN),
        "mlp.up_proj": (INTERMEDIATE, HIDDEN), "mlp.down_proj": (HIDDEN, INTERMEDIATE),
    }  # fmt: skip
    around = [("model.embed_tokens.weight", (VOCABULARY, HIDDEN)), ("model.norm.weight", (HIDDEN,))]
    rest = gigabytes * 1e9 / 2 - sum(int(np.prod(shape)) for _, shape in around)
    n_layers = max(1, round(rest / sum(int(np.prod(shape)) for shape in layer.values())))
    return around + [(f"model.layers.{i}.{name}.weight", shape) for i in range(n_layers) for name, shape in layer.items()]


def shards(all_tensors: list) -> Iterator[list]:
    held, size = [], 0
    for name, shape in all_tensors:
        n_bytes = 2 * int(np.prod(shape))
        if held and size + n_bytes > SHARD:
            yield held
            held, size = [], 0
        held.append((name, shape))
        size += n_bytes
    yield held


def write_shard(path: Path, held: list, noise: np.ndarray) -> None:
    header, at = {}, 0
    for name, shape in held:
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at := at + 2 * int(np.prod(shape))]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in held:
            left = int(np.prod(shape))
            if len(shape) == 1:
                file.write(np.full(left, 0x3F80, np.uint16).tobytes())  # 1.0
                continue
            begin = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) % len(noise)
            while left:
                part = noise[begin : begin + left]
                file.write(part.tobytes())
                left, begin = left - len(part), 0


def make_source(folder: Path, gigabytes: float) -> Path:
    source, all_tensors = folder / "source", tensors(gigabytes)
    recipe = json.dumps([1, all_tensors])
    if (source / "recipe").is_file() and (source / "recipe").read_text() == recipe:
        return source
    report(f"making {source}")
    shutil.rmtree(source, ignore_errors=True)
    subprocess.run([SLUICE, "convert", fetched(TOKENIZER_OF), source, "--bits", "4", "--quiet"], check=True)  # brings the tokenizer
    for path in source.glob("model*.safetensors*"):
        path.unlink()
    noise = (np.random.default_rng(1).normal(0, 0.02, 1 << 26).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    parts = list(shards(all_tensors))
    names = [f"model-{i:05}-of-{len(parts):05}.safetensors" for i in range(1, len(parts) + 1)]
    for name, held in zip(names, parts, strict=True):
        write_shard(source / name, held, noise)
    where = {tensor: name for name, held in zip(names, parts, strict=True) for tensor, _ in held}
    (source / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": sum(name.endswith("q_proj.weight") for name, _ in all_tensors), "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS, "vocab_size": VOCABULARY, "rms_norm_eps": 1e-5, "rope_theta": 100000.0, "max_position_embeddings": 8192,
        "tie_word_embeddings": True, "torch_dtype": "bfloat16", "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
    }  # fmt: skip
    (source / "config.json").write_text(json.dumps(config))
    (source / "recipe").write_text(recipe)
    return source


def read_all(files: list[Path]) -> float:
    """Seconds, with an empty cache."""
    forget(files)
    buffer, begin = bytearray(BLOCK), time.monotonic()
    for path in files:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
    return time.monotonic() - begin


def write_bytes(path: Path, n_bytes: int) -> float:
    """Seconds until they are on the disk."""
    block, begin = os.urandom(BLOCK), time.monotonic()
    with path.open("wb", buffering=0) as file:
        for at in range(0, n_bytes, BLOCK):
            file.write(block[: n_bytes - at])
        os.fsync(file.fileno())
    seconds = time.monotonic() - begin
    path.unlink()
    return seconds


def encoder_alone(name: str, n_values: int, processors: int) -> tuple[float, float]:
    """Seconds, and those of all processors: one process on each."""
    command = [ENCODER, f"--benchmark_filter=encode/{name}$", "--benchmark_min_time=3s", "--benchmark_format=json"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for _ in range(processors)]
    told = [json.loads(process.communicate()[0])["benchmarks"][0] for process in running]
    of_own_time = [one["items_per_second"] for one in told]
    by_the_clock = [one["items_per_second"] * one["cpu_time"] / one["real_time"] for one in told]
    return n_values / sum(by_the_clock), n_values / (sum(of_own_time) / processors)


def encode_all(target: str, gigabytes: float) -> dict[str, float]:
    matrices, embedding, _ = TARGETS[target]
    values: dict[str, int] = {}
    for name, shape in tensors(gigabytes):
        kind = embedding if "embed" in name else matrices
        values[kind] = values.get(kind, 0) + int(np.prod(shape))
    times = [encoder_alone(kind, n_values, os.cpu_count() or 1) for kind, n_values in values.items()]
    return {"encode_s": sum(wall for wall, _ in times), "encode_cpu_s": sum(cpu for _, cpu in times)}


def files_under(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(p for p in path.iterdir() if p.is_file())


def digest(path: Path) -> str:
    found = hashlib.sha256()
    for file in files_under(path):
        found.update(file.name.encode())
        with file.open("rb") as content:
            while block := content.read(BLOCK):
                found.update(block)
    return found.hexdigest()


def remove(*paths: Path) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


class Conversion:
    def __init__(self, source: Path, target: str, memory: int) -> None:
        self.source, self.memory = source, memory
        self.out = source.parent / ("made" if target == "mlx" else "made.gguf")
        self.partial = self.out.with_name(self.out.name + ".partial")
        self.command = [str(SLUICE), "convert", str(source), str(self.out), *TARGETS[target][-1], "--ram", str(memory), "--json", "--quiet"]
        remove(self.out, self.partial)

    def run(self) -> dict:
        forget(files_of(self.source))
        done = limited.run(self.command, self.memory)
        if done.not_limited:
            raise BenchError(f"memory cannot be limited here: {done.not_limited}")
        if done.returncode != 0:
            raise BenchError(f"{' '.join(self.command)}: exit status {done.returncode}: {done.stderr.strip()}")
        return json.loads(done.stdout) | {"convert_s": done.wall_s, "cpu_s": done.cpu_s, "peak_mb": done.peak_rss / 1e6, "cgroup_mb": done.cgroup_peak / 1e6}

    def killed(self, after_s: float) -> None:
        process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        try:
            process.wait(after_s)
            raise BenchError("the conversion ended before it could be killed")
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()


def measure_target(source: Path, target: str, options: argparse.Namespace) -> dict:
    conversion = Conversion(source, target, options.memory)
    told = conversion.run()  # the warm-up, whose files the others are compared with
    wanted, n_bytes = digest(conversion.out), sum(path.stat().st_size for path in files_under(conversion.out))
    remove(conversion.out)

    def converted() -> dict[str, float]:
        found = conversion.run()
        remove(conversion.out)
        return {name: found[name] for name in ("convert_s", "cpu_s", "peak_mb", "cgroup_mb")}

    def alone() -> dict[str, float]:
        return {"read_s": read_all(files_of(source)), "write_s": write_bytes(source.parent / "written", n_bytes)}

    variants = {"disk": alone, "encoder": lambda: encode_all(target, options.gb), "convert": converted}
    series = alternate(target, variants, options.rounds, warm_up={})
    found = medians(series)
    disk_s, encode_s, convert_s = sum(found["disk"].values()), found["encoder"]["encode_s"], found["convert"]["convert_s"]
    share = max(disk_s, encode_s) / convert_s
    conversion.killed(0.4 * convert_s)
    again = conversion.run()
    same = digest(conversion.out) == wanted
    remove(conversion.out)
    resumed = again["bytes_resumed"] / again["bytes"]
    peaks = [told["peak_mb"], again["peak_mb"], *series["convert"]["peak_mb"]]
    held = {"speed": share >= BAR, "memory": max(peaks) <= options.memory / 1e6, "resumed": same and 0 < resumed < 1}
    disk, encoder = found["disk"], found["encoder"]
    print(
        f"{target}: {n_bytes / 1e9:.2f} GB in {convert_s:.1f} s, {found['convert']['cpu_s']:.1f} s of processors; "
        f"disk {disk_s:.1f} s (read {disk['read_s']:.1f}, write {disk['write_s']:.1f}), encoder {encode_s:.1f} s ({encoder['encode_cpu_s']:.1f} of processors): "
        f"{share:.0%} of the bound; peak {max(peaks):.0f} MB; killed, {resumed:.0%} were there: {'equal' if same else 'OTHER'} bytes: "
        + ", ".join(f"{what} {'held' if ok else 'NOT HELD'}" for what, ok in held.items()),
        flush=True,
    )
    return {"target": target, "bytes": n_bytes, "series": series, "share": share, "resumed": resumed, "held": held}


def bench(options: argparse.Namespace) -> bool:
    """Returns whether all was held."""
    if not ENCODER.is_file():
        raise BenchError(f"{ENCODER} is not there; `cmake --build build/release --target encode_bench` makes it")
    built, started = built_at(), datetime.now(timezone.utc).isoformat(timespec="seconds")
    options.folder.mkdir(parents=True, exist_ok=True)
    source = make_source(options.folder.resolve(), options.gb)
    result = {"started": started, **circumstances(SLUICE), "gb": options.gb, "memory": options.memory}
    found = [measure_target(source, target, options) for target in options.to]
    check_not_rebuilt(built)
    report(f"every sample: {write(result | {'targets': found}, 'convert-').relative_to(ROOT)}")
    return all(all(one["held"].values()) for one in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gb", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--to", nargs="+", choices=TARGETS, default=["mlx", "q8_0", "q4_k"])
    parser.add_argument("--memory", type=limited.parse_size, default=10**9)
    options = parser.parse_args()
    if options.rounds < 1 or options.gb <= 0:
        sys.exit("bench: error: --rounds and --gb must be positive")
    run_as_program(lambda: bench(options))


if __name__ == "__main__":
    main()
