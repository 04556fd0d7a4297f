"""Writes the fuzzers' seeds: small files, good and damaged, one idea each.

    python tools/make_fuzz_corpus.py        writes tests/fuzz/corpus/{gguf,safetensors,json}/

The same files come out each time. Seeds that a fuzzer found are kept beside them under names beginning
with "found-", which this tool leaves alone.
"""

import json
import struct
from pathlib import Path

CORPUS = Path(__file__).resolve().parent.parent / "tests" / "fuzz" / "corpus"

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
PACK = {U8: "<B", I8: "<b", U16: "<H", I16: "<h", U32: "<I", I32: "<i", F32: "<f", BOOL: "<B",
        U64: "<Q", I64: "<q", F64: "<d"}
HUGE = 2**64 - 1


def gguf_string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def gguf_value(kind, value):
    return gguf_string(value) if kind == STRING else struct.pack(PACK[kind], value)


def gguf_pair(key, kind, value):
    return gguf_string(key) + struct.pack("<I", kind) + gguf_value(kind, value)


def gguf_array(key, kind, values, count=None):
    body = b"".join(gguf_value(kind, value) for value in values)
    return gguf_string(key) + struct.pack("<IIQ", ARRAY, kind, len(values) if count is None else count) + body


def gguf_tensor(name, dims, kind, offset):
    return gguf_string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)


def gguf(pairs=(), tensors=(), data=0, version=3, alignment=32, n_pairs=None, n_tensors=None, magic=b"GGUF"):
    out = magic + struct.pack("<IQQ", version, len(tensors) if n_tensors is None else n_tensors,
                              len(pairs) if n_pairs is None else n_pairs)
    out += b"".join(pairs) + b"".join(tensors)
    return out + b"\0" * (-len(out) % alignment) + b"d" * data


