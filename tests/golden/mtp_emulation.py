"""Tiny checkpoints with a layer that drafts tokens, and what that layer says, computed with mlx-lm's own layers.

mlx-lm drops the layer when it reads a checkpoint, so it is emulated: a layer of a second random model of the same
shape, fed with the projection of both norms' results, one of the next token's vector and one of the state before the final norm.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten
from mlx_lm.utils import save_config
from tiny.checkpoint import build_model
from tiny.families import FAMILIES
from tiny.gguf_cases import GgufCase
from tiny.gguf_file import write_gguf
from tiny.layouts import Weights, to_hugging_face


@dataclass(frozen=True)
class MtpCase:
    """names: of the two norms, the projection and the norm behind the layer. `{n}` is the model's number of layers."""

    family: str
    like_layer: int  # of the model's layers, the one that it is like
    layer: str = "model.layers.{n}."
    token_norm: str = "model.layers.{n}.enorm"
    state_norm: str = "model.layers.{n}.hnorm"
    projection: str = "model.layers.{n}.eh_proj"
    last_norm: str = "model.layers.{n}.shared_head.norm"
    state_first: bool = False
    norms_less_one: bool = False
    layout: str = "hf"
    own_ends: bool = False  # it has a table and an output matrix of its own
    own_norm: bool = True  # behind the layer; else the model's
    n_tokens: int = 41

    @property
    def name(self) -> str:
        return f"{self.family}-{self.layout}"

    def path(self, directory: Path) -> Path:
        return directory / "model.gguf" if self.layout == "gguf" else directory


_QWEN = {
    "like_layer": 2,
    "layer": "mtp.layers.0.",
    "token_norm": "mtp.pre_fc_norm_embedding",
    "state_norm": "mtp.pre_fc_norm_hidden",
    "projection": "mtp.fc",
    "last_norm": "mtp.norm",
    "norms_less_one": True,
}
_MIMO = "model.mtp_layers.0."
CASES = [
    MtpCase("qwen3_5", n_tokens=307, **_QWEN),
    MtpCase("qwen3_5_moe", **_QWEN),
    MtpCase("qwen3_next", **_QWEN),
    # The model as mlx-lm converts it, beside the layer as published.
    MtpCase("qwen3_next", layout="mlx", **_QWEN),
    MtpCase("deepseek_v3", like_layer=-1),
    MtpCase("glm4_moe", like_layer=-1, own_ends=True),
    MtpCase(
        "mimo", -1, _MIMO, f"{_MIMO}token_layernorm", f"{_MIMO}hidden_layernorm", f"{_MIMO}input_proj",
        f"{_MIMO}final_layernorm", state_first=True,
    ),
    # As llama.cpp's converter writes them.
    MtpCase("qwen3_5", like_layer=2, layout="gguf", n_tokens=307),
    MtpCase("qwen3_5_moe", like_layer=2, layout="gguf"),
    MtpCase("qwen3_next", like_layer=2, layout="gguf", own_norm=False),
    MtpCase("glm4_moe", like_layer=-1, layout="gguf", own_ends=True),
    MtpCase("glm4_moe_lite", like_layer=-1, layout="gguf"),
    MtpCase("deepseek_v3", like_layer=-1, layout="gguf", own_norm=False),
]  # fmt: skip


def _rms_norm(x: mx.array, weight: mx.array, eps: float) -> mx.array:
    return weight * x * mx.rsqrt(mx.mean(x * x, axis=-1, keepdims=True) + eps)


