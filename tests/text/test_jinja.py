"""Small templates mean the same to ours and to transformers' Jinja2: every method, filter and statement, and every error."""

import re
from pathlib import Path

import pytest
from conftest import Probe, ProbeError
from jinja_cases import CONTEXT, KINDS
from jinja_cases.differences import DIFFERENCES
from transformers.utils.chat_template_utils import _compile_jinja_template

README = Path(__file__).resolve().parents[2] / "rust/text/src/jinja/README.md"
ERROR = object()


def by_jinja2(template: str) -> object:
    try:
        return _compile_jinja_template(template).render(**CONTEXT)
    except Exception:
        return ERROR


def by_ours(probe: Probe, template: str) -> object:
    try:
        return probe(render=[], template=template, args=CONTEXT)
    except ProbeError as error:
        assert "panic" not in str(error), template
        return ERROR


@pytest.mark.parametrize("kind", KINDS)
def test_the_templates_of_a_kind_differ_only_where_it_is_told(probe: Probe, kind: str) -> None:
    # A template with the date is rendered twice: midnight may lie between the two.
    differing = [t for t in KINDS[kind] if by_ours(probe, t) != by_jinja2(t)]
    differing = {t for t in differing if by_ours(probe, t) != by_jinja2(t)}
    known = {t for t in KINDS[kind] if t in DIFFERENCES}
    assert differing - known == set(), "these differ from Jinja2"
    assert known - differing == set(), "these no longer differ: take them from DIFFERENCES"


def test_every_difference_is_named_in_the_documentation() -> None:
    assert sum(len(cases) for cases in KINDS.values()) >= 700
    named = set(re.findall(r"^- \*\*([a-z-]+)\*\*", README.read_text(encoding="utf-8"), re.MULTILINE))
    assert named == set(DIFFERENCES.values())
    assert set(DIFFERENCES) <= {template for cases in KINDS.values() for template in cases}
