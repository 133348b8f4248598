"""Whether one score is better than another on the same pixels."""

import numpy as np

from ood_lib.metrics.bootstrap import draw_groups, intervals, rows_of
from ood_lib.metrics.pixels import MEASURES, PixelMetrics, _measures_of_histograms


def paired_differences(
    first: PixelMetrics, second: PixelMetrics, level: float = 0.95, repeats: int = 200, seed: int = 0
) -> dict[str, tuple[float, float, float]]:
    """For each measure that of ``first`` less that of ``second``, and the (low, high) of the difference.

    Both have taken the same images in the same order. The same groups are drawn for both, with replacement, so that
    what makes a sequence hard for both cancels out; otherwise as `PixelMetrics.interval`. ValueError if their groups
    differ.
    """
    groups = [[frame.group for frame in metrics._frames] for metrics in (first, second)]
    if groups[0] != groups[1]:
        raise ValueError("The two have not taken the same groups in the same order, so they are no pairs.")
    draws = draw_groups(int(rows_of(groups[0]).max()) + 1, repeats, seed)
    drawn = []
    for metrics in (first, second):
        positives, negatives = metrics._histograms()
        drawn.append(_measures_of_histograms(draws @ positives, draws @ negatives))
    values = [metrics.compute() for metrics in (first, second)]
    bounds = intervals({name: drawn[0][name] - drawn[1][name] for name in MEASURES}, level)
    return {name: (values[0][name] - values[1][name], *bounds[name]) for name in MEASURES}


def is_decided(low: float, high: float) -> bool:
    """Whether an interval of a difference leaves out 0."""
    return bool(np.sign(low) * np.sign(high) > 0)
