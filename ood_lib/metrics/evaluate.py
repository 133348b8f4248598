"""A network's measures on a whole data set."""

from collections.abc import Mapping

from torch import nn

from ood_lib.data.sample import SegmentationDataset
from ood_lib.inference import Score, predict
from ood_lib.metrics import MeanIoU, PixelMetrics
from ood_lib.scores import entropy


def evaluate_anomalies(model: nn.Module, dataset: SegmentationDataset, *,
                       score: Score | Mapping[str, Score] = entropy, batch_size: int = 4,
                       mixed_precision: bool = True, progress: bool = True,
                       ) -> PixelMetrics | dict[str, PixelMetrics]:
    """Measures of scores, by name if these are; ValueError if the labels are not public."""
    _require_labels(dataset)
    by_name = score if isinstance(score, Mapping) else {"alone": score}
    metrics = {name: PixelMetrics() for name in by_name}
    for result in predict(model, dataset, score=by_name, batch_size=batch_size,
                          mixed_precision=mixed_precision, progress=progress):
        for name, own in metrics.items():
            own.update(result.score[name], result.target, group=result.sequence)
    return metrics if by_name is score else metrics["alone"]


def evaluate_segmentation(model: nn.Module, dataset: SegmentationDataset, num_classes: int = 19, *,
                          batch_size: int = 4, progress: bool = True) -> MeanIoU:
    """IoU of the predicted classes on a data set with train ids as targets; ValueError as above."""
    _require_labels(dataset)
    metrics = MeanIoU(num_classes)
    for result in predict(model, dataset, batch_size=batch_size, progress=progress):
        metrics.update(result.prediction, result.target, group=result.sequence)
    return metrics


def _require_labels(dataset: SegmentationDataset) -> None:
    if not getattr(dataset, "labelled", True):  # a Subset, say, does not know
        hint = "so nothing can be measured: take the split val, or predict for score maps alone"
        raise ValueError(f"The labels of {dataset.frames[0].image.parent} are not public, {hint}.")
