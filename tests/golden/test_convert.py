"""`sluice convert` against the references: bits of mlx.core.quantize and of the gguf package, logits of mlx-lm and of our own before."""

import json
from collections.abc import Callable
from pathlib import Path

import gguf
import mlx.core as mx
import numpy as np
import pytest
from mlx_lm import load
from mlx_lm.utils import load_model
from transformers import AutoTokenizer

FAMILIES = (
    "llama", "mistral", "mixtral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3", "olmo2", "smollm3",
    "qwen2_moe", "qwen3_moe", "olmoe", "seed_oss", "granite", "deepseek_v3", "glm4_moe", "qwen3_5_moe", "qwen3_next", "lfm2_moe",
    "exaone", "openelm", "qwen", "bailing_moe", "afmoe", "laguna",  # name keys of config.json their own way
)  # fmt: skip
TO_GGUF = (
    "llama", "mixtral", "qwen2", "qwen3", "gemma2", "phi3", "olmo2", "smollm3", "seed_oss", "granite", "qwen2_moe", "qwen3_moe", "olmoe",
    "hunyuan_v1_dense", "ernie4_5", "glm4", "glm4_moe", "dots1", "minimax", "deepseek",
)  # fmt: skip


@pytest.fixture
def tiny(tiny_models: Path) -> Callable[[str], Path]:
    return lambda name: tiny_models / name


def golden(directory: Path) -> tuple[np.ndarray, np.ndarray]:
    made = np.load(directory / "golden.npz")
    return made["tokens"], made["logits"]


def reference_logits(directory: Path, tokens: np.ndarray) -> np.ndarray:
    model, _ = load_model(directory)
    return np.array(model(mx.array(tokens)[None])[0].astype(mx.float32))


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max() / np.abs(b).max())


def tensors(directory: Path) -> dict[str, mx.array]:
    return {name: value for file in directory.glob("*.safetensors") for name, value in mx.load(str(file)).items()}


@pytest.mark.parametrize("dtype", ["f32", "bf16", "f16"])
@pytest.mark.parametrize(
    ("mode", "bits", "group_size"),
    [*(("affine", bits, size) for bits in (2, 3, 4, 5, 6, 8) for size in (32, 64, 128)), ("mxfp4", 4, 32), ("mxfp8", 8, 32), ("nvfp4", 4, 16)],
)
def test_quantized_matrices_have_the_bits_of_mlx(sluice, tiny, tmp_path, mode: str, bits: int, group_size: int, dtype: str) -> None:
    source = tiny("llama-wide-affine8-g32")
    plain = tmp_path / "plain"
    sluice("convert", source, plain, "--dequantize", "--dtype", dtype)
    options = ["--bits", bits, "--group-size", group_size] if mode == "affine" else []
    sluice("convert", plain, tmp_path / "out", "--mode", mode, *options)
    before, after = tensors(plain), tensors(tmp_path / "out")
    matrices = [name for name in before if f"{name.removesuffix('.weight')}.scales" in after]
    assert len(matrices) > 10
    for name in matrices:
        wanted = mx.quantize(before[name], group_size=group_size, bits=bits, mode=mode)
        for leaf, value in zip((".weight", ".scales", ".biases"), wanted, strict=False):
            got = after[name.removesuffix(".weight") + leaf]
            assert got.dtype == value.dtype and mx.array_equal(got.view(mx.uint8), value.view(mx.uint8)), name + leaf


@pytest.mark.parametrize("family", FAMILIES)
def test_a_converted_family_gives_the_logits_of_the_original_in_both_programs(sluice, tiny, tmp_path, family: str) -> None:
    source = tiny(f"{family}-hf")
    tokens, logits = golden(source)
    sluice("convert", source, tmp_path / "same")
    assert distance(sluice.logits(tmp_path / "same", tokens), logits) < 1e-4
    assert distance(reference_logits(tmp_path / "same", tokens), logits) < 1e-4
    sluice("convert", source, tmp_path / "q8", "--bits", 8, "--group-size", 32)
    ours = sluice.logits(tmp_path / "q8", tokens)
    assert distance(reference_logits(tmp_path / "q8", tokens), ours) < 2e-3


def test_deepseek_v41_keeps_in_float32_what_mlx_lm_does(sluice, tiny, tmp_path) -> None:
    source = tiny("deepseek_v41-hf")
    tokens, logits = golden(source)
    sluice("convert", source, tmp_path / "same")
    assert distance(sluice.logits(tmp_path / "same", tokens), logits) < 1e-4
    sluice("convert", source, tmp_path / "q4", "--bits", 4, "--group-size", 32, "--dtype", "bf16")
    ours, theirs = tensors(tmp_path / "q4"), tensors(tiny("deepseek_v41-q4"))
    quantized = [name for name in ours if name.endswith(".scales")]
    assert len(quantized) == sum(name.endswith(".scales") for name in theirs)
    assert not any("hc_" in name for name in quantized)
    kept = ("hc_attn_", "hc_ffn_", "attn_sink", "gate.bias", "compressor.")  # mlx-lm's cast_predicate, as they are published
    for name, value in ours.items():
        if mx.issubdtype(value.dtype, mx.floating):
            assert value.dtype == (mx.float32 if any(part in name for part in kept) else mx.bfloat16), name


