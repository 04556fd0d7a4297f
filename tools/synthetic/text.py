"""What a synthetic model says when it decodes greedily: a walk through its vocabulary.

Random weights alone say the same few tokens again and again, so that their routers choose the same few experts whatever the router.
Here the embedding outweighs what a layer adds, and row v + 1 of the output matrix is row v of the embedding: after token v comes
v + 1. So successive rows of the embedding are successive hidden states, and what they have in common decides which experts a router
with random weights chooses again.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

ROWS = 1024  # computed at a time
STEP = 0.335  # between 16 even levels: the one that rounds a normal distribution of deviation 1 with the least error


@dataclass(frozen=True)
class Text:
    """A row of the embedding is the sum of a part of all rows, one of topic_tokens successive rows, and its own.

    shared, topic: these parts' shares of the variance, 0 for rows without anything in common; an element's deviation is 1.
    attention, mlp: what the matrices are multiplied by that add attention's and the experts' results to the hidden state. Attention,
    a mean over what came before, is nearly the same for every token, and at its usual size would be most of a late layer's input; the
    experts' results decide how much of the next layer's choice is known a layer before.
    """

    shared: float = 0.0
    topic: float = 0.0
    topic_tokens: int = 1
    attention: float = 0.4
    mlp: float = 1.3

    def gain(self, path: str) -> float:
        return self.attention if path.endswith("o_proj") else self.mlp if path.endswith("down_proj") else 1.0


def random_for(name: str, seed: int) -> np.random.Generator:
    """Every name draws its own numbers, whatever the order of tensors."""
    return np.random.Generator(np.random.PCG64([seed, zlib.crc32(name.encode())]))


def normal(name: str, seed: int, *shape: int) -> np.ndarray:
    return random_for(name, seed).standard_normal(shape, np.float32)


def rows_of(text: Text, first: int, n: int, columns: int, seed: int) -> np.ndarray:
    """Rows [first, first + n) of the embedding as they are before rounding, [n, columns]. first: a multiple of ROWS."""
    rows = normal(f"rows from {first}", seed, n, columns)
    rows *= np.float32((1 - text.shared - text.topic) ** 0.5)
    if text.topic:
        topics = np.arange(first, first + n) // text.topic_tokens
        drawn = np.stack([normal(f"topic {t}", seed, columns) for t in range(topics[0], topics[-1] + 1)])
        rows += np.float32(text.topic**0.5) * drawn[topics - topics[0]]
    if text.shared:
        rows += np.float32(text.shared**0.5) * normal("all rows", seed, columns)
    return rows


def digits(text: Text, vocab_size: int, columns: int, seed: int) -> Iterator[np.ndarray]:
    """The embedding's rows as uint8 digits from 0 to 15, ROWS at a time; an element is STEP * (digit - 7.5)."""
    for first in range(0, vocab_size, ROWS):
        rows = rows_of(text, first, min(ROWS, vocab_size - first), columns, seed)
        yield np.clip(np.floor(rows / np.float32(STEP) + 8), 0, 15).astype(np.uint8)
