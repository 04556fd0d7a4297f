"""Special tokens that stand only in the files beside tokenizer.json, as transformers finds them."""

import json
from pathlib import Path

import pytest
from conftest import Probe, ProbeError
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer

SPECIAL = ["<s>", "<|im_start|>", "<|im_end|>"]
ADDS_BOS = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [256], "tokens": ["<s>"]}},
}
NAMED = {"bos_token": "<s>", "eos_token": "<|im_end|>"}
FLAGS = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False}
DECODER = {str(256 + i): {"content": text, "special": True} | FLAGS for i, text in enumerate(SPECIAL)}
LEFT = {"content": "<|x|>", "special": False} | FLAGS | {"lstrip": True, "rstrip": True}
CLASSES = ["PreTrainedTokenizerFast", "LlamaTokenizerFast", "LlamaTokenizer", "Qwen2TokenizerFast", "TokenizersBackend"]

# name -> tokenizer.json's post_processor, tokenizer_config.json, other files
CASES = {
    f"{name} {cls}": (post, NAMED | {"tokenizer_class": cls} | flags, {})
    for cls in CLASSES
    for name, post, flags in [
        ("adds bos", ADDS_BOS, {}),
        ("adds bos against its flag", ADDS_BOS, {"add_bos_token": False}),
        ("has only the bos flag", None, {"add_bos_token": True}),
        ("has only the eos flag", None, {"add_eos_token": True}),
    ]
}
CASES |= {
    "added_tokens_decoder": (None, NAMED | {"added_tokens_decoder": DECODER | {"259": {"content": "<|x|>", "special": False} | FLAGS}}, {}),
    "added_tokens_decoder changes flags": (None, NAMED | {"added_tokens_decoder": DECODER | {"256": LEFT | {"content": "<s>"}, "259": LEFT}}, {}),
    "added_tokens_decoder goes before the map": (
        None,
        {"added_tokens_decoder": DECODER},
        {"special_tokens_map.json": NAMED | {"pad_token": "<|x|>"}},
    ),
    "extra_special_tokens": (None, NAMED | {"extra_special_tokens": ["<|x|>", "<s>"]}, {}),
    "extra_special_tokens by name": (None, NAMED | {"extra_special_tokens": {"image_token": "<|x|>"}}, {}),
    "additional_special_tokens": (None, NAMED | {"additional_special_tokens": ["<|x|>"]}, {}),
    "additional_special_tokens in the map": (None, NAMED, {"special_tokens_map.json": {"additional_special_tokens": ["<|x|>"]}}),
    "a token with a name of its own": (None, NAMED | {"image_token": "<|x|>"}, {}),
    "a word as pad": (None, NAMED | {"pad_token": "x"}, {}),
    "added_tokens.json": (None, NAMED, {"added_tokens.json": {"<|x|>": 259, "hi": 260}}),
    "special_tokens_map.json": (ADDS_BOS, {}, {"special_tokens_map.json": {"bos_token": "<s>", "eos_token": {"content": "<|im_end|>"} | FLAGS, "pad_token": "<|x|>"}}),
}
TEXTS = ["hi<|x|>", "<s> hi <|x|> x <|im_end|> ", "hi", "<|im_start|>"]


def write(folder: Path, post, config: dict, files: dict) -> Path:
    words = {word: i for i, word in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(words, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(SPECIAL)
    parts = json.loads(tokenizer.to_str()) | {"post_processor": post, "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}}
    for name, content in {"tokenizer.json": parts, "tokenizer_config.json": config, **files}.items():
        (folder / name).write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("name", CASES)
def test_tokens_are_those_of_transformers(probe: Probe, tmp_path: Path, name: str) -> None:
    reference = AutoTokenizer.from_pretrained(write(tmp_path, *CASES[name]))
    opened = probe(open=str(tmp_path))
    for text in TEXTS:
        ids = reference(text)["input_ids"]
        assert probe(encode=text, add_bos=True) == ids, text
        for keep in (False, True):
            assert probe(decode=ids, keep_special=keep) == reference.decode(ids, skip_special_tokens=not keep)
    has_class = "tokenizer_class" in CASES[name][1]  # which may have names and tokens of its own
    source = "{{ bos_token }}|" + ("" if has_class else "{{ pad_token }}|") + "{{ messages[0].content }}{{ eos_token }}"
    messages = [{"role": "user", "content": "hi"}]
    ids = reference.apply_chat_template(messages, chat_template=source, tokenize=True, return_dict=False)
    assert probe(prompt=messages, template=source)["tokens"] == ids
    if has_class:
        return
    assert opened["vocab_size"] == len(reference)
    named = {key: str(token) for key, token in reference.special_tokens_map.items() if isinstance(token, str)}
    assert opened["named"] == named


def test_added_tokens_are_their_own_text(probe: Probe, tmp_path: Path) -> None:
    write(tmp_path, None, NAMED | {"extra_special_tokens": []}, {"added_tokens.json": {"čaj": 259, "größe": 260}})
    probe(open=str(tmp_path))
    assert probe(encode="čajgrößeč") == [259, 260, *probe(encode="č")]
    assert probe(decode=[259, 260]) == "čajgröße"
    assert probe(stream=[259, 260]) == ["čaj", "größe", ""]


@pytest.mark.parametrize("id", [2**31, 3_000_000_000, 2**32 - 1])
def test_an_id_that_no_model_can_have_is_refused(probe: Probe, tmp_path: Path, id: int) -> None:
    write(tmp_path, None, NAMED, {})
    parts = json.loads((tmp_path / "tokenizer.json").read_text())
    parts["model"]["vocab"]["Z"] = id
    (tmp_path / "tokenizer.json").write_text(json.dumps(parts))
    with pytest.raises(ProbeError, match=f'tokenizer.json: token "Z" has the id {id}, at most 2147483647'):
        probe(open=str(tmp_path))
