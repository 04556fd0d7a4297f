"""Tokenizers as large as those of today's models, made up: no training takes that many words."""

import json
import random

from tokenizers import pre_tokenizers

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,'\"-éüñßбвгдежзийклмнопр日本語的한국어🙂"
WORDS_PATTERN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+(?!\S)|\s+"


def grown(alphabet: list[str], n_words: int, n_merges: int, generator: random.Random) -> tuple[list[str], list[tuple[str, str]]]:
    """Words made by joining two earlier ones; merges join the parts of a word at any place where both are words."""
    words = list(alphabet)
    known = set(words)
    merges = []
    while len(words) < n_words:
        # To a power: early words are joined more often, as common ones are.
        left, right = (words[int(len(words) * generator.random() ** 8)] for _ in range(2))
        word = left + right
        if len(word) > 12 or word in known:
            continue
        words.append(word)
        known.add(word)
        merges.append((left, right))
    made = set(merges)
    for word in words:
        for cut in range(1, len(word)):
            pair = (word[:cut], word[cut:])
            if len(merges) < n_merges and pair not in made and known.issuperset(pair):
                merges.append(pair)
    return words, merges


def added(texts: list[str], words: dict[str, int]) -> list[dict]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return [{"id": words[text], "content": text} | flags for text in texts]


def bpe(words: dict[str, int], merges: list, **options) -> dict:
    plain = {"dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None}
    return {"type": "BPE"} | plain | options | {"vocab": words, "merges": merges}


def gemma_like(n_words: int, n_merges: int) -> dict:
    """Gemma 3's: bytes for what is unknown, spaces marked, thousands of reserved tokens, merges as pairs."""
    reserved = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<unused{i}>" for i in range(6000))]
    data = [f"<0x{byte:02X}>" for byte in range(256)]
    words, merges = grown(["▁", *LETTERS], n_words - len(reserved) - len(data), n_merges, random.Random(3))
    ids = {text: i for i, text in enumerate([*reserved, *data, *words])}
    decoders = [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]
    return {
        "version": "1.0",
        "added_tokens": added(reserved, ids),
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": bpe(ids, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True, ignore_merges=False),
    }


def qwen_like(n_words: int, n_merges: int) -> dict:
    """Qwen's: byte level, merges as lines, special tokens past the words."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    words, merges = grown(sorted(pre_tokenizers.ByteLevel.alphabet()), n_words, n_merges, random.Random(4))
    ids = {text: i for i, text in enumerate(words)}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": WORDS_PATTERN}, "behavior": "Isolated", "invert": False}
    return {
        "version": "1.0",
        "added_tokens": added(special, {text: n_words + i for i, text in enumerate(special)}),
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]},
        "post_processor": level,
        "decoder": level,
        "model": bpe(ids, [" ".join(pair) for pair in merges]),
    }


def write(parts: dict, folder, indent=None) -> None:
    (folder / "tokenizer.json").write_text(json.dumps(parts, ensure_ascii=False, indent=indent), encoding="utf-8")
