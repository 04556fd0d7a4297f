"""A tokenizer.json as large as today's opens in little time and room, and still tokenizes as Python's `tokenizers`."""

import random
from pathlib import Path

import pytest
from conftest import Probe
from synthetic_tokenizers import gemma_like, qwen_like, write
from tokenizers import Tokenizer

PARTS = {"gemma": lambda: gemma_like(262_144, 514_000), "qwen": lambda: qwen_like(151_643, 151_387)}


@pytest.fixture(scope="module", params=[*PARTS])
def folder(request, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp(request.param)
    write(PARTS[request.param](), path)
    return path


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def character(generator: random.Random) -> str:
    code = generator.randrange(generator.choice([0x80, 0x800, 0xD800, 0x110000]))
    return "?" if 0xD800 <= code < 0xE000 else chr(code)


def texts(tokenizer: Tokenizer) -> list[str]:
    generator = random.Random(7)
    words = sorted(tokenizer.get_vocab())
    made = []
    for _ in range(600):
        parts = [lambda: generator.choice(words), lambda: tokenizer.decode([generator.randrange(len(words))]),
                 lambda: character(generator), lambda: " " * generator.randrange(1, 4)]
        made.append("".join(generator.choices(parts, [5, 3, 3, 2])[0]() for _ in range(generator.randrange(60))))
    return made


def test_ids_and_text_are_the_references(folder: Path, tokenizer: Tokenizer, probe: Probe) -> None:
    assert probe(open=str(folder))["vocab_size"] == tokenizer.get_vocab_size()
    for text in texts(tokenizer):
        ids = tokenizer.encode(text).ids
        assert probe(encode=text, add_bos=True) == ids, repr(text)
        for keep in (False, True):
            assert probe(decode=ids, keep_special=keep) == tokenizer.decode(ids, skip_special_tokens=not keep), repr(text)


def test_opening_takes_little_more_room_than_the_file(folder: Path, new_probe: Probe) -> None:
    new_probe(open=str(folder))
    peak = new_probe.peak_bytes()
    if peak is None:
        pytest.skip("this system does not say how much memory a process took")
    assert peak < 60e6 + (folder / "tokenizer.json").stat().st_size
