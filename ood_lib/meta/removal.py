"""The last step: what the meta classifier takes for false positives goes."""

import numpy as np
from numpy.typing import ArrayLike

from ood_lib.metrics.arrays import to_array


def remove_false_positives(labels: ArrayLike, probability: ArrayLike, cutoff: float = 0.5) -> np.ndarray:
    """The final prediction of section 3.3, bool (H, W): the pixels of all segments with p^FP < ``cutoff``.

    ``labels`` (H, W), whole numbers, are those of `ood_lib.segments.segment_metrics`: 1 ... n, and 0 outside of
    segments. ``probability`` (n,) is p^FP of the segments 1 ... n; a segment with p^FP >= ``cutoff`` is removed.
    ValueError if the numbers of segments differ, and for p^FP or a cutoff that are not from 0 to 1.
    """
    labels, probability = to_array(labels), to_array(probability).astype(np.float64)
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer) or labels.min(initial=0) < 0:
        raise ValueError(f"Expected labels (H, W) of whole numbers from 0, not {labels.dtype} {labels.shape}.")
    segments = labels.max(initial=0)
    if probability.shape != (segments,):
        raise ValueError(
            f"The labels go up to {segments}, but the probabilities have the shape {probability.shape}. "
            "Give one for each segment of this image, column 1 of predict_proba."
        )
    wrong = ~((probability >= 0) & (probability <= 1))
    if wrong.any():
        segment = int(np.argmax(wrong))
        raise ValueError(f"p^FP of segment {segment + 1} is {probability[segment]}; it must be from 0 to 1.")
    if not 0 <= cutoff <= 1:
        raise ValueError(f"cutoff={cutoff} must be from 0 to 1, as p^FP is.")
    return np.append(False, probability < cutoff)[labels]
