"""mlx_lm.convert."""

from typing import Any, NoReturn

from ..errors import Unsupported


def convert(*_args: Any, **_kwargs: Any) -> NoReturn:
    """Sluice converts with a command of its own."""
    raise Unsupported("convert is not in sluice.mlx_lm; use the command `sluice convert`, where this version has it")
