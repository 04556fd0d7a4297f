"""What the page parses, in Node: each file of units/ is a module of Node's test runner."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from fake_server import PAGE

UNITS = Path(__file__).parent / "units"


def node_path():
    if node := shutil.which("node"):
        return node
    try:
        import playwright  # which brings one
    except ImportError:
        return None
    return Path(playwright.__file__).parent / "driver" / "node"


@pytest.mark.parametrize("name", sorted(path.name for path in UNITS.glob("*.test.mjs")))
def test_units_pass_in_node(name, tmp_path):
    node = node_path()
    if node is None:
        pytest.skip("neither Node nor playwright is installed")
    shutil.copytree(PAGE, tmp_path / "page")
    shutil.copytree(UNITS, tmp_path / "units")
    (tmp_path / "package.json").write_text(json.dumps({"type": "module"}))
    done = subprocess.run([node, "--test", f"units/{name}"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:]