def gguf_seeds():
    scalars = [gguf_pair(f"k{kind}", kind, "text" if kind == STRING else 1) for kind in (*range(9), U64, I64, F64)]
    arrays = [gguf_array(f"a{kind}", kind, ["x", "", "yz"] if kind == STRING else [1, 0, 1])
              for kind in (*range(9), U64, I64, F64)]
    model = [gguf_pair("general.architecture", STRING, "qwen3"), gguf_pair("qwen3.block_count", U32, 2),
             gguf_pair("qwen3.rope.freq_base", F32, 1e6),
             gguf_array("tokenizer.ggml.tokens", STRING, [f"t{i}" for i in range(20)]),
             gguf_array("tokenizer.ggml.scores", F32, [float(-i) for i in range(20)])]
    split = [gguf_pair("split.no", U16, 0), gguf_pair("split.count", U16, 3),
             gguf_pair("split.tensors.count", I32, 1)]
    block_types = {2: 18, 3: 20, 6: 22, 7: 24, 8: 34, 20: 18, 39: 17}
    k_types = {10: 84, 11: 110, 12: 144, 13: 176, 14: 210, 23: 136}
    blocks, offset = [], 0
    for kind, size in {**block_types, **k_types}.items():
        blocks.append(gguf_tensor(f"t{kind}", [256 if kind in k_types else 32], kind, offset))
        offset += -(-size // 32) * 32
    tensor = gguf_tensor("w", [8], 0, 0)
    return {
        "empty": gguf(), "version2": gguf(scalars, version=2), "version1": gguf(version=1),
        "big-endian": gguf(version=0x03000000), "magic": gguf(magic=b"FUGG"),
        "scalars": gguf(scalars), "arrays": gguf(arrays),
        "model": gguf(model, [gguf_tensor("token_embd.weight", [32, 20], 8, 0)], 680),
        "split": gguf(split, [tensor], 32), "blocks": gguf(tensors=blocks, data=offset),
        "plain": gguf(tensors=[gguf_tensor(f"p{kind}", [4], kind, 32 * i)
                               for i, kind in enumerate((0, 1, 24, 25, 26, 27, 28, 30))], data=256),
        "four-dims": gguf(tensors=[gguf_tensor("w", [2, 2, 2, 2], 0, 0)], data=64),
        "five-dims": gguf(tensors=[gguf_tensor("w", [1] * 5, 0, 0)], data=64),
        "scalar": gguf(tensors=[gguf_tensor("w", [], 0, 0)], data=32),
        "alignment-64": gguf([gguf_pair("general.alignment", U32, 64)], [tensor], 32, alignment=64),
        "alignment-0": gguf([gguf_pair("general.alignment", U32, 0)], [tensor], 32),
        "key-twice": gguf([gguf_pair("k", U8, 1)] * 2), "name-twice": gguf(tensors=[tensor] * 2, data=64),
        "overlap": gguf(tensors=[tensor, gguf_tensor("v", [9], 0, 0)], data=64),
        "dims-wrap": gguf(tensors=[gguf_tensor("w", [2**32, 2**32], 0, 0)], data=32),
        "bytes-wrap": gguf(tensors=[gguf_tensor("w", [2**62], 0, 0)], data=32),
        "offset-wraps": gguf(tensors=[gguf_tensor("w", [8], 0, HUGE - 31)], data=32),
        "past-end": gguf(tensors=[tensor], data=31),
        "bad-type": gguf(tensors=[gguf_tensor("w", [32], 999, 0)], data=32),
        "array-wraps": gguf([gguf_array("k", U64, [1], count=HUGE // 8 + 2)]),
        "strings-claimed": gguf([gguf_array("k", STRING, ["a"], count=HUGE)]),
        "counts-claimed": gguf(n_pairs=HUGE, n_tensors=HUGE),
        "nested": gguf([gguf_string("k") + struct.pack("<IIQIQ", ARRAY, ARRAY, 1, U8, 1) + b"1"]),
    }


def safetensors(header, data=0, length=None):
    text = header if isinstance(header, str) else json.dumps(header, separators=(",", ":"))
    raw = text.encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + b"d" * data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def safetensors_seeds():
    one = {"w": entry("F32", [2], 0, 8)}
    dtypes = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4,
              "U16": 2, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1}
    every, at = {}, 0
    for dtype, size in dtypes.items():
        every[dtype.lower()] = entry(dtype, [1], at, at + size)
        at += size
    return {
        "empty": safetensors({}), "one": safetensors(one, 8), "padded": safetensors(json.dumps(one) + " " * 7, 8),
        "metadata": safetensors({"__metadata__": {"format": "mlx"}, **one}, 8),
        "every-dtype": safetensors(every, at),
        "quantized": safetensors({"q.weight": entry("U32", [2, 4], 0, 32), "q.scales": entry("BF16", [2, 1], 32, 36),
                                  "q.biases": entry("BF16", [2, 1], 36, 40)}, 40),
        "scalar": safetensors({"w": entry("F32", [], 0, 4)}, 4),
        "zero-size": safetensors({"w": entry("F32", [3, 0], 0, 0)}),
        "f4": safetensors({"w": entry("F4", [2], 0, 1)}, 1),
        "twice": safetensors('{"w":%s,"w":%s}' % ((json.dumps(one["w"]),) * 2), 8),
        "hole": safetensors({"v": entry("U8", [1], 0, 1), "w": entry("U8", [1], 2, 3)}, 3),
        "overlap": safetensors({"v": entry("U8", [2], 0, 2), "w": entry("U8", [2], 1, 3)}, 3),
        "trailing": safetensors(one, 9), "past-end": safetensors(one, 7),
        "negative": safetensors({"w": entry("F32", [-2], 0, 8)}, 8),
        "shape-wraps": safetensors({"w": entry("F32", [2**62 + 1, 2], 0, 8)}, 8),
        "offsets-wrap": safetensors({"w": entry("F32", [2], HUGE - 7, HUGE)}, 8),
        "nested": safetensors('{"w":' + "[" * 200), "length-claimed": safetensors("{}", length=HUGE),
        "escapes": safetensors('{"\\u0077\\n":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1),
    }


def json_seeds():
    config = {"model_type": "qwen3_moe", "hidden_size": 256, "rope_theta": 1e6, "tie_word_embeddings": True,
              "rope_scaling": None, "eos_token_id": [1, 2], "quantization": {"group_size": 64, "bits": 4}}
    seeds = {
        "config": json.dumps(config, indent=2), "empty-object": "{}", "list": "[1, 2]", "cut": '{"a": [1, {"b',
        "deep": '{"a":' * 70 + "1" + "}" * 70, "level-64": '{"a":' + "[" * 63 + "]" * 63 + "}",
        "numbers": '{"a":[0,-0,1.5e-300,-1E+10,18446744073709551615,-9223372036854775808,99999999999999999999]}',
        "too-big": '{"a":1e999}', "strings": '{"\\"[{\\\\":"\\ud83d\\ude00\\u0000é"}', "lone-surrogate": '{"a":"\\ud83d"}',
        "twice": '{"a":1,"a":2}', "comment": '{"a":1 /* no */}', "comma": '{"a":1,}', "two": "{} {}", "bom": "\ufeff{}",
    }
    return {name: text.encode() for name, text in seeds.items()} | {"bad-utf8": b'{"a":"\xc3("}'}


def main():
    for folder, seeds in (("gguf", gguf_seeds()), ("safetensors", safetensors_seeds()), ("json", json_seeds())):
        directory = CORPUS / folder
        directory.mkdir(parents=True, exist_ok=True)
        for name, data in seeds.items():
            (directory / name).write_bytes(data)
        print(f"{directory.name}: {len(seeds)} seeds, {sum(map(len, seeds.values()))} bytes")


if __name__ == "__main__":
    main()
