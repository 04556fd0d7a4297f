"""Writes the seeds of the fuzzers over sluice/text, as make_fuzz_corpus.py does those of the readers.

    python tools/make_text_corpus.py        writes tests/fuzz/corpus/{tokenizer_gguf,tokenizer_json,chat_template}/
"""

import json
import shutil

from make_fuzz_corpus import BOOL, CORPUS, F32, I32, STRING, U32, gguf, gguf_array, gguf_pair

TEMPLATES = CORPUS.parents[1] / "text" / "templates"


def vocabulary(model, tokens, pre=None, scores=None, types=None, merges=None, **ids):
    pairs = [gguf_pair("tokenizer.ggml.model", STRING, model), gguf_array("tokenizer.ggml.tokens", STRING, tokens)]
    if pre is not None:
        pairs.append(gguf_pair("tokenizer.ggml.pre", STRING, pre))
    if scores is not None:
        pairs.append(gguf_array("tokenizer.ggml.scores", F32, scores))
    if types is not None:
        pairs.append(gguf_array("tokenizer.ggml.token_type", I32, types))
    if merges is not None:
        pairs.append(gguf_array("tokenizer.ggml.merges", STRING, merges))
    for key, value in ids.items():
        pairs.append(gguf_pair(f"tokenizer.ggml.{key}", BOOL if isinstance(value, bool) else U32, value))
    return gguf(pairs)


def gguf_seeds():
    pieces = ["<unk>", "<s>", "</s>", "<0x0A>", "<0x41>", "▁", "a", "b", "ab", "▁a", "<sep>"]
    types = [2, 3, 3, 6, 6, 1, 1, 1, 1, 1, 4]
    scores = [float(-i) for i in range(len(pieces))]
    words = ["a", "b", "Ġ", "Ċ", "ab", "Ġab", "1", "2", "'", "<|im_end|>"]
    merges = ["a b", "Ġ ab", "a", " ", "x  y"]
    seeds = {
        "sentencepiece": vocabulary("llama", pieces, scores=scores, types=types, bos_token_id=1, add_bos_token=True),
        "sentencepiece-odd": vocabulary("llama", pieces, scores=[float("nan"), float("inf"), -0.0] + scores[3:],
                                        types=[99, -1 % 2**31, 5] + types[3:], bos_token_id=99, eos_token_id=4,
                                        add_eos_token=True, add_space_prefix=False),
        "short-scores": vocabulary("llama", pieces, scores=scores[:3]),
        "no-scores": vocabulary("llama", pieces),
        "empty-tokens": vocabulary("llama", ["", "", ""], scores=[0.0] * 3, types=[4, 4, 3]),
        "no-merges": vocabulary("gpt2", words, pre="gpt-2"),
        "unknown": vocabulary("bert", words, pre="x"),
    }
    for pre in ("", "llama-bpe", "qwen2", "deepseek-llm", "tekken", "gpt-4o", "kimi-k2", "superbpe", "gemma4"):
        seeds[f"bpe-{pre or 'none'}"] = vocabulary("gpt2", words, pre=pre, merges=merges, types=[1] * 9 + [3])
    return seeds


