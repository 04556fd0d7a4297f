"""Takes the pictures of docs/serve.md: .venv/bin/python tests/page/screenshots.py [FOLDER]"""

import os
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from conftest import ROOT, browser_path
from fake_server import FakeServer
from steps import answered, ask


def chat(page, scroll=0):
    ask(page, "How do I solve a quadratic equation without losing digits?")
    answered(page)
    page.evaluate("""n => { document.querySelector('#scroll').scrollTop = n; document.activeElement.blur(); }""", scroll)


def dashboard(page):
    page.clock.pause_at(page.evaluate("(Date.now() + 1000) / 1000"))
    page.evaluate("location.hash = '#dashboard'")
    for _ in range(300):  # seconds of the page's clock
        page.clock.run_for(1000)
        page.wait_for_timeout(30)


SHOTS = {
    "page-light": ({"viewport": {"width": 1200, "height": 900}}, chat),
    "page-dark": ({"viewport": {"width": 1200, "height": 900}, "color_scheme": "dark"}, chat),
    "page-phone": ({"viewport": {"width": 390, "height": 780}, "device_scale_factor": 1.5}, lambda page: chat(page, 260)),
    "page-dashboard": ({"viewport": {"width": 1120, "height": 960}}, dashboard),
}


def main(folder):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"], env={**os.environ, "FONTCONFIG_FILE": str(Path(__file__).parent / "fonts.conf")})
        for name, (options, act) in SHOTS.items():
            server = FakeServer()
            page = browser.new_context(reduced_motion="reduce", **options).new_page()
            page.clock.install()
            page.goto(server.url)
            page.wait_for_selector("#model option", state="attached")
            act(page)
            page.screenshot(path=folder / f"{name}.png")
            server.shutdown()


main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures")
