"""How sure one may be of a measure: the bootstrap over sequences."""

from collections.abc import Hashable, Sequence

import numpy as np


def draw_groups(groups: int, repeats: int, seed: int) -> np.ndarray:
    """How often each group is in each repeat, int64 (repeats, groups): as many as there are, with replacement.

    Whole groups are drawn, since pixels and frames of one sequence are not independent. ValueError for fewer than two.
    """
    if groups < 2:
        raise ValueError(f"An interval needs at least two groups of pixels to draw from, not {groups}.")
    return np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), size=repeats)


def intervals(values: dict[str, np.ndarray], level: float) -> dict[str, tuple[float, float]]:
    """For each measure the (low, high) between which ``level`` of its values (repeats,) lie.

    NaN are left out; where there is nothing else, the bounds are NaN.
    """
    tails = ((1 - level) / 2, (1 + level) / 2)
    known = {name: value[~np.isnan(value)] for name, value in values.items()}
    return {
        name: tuple(np.quantile(value, tails).tolist()) if value.size else (float("nan"),) * 2
        for name, value in known.items()
    }


def rows_of(groups: Sequence[Hashable]) -> np.ndarray:
    """The number of the group of each entry, int64 (len(groups),), in the order in which groups appear."""
    rows = {group: row for row, group in enumerate(dict.fromkeys(groups))}
    return np.array([rows[group] for group in groups], dtype=np.int64)
