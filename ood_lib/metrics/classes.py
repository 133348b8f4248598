"""Mean intersection over union of the known classes."""

from collections.abc import Hashable

import numpy as np
from numpy.typing import ArrayLike

from ood_lib.data.arrays import to_array
from ood_lib.data.labels import IGNORE_INDEX
from ood_lib.metrics import curves


class MeanIoU:
    """Intersection over union of each class, and its mean over those that occur (thesis, 4.2)."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self._groups: list[Hashable] = []
        self._confusions: list[np.ndarray] = []

    @property
    def confusion(self) -> np.ndarray:
        """Pixels by true class (row) and predicted class (column), int64."""
        return sum(self._confusions, np.zeros((self.num_classes,) * 2, dtype=np.int64))

    def update(self, prediction: ArrayLike, target: ArrayLike, group: Hashable = None) -> None:
        """Count pixels of classes from 0, of ``group``; 255 is ignored. ValueError for others."""
        prediction, target = to_array(prediction), to_array(target)
        if prediction.shape != target.shape:
            raise ValueError(f"The prediction is {prediction.shape}, the target {target.shape}.")
        valid = target != IGNORE_INDEX
        predicted, true = prediction[valid].astype(np.int64), target[valid].astype(np.int64)
        for name, values in (("prediction", predicted), ("target", true)):
            if values.size and not 0 <= values.min() <= values.max() < self.num_classes:
                found, last = f"values from {values.min()} to {values.max()}", self.num_classes - 1
                raise ValueError(f"The {name} has {found}, but the classes are 0 ... {last}.")
        counts = np.bincount(true * self.num_classes + predicted, minlength=self.num_classes**2)
        self._confusions.append(counts.reshape(self.num_classes, self.num_classes))
        self._groups.append(object() if group is None else group)

    def compute(self) -> dict[str, float | np.ndarray]:
        """``miou`` and ``iou`` (num_classes,), NaN for a class that is nowhere nor predicted."""
        miou, iou = _mean_and_iou(self.confusion)
        return {"miou": float(miou), "iou": iou}

    def interval(self, level: float = 0.95, repeats: int = 200, seed: int = 0) -> curves.Bounds:
        """The (low, high) of the ``miou``, as in `PixelMetrics.interval`."""
        draws = curves.draw_entries(self._groups, repeats, seed)  # (repeats, images)
        drawn = np.tensordot(draws, np.array(self._confusions, dtype=float), axes=1)
        return curves.intervals({"miou": _mean_and_iou(drawn)[0]}, level)


def _mean_and_iou(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of confusion matrices (..., classes, classes) the mean IoU (...), the IoU (..., classes)."""
    intersection = np.diagonal(confusion, axis1=-2, axis2=-1).astype(float)
    union = confusion.sum(axis=-1) + confusion.sum(axis=-2) - intersection
    with np.errstate(invalid="ignore"):
        iou = intersection / union  # NaN where a class is nowhere nor predicted
        return np.nansum(iou, axis=-1) / (union > 0).sum(axis=-1), iou