class Emulation:
    """Writes the checkpoint; says what its drafting layer says."""

    def __init__(self, case: MtpCase, directory: Path) -> None:
        self._case = case
        config = dict(FAMILIES[case.family]) | {"torch_dtype": "float32"}
        seed = zlib.crc32(case.name.encode())
        self._model, donor = build_model(config, seed), build_model(config, seed + 1)
        text = config.get("text_config", config)
        self._eps = text["rms_norm_eps"]
        self.vocab_size, width = text["vocab_size"], text["hidden_size"]
        rng = np.random.default_rng(seed)

        def draw(*shape: int) -> mx.array:
            return mx.array((1.5 * rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32))

        def norm() -> mx.array:
            return mx.array((1 + 0.25 * rng.standard_normal(width)).astype(np.float32))

        self._token_norm, self._state_norm, self._last_norm = norm(), norm(), norm()
        self._projection = draw(width, 2 * width)
        inner = self._inner(self._model)
        self._table = draw(self.vocab_size, width) if case.own_ends else inner.model.embed_tokens.weight
        own_head = draw(self.vocab_size, width) if case.own_ends else None
        self._head = own_head if case.own_ends else getattr(inner, "lm_head", inner.model.embed_tokens).weight
        n_layers = len(inner.model.layers)
        i = range(n_layers)[case.like_layer]
        self._layer = self._inner(donor).model.layers[i]
        own = {"enorm": self._token_norm, "hnorm": self._state_norm, "eh_proj": self._projection}
        if case.own_norm:
            own["shared_head_norm"] = self._last_norm
        else:
            self._last_norm = inner.model.norm.weight
        if case.own_ends:
            own |= {"embed_tokens": self._table, "shared_head_head": own_head}
        of_donor = {k: v for k, v in tree_flatten(donor.parameters()) if f".layers.{i}." in k}
        directory.mkdir(parents=True, exist_ok=True)
        if case.layout == "gguf":
            drafting = {k.replace(f".layers.{i}.", f".layers.{n_layers}."): v for k, v in of_donor.items()}
            drafting |= {f"blk.{n_layers}.nextn.{name}.weight": v for name, v in own.items()}
            write_gguf(GgufCase(case.name, config), self._model, directory, drafting)
        else:
            self._save(config, directory, of_donor, own, i)

    def _save(self, config: dict, directory: Path, of_donor: Weights, own: Weights, i: int) -> None:
        """As safetensors; of_donor: of its layer i."""
        case, n_layers = self._case, len(self._inner(self._model).model.layers)
        names = {
            "enorm": case.token_norm,
            "hnorm": case.state_norm,
            "eh_proj": case.projection,
            "shared_head_norm": case.last_norm,
            "embed_tokens": f"{case.layer}embed_tokens",
            "shared_head_head": f"{case.layer}shared_head.head",
        }
        weights = dict(tree_flatten(self._model.parameters()))
        if case.layout == "hf":
            weights = to_hugging_face(weights, config)
        for name, value in to_hugging_face(of_donor, config).items():
            if f".layers.{i}." in name:
                weights[case.layer.format(n=n_layers) + name.split(f".layers.{i}.")[1]] = value
        for name, value in own.items():
            shift = 1.0 if case.norms_less_one and name.endswith("norm") else 0.0
            weights[names[name].format(n=n_layers) + ".weight"] = value - shift
        mx.save_safetensors(str(directory / "model.safetensors"), weights, metadata={"format": "pt"})
        save_config(config, directory / "config.json")

    @staticmethod
    def _inner(model: nn.Module) -> nn.Module:
        return getattr(model, "language_model", model)

    def _states(self, tokens: mx.array) -> mx.array:
        """[1, L, hidden_size], before the final norm."""
        inner = self._inner(self._model).model
        norm, inner.norm = inner.norm, nn.Identity()
        states = inner(tokens)
        inner.norm = norm
        return states

    def model_logits(self, tokens: np.ndarray) -> np.ndarray:
        return np.array(self._model(mx.array(tokens[None])))[0]

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        """What follows each of tokens [L] but the first: float32 [L - 1, vocab_size]."""
        states = self._states(mx.array(tokens[None]))[:, :-1]
        token = _rms_norm(self._table[mx.array(tokens[None, 1:])], self._token_norm, self._eps)
        state = _rms_norm(states, self._state_norm, self._eps)
        both = [state, token] if self._case.state_first else [token, state]
        x = mx.concatenate(both, axis=-1) @ self._projection.T
        n = x.shape[1]
        x = self._layer(x, mx.tril(mx.ones((n, n), mx.bool_)), None)
        return np.array(_rms_norm(x, self._last_norm, self._eps) @ self._head.T)[0]
