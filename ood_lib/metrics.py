"""Measures of a segmentation against its ground truth, pooled over all pixels of a data set."""

import warnings
from collections.abc import Hashable

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import auc, roc_curve

from ood_lib.data.labels import IGNORE_INDEX

MEASURES = ("auroc", "auprc", "fpr95")

_TRUE_POSITIVE_RATE = 0.95
_BINS_PER_CLASS = 1000


class PixelMetrics:
    """Measures of an anomaly score, an anomaly being the positive class (thesis, section 4.2).

    All pixels of a data set count alike, whichever image they are in; the measures are exact. Remembers five bytes
    for each pixel that is not ignored.
    """

    def __init__(self) -> None:
        self._scores: list[np.ndarray] = []
        self._anomalous: list[np.ndarray] = []
        self._groups: list[Hashable] = []
        self._roc: tuple[np.ndarray, np.ndarray] | None = None

    def update(self, score: ArrayLike, target: ArrayLike, group: Hashable = None) -> None:
        """Take the pixels of one image or batch: score, higher is stranger, and target 0, 1 or 255, of one shape.

        ``group`` names what the pixels share with others, such as the sequence; without it they stand alone.
        ValueError if the shapes differ, a score is not finite where the target counts, or a target is another value.
        """
        score, target = np.asarray(score), np.asarray(target)
        if score.shape != target.shape:
            raise ValueError(f"The score has the shape {score.shape}, but the target {target.shape}.")
        valid = target != IGNORE_INDEX
        score, target = score[valid].astype(np.float32), target[valid]
        if not np.isin(target, (0, 1)).all():
            found = np.setdiff1d(target, (0, 1)).tolist()
            raise ValueError(f"The target holds {found}; expected 0 (in-distribution), 1 (anomaly), {IGNORE_INDEX}.")
        if not np.isfinite(score).all():
            place = f" of {group}" if group is not None else ""
            bad = (~np.isfinite(score)).sum()
            raise ValueError(f"{bad} scores{place} are NaN or infinite; look at the logits there.")
        self._scores.append(score)
        self._anomalous.append(target == 1)
        self._groups.append(object() if group is None else group)
        self._roc = None

    def compute(self) -> dict[str, float]:
        """``auroc``, ``auprc`` (the step-wise average precision) and ``fpr95``.

        The last is the false positive rate at the first threshold whose true positive rate is at least 0.95. All are
        NaN, with a warning, if there is no anomalous or no in-distribution pixel.
        """
        if not self._has_both(self._pixels()[1]):
            return dict.fromkeys(MEASURES, float("nan"))
        fpr, tpr = self.roc()
        precision, recall = self.precision_recall()
        return {
            "auroc": float(auc(fpr, tpr)),
            "auprc": float(-np.sum(np.diff(recall) * precision[:-1])),
            "fpr95": float(fpr[np.argmax(tpr >= _TRUE_POSITIVE_RATE)]),
        }

    def roc(self) -> tuple[np.ndarray, np.ndarray]:
        """False and true positive rates at every threshold, from the highest, each rising from 0 to 1."""
        if self._roc is None:  # the sorting of all pixels is what takes time
            scores, anomalous = self._pixels()
            fpr, tpr, _ = roc_curve(anomalous, scores, drop_intermediate=False)
            self._roc = fpr, tpr
        return self._roc

    def precision_recall(self) -> tuple[np.ndarray, np.ndarray]:
        """Precision and recall at every threshold, from the lowest; recall falls from 1 to 0."""
        fpr, tpr = self.roc()
        positives = sum(int(part.sum()) for part in self._anomalous)
        negatives = sum(part.size for part in self._anomalous) - positives
        alarms = tpr * positives + fpr * negatives
        precision = np.divide(tpr * positives, alarms, out=np.ones_like(tpr), where=alarms > 0)
        return precision[::-1], tpr[::-1]

    def interval(self, level: float = 0.95, repeats: int = 200, seed: int = 0) -> dict[str, tuple[float, float]]:
        """For each measure the (low, high) between which ``level`` of its values lie if the groups are drawn anew.

        Bootstrap: as many groups as there are, drawn with replacement, ``repeats`` times. Whole groups, since pixels of
        one sequence are not independent. Scores are binned at quantiles of either class, so that no pixel is sorted
        twice. ValueError for fewer than two groups; NaN, with a warning, where `compute` gives NaN.
        """
        if not self._has_both(self._pixels()[1]):
            return dict.fromkeys(MEASURES, (float("nan"), float("nan")))
        positives, negatives = self._histograms()
        if len(positives) < 2:
            raise ValueError(f"An interval needs at least two groups of pixels to draw from, not {len(positives)}.")
        groups = len(positives)
        draws = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), size=repeats)
        values = _measures_of_histograms(draws @ positives, draws @ negatives)
        tails = ((1 - level) / 2, (1 + level) / 2)
        return {name: tuple(np.nanquantile(value, tails).tolist()) for name, value in values.items()}

    def _pixels(self) -> tuple[np.ndarray, np.ndarray]:
        if not self._scores:
            raise ValueError("There are no pixels yet: call update before asking for a measure.")
        return np.concatenate(self._scores), np.concatenate(self._anomalous)

    def _histograms(self) -> tuple[np.ndarray, np.ndarray]:
        """Pixels of each group in each bin of the score, int64 (groups, bins): the anomalous, the in-distribution."""
        scores, anomalous = self._pixels()
        levels = np.linspace(0, 1, _BINS_PER_CLASS + 1)
        quantiles = [np.quantile(part, levels) for part in (scores[anomalous], scores[~anomalous])]
        edges = np.unique(np.concatenate(quantiles))
        rows = {group: row for row, group in enumerate(dict.fromkeys(self._groups))}
        counts = np.zeros((2, len(rows), len(edges)), dtype=np.int64)
        for score, mask, group in zip(self._scores, self._anomalous, self._groups, strict=True):
            bins = np.searchsorted(edges, score, side="right") - 1
            for side, part in enumerate((bins[mask], bins[~mask])):
                counts[side, rows[group]] += np.bincount(part, minlength=len(edges))
        return counts[0], counts[1]

    @staticmethod
    def _has_both(anomalous: np.ndarray) -> bool:
        missing = "anomalous" if not anomalous.any() else "in-distribution" if anomalous.all() else None
        if missing:
            warnings.warn(f"There is no {missing} pixel, so every measure is NaN.", stacklevel=3)
        return missing is None


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


