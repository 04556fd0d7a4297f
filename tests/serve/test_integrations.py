"""docs/integrations is true to the program: its options and routes exist, and each page says whether it was tried."""

import re
import subprocess

import pytest
from server import BINARY, ROOT

FOLDER = ROOT / "docs/integrations"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")


def test_the_list_names_every_page_once():
    named = re.findall(r"\]\((\S+?\.md)\)", (FOLDER / "README.md").read_text().split("**None of these?**")[0])
    assert sorted(named) == [path.name for path in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_page_says_whether_it_was_tried(page):
    last = page.read_text().strip().splitlines()[-1]
    assert re.fullmatch(r"(Tried with .*\d.*|Not tried here\b.*)", last), "its last line is 'Tried with VERSION ...' or 'Not tried here ...'"


def test_options_that_are_given_exist():
    known = subprocess.run([BINARY, "serve", "--help"], capture_output=True, text=True, check=True).stdout
    for page in [*PAGES, FOLDER / "README.md"]:
        text = page.read_text()
        commands = re.findall(r"sluice serve[^\n`]*", text) + re.findall(r"`(--[a-z-]+[^`]*)`", text)
        for option in re.findall(r"(?<!\S)--[a-z-]+", "\n".join(commands)):
            assert re.search(rf"{option}\b", known), f"{page.name} gives {option}"


def test_routes_that_are_named_exist(server):
    routes = {route for page in PAGES for route in re.findall(r"127\.0\.0\.1:8080(/[\w/.-]+)", page.read_text())}
    assert routes >= {"/v1", "/api/v0", "/infill"}
    for route in routes:
        # A base: what clients put behind it.
        path = route + ("/models" if route in ("/v1", "/api/v0") else "")
        assert server.request("OPTIONS", path)[1]["allow"] != "OPTIONS", route
