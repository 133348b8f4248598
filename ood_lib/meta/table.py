"""What meta classifiers take: a table of metrics, known by name, and labels of its segments."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from pandas.api.types import is_complex_dtype, is_numeric_dtype
from sklearn.utils import check_array

from ood_lib.data.arrays import to_array

Metrics = pd.DataFrame | np.ndarray

BOOKKEEPING = ("image", "sequence", "segment", "iou")
"""Columns that are never metrics: whence a segment comes and, in ``iou``, what is predicted."""


class Standardisation(NamedTuple):
    """Gives metrics (n, m) a mean of 0 and a variance of 1; those that were constant become 0."""

    mean: np.ndarray  # (m,)
    scale: np.ndarray  # (m,), the population's standard deviation, infinite where that is 0

    @classmethod
    def fit(cls, values: np.ndarray) -> "Standardisation":
        mean, scale = values.mean(axis=0), values.std(axis=0)
        varies = scale > 1e-12 * np.abs(mean)  # by more than the rounding of a sum
        return cls(mean, np.where(varies, scale, np.inf))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return (values - self.mean) / self.scale


def metric_table(metrics: Any, columns: Sequence[str] | None = None) -> Metrics:
    """Of a table those of ``columns`` that it has, or all but `BOOKKEEPING`; an array as it is.

    ValueError if columns occur twice, hold no numbers or have a name that is no text.
    """
    if not isinstance(metrics, pd.DataFrame):
        return to_array(metrics)
    if columns is None:
        columns = [column for column in metrics.columns if column not in BOOKKEEPING]
    table = metrics[[column for column in columns if column in metrics.columns]]
    for column, kind in table.dtypes.items():
        if not isinstance(column, str):
            raise ValueError(f"Each metric is a column with a name, but one is called {column!r}.")
        if not is_numeric_dtype(kind) or is_complex_dtype(kind):
            raise ValueError(f"The column {column} holds {kind}, no numbers: drop or convert it.")
    if not table.columns.is_unique:
        raise ValueError(f"Columns occur twice: {list(table.columns[table.columns.duplicated()])}.")
    return table


def metric_values(table: Metrics) -> np.ndarray:
    """The numbers (n, m), float64, of what `metric_table` gives; ValueError unless finite."""
    named = isinstance(table, pd.DataFrame)
    values = table.to_numpy(dtype=np.float64, na_value=np.nan) if named else table
    # Row by row in memory: a mean over another layout is rounded in another way, and the training
    # of a network makes much of little.
    values = check_array(values, order="C", ensure_all_finite=False, ensure_min_samples=0)
    values = values.astype(np.float64, copy=False)                                   # (n, m)
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        row, column = wrong[0]
        raise ValueError(
            f"The metric {table.columns[column] if named else column} of row {row} is "
            f"{values[row, column]}; {len(wrong)} of {values.size} values are NaN or infinite. "
            "Look at how they were computed, or leave such rows out (counted from 0).")
    return values


def label_values(false_positive: ArrayLike, rows: int) -> np.ndarray:
    """Labels y (n,) of equation 3.13, bool; ValueError if not 0 or 1, and if all are equal."""
    labels = to_array(false_positive)
    if labels.shape != (rows,):
        raise ValueError(f"There are {rows} rows of metrics, but labels of shape {labels.shape}.")
    known = pd.Series(labels).isin([0, 1]).to_numpy()
    if not known.all():
        row = np.argmin(known)
        raise ValueError(f"The label of row {row} is {labels[row]!r}; expected True or 1 for a "
                         "false positive, else False or 0: false_positive = table.iou == 0.")
    if len(np.unique(labels)) < 2:
        kind = "false" if labels.any() else "true"
        raise ValueError(f"All {rows} segments are {kind} positives, and there is no other to "
                         "learn from. Take more images, or another threshold for the segments.")
    return labels.astype(bool)
