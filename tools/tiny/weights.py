"""Draws weights for a tiny model: reproducible by name, with logits that are neither flat nor one-hot."""

import zlib

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten

_SHIFTED_NORM = ("gemma", "gemma2", "gemma3_text", "nemotron", "recurrent_gemma", "plamo2", "plamo3", "gear")  # y = rms(x) * (1 + weight)


def _draw(path: str, shape: tuple[int, ...], model_type: str, seed: int) -> np.ndarray:
    """One tensor; its values depend on the seed and its own name only."""
    rng = np.random.default_rng([seed, zlib.crc32(path.encode())])
    noise = rng.standard_normal(shape)
    shifted = model_type in _SHIFTED_NORM
    if path.endswith(("quant_key_scale", "quant_value_scale")):  # of AFM 7
        return np.asarray(0.02)
    if not shape:  # Apertus' slopes
        return np.asarray({"beta": 0.5, "eps": -1e-6}.get(path.rsplit(".")[-1], 0.3 + 0.2 * float(noise)))
    last_modules = ".".join(path.split(".")[-3:-1])  # DBRX's attention is within "norm_attn_norm"
    is_norm = "norm" in last_modules or "ln_" in last_modules
    if is_norm and path.endswith(".bias"):
        return 0.1 * noise
    if path in ("model.norm.weight", "model.final_norm.weight") and shifted and "plamo" not in model_type:
        return 0.25 * noise + 3.0
    if is_norm:
        return 0.25 * noise + (0.0 if shifted else 1.0)
    if path.endswith(("layer_scalar", "router.scale", "per_expert_scale", "correct_output_scale")):
        return 1.0 + 0.1 * noise
    if path.endswith((".head_g", ".a_g", ".w_g", ".q_weight", ".k_weight", "_norm_weight")):
        return 0.6 + 0.1 * noise
    if path.endswith(".sinks"):
        return 0.5 + noise
    if path.endswith("bias"):
        return 0.3 * noise
    if "embed_tokens" in path:  # small enough for tied models not to repeat their input; Gemma multiplies by sqrt(hidden)
        return (0.05 if "gemma" in model_type or model_type == "gear" else 0.2) * noise
    gain = 2.5 if "router" in path or path.endswith(".gate.weight") else 1.5
    return gain * noise / np.sqrt(shape[-1])


def randomize(model: nn.Module, model_type: str, seed: int) -> None:
    """Overwrites every parameter of an unquantized mlx-lm model in place, in float32."""
    drawn = [
        (path, mx.array(_draw(path, p.shape, model_type, seed).astype(np.float32)))
        for path, p in tree_flatten(model.parameters())
    ]
    model.load_weights(drawn)
    mx.eval(model.parameters())
