"""Component metrics of SegmentMeIfYouCan (Chan et al. 2021): is each anomaly found, and is each segment right?"""

from collections.abc import Hashable

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from ood_lib.data.labels import IGNORE_INDEX
from ood_lib.metrics.arrays import to_array, two_classes
from ood_lib.metrics.bootstrap import draw_groups, intervals, rows_of

LEVELS = np.linspace(0.25, 0.75, 11)
"""What the sIoU of an anomaly, and the PPV of a segment, must reach to count as right; F1* is the mean over these."""

_NEIGHBOURS = np.ones((3, 3), dtype=bool)  # 8-connected


class SegmentMetrics:
    """Measures of segments, pixels with score >= ``threshold`` that touch each other, against connected anomalies.

    With K the predicted segments that touch an anomaly k and A the pixels of other anomalies in these, the adjusted
    intersection over union is sIoU(k) = |k and K| / |(k or K) without A|; the precision PPV of a segment is its share
    of anomalous pixels. Anomalies of fewer than ``min_target_size`` pixels are ignored, segments of fewer than
    ``min_segment_size`` dropped; the benchmark's numbers are 500 and 100 for RoadAnomaly21, 50 and 10 for
    RoadObstacle21.
    """

    def __init__(self, threshold: float, min_segment_size: int = 1, min_target_size: int = 1) -> None:
        if not np.isfinite(threshold) or min_segment_size < 1 or min_target_size < 1:
            raise ValueError(
                f"threshold={threshold} must be a number, min_segment_size={min_segment_size} and "
                f"min_target_size={min_target_size} whole numbers of pixels from 1."
            )
        self.threshold = threshold
        self.min_segment_size, self.min_target_size = min_segment_size, min_target_size
        self._groups: list[Hashable] = []
        self._sums: list[np.ndarray] = []

    def update(
        self, score: ArrayLike, target: ArrayLike, group: Hashable = None, mask: ArrayLike | None = None
    ) -> None:
        """Take one image: score (H, W), higher is stranger, and target (H, W) with 0, 1 and 255.

        ``mask`` (H, W), bool, is what is predicted in the place of score >= threshold, after meta classification say.
        ``group`` names the sequence. ValueError for other shapes or target values, and for scores that are NaN.
        """
        score, target = to_array(score), to_array(target)
        anomalous, _ = two_classes(score, target)
        if score.ndim != 2:
            raise ValueError(f"Segments are found in one image (H, W), not in an array {score.shape}.")
        if np.isnan(score[target != IGNORE_INDEX]).any():
            raise ValueError(f"Some scores{f' of {group}' if group is not None else ''} are NaN; look at the logits.")
        predicted = score >= self.threshold if mask is None else to_array(mask).astype(bool)
        if predicted.shape != score.shape:
            raise ValueError(f"The mask has the shape {predicted.shape}, but the score {score.shape}.")
        segments = _components(predicted & (target != IGNORE_INDEX), self.min_segment_size)
        anomalies, tiny = _components(anomalous, 1), _components(anomalous, self.min_target_size)
        counts = anomalous <= (tiny > 0)  # a tiny anomaly is ignored from here on
        self._groups.append(object() if group is None else group)
        self._sums.append(_sums(segments[counts], anomalies[counts]))

    def compute(self) -> dict[str, float]:
        """``siou``, the mean over all anomalies, ``ppv``, the mean over all segments, and ``f1``, that is F1*.

        F1* is the mean over the `LEVELS` of 2 TP / (2 TP + FN + FP), where an anomaly whose sIoU reaches the level is
        found (TP), one whose does not is missed (FN), and a segment whose PPV does not is false (FP). NaN for a mean
        over nothing.
        """
        self._require_images()
        return {name: float(value[0]) for name, value in _measures(np.sum(self._sums, axis=0)[None]).items()}

    def counts(self) -> dict[str, int]:
        """Segments, the false ones among them, anomalies, and the missed ones among them (thesis, section 3.3).

        ``false_positives`` are segments without an anomalous pixel, ``false_negatives`` anomalies without a pixel in a
        segment. Called on two objects, one of which was given the masks after meta classification, they tell what
        that removed.
        """
        self._require_images()
        segments, anomalies, false, missed = np.sum(self._sums, axis=0)[[3, 1, 4, 5]].astype(int).tolist()
        return {"segments": segments, "false_positives": false, "anomalies": anomalies, "false_negatives": missed}

    def interval(self, level: float = 0.95, repeats: int = 200, seed: int = 0) -> dict[str, tuple[float, float]]:
        """For each measure of `compute` the (low, high) of its bootstrap over groups, as in `PixelMetrics.interval`."""
        self._require_images()
        rows = rows_of(self._groups)
        by_group = np.zeros((rows.max() + 1, len(self._sums[0])))
        np.add.at(by_group, rows, self._sums)
        return intervals(_measures(draw_groups(len(by_group), repeats, seed) @ by_group), level)

    def _require_images(self) -> None:
        if not self._sums:
            raise ValueError("There are no images yet: call update before asking for a measure.")


def _components(mask: np.ndarray, least: int) -> np.ndarray:
    """Numbers of the 8-connected components of at least so many pixels, int32 (H, W), in raster order; 0 elsewhere."""
    labels, number = ndimage.label(mask, _NEIGHBOURS)
    sizes = np.bincount(labels.ravel(), minlength=number + 1)
    new = np.cumsum(sizes[1:] >= least) * (sizes[1:] >= least)
    return np.append(0, new).astype(np.int32)[labels]


def _sums(segments: np.ndarray, anomalies: np.ndarray) -> np.ndarray:
    """What `_measures` needs of one image: sum of sIoU and number of anomalies, sum of PPV and number of segments,
    false segments, missed anomalies, and for each level the anomalies found and the false segments.
    """
    shape = (segments.max(initial=0) + 1, anomalies.max(initial=0) + 1)
    table = np.bincount(segments.astype(np.int64) * shape[1] + anomalies, minlength=shape[0] * shape[1]).reshape(shape)
    sizes = table[1:].sum(axis=1)
    both = table[1:, 1:][sizes > 0]  # pixels of each segment in each anomaly
    sizes, own = sizes[sizes > 0], table[:, 1:].sum(axis=0)
    both, own = both[:, own > 0], own[own > 0]
    anomalous = both.sum(axis=1)
    touching = both > 0
    found = both.sum(axis=0)
    # The segments that touch an anomaly, without what of them lies on other anomalies.
    around = touching.T @ (sizes - anomalous)
    siou, ppv = found / (own + around), anomalous / sizes
    reached = [(values[:, None] >= LEVELS - 1e-12).sum(axis=0) for values in (siou, ppv)]
    single = [siou.sum(), len(siou), ppv.sum(), len(ppv), (anomalous == 0).sum(), (found == 0).sum()]
    return np.concatenate([single, reached[0], len(ppv) - reached[1]])


def _measures(sums: np.ndarray) -> dict[str, np.ndarray]:
    """The measures of each row of summed `_sums`, (repeats,) each."""
    siou, anomalies, ppv, segments = sums[:, :4].T
    found, false = np.split(sums[:, 6:], 2, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        f1 = 2 * found / (2 * found + (anomalies[:, None] - found) + false)
        return {"siou": siou / anomalies, "ppv": ppv / segments, "f1": f1.mean(axis=1)}
