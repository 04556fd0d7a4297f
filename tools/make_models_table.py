#!/usr/bin/env python3
"""Writes docs/models.md: what the families' files say of themselves, and what of it tests hold.

    tools/make_models_table.py            writes the page
    tools/make_models_table.py --check    fails where it is not current
"""

import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

import gguf

from tiny.cases import CASES
from tiny.families import FAMILIES as CONFIGS
from tiny.gguf_by_hand import BY_HAND
from tiny.gguf_cases import GGUF_CASES
from tiny.gguf_metadata import ARCHITECTURES

ROOT = Path(__file__).resolve().parents[1]
FAMILIES = ROOT / "sluice/models/families"
PAGE = ROOT / "docs/models.md"
RECORD = ROOT / "tests/golden/llama_cpp.json"
# What the gguf package does not know yet too.
_NEWER = {"mistral4", "exaone-moe", "mellum", "nanbeige", "spark2_5", "talkie"} | {family.architecture for family in BY_HAND.values()}
GGUF_NAMES = set(gguf.MODEL_ARCH_NAMES.values()) | _NEWER
# Whose GGUF is another family's.
_READ_AS = {"youtu_llm": "deepseek2"}

HEAD = """# Model families

Written by `tools/make_models_table.py` from the families' files and the tests' cases; do not edit.

A model runs when `model_type` of its config.json, or `general.architecture` of its GGUF, is below. Safetensors are read as mlx-lm
converts them, and as Hugging Face publishes them.
**Tested** says of which form tiny models with
random weights give the reference's logits (float32 within 1e-4 of the largest, 4 bits within 2e-3) and its greedy tokens,
with any chunks: mlx-lm 0.32.2 for safetensors; for GGUF, mlx-lm's from a file written as llama.cpp's converter writes it.
A form that is not named there, and a name beside the one that a case has, is read by the same code and was never compared
with a reference.
**llama.cpp** is how far logits from a float32 GGUF were from llama.cpp's, relative to the largest, most of all files
of the family, when `tools/check_tiny_gguf.py` was last run ([testing-with-llama-cpp.md](testing-with-llama-cpp.md));
in brackets why it is more than 1e-4, or why llama.cpp computed nothing; - where no file of the family was compared.

| family | models | config.json | GGUF | tested | llama.cpp |
|---|---|---|---|---|---|
"""


class Family(NamedTuple):
    file: str
    names: list[str]
    comment: str

    @property
    def gguf(self) -> list[str]:
        """Mistral's are Llama's."""
        others = [gguf.MODEL_ARCH_NAMES[ARCHITECTURES[name]] for name in self.names if name in ARCHITECTURES]
        others += [_READ_AS[name] for name in self.names if name in _READ_AS]
        own = [name for name in self.names if name in GGUF_NAMES]
        return own or sorted(set(others))

    @property
    def config(self) -> list[str]:
        """A name that both have is written in both columns."""
        own = [name for name in self.names if name not in GGUF_NAMES or "-" not in name]
        return [name for name in own if name not in _GGUF_ONLY]

    @property
    def models(self) -> str:
        """What the comment speaks of, before it says after which reference."""
        return re.split(r"; as |, as |\. ", self.comment)[0].rstrip(".")


# Architectures of GGUF whose models' config.json has another name.
_GGUF_ONLY = {
    "bailingmoe", "bailingmoe2", "bailingmoe3", "mimo2", "step35", "chatglm", "deci", "gptneox", "phi2", "deepseek2", "glm4moe", "lfm2moe", "mistral3", "qwen2moe", "qwen2vl",
    "qwen35", "qwen35moe", "qwen3moe", "qwen3next", "qwen3vl", "qwen3vlmoe", "starcoder", "nemotron_h_moe",
}  # fmt: skip


def read_family(path: Path) -> Family:
    text = path.read_text()
    names = re.search(r"kNames\[\] = \{(.*?)\};", text, re.DOTALL)
    comment = re.search(r"((?:^// .*\n)+)extern const Family", text, re.MULTILINE)
    if not names or not comment:
        raise ValueError(f"{path}: no kNames, or no comment before the family")
    lines = (line.removeprefix("// ") for line in comment[1].splitlines())
    return Family(path.name, re.findall(r'"([^"]+)"', names[1]), " ".join(lines))


def tested(family: Family) -> str:
    forms = []
    if any(case.config["model_type"] in family.names for case in CASES):
        forms.append("safetensors")
    if any(case.config["model_type"] in family.names for case in GGUF_CASES):
        forms.append("GGUF")
    return ", ".join(forms) or "no"


def beside_llama_cpp(family: Family, record: dict[str, dict]) -> str:
    """The largest difference where nothing explains one, then what explains the others."""
    agreed, reasons = [], {}
    for name, said in record.items():
        config = CONFIGS.get(re.sub("-(gguf|converted)$", "", name))
        if config is None or config["model_type"] not in family.names:
            continue
        if said["why"]:
            reasons[said["why"]] = f"{said['sluice']:.0e}: " if "sluice" in said else ""
        else:
            agreed.append(said["sluice"])
    parts = [f"{max(agreed):.0e}"] if agreed else []
    parts += [f"({difference}{why})" for why, difference in reasons.items()]
    return " ".join(parts) or "-"


def code(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "-"


def page() -> str:
    rows = []
    record = json.loads(RECORD.read_text())
    for path in sorted(FAMILIES.glob("*.cpp")):
        f = read_family(path)
        link = f"[{path.stem}](../sluice/models/families/{f.file})"
        rows.append(f"| {link} | {f.models} | {code(f.config)} | {code(f.gguf)} | {tested(f)} | {beside_llama_cpp(f, record)} |\n")
    return HEAD + "".join(rows)


def main() -> None:
    wanted = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(wanted)
    elif not PAGE.exists() or PAGE.read_text() != wanted:
        raise SystemExit(f"{PAGE}: is not current; run tools/make_models_table.py")


if __name__ == "__main__":
    main()
