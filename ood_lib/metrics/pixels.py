"""AUROC, AUPRC and FPR95, pooled over all pixels of a data set."""

import warnings
from collections.abc import Hashable
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from ood_lib.data.arrays import to_array, two_classes
from ood_lib.metrics import curves
from ood_lib.metrics.histogram import Histogram, outline


class PixelMetrics:
    """Measures of an anomaly score, an anomaly being the positive class (thesis, section 4.2).

    All pixels count alike. Memory grows by some kilobytes an update. Up to a million different
    scores the measures are exact, whatever the order of updates; beyond, their error is at most
    `error_bound`. Scores are rounded to float32, with one warning if some tie by that.
    """

    def __init__(self) -> None:
        self._warned = False
        self._histogram = Histogram()
        self._updates: list[tuple] = []  # group, and outlines: anomalous, in-distribution

    def update(self, score: ArrayLike, target: ArrayLike, group: Hashable = None) -> None:
        """Take the pixels of one image or batch: score, higher is stranger, and target 0, 1 or 255.

        ``group`` names what the pixels share with others, such as the sequence; without it they
        stand alone. ValueError for other shapes and targets, and scores that are not finite.
        """
        score, target = to_array(score), to_array(target)
        classes = two_classes(score, target)
        scores = [_sorted(np.extract(own, score), group) for own in classes]
        lost = 0 if self._warned else _lost_scores(score, classes[0] | classes[1])
        if lost:
            self._warned = True
            message = (f"{lost} scores that differ from others are equal to these in float32, and "
                       "count as tied. If they are many, give a rising function that spreads them, "
                       "such as a logarithm: it keeps them apart, and changes no measure else.")
            warnings.warn(message, stacklevel=2)
        self._histogram.add(*scores)
        self._updates.append((object() if group is None else group, *map(outline, scores)))

    def merge(self, other: Self) -> None:
        """Take all pixels that ``other`` has taken, in another process say."""
        self._histogram.merge(other._histogram)
        self._updates += other._updates

    def compute(self, bins: int | None = None) -> dict[str, float]:
        """``auroc``, ``auprc`` and ``fpr95``, as `ood_lib.metrics.curves.measures` has them.

        With ``bins``, 100 in the thesis's published code, as that has them: scores tie in so many
        equal bins of [0, 1], and FPR95 is taken where the true positive rate is nearest to 0.95.
        ValueError for scores beyond. All are NaN, with a warning, if either kind of pixels is
        missing; there is a warning too where the `error_bound` exceeds 0.001.
        """
        worst = max(self.error_bound().values())
        if worst > 0.001:
            message = f"The measures may be wrong by up to {worst:.1g} (error_bound): round scores."
            warnings.warn(message, stacklevel=2)
        counts = self._histogram.cells().counts if bins is None else self._in_bins(bins)
        values = curves.measures(*counts[:, None], nearest=bins is not None)
        return {name: float(value[0]) for name, value in values.items()}

    def _in_bins(self, bins: int) -> np.ndarray:
        """Pixels of both classes (2, bins), those with the highest scores first."""
        scores, _, counts = self._histogram.cells()
        if scores[-1] < 0 or scores[0] > 1:
            beyond = f"these are {scores[-1]:.3g} to {scores[0]:.3g}"
            raise ValueError(f"Bins are of scores from 0 to 1; {beyond}. Leave bins out.")
        place = np.minimum((np.float64(scores) * bins).astype(np.int64), bins - 1)  # 1 in the last
        return np.array([np.bincount(place, own, bins)[::-1] for own in counts])

    def error_bound(self) -> dict[str, float]:
        """By how much `compute` can at most differ from the measures of the true scores."""
        # Pixels of one cell count as tied. If their scores differ, these can move the AUROC by half
        # the pairs, precision to where all anomalies come first or last, FPR95 by one cell.
        lowest, highest, (positives, negatives) = self._histogram.cells()
        if not (positives.any() and negatives.any()):
            missing = "in-distribution" if positives.any() else "anomalous"
            warnings.warn(f"There is no {missing} pixel, so every measure is NaN.", stacklevel=3)
            return dict.fromkeys(curves.MEASURES, float("nan"))
        tied, tps, fps = lowest != highest, positives.cumsum(), negatives.cumsum()
        best = tps / np.maximum(tps + fps - negatives, 1)
        first = tps - positives + np.minimum(positives, 1)
        worst = first / np.maximum(first + fps, 1)
        at_95 = np.argmax(tps >= 0.95 * tps[-1])
        return {
            "auroc": float((positives * negatives)[tied].sum() / 2 / tps[-1] / fps[-1]),
            "auprc": float((positives * (best - worst))[tied].sum() / tps[-1]),
            "fpr95": float(negatives[at_95] * tied[at_95] / fps[-1]),
        }

    def roc(self) -> tuple[np.ndarray, np.ndarray]:
        """False and true positive rates at every threshold, from the highest; they rise to 1."""
        (tpr,), (fpr,), _ = curves.rates(*self._histogram.cells().counts[:, None])
        return fpr, tpr

    def precision_recall(self) -> tuple[np.ndarray, np.ndarray]:
        """Precision and recall at every threshold, from the lowest; recall falls from 1 to 0."""
        (recall,), _, (precision,) = curves.rates(*self._histogram.cells().counts[:, None])
        return precision[::-1], recall[::-1]

    def thresholds(self) -> np.ndarray:
        """The scores from which on a pixel is an alarm in `roc`, float32, falling; one fewer."""
        return self._histogram.cells().lowest

    def interval(self, level: float = 0.95, repeats: int = 200, seed: int = 0) -> curves.Bounds:
        """The (low, high) of ``level`` of each measure's values in a bootstrap of the groups.

        Up to two thousand scores of each update and class stand for all. ValueError for fewer than
        two groups; NaN as `compute`.
        """
        return curves.intervals(self._drawn(repeats, seed), level)

    def _drawn(self, repeats: int, seed: int) -> dict[str, np.ndarray]:
        """The measures (repeats,) of groups drawn with replacement."""
        if not self._histogram.cells().counts.any(axis=1).all():
            return dict.fromkeys(self.error_bound(), np.full(repeats, np.nan))  # which warns
        of_groups = self._of_groups()  # (2, groups, bins)
        draws = curves.draw_groups(of_groups.shape[1], repeats, seed)  # (repeats, groups)
        return curves.measures(*(draws @ of_groups))

    def _of_groups(self) -> np.ndarray:
        """Pixels of both classes and each group by score, from the highest, (2, groups, bins)."""
        groups, *classes = zip(*self._updates, strict=True)
        rows, points, edges = curves.rows_of(groups), [], []
        for outlines in classes:
            row = np.repeat(rows, [len(scores) for scores, _ in outlines])
            scores, pixels = map(np.concatenate, zip(*outlines, strict=True))
            points.append((row, scores, pixels))
            # A thousand bins of equally many pixels of the class.
            shares = np.linspace(0, 1, 1001)
            edges.append(np.quantile(scores, shares, weights=pixels, method="inverted_cdf"))
        edges, counts = np.unique(edges), []
        for row, scores, pixels in points:
            place = row * len(edges) + np.searchsorted(edges, scores, side="right") - 1
            counts.append(np.bincount(place, pixels, minlength=len(edges) * (rows.max() + 1)))
        return np.reshape(counts, (2, -1, len(edges)))[..., ::-1]