class MeanIoU:
    """Intersection over union of each class, and its mean over the classes that occur (thesis, section 4.2)."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.confusion = np.zeros((num_classes, num_classes), dtype=np.int64)
        """Pixels counted so far by true class (row) and predicted class (column)."""

    def update(self, prediction: ArrayLike, target: ArrayLike) -> None:
        """Count the pixels of one image or batch: two integer arrays of one shape, classes 0 ... num_classes - 1.

        Pixels whose target is 255 are left out. ValueError if the shapes differ or a value is no class.
        """
        prediction, target = np.asarray(prediction), np.asarray(target)
        if prediction.shape != target.shape:
            raise ValueError(f"The prediction has the shape {prediction.shape}, but the target {target.shape}.")
        valid = target != IGNORE_INDEX
        pixels = {"prediction": prediction[valid].astype(np.int64), "target": target[valid].astype(np.int64)}
        for name, values in pixels.items():
            if values.size and not 0 <= values.min() <= values.max() < self.num_classes:
                raise ValueError(
                    f"The {name} has values from {values.min()} to {values.max()}, but the classes are "
                    f"0 ... {self.num_classes - 1} (and {IGNORE_INDEX} in the target where it is to be ignored)."
                )
        pairs = pixels["target"] * self.num_classes + pixels["prediction"]
        self.confusion += np.bincount(pairs, minlength=self.num_classes**2).reshape(self.confusion.shape)

    def compute(self) -> dict[str, float | np.ndarray]:
        """``miou`` (float) and ``iou`` (num_classes,), NaN for a class neither present nor predicted anywhere."""
        intersection = np.diag(self.confusion).astype(float)
        union = self.confusion.sum(axis=0) + self.confusion.sum(axis=1) - intersection
        iou = np.divide(intersection, union, out=np.full(self.num_classes, np.nan), where=union > 0)
        return {"miou": float(np.nanmean(iou)) if (union > 0).any() else float("nan"), "iou": iou}
