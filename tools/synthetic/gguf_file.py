"""Random weights as GGUF stores them: every matrix in one quantized type, routers and norms float32."""

from pathlib import Path

import gguf
import numpy as np

from synthetic.shapes import Parameter, Shape, config_of, parameters_of
from synthetic.text import STEP, Text, digits, random_for
from tiny import gguf_metadata as metadata

Type = gguf.GGMLQuantizationType

SCALES = (32, 64)  # the K types' integer scales are drawn from here
MEAN_SQUARE_SCALE = float(np.mean(np.arange(*SCALES) ** 2.0))


def float16_bytes(values: np.ndarray) -> np.ndarray:
    """[n] as uint8 [n, 2]."""
    return values.astype("<f2").view(np.uint8).reshape(-1, 2)


def signs(n: int | tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Digits from -2^k to 2^k - 1 have the mean -1/2; scales of either sign make it 0."""
    return rng.choice(np.array([-1, 1], np.int8), n)


def q4_0_blocks(n: int, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """value = d (q - 8)"""
    scale = deviation / np.sqrt(21.5)  # the mean square of -8 to 7
    blocks = rng.integers(0, 256, (n, 18), dtype=np.uint8)
    blocks[:, :2] = float16_bytes(signs(n, rng) * scale * rng.uniform(0.9, 1.1, n))
    return blocks


def q4_k_blocks(n: int, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """value = d s q - dmin m, where dmin = 7.5 d and m = s centre each group of 32"""
    scale = deviation / np.sqrt(21.25 * MEAN_SQUARE_SCALE)  # the mean square of -7.5 to 7.5
    blocks = rng.integers(0, 256, (n, 144), dtype=np.uint8)
    d = scale * rng.uniform(0.9, 1.1, n)
    blocks[:, :2], blocks[:, 2:4] = float16_bytes(d), float16_bytes(7.5 * d)
    low, high = rng.integers(*SCALES, (2, n, 4), dtype=np.uint8)  # six bits each: of groups 0 to 3, 4 to 7
    blocks[:, 4:8] = blocks[:, 8:12] = low | (high >> 4 << 6)
    blocks[:, 12:16] = (high & 15) * 17
    return blocks


def q6_k_blocks(n: int, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """value = d s (q - 32)"""
    scale = deviation / np.sqrt(341.5 * MEAN_SQUARE_SCALE)  # the mean square of -32 to 31
    blocks = rng.integers(0, 256, (n, 210), dtype=np.uint8)
    scales = rng.integers(*SCALES, (n, 16), dtype=np.int8) * signs((n, 16), rng)
    blocks[:, 192:208] = scales.view(np.uint8)
    blocks[:, 208:] = float16_bytes(scale * rng.uniform(0.9, 1.1, n))
    return blocks


BLOCKS = {Type.Q4_0: q4_0_blocks, Type.Q4_K: q4_k_blocks, Type.Q6_K: q6_k_blocks}


def type_of(parameter: Parameter, quantization: str) -> Type:
    return Type.F32 if parameter.is_norm or parameter.is_router else Type[quantization.upper()]


def bytes_shape(parameter: Parameter, type_: Type) -> tuple[int, ...]:
    """Of the encoded tensor: its last dimension in bytes."""
    block_size, block_bytes = gguf.GGML_QUANT_SIZES[type_]
    return (*parameter.shape[:-1], parameter.columns // block_size * block_bytes)


def vocabulary_content(parameter: Parameter, text: Text, seed: int) -> np.ndarray:
    """As Q4_0, which has no 7.5: the digit 8 is 0, so that all rows gain the same, which no order of logits notices."""
    packed = []
    for rows in digits(text, *parameter.shape, seed):
        halves = rows.reshape(-1, 2, 16)
        blocks = np.empty((len(halves), 18), np.uint8)
        blocks[:, :2] = float16_bytes(np.full(len(halves), STEP))
        blocks[:, 2:] = halves[:, 0] | halves[:, 1] << 4
        packed.append(blocks.reshape(len(rows), -1))
    encoded = np.concatenate(packed)
    return np.roll(encoded, 1, axis=0) if parameter.path == "lm_head" else encoded


def content(parameter: Parameter, type_: Type, text: Text | None, seed: int) -> np.ndarray:
    """The encoded tensor: uint8, or float32."""
    if text and parameter.is_vocabulary and type_ is Type.Q4_0:
        return vocabulary_content(parameter, text, seed)
    rng = random_for(f"{parameter.path} {type_.name}", seed)
    deviation = parameter.columns**-0.5 * (text.gain(parameter.path) if text else 1)
    if parameter.is_norm:
        return np.ones(parameter.shape, np.float32)
    if type_ is Type.F32:
        return rng.normal(0, deviation, parameter.shape).astype(np.float32)
    n_blocks = int(np.prod(parameter.shape)) // gguf.GGML_QUANT_SIZES[type_][0]
    return BLOCKS[type_](n_blocks, deviation, rng).reshape(bytes_shape(parameter, type_))


def add_tokenizer(writer: gguf.GGUFWriter, vocab_size: int) -> None:
    """A SentencePiece-style vocabulary that both programs load: specials, bytes, then words nobody writes."""
    kind = gguf.TokenType
    first = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    kinds = [kind.UNKNOWN, kind.CONTROL, kind.CONTROL, *[kind.BYTE] * 256]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(first + [f"\u2581word{i}" for i in range(vocab_size - len(first))])
    writer.add_token_scores([-float(i) for i in range(vocab_size)])
    writer.add_token_types(kinds + [kind.NORMAL] * (vocab_size - len(kinds)))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)


def gguf_name(path: str, names: gguf.TensorNameMap) -> str:
    return names.get_name(path.replace("mlp.switch_mlp", "mlp.experts")) + ".weight"


def write_gguf(path: Path, name: str, shape: Shape, quantization: str, seed: int) -> None:
    """One tensor at a time: the file may be larger than memory."""
    config = config_of(shape)
    architecture = metadata.ARCHITECTURES[config["model_type"]]
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[architecture])
    writer.add_name(name)
    writer.add_vocab_size(shape.vocab_size)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    metadata.add_shape(writer, config)
    metadata.add_rope(writer, config)
    add_tokenizer(writer, shape.vocab_size)
    names = gguf.get_tensor_name_map(architecture, shape.n_layers)
    typed = [(parameter, type_of(parameter, quantization)) for parameter in parameters_of(shape)]
    for parameter, type_ in typed:
        encoded = bytes_shape(parameter, type_)
        dtype = np.dtype(np.float32 if type_ is Type.F32 else np.uint8)
        dimensions = parameter.shape if type_ is Type.F32 else encoded
        writer.add_tensor_info(gguf_name(parameter.path, names), dimensions, dtype, int(np.prod(encoded)), raw_dtype=type_)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for parameter, type_ in typed:
        writer.write_tensor_data(content(parameter, type_, shape.text, seed))
    writer.close()