def json_seeds():
    vocab = {text: i for i, text in enumerate(["<unk>", "a", "b", "ab", "Ġ", "▁", "<0x41>", "<s>"])}
    special = {"id": 7, "content": "<s>", "special": True, "single_word": False, "lstrip": False, "rstrip": False,
               "normalized": False}
    bpe = {"type": "BPE", "vocab": vocab, "merges": ["a b"], "unk_token": "<unk>", "byte_fallback": True}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    split = {"type": "Split", "pattern": {"Regex": r"\p{N}{1,3}|\s+(?!\S)|\S+"}, "behavior": "Isolated", "invert": False}
    marked = [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]
    decoder = [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
               {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}}], "pair": [],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [7], "tokens": ["<s>"]}}}
    unigram = {"type": "Unigram", "unk_id": 0, "vocab": [[text, -1.0] for text in vocab], "byte_fallback": False}
    files = {
        "byte-level": {"model": bpe, "added_tokens": [special], "pre_tokenizer": {"type": "Sequence",
                       "pretokenizers": [split, level]}, "decoder": level, "post_processor": template},
        "sentencepiece": {"model": bpe, "normalizer": {"type": "Sequence", "normalizers": marked},
                          "decoder": {"type": "Sequence", "decoders": decoder}},
        "unigram": {"model": unigram, "pre_tokenizer": {"type": "Metaspace", "replacement": "▁",
                    "prepend_scheme": "always", "split": True},
                    "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}},
        "words": {"model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"},
                  "pre_tokenizer": {"type": "Whitespace"}, "normalizer": {"type": "NFKC"}},
        "wordpiece": {"model": {"type": "WordPiece", "vocab": vocab, "unk_token": "<unk>",
                      "continuing_subword_prefix": "##", "max_input_chars_per_word": 9},
                      "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True}},
        "bad-regex": {"model": bpe, "pre_tokenizer": split | {"pattern": {"Regex": "(((a*)*)*)*(?=["}}},
        "bad-merge": {"model": bpe | {"merges": ["a zz"]}},
        "bad-id": {"model": bpe, "added_tokens": [special | {"id": 2**32 - 1}]},
    }
    return {name: json.dumps(file, ensure_ascii=False).encode() for name, file in files.items()}


def template_seeds():
    seeds = {path.stem: path.read_bytes() for path in sorted(TEMPLATES.glob("*.jinja"))}
    return seeds | {
        "recursion": b"{% macro f(x) %}{{ f([x]) }}{% endmacro %}{{ f(1) }}",
        "nested": b"{% set n=namespace(x=[]) %}{% for i in range(99999) %}{% set n.x=[n.x] %}{% endfor %}{{ n.x }}",
        "parentheses": b"{{ " + b"(" * 3000 + b"1" + b")" * 3000 + b" }}",
        "filters": b"{{ 'a,b'.split(',')|map('upper')|join('-')|indent(4)|tojson(indent=99) }}{{ '%s'|format(1) }}",
        "time": b"{{ strftime_now('%Y-%m-%d %Q %') }}",
        "bad-utf8": b"{{ '\xff' }}",
        # What asks for time, memory or the stack.
        "doubling": b"{% set n=namespace(x='ab') %}{% for i in range(99) %}{% set n.x=n.x~n.x %}{% endfor %}{{ n.x|length }}",
        "repeated": b"{{ 'x'*99999999999 }}{{ [1]*9999999999 }}{{ (1,)*2**40 }}",
        "padded": b"{{ 'x'.ljust(9**12) }}{{ 'x'|center(9**12) }}{{ 'x'|indent(9**12) }}{{ '%99999999999d'%1 }}{{ 1.0.__format__('9999999999') }}",
        "powers": b"{{ 9**9**9**9 }}{{ 2**-1 }}{{ 0**-1 }}{{ 1//0 }}{{ -9223372036854775808//-1 }}{{ 1%0 }}{{ 9e999 }}",
        "replaced": b"{% set x='a'*9999 %}{{ x.replace('', x).replace('a', x)|length }}{{ x|replace('a', x, -1) }}",
        "circle": b"{% set n=namespace() %}{% set n.a=[n] %}{{ n.a }}{{ n|tojson }}{% set l=[] %}{% set _=l.append(l) %}{{ l }}{{ l==l }}{{ l|tojson }}{{ l|sort }}",
        "mutual": b"{% macro f(x) %}{{ g(x)~g(x) }}{% endmacro %}{% macro g(x) %}{{ f(x)~f(x) }}{% endmacro %}{{ f(1) }}",
        "caller": b"{% macro m() %}{{ caller(caller) }}{% endmacro %}{% call(c) m() %}{% call m() %}{{ c() }}{% endcall %}{% endcall %}",
        "zero-sizes": b"{{ [1]|batch(0)|list }}{{ [1]|slice(0)|list }}{{ 'ab'|truncate(-1) }}{{ 'ab'[::0] }}{{ range(1,2,0)|list }}{{ 'a'.split('') }}{{ 'ab'|wordwrap(0) }}",
        "internals": b"{{ ''.__class__.__mro__[1].__subclasses__() }}{{ messages.__init__ }}{{ self._TemplateReference__context }}{{ x|attr('__globals__') }}",
        "other-files": b"{% include '/etc/passwd' %}{% import 'x' as y %}{% extends messages %}{% from 'x' import y %}",
        "unclosed": b"{% if x %}{{ '{#' }}{# {% raw %}{% endraw %}",
        "unary": b"{{ " + b"not " * 3000 + b"-" * 3000 + b"1" + b"|abs" * 3000 + b"[0]" * 3000 + b" }}",
        "ifs": b"{% if 1 %}" * 1000 + b"{{ 1 if 2 else " * 1000,
        "raised": b"{{ raise_exception('\x1b]0;x\x07' ~ '\\u202e' * 9999) }}",
    }


def main():
    for folder, seeds in (("tokenizer_gguf", gguf_seeds()), ("tokenizer_json", json_seeds()),
                          ("chat_template", template_seeds())):
        directory = CORPUS / folder
        directory.mkdir(parents=True, exist_ok=True)
        for name, data in seeds.items():
            (directory / name).write_bytes(data)
        print(f"{directory.name}: {len(seeds)} seeds, {sum(map(len, seeds.values()))} bytes")


if __name__ == "__main__":
    main()
