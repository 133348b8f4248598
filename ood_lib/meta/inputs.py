"""What meta classifiers take: a table of metrics, of which the columns are known by name, and the segments' labels."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ood_lib.metrics.arrays import to_array

BOOKKEEPING = ("image", "sequence", "segment", "iou")
"""Columns that are never metrics: whence a segment comes and, in ``iou``, what is to be predicted."""

_NAMES_SHOWN = 5
_ROUNDING = 1e-12  # relative; a column that varies less is constant up to the rounding of its sums


class Standardisation(NamedTuple):
    """Mean and scale of each metric, float64 (m,). Called, it gives metrics (n, m) a mean of 0 and a variance of 1."""

    mean: np.ndarray
    scale: np.ndarray
    """Standard deviation over the population; infinite for a constant metric, which becomes 0 whatever its value."""

    @classmethod
    def fit(cls, values: np.ndarray) -> "Standardisation":
        mean, scale = values.mean(axis=0), values.std(axis=0)
        return cls(mean, np.where(scale > _ROUNDING * np.abs(mean), scale, np.inf))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return (values - self.mean) / self.scale


def metric_columns(metrics: Any) -> list[str] | None:
    """The columns of a table that are metrics: all but the `BOOKKEEPING`. None for an array, which names none.

    ValueError if there is none, if a name is no text, and if one occurs twice.
    """
    if not isinstance(metrics, pd.DataFrame):
        return None
    columns = [column for column in metrics.columns if column not in BOOKKEEPING]
    wrong = [column for column in columns if not isinstance(column, str)]
    if wrong or not columns:
        found = f"a column is called {wrong[0]!r}" if wrong else f"its columns are {list(metrics.columns)}"
        raise ValueError(f"A table of metrics has one named column for each metric, but {found}.")
    if len(set(columns)) < len(columns):
        twice = next(column for column in columns if columns.count(column) > 1)
        raise ValueError(f"The column {twice} occurs {columns.count(twice)} times; keep the one that is meant.")
    return columns


def metric_values(metrics: Any, columns: Sequence[str] | None) -> np.ndarray:
    """The named columns of a table, in this order, or an array (n, m) as it is: float64 (n, m).

    ValueError if a column is missing or holds no numbers, and for values that are NaN or infinite.
    """
    # Row by row: a mean over another layout is rounded in another way, and training makes much of little.
    values = np.ascontiguousarray(_of_array(metrics) if columns is None else _of_table(metrics, columns))
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = bad[0]
        name = f"metric {columns[column]}" if columns is not None else f"metric {column} (counted from 0)"
        raise ValueError(
            f"The {name} of row {row} is {values[row, column]} (rows are counted from 0); {len(bad)} of {values.size} "
            "values are NaN or infinite. Look at how this row was computed, or leave it out."
        )
    return values


def false_positive_labels(false_positive: ArrayLike, rows: int) -> np.ndarray:
    """Labels y (n,) of equation 3.13, bool: True (or 1) for a false positive, False (or 0) for a true positive.

    ValueError for other values, another shape, another number than ``rows``, and if there is none.
    """
    labels = to_array(false_positive)
    if labels.dtype == object:
        labels = np.where(pd.isna(labels), None, labels)  # pandas' NA would refuse to be compared
    if labels.shape != (rows,):
        raise ValueError(
            f"There are {rows} rows of metrics, but labels of the shape {labels.shape}; give one for each."
        )
    if rows == 0:
        raise ValueError("There is no segment to learn from: the table has no rows.")
    if labels.dtype != bool:
        known = np.isin(labels, (0, 1))
        if not known.all():
            row = int(np.argmin(known))
            raise ValueError(
                f"The label of row {row} is {labels[row]!r}; expected True or 1 for a false positive, False or 0 for a "
                "true one: false_positive = table.iou == 0."
            )
    return labels.astype(bool)


def require_both_kinds(labels: np.ndarray, what: str = "segments") -> None:
    """ValueError if all of the labels (n,) are False or all are True; ``what`` they are of."""
    if not len(labels):
        raise ValueError(f"There are no {what} to learn from.")
    if labels.all() or not labels.any():
        kind = "false" if labels[0] else "true"
        raise ValueError(
            f"All {len(labels)} {what} are {kind} positives: a classifier learns from both kinds. "
            "Take more images, or another threshold for the segments."
        )


def _of_table(metrics: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    missing = [column for column in columns if column not in metrics.columns]
    if missing:
        more = f" and {len(missing) - _NAMES_SHOWN} more" if len(missing) > _NAMES_SHOWN else ""
        raise ValueError(
            f"The table lacks {len(missing)} of the {len(columns)} metrics: {', '.join(missing[:_NAMES_SHOWN])}{more}. "
            "A classifier predicts from the metrics with which it was fitted: compute these, or fit another."
        )
    table = metrics[list(columns)]
    for column, kind in table.dtypes.items():
        if not pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_complex_dtype(kind):
            raise ValueError(f"The column {column} holds {kind}, no numbers. Drop it, or make numbers of it.")
    return table.to_numpy(dtype=np.float64, na_value=np.nan)


def _of_array(metrics: Any) -> np.ndarray:
    values = to_array(metrics)
    if values.ndim != 2 or not (np.issubdtype(values.dtype, np.number) or values.dtype == bool):
        raise ValueError(f"Expected metrics as numbers (segments, metrics), not {values.dtype} {values.shape}.")
    if np.iscomplexobj(values):
        raise ValueError("Metrics are real numbers, not complex ones.")
    return values.astype(np.float64)
