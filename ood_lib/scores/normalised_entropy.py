"""The thesis's anomaly score (section 3.2)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ood_lib.scores.checks import check_logits


def entropy(logits: Tensor) -> Tensor:
    """Normalised entropy of the predicted class distribution of every pixel (thesis, equations 3.1 and 3.7).

    Takes logits (N, C, H, W) and gives the score map a (N, H, W), float32 in [0, 1]: 0 where one class is certain, 1
    where all are equally likely. Exact also where a probability underflows to zero, since 0 log 0 = 0.
    Raises ValueError for another shape, fewer than two classes, and logits that are NaN or infinite.
    """
    check_logits(logits)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    # The clamp only makes the logarithm of zero finite, so that zero times it is zero, in the gradient too.
    log_p = F.log_softmax(logits, dim=1).clamp(min=torch.finfo(logits.dtype).min)
    nats = -(log_p.exp() * log_p).sum(dim=1)
    return (nats / math.log(logits.shape[1])).abs().clamp(max=1).float()  # abs: no -0.0 where a class is certain