def test_a_recipe_is_mlx_lms(sluice, tiny, tmp_path) -> None:
    sluice("convert", tiny("qwen3-hf"), tmp_path / "out", "--recipe", "mixed_2_6", "--group-size", 32, "--keep", "o_proj")
    told = json.loads((tmp_path / "out/config.json").read_text())["quantization"]
    assert (told["bits"], told["group_size"], told["mode"]) == (2, 32, "affine")
    assert told["model.layers.0.self_attn.o_proj"] is False
    assert all(told[path]["bits"] == 6 for path in told if path.endswith(("v_proj", "down_proj", "lm_head")))
    load_model(tmp_path / "out")


@pytest.mark.parametrize("family", TO_GGUF)
def test_a_gguf_gives_the_logits_of_the_directory(sluice, tiny, tmp_path, family: str) -> None:
    source = tiny(f"{family}-hf")
    tokens, logits = golden(source)
    sluice("convert", source, tmp_path / "m.gguf", "--to", "gguf", "--type", "f32")
    assert distance(sluice.logits(tmp_path / "m.gguf", tokens), logits) < 1e-4


@pytest.mark.parametrize("type_", ["q8_0", "q4_0", "q4_1", "q5_0", "q5_1"])
def test_gguf_blocks_have_the_bits_of_the_reference(sluice, tiny, tmp_path, type_: str) -> None:
    source = tiny("llama-wide-affine8-g32")
    for name, kind in (("f32.gguf", "f32"), ("q.gguf", type_)):
        sluice("convert", source, tmp_path / name, "--to", "gguf", "--type", kind)
    plain = {t.name: t for t in gguf.GGUFReader(tmp_path / "f32.gguf").tensors}
    checked = 0
    for tensor in gguf.GGUFReader(tmp_path / "q.gguf").tensors:
        if tensor.tensor_type.name.lower() == type_:
            wanted = gguf.quants.quantize(np.array(plain[tensor.name].data), tensor.tensor_type)
            assert np.array_equal(tensor.data, wanted), tensor.name
            checked += 1
    assert checked > 10


@pytest.mark.parametrize("type_", ["q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs"])
def test_k_blocks_are_near_what_they_stand_for(sluice, tiny, tmp_path, type_: str) -> None:
    """Error by the reference's reading; plain rounding of normal values would have the error that the limit allows, or more."""
    limit = {"q2_k": 0.34, "q3_k": 0.17, "q4_k": 0.08, "q5_k": 0.042, "q6_k": 0.021, "iq4_nl": 0.085, "iq4_xs": 0.09}[type_]
    source = tiny("llama-wide-affine8-g32")
    for name, kind in (("f32.gguf", "f32"), ("q.gguf", type_)):
        sluice("convert", source, tmp_path / name, "--to", "gguf", "--type", kind)
    plain = {t.name: np.array(t.data) for t in gguf.GGUFReader(tmp_path / "f32.gguf").tensors}
    errors = []
    for tensor in gguf.GGUFReader(tmp_path / "q.gguf").tensors:
        if tensor.tensor_type.name.lower() == type_:
            wanted = plain[tensor.name]
            got = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            errors.append(float(np.sqrt(np.mean((got - wanted) ** 2) / np.mean(wanted**2))))
    assert errors and max(errors) < limit


def test_a_gguf_becomes_a_directory_of_the_same_values(sluice, tiny, tmp_path) -> None:
    source = tiny("llama-wide-affine8-g32")
    tokenizer = Path(__file__).parents[1] / "models/tiny-moe"
    for type_ in ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0"):
        file, out = tmp_path / f"{type_}.gguf", tmp_path / type_
        sluice("convert", source, file, "--to", "gguf", "--type", type_)
        sluice("convert", file, out, "--tokenizer", tokenizer)
        sluice("convert", file, tmp_path / f"{type_}-f32", "--tokenizer", tokenizer, "--dequantize", "--dtype", "f32")
        packed, floats = tensors(out), tensors(tmp_path / f"{type_}-f32")
        name = "model.layers.0.self_attn.q_proj"
        bits = json.loads((out / "config.json").read_text())["quantization"][name]["bits"]
        parts = (packed[f"{name}.{leaf}"] for leaf in ("weight", "scales", "biases"))
        w, scales, biases = parts
        values = mx.dequantize(w, scales.astype(mx.float32), biases.astype(mx.float32), group_size=32, bits=bits)
        assert mx.array_equal(values, floats[f"{name}.weight"])
        load_model(out)


TEXTS = ("Hello, world! It's 12345 o'clock.", " two  spaces\n\n\tand a tab ", "naïve façade Ünïcode 漢字かな 한국어 😀", "def f(x):\n    return x_1**2  # ok?")


@pytest.mark.parametrize("name", ["smollm2-135m-instruct", "gemma-3-270m-q4_k_m"])
def test_a_ggufs_vocabulary_is_what_transformers_reads_as_the_gguf_does(sluice, tmp_path, name: str) -> None:
    sluice("convert", name, tmp_path / "out", "--bits", 8, "--dtype", "f32")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    for text in TEXTS:
        wanted = sluice.json("tokenize", name, "-p", text)["tokens"]
        assert tokenizer.encode(text) == wanted
        assert tokenizer.decode(wanted, skip_special_tokens=True) == text
    model, wrapped = load(str(tmp_path / "out"))
    assert wrapped.eos_token_ids
    prompt = mx.array(tokenizer.encode("The capital of France is"))
    tokens = np.array(prompt)
    assert distance(sluice.logits(tmp_path / "out", tokens), np.array(model(prompt[None])[0].astype(mx.float32))) < 2e-2
