"""How well meta classifiers tell false segments from true ones, and which of them does better."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ood_lib.data.arrays import to_array
from ood_lib.metrics import curves


def classifier_measures(false_positive: ArrayLike, probability: ArrayLike) -> dict[str, float]:
    """``auroc`` and ``auprc`` of the probabilities p^FP (n,) that segments are false positives.

    A segment on an anomaly is the positive case and 1 - p^FP its score (the thesis's code takes the
    false ones: give ``~false_positive`` and 1 - p^FP). ValueError for labels that are not both
    kinds of bool (n,), and for p^FP beyond 0 and 1.
    """
    true, scores = _check(false_positive, {"these": probability})
    values = weighted_measures(true, scores["these"], np.ones((1, len(true))))
    return {name: float(value[0]) for name, value in values.items()}


def compare_classifiers(false_positive: ArrayLike, probabilities: Mapping[str, ArrayLike],
                        groups: Sequence[Hashable], *, level: float = 0.95, repeats: int = 1000,
                        seed: int = 0) -> pd.DataFrame:
    """The measures of several classifiers on the same segments, and each beside the first of them.

    ``probabilities`` holds p^FP (n,) by name, ``groups`` (n,) the sequence of each segment; these
    are drawn, the same for all classifiers. One row for each classifier and measure: ``value``,
    ``low``, ``high``, ``difference`` to the first, ``difference_low``, ``difference_high`` and
    ``p``, NaN for the first. ValueError as in `classifier_measures`, and for fewer than two groups.
    """
    true, scores = _check(false_positive, probabilities)
    if len(groups) != len(true):
        raise ValueError(f"There are {len(groups)} groups for {len(true)} segments.")
    draws = curves.draw_entries(groups, repeats, seed)
    weights = np.vstack([np.ones(len(true)), draws])  # first all segments as they are
    measured = {name: weighted_measures(true, score, weights) for name, score in scores.items()}
    first, table = next(iter(measured.values())), {}  # what the others are compared with
    for name, of_name in measured.items():
        for measure, values in of_name.items():
            difference = values - first[measure]
            bounds = curves.intervals({"own": values[1:], "other": difference[1:]}, level)
            p = np.nan if of_name is first else curves.p_value(difference[1:])
            table[name, measure] = [values[0], *bounds["own"], difference[0], *bounds["other"], p]
    columns = ["value", "low", "high", "difference", "difference_low", "difference_high", "p"]
    return pd.DataFrame(table, index=columns).T.rename_axis(["classifier", "measure"])


def _check(false_positive: ArrayLike, probabilities: Mapping) -> tuple[np.ndarray, dict]:
    """Whether segments are true, bool (n,), and by name their scores 1 - p^FP (n,)."""
    true, scores = ~to_array(false_positive).astype(bool), {}
    if not probabilities:
        raise ValueError("There is no classifier to judge: give its probabilities by name.")
    if true.ndim != 1 or true.all() or not true.any():
        kinds = f"{(~true).sum()} false and {true.sum()} true"
        raise ValueError(f"Measures need both kinds of segments (n,), not {kinds} {true.shape}.")
    for name, values in probabilities.items():
        values = to_array(values).astype(np.float64)
        if values.shape != true.shape:
            raise ValueError(f"{name}: {values.shape} probabilities for {len(true)} segments.")
        at = np.flatnonzero(~((values >= 0) & (values <= 1)))  # NaN too
        if at.size:
            raise ValueError(f"{name}: the p^FP of segment {at[0]} is {values[at[0]]}, not 0 to 1.")
        scores[name] = 1 - values
    return true, scores


def weighted_measures(true: np.ndarray, score: np.ndarray,
                      weights: np.ndarray) -> dict[str, np.ndarray]:
    """AUROC and AUPRC (rows,) if segments count as often as ``weights`` (rows, n) says."""
    order = np.argsort(-score, kind="stable")
    first = np.flatnonzero(np.append(True, np.diff(score[order]) != 0))  # of each different score
    ordered = np.ascontiguousarray(weights[:, order])  # in another layout sums take much longer
    kinds = (np.add.reduceat(ordered * kind[order], first, axis=1) for kind in (true, ~true))
    values = curves.measures(*kinds)
    return {name: values[name] for name in ("auroc", "auprc")}
