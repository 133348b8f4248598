"""Scores and targets as arrays."""

from typing import Any

import numpy as np
import torch

from ood_lib.data.labels import IGNORE_INDEX


def to_array(values: Any) -> np.ndarray:
    """An array of a tensor, also of a GPU's, or of anything NumPy takes."""
    if not isinstance(values, torch.Tensor):
        return np.asarray(values)
    values = values.detach().cpu()
    if values.dtype == torch.bfloat16:  # which NumPy does not have
        values = values.float()
    return values.numpy()


def two_classes(score: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the target is 1 (anomaly) and where 0 (in-distribution), bool each.

    ValueError if the shapes differ or the target holds anything but these and 255 (ignored).
    """
    if score.shape != target.shape:
        raise ValueError(f"The score has the shape {score.shape}, but the target {target.shape}.")
    anomalous, in_distribution = target == 1, target == 0
    unknown = ~(anomalous | in_distribution | (target == IGNORE_INDEX))
    if unknown.any():
        found = np.unique(target[unknown]).tolist()
        expected = f"0 (in-distribution), 1 (anomaly), {IGNORE_INDEX}"
        raise ValueError(f"The target holds {found}; expected {expected}.")
    return anomalous, in_distribution
