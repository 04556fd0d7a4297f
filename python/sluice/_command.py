"""`sluice` and `python -m sluice`: the program that the package brings."""

import os
import sys
from pathlib import Path


def main() -> None:
    """Becomes the program, with this process' arguments."""
    program = Path(__file__).parent / "bin" / "sluice"
    os.execv(program, ["sluice", *sys.argv[1:]])
