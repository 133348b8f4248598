"""How many pixels have each score: exactly for all together, and in outline for each update."""

from typing import NamedTuple, Self

import numpy as np

CAPACITY = 2**20  #: so many different scores are told apart exactly


class Cells(NamedTuple):
    """Pixels whose scores are not told apart, in the order of these."""

    lowest: np.ndarray  # float32 (cells,)
    highest: np.ndarray  # float32 (cells,); a cell is exact where it is the lowest too
    counts: np.ndarray  # int64 (2, cells): anomalous, in-distribution


class Histogram:
    """Anomalous and in-distribution pixels by score, exact for up to `CAPACITY` different scores.

    Beyond these, the lowest bits of all scores are dropped, as few as bring the cells of equal ones
    down to `CAPACITY`: that follows from the set of scores, not from the order in which they come.
    """

    def __init__(self) -> None:
        self._dropped_bits = 0
        self._parts: list[Cells] = []
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, anomalous: np.ndarray, in_distribution: np.ndarray) -> None:
        """Count scores of the pixels of either class, float32 (n,) each, 0 and not -0."""
        self._waiting.append((anomalous, in_distribution))
        # To join few to the others takes nearly as long as to join many.
        if sum(len(scores) for update in self._waiting for scores in update) > 2**22:
            self.cells()

    def merge(self, other: Self) -> None:
        """Add what ``other`` has counted, in another process say."""
        self._dropped_bits = max(self._dropped_bits, other._dropped_bits)
        self._parts += other._parts
        self._waiting += other._waiting

    def cells(self) -> Cells:
        """All that was counted, from the highest score down; ValueError if nothing was."""
        for side, of_class in enumerate(zip(*self._waiting, strict=True)):
            scores = np.concatenate(of_class)
            scores.sort()
            first = self._starts(scores)
            counts = np.zeros((2, len(first)), dtype=np.int64)
            counts[side] = np.diff(first, append=len(scores))
            self._parts.append(Cells(scores[first], scores[first + counts[side] - 1], counts))
        self._waiting = []
        if not self._parts:
            raise ValueError("There are no pixels yet: call update before asking for a measure.")
        if len(self._parts) > 1:
            lowest, highest, counts = map(np.hstack, zip(*self._parts, strict=True))
            order = np.argsort(lowest, kind="stable")  # sorted runs, which it merges
            first = self._starts(lowest[order])
            highest = np.maximum.reduceat(highest[order], first)
            counts = np.add.reduceat(counts.take(order, axis=1), first, axis=1)
            self._parts = [Cells(lowest[order[first]], highest, counts)]
        return Cells(*(part[..., ::-1] for part in self._parts[0]))

    def _starts(self, scores: np.ndarray) -> np.ndarray:
        """Where cells begin in sorted scores; more bits are dropped if these were too many."""
        bits = scores.view(np.uint32).copy()
        # Scores are told apart near 1, where many saturate, as they are near 0.
        low, high = np.searchsorted(scores, np.float32([0.5, 1]), side="right")
        bits[low:high] = (1 - scores[low:high]).view(np.uint32)
        # Neighbours are in one cell if they differ in dropped bits only.
        differing = bits[1:] ^ bits[:-1]
        differing[[edge - 1 for edge in (low, high) if 0 < edge < len(scores)]] = 2**31
        while np.count_nonzero(differing >= 2**self._dropped_bits) >= CAPACITY:
            self._dropped_bits += 1
        return np.flatnonzero(np.append(len(scores) > 0, differing >= 2**self._dropped_bits))


def outline(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Up to two thousand of sorted scores, the highest densely, and of how many each is one."""
    if not len(scores):
        return scores, np.empty(0, dtype=np.float32)
    # Ranks in steps of 1 %, and 512 even ones.
    dense = np.geomspace(1, len(scores), int(np.log(len(scores)) / np.log(1.01)) + 2)
    even = np.linspace(0, len(scores), 513)
    ranks = np.unique(np.concatenate([dense, even]).round().astype(np.int64))
    middle = (ranks[:-1] + ranks[1:] + 1) // 2  # the highest score is number 1
    return scores[-middle], np.diff(ranks).astype(np.float32)
