"""How well a meta classifier tells false segments from true ones, and whether one does better than another."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ood_lib.metrics.arrays import to_array
from ood_lib.metrics.bootstrap import draw_groups, intervals, rows_of


def classifier_measures(false_positive: ArrayLike, probability: ArrayLike) -> dict[str, float]:
    """``auroc`` and ``auprc`` of the probabilities p^FP (n,) that segments are false positives.

    As in the thesis (section 4.4, Figure 4.2), a segment that touches an anomaly is the positive case and 1 - p^FP its
    score: AUPRC is about the rare kind, and its value for guessing is the share of true segments. ``false_positive``
    (n,) is bool. ValueError for other shapes, for p^FP that are no probabilities, and unless there are both kinds.
    """
    false_positive, scores = _check(false_positive, {"these": probability})
    weights = np.ones((1, len(false_positive)))
    return {name: float(value[0]) for name, value in _areas(~false_positive, scores["these"], weights).items()}


def compare_classifiers(
    false_positive: ArrayLike,
    probabilities: Mapping[str, ArrayLike],
    groups: Sequence[Hashable],
    *,
    level: float = 0.95,
    repeats: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """The measures of several classifiers on the same segments, and each beside the first of them.

    ``probabilities`` holds p^FP (n,) by name, ``groups`` (n,) the sequence of each segment. The bootstrap draws whole
    sequences, the same for all classifiers, so that the differences are paired: what makes a sequence hard does so for
    all. One row for each classifier and measure (the index): ``value``, ``low``, ``high``, the ``difference`` to the
    first classifier, ``difference_low``, ``difference_high`` and ``p``, twice the share of the repeats in which the
    difference has the other sign, or none; it is at least 2 / (repeats + 1) and at most 1, and NaN for the first.
    ValueError as in `classifier_measures`, and for fewer than two groups.
    """
    false_positive, scores = _check(false_positive, probabilities)
    if len(groups) != len(false_positive):
        raise ValueError(f"There are {len(groups)} groups for {len(false_positive)} segments; give one for each.")
    rows = rows_of(groups)
    draws = draw_groups(rows.max() + 1, repeats, seed)[:, rows]
    weights = np.vstack([np.ones(len(rows)), draws])  # first all segments as they are
    areas = {name: _areas(~false_positive, score, weights) for name, score in scores.items()}
    first = next(iter(areas.values()))
    table = {}
    for name, of_name in areas.items():
        for measure, values in of_name.items():
            own = _summary(values, level)
            against = _summary(values - first[measure], level)
            paired = dict(zip(("difference", "difference_low", "difference_high"), against, strict=True))
            p = np.nan if of_name is first else _p_value(values[1:] - first[measure][1:])
            table[name, measure] = dict(zip(("value", "low", "high"), own, strict=True)) | paired | {"p": p}
    return pd.DataFrame(table).T.rename_axis(["classifier", "measure"])


def _check(
    false_positive: ArrayLike, probabilities: Mapping[str, ArrayLike]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The labels as bool and, by name, the scores 1 - p^FP."""
    false_positive = to_array(false_positive).astype(bool)
    if not probabilities:
        raise ValueError("There is no classifier to judge: give its probabilities by name.")
    if false_positive.ndim != 1 or false_positive.all() or not false_positive.any():
        kinds = f"{false_positive.sum()} false and {(~false_positive).sum()} true"
        raise ValueError(
            f"Measures need segments of both kinds in one dimension, not {kinds} of shape {false_positive.shape}."
        )
    scores = {}
    for name, values in probabilities.items():
        values = to_array(values).astype(np.float64)
        if values.shape != false_positive.shape:
            raise ValueError(
                f"{name}: {values.shape} probabilities for {len(false_positive)} segments; give one for each."
            )
        if not ((values >= 0) & (values <= 1)).all():
            bad = int(np.flatnonzero(~((values >= 0) & (values <= 1)))[0])
            raise ValueError(f"{name}: the p^FP of segment {bad} is {values[bad]}; it must be from 0 to 1.")
        scores[name] = 1 - values
    return false_positive, scores


def _areas(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """AUROC and AUPRC (repeats,) if the segments count as often as each row of ``weights`` (repeats, n) says.

    Equal scores enter together; AUROC by trapezoids, AUPRC as average precision. NaN where a kind is missing.
    """
    order = np.argsort(-score, kind="stable")
    last = np.append(np.diff(score[order]) != 0, True)
    tp, fp = (np.cumsum(weights[:, order] * kind[order], axis=1)[:, last] for kind in (positive, ~positive))
    with np.errstate(divide="ignore", invalid="ignore"):
        tpr, fpr, precision = tp / tp[:, -1:], fp / fp[:, -1:], tp / (tp + fp)
    start = np.zeros((len(weights), 1))
    auroc = np.trapezoid(np.hstack([start, tpr]), np.hstack([start, fpr]), axis=1)
    # Before the first segment that was drawn there is no precision, and no recall to weigh it with.
    auprc = np.sum(np.diff(tpr, axis=1, prepend=0) * np.nan_to_num(precision), axis=1)
    return {"auroc": auroc, "auprc": np.where(np.isnan(auroc), np.nan, auprc)}


def _summary(values: np.ndarray, level: float) -> tuple[float, float, float]:
    """The value for all segments, and the interval of the others."""
    return float(values[0]), *intervals({"": values[1:]}, level)[""]


def _p_value(differences: np.ndarray) -> float:
    known = differences[~np.isnan(differences)]
    rarer = min((known <= 0).sum(), (known >= 0).sum())
    return float(min(1, 2 * (rarer + 1) / (len(known) + 1)))
