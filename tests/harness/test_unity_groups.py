"""tools/unity_groups.py: files whose own names meet are never compiled as one."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from unity_groups import MOST, grouped  # noqa: E402


def in_one_group(directory: Path, *texts: str) -> bool:
    paths = [str(directory / f"{i}.cpp") for i in range(len(texts))]
    for path, text in zip(paths, texts):
        Path(path).write_text(text)
    return len(grouped(paths)) == 1


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("int parse(const Text& t) {", "parse"),
        ("constexpr std::array<Traits, 13> kTypes = {", "kTypes"),
        ("constexpr size_t kMost{7};", "kMost"),
        ("struct Layer {", "Layer"),
        ("enum class Kind : int { a };", "Kind"),
        ("using Stages = std::vector<int>;", "Stages"),
        ("template <typename T> T get(", "get"),
        ("std::array<char, 64> places;", "places"),
        ("const Table& choose(const char* wanted) {", "choose"),
    ],
)
def test_what_a_file_keeps_to_itself_is_seen(line: str, name: str, tmp_path: Path) -> None:
    def within(namespace: str, text: str) -> str:
        return f"namespace {namespace} {{\n{text}\n}}  // namespace {namespace}\n"

    def anonymous(text: str) -> str:
        return f"namespace {{\n{text}\n}}  // namespace"

    own, same = within("a", anonymous(line)), anonymous(f"void {name}() {{\n}}")
    assert not in_one_group(tmp_path, own, within("a", same))
    assert not in_one_group(tmp_path, own, within("a", f"int {name}(double) {{\n}}")), "for others in the second"
    assert in_one_group(tmp_path, own, within("a::b", same)), "each in a namespace of its own"
    assert in_one_group(tmp_path, own, within("a", f"int other(int {name}) {{\n  int {name} = 1;\n}}"))
    assert in_one_group(tmp_path, own, within("a", f"int Type::{name}() const {{\n}}")), "a member"


def test_every_file_is_in_one_group_and_a_group_stays_small(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{i}.cpp") for i in range(30)]
    for path in paths:
        Path(path).write_text("")
    groups = grouped(paths)
    assert sorted(sum(groups, [])) == sorted(paths)
    assert all(len(group) <= MOST for group in groups)
