"""Scores that need nothing but the logits of one forward pass, and no memory.

Functions take logits (N, C, H, W) and give maps (N, H, W) in their type, half precision in float32.
All raise ValueError for what `check_logits` refuses. A class whose logit is -inf is switched off:
its probability is 0, and scores are what the others make of the pixel; C still counts it.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ood_lib.models.logits import at_least_float32


def entropy(logits: Tensor) -> Tensor:
    """Normalised entropy of the class distribution of every pixel (thesis, equations 3.1 and 3.7).

    In [0, 1]: 0 where one class is certain, 1 where all are equally likely. Exact also where a
    probability underflows to zero, since 0 log 0 = 0.
    """
    logits = check_logits(logits)  # (N, C, H, W)
    log_p = F.log_softmax(logits, dim=1)
    # The logarithm of zero must be finite for zero times it to be zero, in the gradient too.
    log_p = log_p.clamp(min=torch.finfo(logits.dtype).min)
    score = -(log_p.exp() * log_p).sum(dim=1) / math.log(logits.shape[1])  # (N, H, W)
    return score.abs().clamp(max=1)  # abs: no -0.0 where a class is certain


def max_softmax(logits: Tensor) -> Tensor:
    """1 - max_c p_c, in [0, 1 - 1/C]: 0 where one class is certain (Hendrycks and Gimpel 2017)."""
    probabilities = check_logits(logits).softmax(dim=1)  # (N, C, H, W)
    # The sum of all others, since 1 - p_max would round to 0 from p_max = 1 - 6e-8 on.
    best = probabilities.argmax(dim=1, keepdim=True)  # (N, 1, H, W)
    return probabilities.scatter(1, best, 0).sum(dim=1)


def margin(logits: Tensor) -> Tensor:
    """One minus the distance of the two largest probabilities (Rottmann et al. 2020, equation 2).

    1 - p_(1) + p_(2), in [0, 1]: 1 where two classes are tied at the top, however unlikely both.
    """
    second = check_logits(logits).softmax(dim=1).topk(2, dim=1).values[:, 1]  # (N, H, W)
    return (max_softmax(logits) + second).clamp(max=1)


def max_logit(logits: Tensor) -> Tensor:
    """-max_c y_c, of any range: it knows whether all logits are small (Hendrycks et al. 2022)."""
    return -check_logits(logits).amax(dim=1)


def energy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """The free energy of every pixel, -T log sum_c exp(y_c / T) (Liu et al. 2020, equation 4).

    Of any range, at most `max_logit` and at least T log C below it, to which it tends for
    ``temperature`` T to 0. ValueError for a temperature that is not above 0.
    """
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature={temperature} must be a number above 0.")
    return -temperature * (check_logits(logits) / temperature).logsumexp(dim=1)


def check_logits(logits: Tensor) -> Tensor:
    """The logits, in float32 if they come in half precision.

    ValueError unless they have the shape (N, C, H, W) with C >= 2 and are finite, but for -inf,
    which switches a class off: not all classes of a pixel.
    """
    if logits.ndim != 4 or logits.shape[1] < 2:
        raise ValueError("Logits must have the shape (N, C, H, W) with at least two classes C, "
                         f"not {tuple(logits.shape)}.")
    largest = logits.detach().amax(dim=1, keepdim=True)  # (N, 1, H, W): NaN where any logit is
    if not largest.isfinite().all():
        bad = (~(logits < math.inf) | (largest == -math.inf)).nonzero()  # (bad, 4)
        image, channel, row, column = bad[0].tolist()
        raise ValueError(
            f"{len(bad)} of {logits.numel()} logits are NaN or infinite; the first is "
            f"{logits[image, channel, row, column]}, for image {image} of the batch, class "
            f"{channel}, row {row}, column {column}. Look for NaN in images and weights: training "
            "may have diverged. Only -inf may be, for some classes that are switched off.")
    return at_least_float32(logits)
