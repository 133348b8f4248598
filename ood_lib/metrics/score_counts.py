"""How many pixels of either class have each score, in constant memory."""

from typing import Self

import numpy as np

CAPACITY = 2**20
"""So many different scores are told apart exactly."""

_STRETCHES, _BITS, _LEAST_BITS = 2**16, 16, 3
_WAITING = 2**16
"""So many cells may wait to be joined to the others: to join few to many costs as much as many."""
_TOP_BIT = np.uint32(2**31)

Cells = tuple[np.ndarray, np.ndarray]
"""Lowest key of each cell, uint32 (cells,), ascending; pixels in it, int64 (2, cells): anomalous, in-distribution."""


class ScoreCounts:
    """Anomalous and in-distribution pixels for each score, exact for up to `CAPACITY` different scores.

    A float32 becomes a 32-bit number of the same order, its *key*. When there are more keys than that, the number
    line is laid out anew, once: of the 65,536 stretches of equal upper 16 bits each is cut into as many *cells* of
    equal length as its share of the pixels so far is worth, at least 8 and at most 65,536, one for each key. From then
    on pixels are counted by cell: what is said of them has an error that is known (`PixelMetrics.error_bound`).
    """

    def __init__(self) -> None:
        self._joined: Cells = np.empty(0, dtype=np.uint32), np.zeros((2, 0), dtype=np.int64)
        self._waiting: list[Cells] = []
        self._bits: np.ndarray | None = None
        """Of the lower 16 bits of a key those that its cell keeps, int64 (65536,) by stretch; None while exact."""

    def add(self, *keys: np.ndarray) -> Cells:
        """Count keys, uint32 (n,), of the anomalous and of the in-distribution pixels; gives the cells of these."""
        if self._bits is not None:
            cells = self._by_cell(*keys)
            self._joined[1][:] += cells[1]
            return cells
        cells = _by_key(*keys)
        self._waiting.append(cells)
        if sum(len(own) for own, _ in self._waiting) > _WAITING:
            self._join()
        return cells

    def merge(self, other: Self) -> None:
        """Add what ``other``, of another process say, has counted; the cells are then the wider ones of both."""
        self._joined = _union(self._cells, other._cells)
        layouts = [counts._bits for counts in (self, other) if counts._bits is not None]
        if layouts or len(self.keys) > CAPACITY:
            self._lay_out(np.min(layouts, axis=0) if layouts else self._worth())

    @property
    def keys(self) -> np.ndarray:
        """Lowest key of each cell, as in `Cells`."""
        return self._cells[0]

    @property
    def counts(self) -> np.ndarray:
        """Pixels of each cell, as in `Cells`."""
        return self._cells[1]

    @property
    def is_exact(self) -> np.ndarray:
        """Whether all pixels of a cell have one score, bool (cells,)."""
        keys = self.keys  # which may lay out
        if self._bits is None:
            return np.ones(len(keys), dtype=bool)
        return self._bits[keys >> _BITS] == _BITS

    @property
    def _cells(self) -> Cells:
        if self._waiting:
            self._join()
        return self._joined

    def _join(self) -> None:
        """Count those that wait."""
        self._joined, self._waiting = _union(self._joined, *self._waiting), []
        if len(self._joined[0]) > CAPACITY:
            self._lay_out(self._worth())

    def _worth(self) -> np.ndarray:
        """Bits for each stretch, so that its cells are in proportion to its pixels, half of `CAPACITY` in all."""
        share = (self.counts / np.maximum(self.counts.sum(axis=1, keepdims=True), 1)).mean(axis=0)
        cells = np.bincount(self.keys >> _BITS, share, minlength=_STRETCHES) * CAPACITY / 2
        return np.log2(np.maximum(cells, 1)).astype(np.int64).clip(_LEAST_BITS, _BITS)

    def _lay_out(self, bits: np.ndarray) -> None:
        """Cut the number line into cells, and move what was counted into them."""
        old_keys, old_counts = self._cells
        self._bits = bits
        self._shift = (_BITS - bits).astype(np.uint32)
        sizes, starts = 1 << bits, np.arange(_STRETCHES) << _BITS
        self._offset = np.cumsum(sizes) - sizes - (starts >> self._shift)
        stretch = np.repeat(np.arange(_STRETCHES), sizes)
        keys = ((np.arange(sizes.sum()) - self._offset[stretch]) << self._shift[stretch]).astype(np.uint32)
        place = self._place(old_keys)
        counts = np.stack([np.bincount(place, part, minlength=len(keys)) for part in old_counts])
        self._joined = keys, counts.astype(np.int64)

    def _place(self, keys: np.ndarray) -> np.ndarray:
        """The number of the cell of each key."""
        stretch = (keys >> _BITS).astype(np.intp)
        return (keys >> self._shift.take(stretch)) + self._offset.take(stretch)

    def _by_cell(self, *keys: np.ndarray) -> Cells:
        return self.keys, np.stack([np.bincount(self._place(part), minlength=len(self.keys)) for part in keys])


def to_keys(scores: np.ndarray) -> np.ndarray:
    """float32 to uint32 of the same order; 0 and -0 are one."""
    bits = (scores + np.float32(0)).view(np.uint32)
    return np.where(bits & _TOP_BIT, ~bits, bits | _TOP_BIT)


def to_scores(keys: np.ndarray) -> np.ndarray:
    """uint32 to float32, the inverse of `to_keys`."""
    return np.where(keys & _TOP_BIT, keys ^ _TOP_BIT, ~keys).view(np.float32)


def _by_key(*keys: np.ndarray) -> Cells:
    parts = [np.unique(part, return_counts=True) for part in keys]
    return _union(
        *((values, counts * np.eye(2, dtype=np.int64)[side][:, None]) for side, (values, counts) in enumerate(parts))
    )


def _union(*cells: Cells) -> Cells:
    """The cells of all, those with equal keys added up."""
    keys, counts = (np.concatenate(parts, axis=-1) for parts in zip(*cells, strict=True))
    order = np.argsort(keys, kind="stable")  # sorted runs, which it merges
    keys, counts = keys[order], counts[:, order]
    first = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
    return keys[first], np.add.reduceat(counts, first, axis=1) if len(first) else counts
