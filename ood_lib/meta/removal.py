"""The last step: what the meta classifier takes for false positives goes."""

from typing import Any

import numpy as np

from ood_lib.data.arrays import to_array


def remove_false_positives(labels: Any, probability: Any, cutoff: float = 0.5) -> np.ndarray:
    """The final prediction of section 3.3, bool (H, W): pixels of segments with p^FP < ``cutoff``.

    ``labels`` (H, W) are those of `ood_lib.segments.segment_metrics`: 1 ... n, and 0 outside of
    segments. ``probability`` (n,) is p^FP of the segments 1 ... n.
    ValueError if the numbers of segments differ, and for p^FP or a cutoff that are not from 0 to 1.
    """
    labels, probability = to_array(labels), to_array(probability).astype(np.float64)
    if labels.ndim != 2 or labels.dtype.kind not in "iu" or labels.min(initial=0) < 0:
        raise ValueError(
            f"Expected labels (H, W) of whole numbers from 0, not {labels.dtype} {labels.shape}.")
    if probability.shape != (labels.max(initial=0),):
        raise ValueError(f"The labels go up to {labels.max(initial=0)}, but p^FP, column 1 of "
                         f"predict_proba for these segments, has the shape {probability.shape}.")
    wrong = [value for value in (cutoff, *probability) if not 0 <= value <= 1]  # NaN too
    if wrong:
        raise ValueError(f"The cutoff and p^FP must be from 0 to 1, not {wrong[0]}.")
    return np.append(False, probability < cutoff)[labels]  # (H, W): 0 is outside, k is segment k
