"""mlx_lm.convert."""

from collections.abc import Callable, Mapping
from typing import Any

from .. import _native
from .._api import pull
from .._convert import Decision, upload
from .._convert import convert as convert_model
from ._refuse import refuse

_DTYPES = {None: None, "float16": "f16", "bfloat16": "bf16", "float32": "f32"}
_RECIPES = ("mixed_2_6", "mixed_3_4", "mixed_3_6", "mixed_4_6")


class _Shaped:
    """What a predicate may ask of a module: the shape of its weight."""

    def __init__(self, shape: list[int]) -> None:
        self.shape = tuple(shape)


class _Module:
    def __init__(self, shape: list[int]) -> None:
        self.weight = _Shaped(shape)

    def to_quantized(self) -> None:
        """There: it can be quantized."""


def _predicate(given: Callable[..., bool | Mapping[str, Any]]) -> Callable[[str, list[int]], Decision]:
    import inspect

    n = len(inspect.signature(given).parameters)
    return lambda path, shape: given(*(path, _Module(shape), {})[:n])


def convert(
    hf_path: str,
    mlx_path: str = "mlx_model",
    quantize: bool = False,
    q_group_size: int | None = None,
    q_bits: int | None = None,
    q_mode: str = "affine",
    dtype: str | None = None,
    upload_repo: str | None = None,
    revision: str | None = None,
    dequantize: bool = False,
    quant_predicate: Callable[..., bool | Mapping[str, Any]] | str | None = None,
    trust_remote_code: bool = False,
    *,
    ram: str | int | None = None,
) -> None:
    """Writes an MLX model to mlx_path, which must not be there, and puts it on the hub with upload_repo. A quant_predicate is
    a recipe's name, or is called with (path, an object with weight.shape, {}). No model's code is ever run. `ram` is
    Sluice's: most memory of this whole process."""
    refuse("convert", {"dtype": None if dtype in _DTYPES else dtype}, {"dtype": (None, "it is float16, bfloat16 or float32")})
    if _native.lacks(hf_path):
        pull(hf_path, revision=revision or "main")
    else:
        refuse("convert", {"revision": revision}, {"revision": (None, f"`sluice pull {hf_path} --revision {revision}` first")})
    recipe = quant_predicate if isinstance(quant_predicate, str) else ""
    refuse("convert", {"quant_predicate": recipe if recipe and recipe not in _RECIPES else None},
           {"quant_predicate": (None, f"recipes are {', '.join(_RECIPES)}")})  # fmt: skip
    asked: dict[str, Any] = {}
    if quantize:
        bits = 4 if q_bits is None and q_mode == "affine" and not recipe else q_bits or 0
        asked = {"bits": bits, "group_size": q_group_size or 0, "mode": q_mode, "recipe": recipe}
        if callable(quant_predicate):
            asked["predicate"] = _predicate(quant_predicate)
    convert_model(hf_path, mlx_path, dtype=_DTYPES[dtype], dequantize=dequantize, ram=ram, **asked)
    if upload_repo is not None:
        upload(mlx_path, upload_repo)
