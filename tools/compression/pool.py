"""One layer's experts in memory, and what a token makes it read: decision 004's policy, for experts of any sizes."""

import numpy as np

LRU = 0.25  # a half-life so short that the last use outweighs all others


class Pool:
    """capacity and sizes in the same unit; what one token needs must fit. Empty at first."""

    def __init__(self, capacity: float, sizes: np.ndarray, half_life: float = 16):
        self.capacity, self.sizes = capacity, sizes
        self.keep = 2 ** (-1 / half_life)
        self.score = np.zeros(len(sizes))
        self.resident = np.zeros(len(sizes), bool)
        self.read = 0.0
        self.hits = self.uses = 0

    def count(self, wanted: np.ndarray) -> None:
        """A token wants these experts, whether they are here or not."""
        self.score *= self.keep
        self.score[wanted] += 1
        self.hits += int(self.resident[wanted].sum())
        self.uses += len(wanted)

    def load(self, needed: np.ndarray) -> None:
        """Reads those of needed that are missing; what is needed does not leave for it."""
        missing = needed[~self.resident[needed]]
        if not len(missing):
            return
        self.read += float(self.sizes[missing].sum())
        self.resident[missing] = True
        may_leave = self.resident.copy()
        may_leave[needed] = False
        if float(self.sizes[needed].sum()) > self.capacity:
            raise ValueError(f"a token needs {self.sizes[needed].sum():.2f}, the pool holds {self.capacity:.2f}")
        while float(self.sizes[self.resident].sum()) > self.capacity + 1e-9:
            leaver = int(np.argmin(np.where(may_leave, self.score, np.inf)))
            self.resident[leaver] = may_leave[leaver] = False