def paired_differences(first: PixelMetrics, second: PixelMetrics, level: float = 0.95,
                       repeats: int = 200, seed: int = 0) -> dict[str, tuple[float, float, float]]:
    """Each measure of ``first`` less that of ``second``, and its (low, high) by the bootstrap.

    Both have taken the same images in order (else ValueError), and the same groups are drawn, so
    that what makes a sequence hard for both cancels out.
    """
    if [group for group, *_ in first._updates] != [group for group, *_ in second._updates]:
        raise ValueError("The two have not taken the same groups in order, so they are no pairs.")
    values, others = first.compute(), second.compute()
    drawn, drawn_others = first._drawn(repeats, seed), second._drawn(repeats, seed)
    bounds = curves.intervals({name: drawn[name] - drawn_others[name] for name in drawn}, level)
    return {name: (values[name] - others[name], *bounds[name]) for name in values}


def _sorted(scores: np.ndarray, group: Hashable) -> np.ndarray:
    with np.errstate(over="ignore"):  # told below
        single = scores.astype(np.float32, copy=False)
    bad, of = ~np.isfinite(single), f" of {group}" if group is not None else ""
    if bad.any():
        raise ValueError(f"{bad.sum()} scores{of} are NaN, infinite or too large for a float32.")
    if scores.dtype == np.float64 and ((single == 0) & (scores != 0)).any():
        raise ValueError(f"Scores{of} are too small for a float32; multiply all by a number.")
    single += 0  # so that -0 and 0 are one score
    single.sort()  # in place: they are a copy
    return single


def _lost_scores(score: np.ndarray, counted: np.ndarray) -> int:
    """How many fewer different ones float32 makes of the different scores of ``counted`` pixels."""
    if np.can_cast(score.dtype, np.float32):
        return 0
    values = score[counted]
    if (values.astype(np.float32) == values).all():  # which takes less time than to sort
        return 0
    return int((np.diff(np.unique(values).astype(np.float32)) == 0).sum())
