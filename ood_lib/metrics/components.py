"""Component metrics of SegmentMeIfYouCan (Chan et al. 2021): anomalies found, segments right."""

from collections.abc import Hashable

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from ood_lib.data.arrays import to_array, two_classes
from ood_lib.metrics import curves

LEVELS = np.linspace(0.25, 0.75, 11)  #: what the sIoU, or PPV, of what is right must reach


class SegmentMetrics:
    """Measures of segments, pixels with score >= ``threshold`` that touch, against anomalies.

    With K the predicted segments that touch an anomaly k and A the pixels of other anomalies in
    these, the adjusted intersection over union is sIoU(k) = |k and K| / |(k or K) without A|; the
    precision PPV of a segment is its share of anomalous pixels. Anomalies of fewer than
    ``min_target_size`` pixels are ignored, segments of fewer than ``min_segment_size`` dropped: the
    benchmark has 500 and 100 for RoadAnomaly21, 50 and 10 for RoadObstacle21.
    """

    def __init__(self, threshold: float, min_segment_size: int = 1,
                 min_target_size: int = 1) -> None:
        if not np.isfinite(threshold) or min_segment_size < 1 or min_target_size < 1:
            sizes = f"{min_segment_size} and {min_target_size} whole numbers of pixels from 1"
            raise ValueError(f"The threshold {threshold} must be a number, the sizes {sizes}.")
        self.threshold = threshold
        self.min_segment_size, self.min_target_size = min_segment_size, min_target_size
        self._groups: list[Hashable] = []
        self._images: list[dict[str, np.ndarray]] = []

    def update(self, score: ArrayLike, target: ArrayLike, group: Hashable = None,
               mask: ArrayLike | None = None) -> None:
        """Take one image as `PixelMetrics.update` does: score and target (H, W), or ValueError.

        ``mask`` (H, W), bool, takes the place of score >= threshold.
        """
        score, target = to_array(score), to_array(target)
        anomalous, in_distribution = two_classes(score, target)
        if score.ndim != 2:
            raise ValueError(f"Expected one image (H, W), not an array {score.shape}.")
        valid = anomalous | in_distribution
        if np.isnan(score[valid]).any():
            raise ValueError(f"Some scores are NaN (group={group}); look at the logits.")
        predicted = score >= self.threshold if mask is None else to_array(mask).astype(bool)
        if predicted.shape != score.shape:
            raise ValueError(f"The mask is {predicted.shape}, but the score {score.shape}.")
        segments = _components(predicted & valid, self.min_segment_size)
        anomalies = _components(anomalous, self.min_target_size)
        counts = anomalous == (anomalies > 0)  # pixels of tiny anomalies are ignored from here on
        self._images.append(_sums(segments[counts], anomalies[counts]))
        self._groups.append(object() if group is None else group)

    def compute(self) -> dict[str, float]:
        """``siou``, the mean over all anomalies, ``ppv``, over all segments, and ``f1``, F1*.

        F1* is the mean over the `LEVELS` of 2 TP / (2 TP + FN + FP): anomalies whose sIoU reaches
        the level (TP) or not (FN), segments whose PPV does not (FP). NaN for a mean over nothing.
        """
        totals = {name: sum(column) for name, column in self._columns().items()}
        return {name: float(value) for name, value in _measures(totals).items()}

    def counts(self) -> dict[str, int]:
        """Segments, those without an anomalous pixel, anomalies, and those in no segment."""
        names = ("segments", "false_positives", "anomalies", "false_negatives")
        return {name: int(self._columns()[name].sum()) for name in names}

    def interval(self, level: float = 0.95, repeats: int = 200, seed: int = 0) -> curves.Bounds:
        """The (low, high) of each measure, as in `PixelMetrics.interval`."""
        columns = self._columns()
        draws = curves.draw_entries(self._groups, repeats, seed)  # (repeats, images)
        drawn = {name: np.tensordot(draws, column, axes=1) for name, column in columns.items()}
        return curves.intervals(_measures(drawn), level)

    def _columns(self) -> dict[str, np.ndarray]:
        """What is summed over images, by name, (images, ...)."""
        if not self._images:
            raise ValueError("There are no images yet: call update before asking for a measure.")
        return {name: np.array([sums[name] for sums in self._images]) for name in self._images[0]}


def _components(mask: np.ndarray, least: int) -> np.ndarray:
    """The 8-connected components of at least so many pixels, numbered from 1, (H, W)."""
    labels, number = ndimage.label(mask, np.ones((3, 3)))
    large = np.bincount(labels.ravel(), minlength=number + 1)[1:] >= least
    return np.append(0, np.cumsum(large) * large)[labels]


def _sums(segments: np.ndarray, anomalies: np.ndarray) -> dict[str, np.ndarray]:
    """What is summed over images, from the segment and the anomaly (n,) of each pixel."""
    shape = segments.max(initial=0) + 1, anomalies.max(initial=0) + 1
    place = np.ravel_multi_index((segments, anomalies), shape)
    pixels = np.bincount(place, minlength=shape[0] * shape[1]).reshape(shape)
    # Row 0 is no segment, column 0 no anomaly; some segments had only pixels that are ignored.
    of_segments = pixels[1:][pixels[1:].any(axis=1)]
    both = of_segments[:, 1:]  # (segments, anomalies)
    # The segments that touch an anomaly, without what of them lies on any.
    beside = (both > 0).T @ of_segments[:, 0]
    siou = both.sum(axis=0) / (pixels[:, 1:].sum(axis=0) + beside)
    ppv = both.sum(axis=1) / of_segments.sum(axis=1)
    return {
        "anomalies": siou.size, "siou": siou.sum(), "false_negatives": (siou == 0).sum(),
        "found": (siou[:, None] >= LEVELS - 1e-12).sum(axis=0),  # (levels,), but for rounding
        "segments": ppv.size, "ppv": ppv.sum(), "false_positives": (ppv == 0).sum(),
        "false": (ppv[:, None] < LEVELS - 1e-12).sum(axis=0),
    }


def _measures(sums: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The measures (...) of sums (...), of which some are by level (..., levels)."""
    found, missed = sums["found"], sums["anomalies"][..., None] - sums["found"]
    with np.errstate(divide="ignore", invalid="ignore"):
        f1 = 2 * found / (2 * found + missed + sums["false"])
        siou, ppv = sums["siou"] / sums["anomalies"], sums["ppv"] / sums["segments"]
    return {"siou": siou, "ppv": ppv, "f1": f1.mean(axis=-1)}
