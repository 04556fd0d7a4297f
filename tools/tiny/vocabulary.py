"""The vocabulary of the tiny GGUF files; imports no more than the gguf package, for llama.cpp's converter has its own."""

import itertools
import string

import gguf


def add_tokenizer(writer: gguf.GGUFWriter, vocab_size: int) -> None:
    """The smallest SentencePiece-style vocabulary that llama.cpp loads (Phi-3 needs <|endoftext|>): specials, the newline byte, letters, pairs."""
    pairs = ("".join(pair) for pair in itertools.product(string.ascii_lowercase, repeat=2))
    pieces = itertools.chain(["<unk>", "<s>", "</s>", "<0x0A>", "<|endoftext|>", "\u2581"], string.ascii_lowercase, pairs)
    tokens = list(itertools.islice(pieces, vocab_size))
    kind = gguf.TokenType
    kinds = [kind.UNKNOWN, kind.CONTROL, kind.CONTROL, kind.BYTE, kind.CONTROL]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(i) for i in range(vocab_size)])
    writer.add_token_types(kinds + [kind.NORMAL] * (vocab_size - len(kinds)))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
