"""What README and the tutorials show runs as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import BINARY, ROOT


def blocks_of(document: str, language: str) -> str:
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert blocks
    return "\n".join(blocks)


@pytest.mark.parametrize("document", ["README.md", "docs/python.md"])
def test_examples_run(document, home):
    done = subprocess.run([sys.executable, "-c", blocks_of(document, "python")], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_tutorials_commands_run(home):
    """In a folder that looks like a clone, so that what they write does not land in this one."""
    for name in (".venv", "tools", "README.md"):
        (home / name).symlink_to(ROOT / name)
    (home / "bin").mkdir()
    (home / "bin/sluice").symlink_to(BINARY)
    (home / "bin/python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (home / "bin/python3").chmod(0o755)
    path = f"{home / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    script = "set -e -o pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + blocks_of("docs/tutorial.md", "sh")
    done = subprocess.run(["bash", "-c", script], cwd=home, capture_output=True, text=True, timeout=600, env=os.environ | {"PATH": path})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ada" in done.stdout and done.stdout.count("Paris") >= 2
