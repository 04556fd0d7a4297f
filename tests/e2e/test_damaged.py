"""A model that is damaged, hostile or no model ends in exit code 3 and one line that names the file: no crash, no hang,
no output."""

import json
import random
import re
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from program import MODEL, ROOT, Sluice, link_model

TIMEOUT_S = 10
WEIGHTS = (MODEL / "model.safetensors").read_bytes()
(HEADER_BYTES,) = struct.unpack("<Q", WEIGHTS[:8])
HEADER = json.loads(WEIGHTS[8 : 8 + HEADER_BYTES])
DATA_START = 8 + HEADER_BYTES
TEXTS = {
    "empty": b"",
    "cut": b'{"model_type": "qwen3_mo',
    "not_json": b"model_type = qwen3_moe",
    "binary": bytes(range(256)),
    "a_list": b"[1, 2]",
    "null": b"null",
    "nan": b'{"rms_norm_eps": NaN}',
    "too_large_a_number": b'{"hidden_size": 1e999}',
    "deep_objects": b'{"a":' * 100_000,
    "deep_arrays": b'{"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    "not_utf8": b'{"model_type": "\xff\xfe"}',
}


class Damaged:
    """A linked copy of the tiny model of which some files are replaced."""

    def __init__(self, sluice: Sluice, directory: Path) -> None:
        self.sluice = sluice
        self.directory = link_model(directory)
        self.out = directory / "out.npy"

    def replace(self, name: str, content: bytes | str | None) -> None:
        """None: the file is gone."""
        (self.directory / name).unlink()
        if content is not None:
            (self.directory / name).write_bytes(content.encode() if isinstance(content, str) else content)

    def logits(self, model: Path | None = None) -> subprocess.CompletedProcess:
        return self.sluice.run("logits", model or self.directory, "--tokens", "1,2", "--ctx", "64", "--out", self.out, timeout=TIMEOUT_S)

    def run(self) -> subprocess.CompletedProcess:
        return self.sluice.run("run", self.directory, "-p", "hi", "-n", "2", timeout=TIMEOUT_S)


@pytest.fixture
def damaged(sluice: Sluice, tmp_path: Path) -> Damaged:
    return Damaged(sluice, tmp_path / "model")


def assert_refused(result: subprocess.CompletedProcess, *named: str) -> None:
    assert result.returncode == 3, f"exit {result.returncode}\n{result.stdout[:500]}\n{result.stderr[:500]}"
    assert result.stdout == ""
    assert re.fullmatch(r"sluice: error: [^\n]+\n", result.stderr), result.stderr
    for text in named:
        assert text in result.stderr, result.stderr


