"""The architecture as a test: who may include whom, and documents that are true to the tree."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ["base", "io", "kernels", "residency", "ops", "nn", "models", "text", "decode", "engine", "convert", "server", "cli"]
# The rooms of the large layers, in the order in which they may include each other; "." is the layer's own folder.
ROOMS = {
    "io": [".", "formats", "reads"],
    "kernels": [".", "simd", "float", "int8", "attention", "recurrent", "isa", "testing"],
    "residency": [".", "machine", "plan", "experts", "dense", "store"],
    "models": [".", "families"],
    "engine": ["hub", "disk_cache", "."],
    "server": [".", "answers", "dialects", "http", "page", "serving"],
}
WITHOUT_MLX = {"base", "io", "kernels", "residency"}
# Headers that cxx generates from rust/text: only sluice/text may see them.
RUST_HEADERS = re.compile(r"^(sluice_text|rust/cxx)\.h$")
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)


def tracked(*patterns: str) -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "--", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for name in listing.stdout.splitlines() if (path := ROOT / name).is_file()]


def includes(path: Path) -> list[str]:
    return INCLUDE.findall(path.read_text(encoding="utf-8"))


def layer_of(path: Path) -> str:
    return path.relative_to(ROOT / "sluice").parts[0]


SOURCES = tracked("sluice/*.cpp", "sluice/*.h")


def test_every_folder_of_sluice_is_a_known_layer():
    assert {layer_of(path) for path in SOURCES} <= set(LAYERS)


def test_a_folder_includes_only_folders_before_it():
    wrong = []
    for path in SOURCES:
        layer = layer_of(path)
        for name in includes(path):
            if name.startswith("sluice/"):
                other = name.split("/")[1]
                if other not in LAYERS or LAYERS.index(other) > LAYERS.index(layer):
                    wrong.append(f"{path.relative_to(ROOT)} includes {name}")
    assert not wrong, "\n".join(wrong)


def room_of(name: str) -> str:
    """"formats" for sluice/io/formats/gguf.h, "." for sluice/io/mapped_file.h."""
    parts = name.split("/")
    return parts[2] if len(parts) == 4 else "."


def test_every_room_is_known():
    found = {(layer_of(path), room_of(str(path.relative_to(ROOT)))) for path in SOURCES}
    assert found <= {(layer, room) for layer in LAYERS for room in ROOMS.get(layer, ["."])}


def test_a_room_includes_only_rooms_before_it():
    wrong = []
    for path in SOURCES:
        layer, source = layer_of(path), str(path.relative_to(ROOT))
        order = ROOMS.get(layer, ["."])
        if source.endswith("_test.cpp"):
            continue  # a test may build what it needs from any room of its layer
        for name in includes(path):
            if name.startswith(f"sluice/{layer}/") and order.index(room_of(name)) > order.index(room_of(source)):
                wrong.append(f"{source} includes {name}")
    assert not wrong, "\n".join(wrong)


def test_our_headers_are_included_by_their_path_from_the_root():
    headers = {path.name for path in SOURCES if path.suffix == ".h"}
    wrong = []
    for path in SOURCES:
        wrong += [f"{path.relative_to(ROOT)} includes {name}" for name in includes(path) if name in headers]
    assert not wrong, "\n".join(wrong)


def test_the_lower_layers_know_nothing_of_mlx():
    wrong = []
    for path in SOURCES:
        if layer_of(path) in WITHOUT_MLX:
            wrong += [f"{path.relative_to(ROOT)} includes {name}" for name in includes(path) if name.startswith("mlx/")]
    assert not wrong, "\n".join(wrong)


def test_only_text_knows_the_rust_bridge():
    wrong = []
    for path in SOURCES:
        if layer_of(path) != "text":
            wrong += [f"{path.relative_to(ROOT)} includes {name}" for name in includes(path) if RUST_HEADERS.match(name)]
    assert not wrong, "\n".join(wrong)


def test_headers_do_not_include_each_other_in_a_circle():
    graph = {
        str(path.relative_to(ROOT)): [name for name in includes(path) if name.startswith("sluice/")]
        for path in SOURCES
        if path.suffix == ".h"
    }
    done, under_way = set(), []

    def visit(header: str):
        assert header not in under_way, " -> ".join([*under_way[under_way.index(header) :], header])
        if header in done or header not in graph:
            return
        under_way.append(header)
        for other in graph[header]:
            visit(other)
        done.add(under_way.pop())

    for header in graph:
        visit(header)


# --- documents and text files

FOLDERS = sorted({f"sluice/{layer_of(path)}" for path in SOURCES} | {"bench", "cmake", "rust/text", "tests", "tools"})


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_says_what_it_is(folder):
    readme = ROOT / folder / "README.md"
    assert readme.exists(), f"{folder} has no README.md"
    assert 10 <= len(readme.read_text(encoding="utf-8").splitlines()) <= 30, f"{readme} is not of 10 to 30 lines"


def text_of(path: Path) -> str:
    """A tracked file's text; "" for binary ones."""
    content = path.read_bytes()
    return "" if b"\0" in content else content.decode(encoding="utf-8", errors="replace")


def test_no_file_names_a_path_of_one_machine():
    pattern = re.compile(r"(?<![\w.$}])/(?:root|home|Users|tmp|work|farm)/[\w.-]+")
    wrong = []
    for path in tracked():
        for number, line in enumerate(text_of(path).splitlines(), 1):
            if found := pattern.search(line):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {found.group()}")
    assert not wrong, "\n".join(wrong)


LINK = re.compile(r"\]\(([^)\s]+)\)")
QUOTED = re.compile(r"`([^`\s]+)`")
PLACEHOLDER = re.compile(r"[*<>{}$|]|\b[A-Z]{3,}\b(?!\.md)|\.\.\.")


def paths_named_in(document: Path) -> list[tuple[str, Path]]:
    """(as written, the file it means) for relative links, and for `paths` that start at the root."""
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    found = []
    for link in LINK.findall(text):
        target = link.split("#")[0]
        if target and not re.match(r"[a-z]+:", target):
            found.append((link, document.parent / target))
    top = {path.relative_to(ROOT).parts[0] for path in tracked()}
    for quoted in QUOTED.findall(text):
        path = re.sub(r":\d+$", "", quoted)
        if "/" in path and path.split("/")[0] in top and not PLACEHOLDER.search(path):
            found.append((quoted, ROOT / path))
    return found


@pytest.mark.parametrize("document", [str(path.relative_to(ROOT)) for path in tracked("*.md")])
def test_every_path_a_document_names_exists(document):
    missing = [written for written, path in paths_named_in(ROOT / document) if not path.exists()]
    assert not missing, f"{document} names {missing}"
