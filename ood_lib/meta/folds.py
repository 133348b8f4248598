"""Which rows a cross-validation leaves out together."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.model_selection import StratifiedKFold

from ood_lib.meta.inputs import require_both_kinds

SCHEMES = ("leave-one-out", "k-fold", "group")


class Fold(NamedTuple):
    """Rows that are left out together."""

    name: str
    """For people: without what the other rows remain."""
    rows: np.ndarray
    """int64 (k,), from 0."""


def folds_of_scheme(scheme: str, labels: np.ndarray, groups: ArrayLike | None, folds: int, seed: int) -> list[Fold]:
    """The folds of `ood_lib.meta.cross_validate` for labels (n,), bool. ValueError for what it cannot do."""
    if scheme not in SCHEMES:
        raise ValueError(f"scheme={scheme!r} is not known; take one of {', '.join(SCHEMES)}.")
    if (groups is None) == (scheme == "group"):
        needed = "needs the group of each row" if scheme == "group" else "knows no groups"
        raise ValueError(f'The scheme {scheme} {needed}; for example, scheme="group", groups=table.sequence.')
    if scheme == "leave-one-out":
        return [Fold(f"row {row}", np.array([row])) for row in range(len(labels))]
    if scheme == "k-fold":
        splits = StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels)
        return [Fold(f"fold {number}", left_out) for number, (_, left_out) in enumerate(splits)]
    return _folds_of_groups(groups, len(labels))


def check_folds(folds: list[Fold], labels: np.ndarray) -> None:
    """ValueError if a fold is empty, if one leaves out a row that is not there or that another leaves out as well, and
    if the rows that remain without one are all of one kind.
    """
    seen: dict[int, str] = {}
    for name, rows in folds:
        if rows.ndim != 1 or not rows.size or not np.issubdtype(rows.dtype, np.integer):
            raise ValueError(f"Expected the numbers of the rows of {name}, (k,), not {rows.dtype} {rows.shape}.")
        for row in rows.tolist():
            if not 0 <= row < len(labels):
                raise ValueError(f"{name} leaves out row {row}, but rows go from 0 to {len(labels) - 1}.")
            if row in seen:
                raise ValueError(f"Row {row} is left out twice, by {seen[row]} and by {name}.")
            seen[row] = name
        require_both_kinds(np.delete(labels, rows), f"segments that remain without {name}")


def _folds_of_groups(groups: Any, rows: int) -> list[Fold]:
    numbers, names = pd.factorize(np.asarray(groups, dtype=object))
    if numbers.shape != (rows,):
        raise ValueError(f"There are {rows} rows, but {numbers.size} groups; give the group of each row.")
    if (numbers < 0).any():
        raise ValueError(f"The group of row {int(np.argmax(numbers < 0))} is missing.")
    if len(names) < 2:
        raise ValueError(f"All rows are of the group {names[0]}; leaving one group out takes at least two.")
    return [Fold(f"group {name}", np.flatnonzero(numbers == number)) for number, name in enumerate(names)]