def with_header(change: Callable[[dict], Any]) -> bytes:
    header = json.loads(json.dumps(HEADER))
    change(header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + WEIGHTS[DATA_START:]


CUTS = [0, 1, 7, 8, 9, HEADER_BYTES // 2, DATA_START - 1, DATA_START, DATA_START + 1, len(WEIGHTS) // 2, len(WEIGHTS) - 1]


@pytest.mark.parametrize("bytes_left", CUTS)
def test_cut_weights_are_refused(damaged: Damaged, bytes_left: int) -> None:
    damaged.replace("model.safetensors", WEIGHTS[:bytes_left])
    assert_refused(damaged.logits(), "model.safetensors")


def test_a_flipped_bit_in_the_header_is_found_or_harmless(damaged: Damaged) -> None:
    """Nearly all change a name, a size or the syntax. BF16 as F16 and metadata stay possible files."""
    choose = random.Random(1)
    refused = 0
    for _ in range(40):
        flipped = bytearray(WEIGHTS)
        flipped[choose.randrange(DATA_START)] ^= 1 << choose.randrange(8)
        damaged.replace("model.safetensors", bytes(flipped))
        result = damaged.logits()
        assert result.returncode in (0, 3), result.stderr
        if result.returncode == 3:
            assert_refused(result, ".")
            refused += 1
    assert refused >= 36


NORM, EMBEDDING = "model.norm.weight", "model.embed_tokens.weight"
ROUTER_SCALES = "model.layers.2.mlp.gate.scales"
QUERY = "model.layers.0.self_attn.q_proj.weight"
EXPERTS = "model.layers.5.mlp.switch_mlp.up_proj.weight"


@pytest.mark.parametrize("name", [NORM, EMBEDDING, ROUTER_SCALES, QUERY, EXPERTS])
@pytest.mark.parametrize(
    "change",
    [
        lambda header, name: header.pop(name),
        lambda header, name: header.update({f"other.{name}": header.pop(name)}),
        lambda header, name: header[name].update(shape=[1, *header[name]["shape"], 1]),
        lambda header, name: header[name].update(shape=[n // 2 if i == 0 else n for i, n in enumerate([*header[name]["shape"], 2])]),
        lambda header, name: header[name].update(shape=[2**62, 8]),
        lambda header, name: header[name].update(dtype={"BF16": "U16", "U32": "F32"}[header[name]["dtype"]]),
        lambda header, name: header[name].update(dtype="F4"),
        lambda header, name: header[name].update(data_offsets=[2**63, 2**63 + 64]),
        lambda header, name: header[name].update(data_offsets=[offset + 2 for offset in header[name]["data_offsets"]]),
    ],
    ids=["missing", "renamed", "more_dimensions", "halved", "overflowing", "wrong_dtype", "unknown_dtype", "past_end", "shifted"],
)
def test_a_wrong_tensor_is_named(damaged: Damaged, change: Callable[[dict, str], Any], name: str) -> None:
    damaged.replace("model.safetensors", with_header(lambda header: change(header, name)))
    result = damaged.logits()
    module = re.sub(r"\.(weight|scales|switch_mlp.*)$", "", name)
    # Where a tensor overlaps another or leaves a hole, its neighbour may be the one that is told of.
    assert_refused(result, *([] if "model.safetensors: tensor" in result.stderr else [module]))


def test_weights_that_are_not_there(damaged: Damaged) -> None:
    damaged.replace("model.safetensors", None)
    assert_refused(damaged.logits(), "safetensors")


@pytest.mark.parametrize("content", TEXTS.values(), ids=TEXTS.keys())
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"])
def test_json_that_is_none_is_refused(damaged: Damaged, name: str, content: bytes) -> None:
    damaged.replace(name, content)
    assert_refused(damaged.run(), name)


def test_without_config_or_tokenizer(damaged: Damaged) -> None:
    damaged.replace("tokenizer.json", None)
    assert_refused(damaged.run(), "tokenizer.json")
    assert damaged.logits().returncode == 0, "logits need no tokenizer"
    damaged.replace("config.json", None)
    assert_refused(damaged.logits(), "config.json")


MISSING = object()
CONFIG_DAMAGE = [
    ("model_type", MISSING),
    ("model_type", 3),
    ("model_type", "quantum_llm"),
    ("model_type", "a\x1b[31m\nb"),
    ("hidden_size", "256"),
    ("hidden_size", -256),
    ("hidden_size", 2**62),
    ("hidden_size", 257),
    ("hidden_size", MISSING),
    ("num_hidden_layers", 0),
    ("num_hidden_layers", 1_000_000_000),
    ("num_hidden_layers", 3),
    ("num_hidden_layers", 7),
    ("num_attention_heads", 3),
    ("num_attention_heads", [4]),
    ("num_key_value_heads", 0),
    ("head_dim", 1.5),
    ("head_dim", 1_000_000),
    ("vocab_size", 2**31),
    ("vocab_size", None),
    ("num_experts", 2**40),
    ("num_experts", True),
    ("num_experts_per_tok", 33),
    ("moe_intermediate_size", 127),
    ("mlp_only_layers", {"0": 1}),
    ("mlp_only_layers", [0]),
    ("hidden_act", "warp"),
    ("rms_norm_eps", -1),
    ("rms_norm_eps", 1e300),
    ("rope_theta", 0),
    ("rope_theta", "10000"),
    ("rope_scaling", {"type": "wormhole", "factor": 2}),
    ("max_position_embeddings", -1),
    ("tie_word_embeddings", False),
    ("quantization", {"bits": 7, "group_size": 64, "model.embed_tokens": {"bits": 3}}),
]


@pytest.mark.parametrize(("key", "value"), CONFIG_DAMAGE, ids=[f"{k}={str(v)[:12]!a}" for k, v in CONFIG_DAMAGE])
def test_a_damaged_configuration_is_refused(damaged: Damaged, key: str, value: Any) -> None:
    config = json.loads((MODEL / "config.json").read_text())
    config.pop("quantization_config")
    config[key] = value
    if value is MISSING:
        del config[key]
    damaged.replace("config.json", json.dumps(config))
    assert_refused(damaged.logits())


@pytest.mark.parametrize("key", ["added_tokens", "pre_tokenizer", "decoder", "model"])
@pytest.mark.parametrize("value", [3, "x", [7], {"type": "Nothing"}], ids=str)
def test_a_damaged_tokenizer_is_refused(damaged: Damaged, key: str, value: Any) -> None:
    tokenizer = json.loads((MODEL / "tokenizer.json").read_text())
    tokenizer[key] = value
    damaged.replace("tokenizer.json", json.dumps(tokenizer))
    assert_refused(damaged.run(), "tokenizer.json")


@pytest.mark.parametrize(
    "change",
    [
        {"vocab": {}},
        {"vocab": {"a": -1}},
        {"vocab": {"a": 1e30}},
        {"vocab": ["a"]},
        {"merges": [["not", "there"]]},
        {"merges": ["a b c"]},
        {"merges": [[]]},
        {"type": "Oracle"},
    ],
    ids=str,
)
def test_a_damaged_vocabulary_is_refused(damaged: Damaged, change: dict) -> None:
    tokenizer = json.loads((MODEL / "tokenizer.json").read_text())
    tokenizer["model"] |= change
    damaged.replace("tokenizer.json", json.dumps(tokenizer))
    assert_refused(damaged.run(), "tokenizer.json")


@pytest.mark.parametrize("template", [3, {}, True])
def test_a_chat_template_that_is_no_text_is_refused(damaged: Damaged, template: Any) -> None:
    damaged.replace("tokenizer_config.json", json.dumps({"chat_template": template}))
    assert_refused(damaged.run(), "tokenizer_config.json")


@pytest.mark.parametrize("path", sorted((ROOT / "tests/fuzz/corpus").glob("*gguf/*")), ids=lambda path: path.name)
def test_the_fuzzers_ggufs_end_in_an_exit_code(damaged: Damaged, tmp_path: Path, path: Path) -> None:
    """None of them is a whole model."""
    model = tmp_path / "model.gguf"
    model.write_bytes(path.read_bytes())
    assert_refused(damaged.logits(model), "model.gguf")


def write_gguf(path: Path) -> None:
    """A llama of one layer that says nothing meaningful, with a vocabulary of single characters."""
    vocab, hidden, heads = 32, 32, 2
    random_floats = np.random.default_rng(1).normal(size=(256, hidden)).astype(np.float32)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(64)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(["<unk>", "<s>", "</s>", *(chr(97 + i) for i in range(vocab - 3))])
    writer.add_token_scores([0.0] * vocab)
    writer.add_token_types([2, 3, 3, *[1] * (vocab - 3)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_tensor("token_embd.weight", random_floats[:vocab])
    writer.add_tensor("output_norm.weight", random_floats[0])
    writer.add_tensor("blk.0.attn_norm.weight", random_floats[1])
    writer.add_tensor("blk.0.ffn_norm.weight", random_floats[2])
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        writer.add_tensor(f"blk.0.{name}.weight", random_floats[:hidden])
    writer.add_tensor("blk.0.ffn_gate.weight", random_floats[:64])
    writer.add_tensor("blk.0.ffn_up.weight", random_floats[64:128])
    writer.add_tensor("blk.0.ffn_down.weight", np.ascontiguousarray(random_floats[:64].T))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_gguf_that_is_cut_or_flipped_ends_in_an_exit_code(damaged: Damaged, tmp_path: Path) -> None:
    """Many a flip leaves a possible file: then it is run. Nothing else than 0 and 3 may come of it."""
    whole = tmp_path / "whole.gguf"
    write_gguf(whole)
    assert damaged.logits(whole).returncode == 0, damaged.logits(whole).stderr
    content = whole.read_bytes()
    header_end = int(gguf.GGUFReader(whole).data_offset)
    choose = random.Random(3)
    model = tmp_path / "model.gguf"
    for bytes_left in [*(choose.randrange(len(content)) for _ in range(15)), *(choose.randrange(header_end) for _ in range(15))]:
        model.write_bytes(content[:bytes_left])
        assert_refused(damaged.logits(model), "model.gguf")
    for _ in range(150):
        flipped = bytearray(content)
        at, bit = choose.randrange(header_end), choose.randrange(8)
        flipped[at] ^= 1 << bit
        model.write_bytes(bytes(flipped))
        result = damaged.logits(model)
        assert result.returncode in (0, 3), f"byte {at}, bit {bit}: exit {result.returncode}\n{result.stderr}"
        if result.returncode == 3:
            assert_refused(result)
