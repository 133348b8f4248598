"""Measures of a segmentation against its ground truth, pooled over a data set, with intervals."""

from ood_lib.metrics.classes import MeanIoU
from ood_lib.metrics.classifiers import classifier_measures, compare_classifiers
from ood_lib.metrics.components import SegmentMetrics
from ood_lib.metrics.curves import MEASURES, is_decided
from ood_lib.metrics.pixels import PixelMetrics, paired_differences

__all__ = [
    "MEASURES", "MeanIoU", "PixelMetrics", "SegmentMetrics", "classifier_measures",
    "compare_classifiers", "is_decided", "paired_differences",
]
