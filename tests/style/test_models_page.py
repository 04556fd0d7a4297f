"""docs/models.md is what its tool makes of the families' files and the tests' cases."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import make_models_table  # noqa: E402


def test_the_page_of_model_families_is_current() -> None:
    assert (ROOT / "docs/models.md").read_text() == make_models_table.page(), "run tools/make_models_table.py"


def test_every_family_of_the_registry_is_on_the_page() -> None:
    listed = (ROOT / "sluice/models/CMakeLists.txt").read_text().split("set(families")[1].split(")")[0].split()
    assert sorted(listed) == sorted(path.stem for path in make_models_table.FAMILIES.glob("*.cpp"))
