"""Measures of a segmentation against its ground truth, pooled over a data set, and how sure one may be of them."""

from ood_lib.metrics.classes import MeanIoU
from ood_lib.metrics.classifiers import classifier_measures, compare_classifiers
from ood_lib.metrics.pixels import MEASURES, PixelMetrics
from ood_lib.metrics.segments import SegmentMetrics

__all__ = ["MEASURES", "MeanIoU", "PixelMetrics", "SegmentMetrics", "classifier_measures", "compare_classifiers"]
