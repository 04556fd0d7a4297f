#!/usr/bin/env python3
"""Groups a folder's sources so that each group can be compiled as one file, its headers read once.

  tools/unity_groups.py a.cpp b.cpp ...    prints "group;file;group;file ...", a list of CMake's

Names in anonymous namespaces may repeat from file to file; such files go into different groups. Names are found by
the layout that clang-format gives: nothing in a namespace is indented. One that is missed is an error to compile.
"""
import re
import sys
from pathlib import Path

MOST = 12  # files of a group: several groups of a folder are compiled side by side
INTRODUCED = re.compile(r"(?:struct|class|union|enum class|enum) (\w+)|using (\w+) =")
DECLARED = re.compile(r"[^(={;\[]*?(~?\w+)\s*(?:[(={;\[]|$)")
NO_NAME = re.compile(r"TEST|TYPED_TEST|INSTANTIATE|static_assert|namespace|extern|public:|private:|[#/}]")


def name_of(line: str) -> str | None:
    """What a line at the left edge declares, without qualification; None for nothing or a member's definition."""
    line = re.sub(r"^template <[^()]*?> (?=\S)|\[\[.*?\]\] *|\bstruct (?=\w+ \w+[=({])", "", line)
    if not re.match(r"\w", line) or NO_NAME.match(line) or line.startswith("template"):
        return None
    if found := INTRODUCED.match(line):
        return found[1] or found[2]
    found = DECLARED.match(line)
    return None if not found or line[: found.start(1)].endswith("::") else found[1]


def names_of(path: str) -> tuple[set[str], set[str]]:
    """The names that a file keeps to itself, and those that it defines for others."""
    own: set[str] = set()
    others: set[str] = set()
    anonymous, scope = False, ""
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        if found := re.match(r"namespace ([\w:]+) \{", line):
            scope = found[1]
        elif line.startswith("namespace {"):
            anonymous = True
        elif line.startswith("}  // namespace"):
            anonymous = False
        elif name := name_of(line):
            (own if anonymous or line.startswith("static ") else others).add(f"{scope}::{name}")
    return own, others


def grouped(paths: list[str]) -> list[list[str]]:
    groups: list[tuple[list[str], set[str], set[str]]] = []
    for path in paths:
        own, others = names_of(path)
        for files, group_own, group_others in groups:
            if len(files) < MOST and not own & (group_own | group_others) and not others & group_own:
                break
        else:
            files, group_own, group_others = [], set(), set()
            groups.append((files, group_own, group_others))
        files.append(path)
        group_own |= own
        group_others |= others
    return [files for files, _, _ in groups]


if __name__ == "__main__":
    print(";".join(f"unit{i};{path}" for i, files in enumerate(grouped(sys.argv[1:])) for path in files), end="")
