"""tokenizer.json gives the ids and the text that Python's `tokenizers` gives."""

import json
import random
import shutil
from pathlib import Path

import pytest
from conftest import ROOT, Probe
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CORPUS = [
    (ROOT / "tests/models/tiny-moe/README.md").read_text(encoding="utf-8"),
    *(path.read_text(encoding="utf-8") for path in sorted((ROOT / "sluice/text").glob("*.cpp"))),
    "naïve café — Übergröße Straße; 日本語のテキスト 한국어 текст по-русски العربية 🙂👩‍👩‍👧",
]
LLAMA3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]


def byte_level() -> Tokenizer:
    return byte_level_of(
        pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(LLAMA3_WORDS), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    )


def gpt2() -> Tokenizer:
    return byte_level_of(pre_tokenizers.ByteLevel(add_prefix_space=False))


def byte_level_of(words: pre_tokenizers.PreTokenizer) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = words
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=800, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def sentencepiece(first: str = "▁") -> Tokenizer:
    """As Llama 2 is converted: spaces marked, bytes for what is unknown."""
    data = [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    prepend = [normalizers.Prepend(first)] if first else []
    tokenizer.normalizer = normalizers.Sequence([*prepend, normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=["<unk>", *SPECIAL, *data], show_progress=False)
    tokenizer.train_from_iterator(CORPUS[:2], trainer)
    # In the vocabulary, but not special: that was only to get them there.
    parts = json.loads(tokenizer.to_str())
    parts["added_tokens"] = [token for token in parts["added_tokens"] if not token["content"].startswith("<0x")]
    return Tokenizer.from_str(json.dumps(parts))


def gemma() -> Tokenizer:
    """Whose words are not cut: what it merges is kept apart by its vocabulary alone."""
    return sentencepiece(first="")


def metaspace() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=600, special_tokens=["<unk>", *SPECIAL], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def with_bos(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[(text, tokenizer.token_to_id(text)) for text in ("<s>", "</s>")]
    )
    tokenizer.add_tokens([AddedToken("<tool>", normalized=False), AddedToken("  \n", normalized=False)])
    return tokenizer


MAKERS = {"byte level": byte_level, "gpt2": gpt2, "sentencepiece": sentencepiece, "gemma": gemma, "metaspace": metaspace}


@pytest.fixture(scope="module", params=[*MAKERS, "tiny-moe"])
def tokenizer(request, probe: Probe, tmp_path_factory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    if request.param == "tiny-moe":
        shutil.copy(ROOT / "tests/models/tiny-moe/tokenizer.json", folder)
    else:
        with_bos(MAKERS[request.param]()).save(str(folder / "tokenizer.json"))
    probe(open=str(folder))
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def texts() -> list[str]:
    generator = random.Random(5)
    pieces = [" ", "  ", "\n", "\n\n", "\t", "a", "The", "'s", "'LL", "123456", "é", "日本", "🙂", "<s>", "<|im_end|>", "<tool>", "\r\n", "▁", "<0x41>"]
    made = ["".join(generator.choice(pieces) for _ in range(generator.randrange(12))) for _ in range(150)]
    return ["", *CORPUS, *made]


def test_ids_are_the_references(probe: Probe, tokenizer: Tokenizer) -> None:
    for text in texts():
        for add in (False, True):
            assert probe(encode=text, add_bos=add) == tokenizer.encode(text, add_special_tokens=add).ids, repr(text)


def test_ids_of_long_texts_are_the_references(probe: Probe, tokenizer: Tokenizer) -> None:
    """Which are tokenized in parts where that is safe."""
    generator = random.Random(7)
    words = [" ", " ", "\n", " the", " a1", "x", "B", "42", "'s", ".", ",\n", "  ", "é", "日本", " <s>", "<tool>", "don't", "\n\n", "\t", "ll"]
    made = "".join(generator.choices(words, k=40_000))
    for text in ["\n".join(CORPUS * 3), made, made.replace("\n", " "), "word " * 20_000, "\n".join(["x" * 9_000] * 8)]:
        assert len(text.encode()) > 2 * 32_768
        assert probe(encode=text, add_bos=True) == tokenizer.encode(text).ids


def test_special_tokens_can_be_plain_text(probe: Probe, tokenizer: Tokenizer) -> None:
    tokenizer.encode_special_tokens = True
    for text in texts():
        assert probe(encode=text, parse_special=False) == tokenizer.encode(text, add_special_tokens=False).ids, repr(text)
    tokenizer.encode_special_tokens = False


def test_text_decodes_as_by_the_reference(probe: Probe, tokenizer: Tokenizer) -> None:
    for text in texts():
        ids = tokenizer.encode(text).ids
        for keep in (False, True):
            assert probe(decode=ids, keep_special=keep) == tokenizer.decode(ids, skip_special_tokens=not keep), repr(text)


def test_streamed_text_is_the_decoded_text(probe: Probe, tokenizer: Tokenizer) -> None:
    generator = random.Random(11)
    size = tokenizer.get_vocab_size()
    for _ in range(300):
        ids = [generator.randrange(size + 2) for _ in range(generator.randrange(15))]
        pieces = probe(stream=ids)
        assert "".join(pieces) == probe(decode=ids)
