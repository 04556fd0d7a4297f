"""The page as `sluice serve` itself sends it: a real model's answer, from the question to the dashboard."""

import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from conftest import ROOT
from fake_server import PAGE, POLICY
from steps import answered, ask, shows, texts, until

BINARY = Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/bin/sluice"))
MODEL = ROOT / "tests/models/tiny-moe"


@pytest.fixture(scope="module")
def program():
    """Its address. Skipped where the program is not built."""
    if not BINARY.exists():
        pytest.skip(f"{BINARY} is not built")
    process = subprocess.Popen([BINARY, "serve", MODEL, "--port", "0", "--no-disk-cache"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            break
    else:
        pytest.fail("sluice serve did not say its address")
    yield found[0] + "/"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)


def get(url, **headers):
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers))


def test_the_program_sends_the_files_with_their_headers(program):
    for path, file in {"": "index.html", **{f"page/{name.name}": name.name for name in PAGE.glob("*.js")}}.items():
        answer = get(program + path, Accept="text/html,*/*")
        assert answer.read() == (PAGE / file).read_bytes(), path
        assert answer.headers["Content-Security-Policy"] == POLICY, path
        assert answer.headers["X-Content-Type-Options"] == "nosniff", path
    tag = get(program + "page/app.js").headers["ETag"]
    with pytest.raises(urllib.error.HTTPError) as unchanged:
        get(program + "page/app.js", **{"If-None-Match": tag})
    assert unchanged.value.code == 304


def test_a_model_answers_stops_and_answers_again(program, open_page):
    page = open_page(program)
    page.click("[aria-label='Settings']")
    page.fill("#set-temperature", "0")
    page.fill("#set-max_tokens", "12")
    page.click("dialog .strong")
    ask(page, "Hello")
    answered(page)
    first = texts(page)[1]
    cost = page.locator(".cost").last.inner_text()
    assert "12 written" in cost and "tok/s" in cost
    page.click(".message.assistant [aria-label='Answer again']")
    page.wait_for_selector(".message.assistant .branch")
    answered(page)
    assert texts(page)[1] == first  # the same bits
    page.click("[aria-label='Settings']")
    page.fill("#set-max_tokens", "")
    page.click("dialog .strong")
    ask(page, "Tell me more")
    until(page, "(document.querySelectorAll('.message .text')[1]?.textContent ?? '').length > 10")
    page.click("#composer [aria-label='Stop'], #composer [aria-label='Send']")
    answered(page, 2)


def test_the_dashboard_of_the_program(program, open_page):
    page = open_page(program)
    page.click("text=Dashboard")
    shows(page, "#panels", "Memory")
    shows(page, "#panels", "Answered since the start")
    assert page.inner_text("#dashboard-state") == ""


def test_a_refusal_of_the_program_is_told_in_its_words(program, open_page):
    page = open_page(program)
    page.click("[aria-label='Settings']")
    page.fill("#set-max_tokens", "12")
    page.fill("#set-top_k", "1000000000000")
    page.click("dialog .strong")
    ask(page, "Hello")
    shows(page, ".error", "top_k")
