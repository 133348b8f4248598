"""AUROC, AUPRC and FPR95, pooled over all pixels of a data set."""

import warnings
from collections.abc import Hashable
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from ood_lib.metrics.arrays import to_array, two_classes
from ood_lib.metrics.bootstrap import draw_groups, intervals, rows_of
from ood_lib.metrics.score_counts import Cells, ScoreCounts, to_keys, to_scores

MEASURES = ("auroc", "auprc", "fpr95")
"""What `PixelMetrics` computes, by name."""

_TRUE_POSITIVE_RATE = 0.95
_ERROR_TO_WARN_OF = 1e-3
_BINS_PER_CLASS = 1000
_FINEST_RANKS, _EVEN_RANKS = 1.01, 512


class _Frame(NamedTuple):
    """Up to two thousand points that stand for the pixels of a class in one update: (keys uint32, pixels float32)."""

    group: Hashable
    anomalous: tuple[np.ndarray, np.ndarray]
    in_distribution: tuple[np.ndarray, np.ndarray]


class PixelMetrics:
    """Measures of an anomaly score, an anomaly being the positive class (thesis, section 4.2).

    All pixels of a data set count alike, whichever image they are in, and memory hardly grows with their number: some
    kilobytes for each update. Up to a million different scores the measures are exact; beyond, their error is at
    most `error_bound`. Scores may have any range; they are rounded to float32.
    """

    def __init__(self) -> None:
        self._counts = ScoreCounts()
        self._frames: list[_Frame] = []

    def update(self, score: ArrayLike, target: ArrayLike, group: Hashable = None) -> None:
        """Take the pixels of one image or batch: score, higher is stranger, and target 0, 1 or 255, of one shape.

        Tensors of a GPU may be given too. ``group`` names what the pixels share with others, such as the sequence;
        without it they stand alone. ValueError if the shapes differ, a score is not finite where the target counts, or
        a target is another value.
        """
        score, target = to_array(score), to_array(target)
        keys = [_finite_keys(score[pixels], group) for pixels in two_classes(score, target)]
        cells = self._counts.add(*keys)
        points = [_points(cells, side) for side in (0, 1)]
        self._frames.append(_Frame(object() if group is None else group, *points))

    def merge(self, other: Self) -> None:
        """Take all pixels that ``other`` has taken, in another process say."""
        self._counts.merge(other._counts)
        self._frames += other._frames

    def compute(self) -> dict[str, float]:
        """``auroc``, ``auprc`` (the step-wise average precision) and ``fpr95``.

        The last is the false positive rate at the first threshold whose true positive rate is at least 0.95. All are
        NaN, with a warning, if there is no anomalous or no in-distribution pixel. There is a warning too where the
        `error_bound` exceeds 0.001.
        """
        if not self._has_both():
            return dict.fromkeys(MEASURES, float("nan"))
        worst = max(self.error_bound().values())
        if worst > _ERROR_TO_WARN_OF:
            warnings.warn(
                f"The measures may be wrong by up to {worst:.1g} (error_bound): most scores came from where the first "
                "million had none. Give images in another order, or round the scores.",
                stacklevel=2,
            )
        fpr, tpr = self.roc()
        precision, recall = self.precision_recall()
        return {
            "auroc": float(np.trapezoid(tpr, fpr)),
            "auprc": float(-np.sum(np.diff(recall) * precision[:-1])),
            "fpr95": float(fpr[np.argmax(tpr >= _TRUE_POSITIVE_RATE)]),
        }

    def error_bound(self) -> dict[str, float]:
        """By how much each measure of `compute` can at most differ from that of the pixels' own scores; 0 if exact.

        In a cell of more than one score the pixels of both classes count as tied. Their true order can move the AUROC
        by half the pairs, precision to where all anomalies come first or last, and FPR95 by the pixels of one cell.
        """
        if not self._has_both():
            return dict.fromkeys(MEASURES, float("nan"))
        positives, negatives, exact = self._descending()
        tps, fps = positives.cumsum(), negatives.cumsum()
        before, first = fps - negatives, tps - positives + np.minimum(positives, 1)
        best = np.divide(tps, tps + before, out=np.zeros(len(tps)), where=tps > 0)
        worst = np.divide(first, first + fps, out=np.zeros(len(tps)), where=first > 0)
        wide = ~exact
        at_95 = np.argmax(tps >= _TRUE_POSITIVE_RATE * tps[-1])
        return {
            "auroc": float((positives * negatives)[wide].sum() / 2 / tps[-1] / fps[-1]),
            "auprc": float((positives * (best - worst))[wide].sum() / tps[-1]),
            "fpr95": float(negatives[at_95] * wide[at_95] / fps[-1]),
        }

    def roc(self) -> tuple[np.ndarray, np.ndarray]:
        """False and true positive rates at every threshold, from the highest, each rising from 0 to 1."""
        positives, negatives, _ = self._descending()
        with np.errstate(invalid="ignore"):
            tpr, fpr = (np.append(0, part.cumsum()) / part.sum() for part in (positives, negatives))
        return fpr, tpr

    def precision_recall(self) -> tuple[np.ndarray, np.ndarray]:
        """Precision and recall at every threshold, from the lowest; recall falls from 1 to 0."""
        positives, negatives, _ = self._descending()
        tps, fps = np.append(0, positives.cumsum()), np.append(0, negatives.cumsum())
        precision = np.divide(tps, tps + fps, out=np.ones(len(tps)), where=tps + fps > 0)
        with np.errstate(invalid="ignore"):
            return precision[::-1], (tps / tps[-1])[::-1]

    def thresholds(self) -> np.ndarray:
        """The scores, float32 and falling, from which on a pixel is an alarm in `roc`; one fewer than its points."""
        self._require_pixels()
        return to_scores(self._counts.keys[self._counts.counts.any(axis=0)])[::-1]

    def interval(self, level: float = 0.95, repeats: int = 200, seed: int = 0) -> dict[str, tuple[float, float]]:
        """For each measure the (low, high) between which ``level`` of its values lie if the groups are drawn anew.

        Bootstrap: as many groups as there are, drawn with replacement, ``repeats`` times. Each update is represented by
        up to two thousand of its pixels a class, evenly from all and densely from the highest scores, so that no image
        is looked at again. ValueError for fewer than two groups; NaN, with a warning, where `compute` gives NaN.
        """
        if not self._has_both():
            return dict.fromkeys(MEASURES, (float("nan"), float("nan")))
        positives, negatives = self._histograms()
        draws = draw_groups(len(positives), repeats, seed)
        return intervals(_measures_of_histograms(draws @ positives, draws @ negatives), level)

    def _histograms(self) -> tuple[np.ndarray, np.ndarray]:
        """Pixels of each group in each bin of the score, float (groups, bins): the anomalous, the in-distribution."""
        rows = rows_of([frame.group for frame in self._frames])
        classes = [[frame[side] for frame in self._frames] for side in (1, 2)]
        points = [tuple(map(np.concatenate, zip(*frames, strict=True))) for frames in classes]
        edges = np.unique(np.concatenate([_quantiles(*part) for part in points]))
        histograms = []
        for frames, (keys, pixels) in zip(classes, points, strict=True):
            row = np.repeat(rows, [len(own) for own, _ in frames])
            place = row * len(edges) + np.maximum(np.searchsorted(edges, keys, side="right") - 1, 0)
            counts = np.bincount(place, pixels, minlength=(rows.max() + 1) * len(edges))
            histograms.append(counts.reshape(-1, len(edges)))
        return histograms[0], histograms[1]

    def _descending(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Anomalous and in-distribution pixels of each cell that has any, and whether it is exact, highest first."""
        self._require_pixels()
        counts = self._counts.counts
        some = counts.any(axis=0)
        return counts[0, some][::-1], counts[1, some][::-1], self._counts.is_exact[some][::-1]

    def _require_pixels(self) -> None:
        if not self._frames:
            raise ValueError("There are no pixels yet: call update before asking for a measure.")

    def _has_both(self) -> bool:
        self._require_pixels()
        anomalous, in_distribution = self._counts.counts.sum(axis=1)
        missing = "anomalous" if not anomalous else "in-distribution" if not in_distribution else None
        if missing:
            warnings.warn(f"There is no {missing} pixel, so every measure is NaN.", stacklevel=3)
        return missing is None


def _finite_keys(score: np.ndarray, group: Hashable) -> np.ndarray:
    with np.errstate(over="ignore"):  # told below
        single = score.astype(np.float32)
    finite = np.isfinite(single)
    if not finite.all():
        place = f" of {group}" if group is not None else ""
        if np.isfinite(score).all():
            raise ValueError(f"Scores{place} are larger than a float32 can be; divide all of them by a number.")
        raise ValueError(f"{(~finite).sum()} scores{place} are NaN or infinite; look at the logits there.")
    if score.dtype == np.float64 and ((single == 0) & (score != 0)).any():
        raise ValueError("Some scores are smaller than a float32 can tell from 0; multiply all of them by a number.")
    return to_keys(single)


def _points(cells: Cells, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Keys and weights of points that stand for the pixels of a class: the ranks of the highest are told apart best."""
    keys, counts = cells[0][::-1], cells[1][side, ::-1]
    total = counts.sum()
    if total == 0:
        return np.empty(0, dtype=np.uint32), np.empty(0, dtype=np.float32)
    steps = int(np.log(total) / np.log(_FINEST_RANKS)) + 2
    ranks = np.concatenate([np.geomspace(1, total, steps), np.linspace(0, total, _EVEN_RANKS + 1)]).round()
    ranks = np.unique(ranks.astype(np.int64))
    place = np.searchsorted(counts.cumsum(), (ranks[:-1] + ranks[1:] + 1) // 2)
    return keys[place], np.diff(ranks).astype(np.float32)


def _quantiles(keys: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Keys that divide so many pixels into `_BINS_PER_CLASS` parts of equal number."""
    order = np.argsort(keys)
    reached = pixels[order].cumsum(dtype=np.float64)
    place = np.searchsorted(reached, np.linspace(0, 1, _BINS_PER_CLASS + 1) * reached[-1])
    return keys[order][place.clip(max=len(keys) - 1)]


def _measures_of_histograms(positives: np.ndarray, negatives: np.ndarray) -> dict[str, np.ndarray]:
    """The measures of each row of (repeats, bins), where the pixels of a bin share one score; NaN without a class."""
    tps, fps = (counts[:, ::-1].cumsum(axis=1).astype(float) for counts in (positives, negatives))
    with np.errstate(divide="ignore", invalid="ignore"):
        tpr, fpr = tps / tps[:, -1:], fps / fps[:, -1:]
        precision = np.nan_to_num(tps / (tps + fps))
    start = np.zeros((len(tpr), 1))
    first = (tpr >= _TRUE_POSITIVE_RATE).argmax(axis=1)
    return {
        "auroc": np.trapezoid(np.hstack([start, tpr]), np.hstack([start, fpr]), axis=1),
        "auprc": (np.diff(tpr, axis=1, prepend=0) * precision).sum(axis=1),
        "fpr95": np.where(np.isnan(tpr[:, -1]), np.nan, fpr[np.arange(len(fpr)), first]),
    }
