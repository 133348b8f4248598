"""A network's measures on a whole data set."""

from collections.abc import Callable

import numpy as np
from torch import Tensor, nn

from ood_lib.data.sample import SegmentationDataset
from ood_lib.inference import predict
from ood_lib.metrics import MeanIoU, PixelMetrics
from ood_lib.scores import entropy


def evaluate_anomalies(
    model: nn.Module,
    dataset: SegmentationDataset,
    *,
    score: Callable[[Tensor], Tensor] = entropy,
    batch_size: int = 4,
    progress: bool = True,
) -> PixelMetrics:
    """Measures of the anomaly score on a data set with targets 0, 1 and 255, its pixels grouped by sequence.

    Raises ValueError for a data set with frames whose labels are not public.
    """
    _require_labels(dataset)
    metrics = PixelMetrics()
    for result in predict(model, dataset, score=score, batch_size=batch_size, progress=progress):
        metrics.update(result.score, result.target, group=result.sequence)
    return metrics


def evaluate_segmentation(
    model: nn.Module,
    dataset: SegmentationDataset,
    num_classes: int = 19,
    *,
    batch_size: int = 4,
    progress: bool = True,
) -> dict[str, float | np.ndarray]:
    """``miou`` and ``iou`` (num_classes,) of the predicted classes on a data set with train ids as targets."""
    _require_labels(dataset)
    metrics = MeanIoU(num_classes)
    for result in predict(model, dataset, batch_size=batch_size, progress=progress):
        metrics.update(result.prediction, result.target)
    return metrics.compute()


def _require_labels(dataset: SegmentationDataset) -> None:
    if not getattr(dataset, "labelled", True):  # a Subset, say, does not know
        raise ValueError(
            f"The labels of {dataset.frames[0].image.parent} are not public, so nothing can be measured there. "
            "Take the split val, or ood_lib.inference.predict for the score maps alone."
        )
