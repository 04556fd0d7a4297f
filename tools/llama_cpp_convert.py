#!/usr/bin/env python3
"""Has llama.cpp's own converter make float32 GGUF files of tiny checkpoints; tools/check_tiny_gguf.py calls it.

    tools/llama_cpp_convert.py LLAMA DIRECTORY...       of each DIRECTORY: DIRECTORY/model.gguf, or DIRECTORY/refused.txt with its words

LLAMA: llama.cpp's sources, which need a Python that has torch and transformers. The checkpoints have no tokenizer: the files get
the one of tools/make_tiny_gguf.py.
"""

import json
import logging
import sys
from pathlib import Path

LLAMA = Path(sys.argv[1])
sys.path[:0] = [str(LLAMA / "gguf-py"), str(LLAMA)]

import conversion  # noqa: E402
import gguf  # noqa: E402

from tiny.vocabulary import add_tokenizer  # noqa: E402


def convert(directory: Path) -> None:
    hparams = json.loads((directory / "config.json").read_text())
    architecture = conversion.get_model_architecture(hparams, conversion.ModelType.TEXT)
    found = conversion.get_model_class(architecture)

    class Converter(found):
        model_arch = found.model_arch

        def set_vocab(self) -> None:
            add_tokenizer(self.gguf_writer, self.hparams["vocab_size"])

    Converter(directory, gguf.LlamaFileType.ALL_F32, directory / "model.gguf", eager=True, hparams=hparams).write()


def main() -> None:
    logging.disable(logging.WARNING)
    for directory in map(Path, sys.argv[2:]):
        (directory / "refused.txt").unlink(missing_ok=True)
        try:
            convert(directory)
        except Exception as error:
            (directory / "model.gguf").unlink(missing_ok=True)
            (directory / "refused.txt").write_text(" ".join(f"{type(error).__name__}: {error}".split())[:300] + "\n")


if __name__ == "__main__":
    main()
