"""A headless Chromium and a server of scripted answers; without the browser the tests are skipped, aloud."""

import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from fake_server import FakeServer  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / ".cache" / "axe-core-4.14.1" / "axe.min.js"
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def browser_path():
    names = [os.environ.get("SLUICE_BROWSER", ""), *BROWSERS]
    return next((path for name in names if name and (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def browser():
    path = browser_path()
    if path is None:
        reason = "no Chromium is installed: the page is not tested (tools/setup.sh --browser installs it)"
        warnings.warn(reason)
        pytest.skip(reason)
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (requirements-browser.txt)")
    with api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--font-render-hinting=none"]  # the sandbox wants what containers have not
        chromium = playwright.chromium.launch(executable_path=path, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture
def server():
    fake = FakeServer()
    yield fake
    fake.shutdown()
    fake.server_close()


@pytest.fixture
def open_page(browser):
    """open_page(url, **options of a browser's context): a page whose console has to stay clean."""
    contexts, problems = [], []

    def open_one(url, **options):
        options = {"viewport": {"width": 1280, "height": 860}, "color_scheme": "light", "reduced_motion": "reduce", **options}
        context = browser.new_context(**options)
        context.set_default_timeout(60000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if "Security Policy" in message.text else None)
        page.goto(url)
        page.wait_for_selector("#model option", state="attached")
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert not problems, problems


@pytest.fixture(scope="session")
def axe():
    """axe-core's source, fetched from npm once."""
    if not AXE.is_file():
        if shutil.which("npm") is None:
            pytest.skip("no npm: axe-core cannot be fetched")
        AXE.parent.mkdir(parents=True, exist_ok=True)
        fetched = subprocess.run(["npm", "pack", "--silent", f"axe-core@{AXE.parent.name.rpartition('-')[2]}"], cwd=AXE.parent, capture_output=True, text=True)
        if fetched.returncode != 0:
            pytest.skip(f"axe-core cannot be fetched: {fetched.stderr.strip()[-200:]}")
        subprocess.run(["tar", "xzf", fetched.stdout.strip(), "--strip-components=1", "package/axe.min.js"], cwd=AXE.parent, check=True)
    return AXE.read_text()
