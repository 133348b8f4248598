"""What every anomaly score asks of the logits."""

import torch
from torch import Tensor


def check_logits(logits: Tensor) -> None:
    """ValueError unless the logits have the shape (N, C, H, W) with C >= 2 and are finite."""
    if logits.ndim != 4 or logits.shape[1] < 2:
        raise ValueError(
            f"Logits must have the shape (N, C, H, W) with at least two classes C, not {tuple(logits.shape)}."
        )
    finite = torch.isfinite(logits)
    if not finite.all():
        bad = (~finite).nonzero()
        image, channel, row, column = bad[0].tolist()
        value = logits[image, channel, row, column]
        raise ValueError(
            f"{len(bad)} of {logits.numel()} logits are NaN or infinite; the first is {value}, for image {image} of "
            f"the batch, class {channel}, row {row}, column {column}. "
            "Check the images for NaN, and the weights: training may have diverged (lower the learning rate)."
        )
