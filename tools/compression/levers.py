"""The lossy levers, each as what it changes in a Qwen3-MoE."""

import mlx.core as mx
import numpy as np

from .pool import Pool
from .qwen3_moe import Lever, Model, renormalized, silu, top
from .streams import tensor_quantized


class Calibration(Lever):
    """Looks at texts that are not measured: how often experts are chosen, what they get, how much each neuron contributes."""

    EACH = 16  # every 16th input of a layer is kept

    def __init__(self, model: Model):
        super().__init__(model)
        self.uses = np.zeros((model.n_layers, model.n_experts))
        self.inputs: dict[int, np.ndarray] = {}
        neurons = model.weights[model.experts(0)[0]].shape[1]
        self.neuron_energy = np.zeros((model.n_layers, model.n_experts, neurons))

    def route(self, layer, x, gates):
        share = super().route(layer, x, gates)
        self.uses[layer] += (share > 0).sum(axis=0)
        self.inputs[layer] = np.concatenate([self.inputs.get(layer, x[:0]), x[:: self.EACH]])
        return share

    def neurons(self, layer, expert, gate, up):
        h = super().neurons(layer, expert, gate, up)
        self.neuron_energy[layer, expert] += (h * h).sum(axis=0)
        return h

    def hot(self, layer: int, n: int) -> np.ndarray:
        """The n experts of a layer that are chosen most."""
        return np.argsort(-self.uses[layer], kind="stable")[:n]

    def output_cosines(self, layer: int) -> np.ndarray:
        """[n_experts, n_experts]: of what two experts make of the same input, mean over the layer's inputs."""
        gate, up, down = (self.weights[name] for name in self.model.experts(layer))
        x = self.inputs[layer]
        y = np.stack([(silu(x @ g.T) * (x @ u.T)) @ d.T for g, u, d in zip(gate, up, down, strict=True)])
        y /= np.linalg.norm(y, axis=-1, keepdims=True)
        return np.einsum("atd,btd->ab", y, y, optimize=True) / len(x)

    def weight_cosines(self, layer: int, aligned: bool) -> np.ndarray:
        """[n_experts, n_experts]: of all weights of two experts, the second's neurons put in the order that fits the first best."""
        experts = [neurons_of(self.model, layer, e) for e in range(self.model.n_experts)]
        cosines = np.eye(len(experts))
        for a, b in zip(*np.triu_indices(len(experts), 1), strict=True):
            other = experts[b][alignment(experts[a], experts[b])] if aligned else experts[b]
            norms = np.linalg.norm(experts[a]) * np.linalg.norm(other)
            cosines[a, b] = cosines[b, a] = (experts[a] * other).sum() / norms
        return cosines


def neurons_of(model: Model, layer: int, expert: int) -> np.ndarray:
    """[moe_intermediate_size, 3 * hidden_size]: what belongs to each neuron in gate, up and down."""
    gate, up, down = (model.weights[name][expert] for name in model.experts(layer))
    return np.concatenate([gate, up, down.T], axis=1)


def alignment(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """An order of b's neurons in which each lies at the neuron of a it resembles: best pairs first."""
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b)]
    order = np.zeros(len(a), int)
    for i, j in best_pairs(unit[0] @ unit[1].T, len(a)):
        order[i] = j
    return order


def best_pairs(likeness: np.ndarray, n: int) -> list[tuple[int, int]]:
    """n pairs of a row and a column, no row and no column twice, the most alike first."""
    likeness, pairs = likeness.copy(), []
    for _ in range(n):
        i, j = np.unravel_index(np.argmax(likeness), likeness.shape)
        likeness[i, :] = likeness[:, j] = -np.inf
        pairs.append((int(i), int(j)))
    return pairs


def nearest_experts(likeness: np.ndarray, n: int) -> list[tuple[int, int]]:
    """n disjoint pairs of experts, the most alike first."""
    likeness, pairs = np.where(np.tri(len(likeness), dtype=bool), -np.inf, likeness), []
    for _ in range(n):
        pair = tuple(map(int, np.unravel_index(np.argmax(likeness), likeness.shape)))
        likeness[list(pair), :] = likeness[:, list(pair)] = -np.inf
        pairs.append(pair)
    return pairs


class Merged(Lever):
    """n pairs of each layer's experts become one each. how: "mean" of their weights by use, "aligned" the same after putting the
    neurons in order, "substitute" the more used one."""

    def __init__(self, model: Model, seen: Calibration, n: int, how: str):
        super().__init__(model)
        self.weights = dict(model.weights)
        self.becomes = np.tile(np.arange(model.n_experts), (model.n_layers, 1))
        for layer in range(model.n_layers):
            for name in model.experts(layer):
                self.weights[name] = self.weights[name].copy()
            for a, b in nearest_experts(seen.output_cosines(layer), n):
                a, b = sorted((a, b), key=lambda e: -seen.uses[layer, e])
                self.becomes[layer, b] = a
                if how != "substitute":
                    self._average(layer, a, b, how, seen.uses[layer])

    def _average(self, layer: int, a: int, b: int, how: str, uses: np.ndarray) -> None:
        first, second = (neurons_of(self.model, layer, e) for e in (a, b))
        if how == "aligned":
            second = second[alignment(first, second)]
        part = uses[a] / max(1, uses[a] + uses[b])
        merged = np.split(part * first + (1 - part) * second, 3, axis=1)
        for name, w in zip(self.model.experts(layer), (merged[0], merged[1], merged[2].T), strict=True):
            self.weights[name][a] = w

    def route(self, layer, x, gates):
        share, merged = super().route(layer, x, gates), np.zeros_like(gates)
        for expert, becomes in enumerate(self.becomes[layer]):
            merged[:, becomes] += share[:, expert]
        return merged


