"""Segments of unusual pixels, and the metrics of each (thesis, section 3.3)."""

from ood_lib.segments.metrics import find_segments, metric_names, segment_metrics
from ood_lib.segments.table import segment_table

__all__ = ["find_segments", "metric_names", "segment_metrics", "segment_table"]
