"""Checkpoints that others than MLX quantized, and GGUFs of the newest families: within the least budget as without one. And damage to
the first, told in one line."""

import json
import re
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import BINARY, Sluice
from tiny.cases import CASES, Case
from tiny.gguf_by_hand import BY_HAND
from tiny.gguf_cases import GGUF_CASES, GgufCase

STREAMED = [case for case in CASES if case.published] + [case for case in GGUF_CASES if case.config["model_type"] in BY_HAND]
PROJECTION = "model.layers.1.mlp.down_proj"


@pytest.mark.parametrize("case", STREAMED, ids=lambda case: case.name)
def test_streamed_logits_equal_those_without_a_budget(case: Case | GgufCase, sluice: Sluice, tiny_models: Path) -> None:
    directory = tiny_models / case.name
    model, tokens = case.model_path(directory), np.load(directory / "golden.npz")["tokens"]
    whole = sluice.logits(model, tokens)
    assert np.array_equal(sluice.logits(model, tokens, "--ram", least_budget(model)), whole)


def least_budget(model: Path) -> int:
    command = [BINARY, "logits", model, "--tokens", "1", "--out", "none.npy", "--ctx", "1024", "--exact-activations", "--ram", "1"]
    refused = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60)
    found = re.search(r"at least (\d+) bytes are needed", refused.stderr)
    assert found, refused.stderr
    return int(found[1]) + 4_000_000


class Checkpoint:
    """A copy of a tiny model whose header and config.json can be changed."""

    def __init__(self, source: Path, directory: Path) -> None:
        self.directory = directory
        shutil.copytree(source, directory)
        self._path = directory / "model.safetensors"
        raw = self._path.read_bytes()
        (size,) = struct.unpack("<Q", raw[:8])
        self.header, self._data = json.loads(raw[8 : 8 + size]), raw[8 + size :]
        self.config = json.loads((directory / "config.json").read_text())

    def error(self) -> str:
        text = json.dumps(self.header).encode()
        self._path.write_bytes(struct.pack("<Q", len(text)) + text + self._data)
        (self.directory / "config.json").write_text(json.dumps(self.config))
        command = [BINARY, "logits", self.directory, "--tokens", "1,2", "--out", self.directory / "out.npy", "--ctx", "64"]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60)
        assert done.returncode not in (0, -6, -11), done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        return done.stderr


def _drop(ending: str):
    """Under another name: a file has no holes."""

    def apply(c: Checkpoint) -> None:
        c.header["elsewhere"] = c.header.pop(f"{PROJECTION}.{ending}")

    return apply


def _reshape(ending: str, change):
    def apply(c: Checkpoint) -> None:
        tensor = c.header[f"{PROJECTION}.{ending}"]
        tensor["shape"] = change(tensor["shape"])

    return apply


def _told(**changes):
    return lambda c: c.config["quantization_config"].update(changes)


DAMAGES = {
    "scales are missing": ("llama-wide-gptq", _drop("scales"), "scales are missing"),
    "zeros are missing": ("llama-wide-awq", _drop("qzeros"), "zeros are missing"),
    "the order is missing": ("llama-wide-gptq-shuffled", _drop("g_idx"), "g_idx is missing"),
    "scales of another shape": ("llama-wide-pack4", _reshape("weight_scale", lambda s: s[::-1]), "scales are f16"),
    "codes of another shape": ("llama-wide-awq", _reshape("qweight", lambda s: s[::-1]), "codes are i32"),
    "fewer blocks": ("llama-wide-fp8-blocks", _told(weight_block_size=[64, 128]), "scales are f32"),
    "groups of no kernel": ("llama-wide-fp8-blocks", _told(weight_block_size=[128, 100]), r"groups of|config\.json says"),
    "other bits": ("llama-wide-gptq", _told(bits=8), "config.json says integers of 8 bits"),
    "other groups": ("llama-wide-awq", _told(group_size=64), "in groups of 64"),
    "no global scale": ("llama-wide-nvfp4-modelopt", _drop("weight_scale_2"), "multiplies all scales"),
    "no scale": ("llama-wide-bitnet-divided", _drop("weight_scale"), "scales are missing"),
    "codes of another quarter": ("llama-wide-bitnet-divided", _reshape("weight", lambda s: [2 * s[0], s[1] // 2]), "codes are u8"),
    "weights rounded as they are used": ("llama-wide-bitnet-divided", _told(quantization_mode="online"), "quantization_mode is"),
    "an unknown method": ("llama-wide-gptq", _told(quant_method="vptq"), "quant_method is vptq"),
    "an unknown key": ("llama-wide-gptq", _told(rotation="hadamard"), "rotation is"),
    "no configuration": ("llama-wide-fp8-rows", lambda c: c.config.pop("quantization_config"), "no quantization_config"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told_in_one_line(damage: str, tiny_models: Path, tmp_path: Path) -> None:
    name, apply, told = DAMAGES[damage]
    checkpoint = Checkpoint(tiny_models / name, tmp_path / "model")
    apply(checkpoint)
    assert re.search(told, checkpoint.error())
