"""Chat templates render as by transformers (Jinja2): our own, which cover the features, and llama.cpp's collection."""

from pathlib import Path
from typing import Any

import pytest
from conftest import Probe, ProbeError
from conversations import CONVERSATIONS
from transformers.utils.chat_template_utils import _compile_jinja_template

OWN = sorted((Path(__file__).parent / "templates").glob("*.jinja"))


def compare(probe: Probe, source: str, messages: list, tools: Any, args: dict) -> int:
    """Renders with and without a generation prompt; returns how many of the two Jinja2 could render. Where it raises, ours must."""
    template = _compile_jinja_template(source)
    tokens = {"bos_token": "<s>", "eos_token": "</s>"}
    compared = 0
    for add_generation_prompt in (False, True):
        try:
            expected = template.render(
                messages=messages, tools=tools, documents=None, add_generation_prompt=add_generation_prompt, **tokens, **args
            )
        except Exception:  # the conversation does not suit this template
            with pytest.raises(ProbeError):
                probe(render=messages, template=source, tools=tools, args=args, add_generation_prompt=add_generation_prompt, **tokens)
            continue
        got = probe(
            render=messages, template=source, tools=tools, args={**tokens, **args}, add_generation_prompt=add_generation_prompt
        )
        assert got == expected
        compared += 1
    return compared


@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
def test_own_templates_render_as_by_transformers(probe: Probe, path: Path, name: str) -> None:
    compare(probe, path.read_text(encoding="utf-8"), *CONVERSATIONS[name])


def test_every_own_template_suits_some_conversation(probe: Probe) -> None:
    for path in OWN:
        source = path.read_text(encoding="utf-8")
        assert any(compare(probe, source, *conversation) for conversation in CONVERSATIONS.values()), path.name


def test_collected_templates_render_as_by_transformers(probe: Probe, llama_cpp_models: Path) -> None:
    compared = 0
    for path in sorted((llama_cpp_models / "templates").glob("*.jinja")):
        source = path.read_text(encoding="utf-8")
        try:
            _compile_jinja_template(source)
        except Exception:
            continue
        for name, (messages, tools, args) in CONVERSATIONS.items():
            try:
                compared += compare(probe, source, messages, tools, args)
            except (AssertionError, ProbeError) as error:
                raise AssertionError(f"{path.name}, {name}") from error
    assert compared > 600


def test_a_template_that_raises_is_an_error_with_its_words(probe: Probe) -> None:
    with pytest.raises(ProbeError, match="only text"):
        probe(render=[], template="{{ raise_exception('only text') }}")
