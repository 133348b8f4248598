"""Mean intersection over union of the known classes."""

from collections.abc import Hashable

import numpy as np
from numpy.typing import ArrayLike

from ood_lib.data.labels import IGNORE_INDEX
from ood_lib.metrics.arrays import to_array
from ood_lib.metrics.bootstrap import draw_groups, intervals, rows_of


class MeanIoU:
    """Intersection over union of each class, and its mean over the classes that occur (thesis, section 4.2)."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self._groups: list[Hashable] = []
        self._confusions: list[np.ndarray] = []

    @property
    def confusion(self) -> np.ndarray:
        """Pixels counted so far by true class (row) and predicted class (column), int64 (num_classes, num_classes)."""
        return np.sum([np.zeros((self.num_classes,) * 2, dtype=np.int64), *self._confusions], axis=0)

    def update(self, prediction: ArrayLike, target: ArrayLike, group: Hashable = None) -> None:
        """Count the pixels of one image or batch: two integer arrays of one shape, classes 0 ... num_classes - 1.

        Pixels whose target is 255 are left out; ``group`` names the sequence. ValueError if the shapes differ or a
        value is no class.
        """
        prediction, target = to_array(prediction), to_array(target)
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
        counts = np.bincount(pairs, minlength=self.num_classes**2)
        self._confusions.append(counts.reshape(self.num_classes, self.num_classes))
        self._groups.append(object() if group is None else group)

    def compute(self) -> dict[str, float | np.ndarray]:
        """``miou`` (float) and ``iou`` (num_classes,), NaN for a class neither present nor predicted anywhere."""
        iou = _iou(self.confusion)
        return {"miou": float(_mean(iou)), "iou": iou}

    def interval(self, level: float = 0.95, repeats: int = 200, seed: int = 0) -> dict[str, tuple[float, float]]:
        """The (low, high) of the ``miou`` in its bootstrap over groups, as in `PixelMetrics.interval`."""
        rows = rows_of(self._groups)
        draws = draw_groups(rows.max(initial=-1) + 1, repeats, seed)
        by_group = np.zeros((draws.shape[1], self.num_classes, self.num_classes), dtype=np.int64)
        np.add.at(by_group, rows, self._confusions)
        return intervals({"miou": _mean(_iou(np.tensordot(draws, by_group, axes=1)))}, level)


def _iou(confusion: np.ndarray) -> np.ndarray:
    """Confusion matrices (..., classes, classes) to (..., classes)."""
    intersection = np.diagonal(confusion, axis1=-2, axis2=-1).astype(float)
    union = confusion.sum(axis=-1) + confusion.sum(axis=-2) - intersection
    return np.divide(intersection, union, out=np.full(union.shape, np.nan), where=union > 0)


def _mean(iou: np.ndarray) -> np.ndarray:
    """Over the classes that occur, NaN where none does; (..., classes) to (...)."""
    occurs = ~np.isnan(iou)
    with np.errstate(invalid="ignore"):
        return np.where(occurs, iou, 0).sum(axis=-1) / occurs.sum(axis=-1)