class Pruned(Lever):
    """A layer keeps the n experts it uses most; its router chooses among them."""

    def __init__(self, model: Model, seen: Calibration, n: int):
        super().__init__(model)
        self.kept = [np.isin(np.arange(model.n_experts), seen.hot(layer, n)) for layer in range(model.n_layers)]

    def route(self, layer, x, gates):
        return super().route(layer, x, np.where(self.kept[layer], gates, 0))


class TopK(Lever):
    def __init__(self, model: Model, k: int):
        super().__init__(model)
        self.k = k

    def route(self, layer, x, gates):
        return renormalized(top(gates, self.k))


class Adaptive(Lever):
    """Leaves out chosen experts that weigh less than least in the sum."""

    def __init__(self, model: Model, least: float):
        super().__init__(model)
        self.least = least

    def route(self, layer, x, gates):
        share = super().route(layer, x, gates)
        return renormalized(np.where(share >= np.minimum(self.least, share.max(axis=1, keepdims=True)), share, 0))


class SkipMissing(Lever):
    """Leaves out what is not in memory, unless it is of the first `ranks` of its token or weighs at least `least`: that is
    waited for. later: what was left out is read all the same, for the tokens to come."""

    def __init__(self, model: Model, capacity: int, half_life: float, ranks: int = 1, least: float = 1.0, later: bool = False):
        super().__init__(model)
        self.pools = [Pool(capacity, np.ones(model.n_experts), half_life) for _ in range(model.n_layers)]
        self.ranks, self.least, self.later = ranks, least, later

    def route(self, layer, x, gates):
        share = super().route(layer, x, gates)
        for row in share:
            self._skip(self.pools[layer], row)
        return renormalized(share)

    def _skip(self, pool: Pool, row: np.ndarray) -> None:
        ranked = np.argsort(-row, kind="stable")[: self.model.n_experts_per_tok]
        pool.count(ranked)
        waited_for = (np.arange(len(ranked)) < self.ranks) | (row[ranked] >= self.least)
        used = pool.resident[ranked] | waited_for
        used[0] |= not used.any()
        pool.load(ranked if self.later else ranked[used])
        row[ranked[~used]] = 0


class Requantized(Lever):
    """Expert matrices in MLX's affine groups of 64, with bits[layer, expert] each, from the weights of source."""

    def __init__(self, model: Model, source: Model, bits: np.ndarray):
        super().__init__(model)
        self.weights, self.bits = dict(model.weights), bits
        for layer in range(model.n_layers):
            for name in model.experts(layer):
                rows = [affine(w, int(b)) for w, b in zip(source.weights[name], bits[layer], strict=True)]
                self.weights[name] = np.stack(rows)


def affine(w: np.ndarray, bits: int) -> np.ndarray:
    codes = mx.quantize(mx.array(w).astype(mx.bfloat16), group_size=64, bits=bits)
    return np.array(mx.dequantize(*codes, group_size=64, bits=bits).astype(mx.float32))


class TensorQuantized(Lever):
    """Every matrix but the routers with one scale for all of it; each expert has matrices of its own."""

    def __init__(self, model: Model, source: Model, bits: int):
        super().__init__(model)
        self.weights = {name: self._quantized(name, w, bits) for name, w in source.weights.items()}

    @staticmethod
    def _quantized(name: str, w: np.ndarray, bits: int) -> np.ndarray:
        if w.ndim == 1 or name.endswith("mlp.gate"):
            return w
        matrices = w if w.ndim == 3 else w[None]
        return np.stack([tensor_quantized(m, bits)[1] for m in matrices]).reshape(w.shape)


class FewNeurons(Lever):
    """A chosen expert computes with a share of its neurons. by: "product" the largest for this token, knowing gate and up (spares
    rows of down); "gate" knowing gate only (spares rows of up, too); "fixed" the same for all tokens (spares all three)."""

    def __init__(self, model: Model, seen: Calibration, kept: float, by: str):
        super().__init__(model)
        self.seen, self.kept, self.by = seen, kept, by

    def read(self) -> float:
        """The share of an expert's bytes that is read."""
        parts_left_out = {"product": 1, "gate": 2, "fixed": 3}[self.by]
        return 1 - (1 - self.kept) * parts_left_out / 3

    def neurons(self, layer, expert, gate, up):
        h = super().neurons(layer, expert, gate, up)
        reach = np.linalg.norm(self.weights[self.model.experts(layer)[2]][expert], axis=0)
        if self.by == "fixed":
            weight = np.broadcast_to(np.sqrt(self.seen.neuron_energy[layer, expert]) * reach, h.shape)
        else:
            weight = np.abs(h if self.by == "product" else silu(gate)) * reach
        n = max(1, round(self.kept * h.shape[1]))
        return np.where(weight >= np.partition(weight, -n, axis=1)[:, -n, None], h, 0)
