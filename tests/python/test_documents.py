"""What README and the tutorial show of Python runs as it stands."""

import re
import subprocess
import sys

import pytest
from conftest import ROOT


@pytest.mark.parametrize("document", ["README.md", "docs/python.md"])
def test_examples_run(document, home):
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / document).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    done = subprocess.run([sys.executable, "-c", "\n".join(blocks)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout
