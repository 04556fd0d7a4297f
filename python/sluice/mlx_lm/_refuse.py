"""Arguments that mlx_lm has and Sluice does not honour."""

from typing import Any

from ..errors import BadRequest, Unsupported


def refuse(call: str, given: dict[str, Any], reasons: dict[str, tuple[Any, str]]) -> None:
    """reasons: by name, the value that asks for nothing, and what to do instead. Takes them out of `given`; raises
    Unsupported for one with another value, BadRequest for a name that nobody knows."""
    for name, (nothing, instead) in reasons.items():
        value = given.pop(name, nothing)
        if value is not nothing and (nothing is None or value != nothing):
            raise Unsupported(f"{call}: {name} is not honoured; {instead}")
    if given:
        raise BadRequest(f"{call} has no argument {', '.join(sorted(given))}")
