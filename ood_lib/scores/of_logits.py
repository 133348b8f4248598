"""Scores that need nothing but the logits of one forward pass."""

import torch
from torch import Tensor

from ood_lib.scores.checks import check_logits


def max_softmax(logits: Tensor) -> Tensor:
    """One minus the largest class probability of every pixel, 1 - max_c p_c (Hendrycks and Gimpel 2017).

    Takes logits (N, C, H, W) and gives the score map (N, H, W), float32 in [0, 1 - 1/C]: 0 where one class is certain.
    Cost: one forward pass, no memory. Raises ValueError for logits that `check_logits` refuses.
    """
    probabilities = _single(logits).softmax(dim=1)
    # The sum of all others, since 1 - p_max would round to 0 from p_max = 1 - 6e-8 on.
    best = probabilities.argmax(dim=1, keepdim=True)
    return probabilities.scatter(1, best, 0).sum(dim=1)


def margin(logits: Tensor) -> Tensor:
    """One minus the distance of the two largest class probabilities, 1 - p_(1) + p_(2) (Rottmann et al. 2020, eq. 2).

    Takes logits (N, C, H, W) and gives the score map (N, H, W), float32 in [0, 1]: 1 where two classes are tied at the
    top, however unlikely both. Cost: one forward pass, no memory. ValueError for logits that `check_logits` refuses.
    """
    second = _single(logits).softmax(dim=1).topk(2, dim=1).values[:, 1]
    return (max_softmax(logits) + second).clamp(max=1)


def max_logit(logits: Tensor) -> Tensor:
    """The negative of the largest logit, -max_c y_c (Hendrycks et al. 2022).

    Takes logits (N, C, H, W) and gives the score map (N, H, W), float32 of any range: unlike the softmax it knows
    whether all logits are small. Cost: one forward pass, no memory. ValueError for logits that `check_logits` refuses.
    """
    return -_single(logits).amax(dim=1)


def energy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """The free energy of every pixel, -T log sum_c exp(y_c / T) (Liu et al. 2020, equation 4).

    Takes logits (N, C, H, W) and gives the score map (N, H, W), float32 of any range, at most that of `max_logit` and
    at least T log C below it; it tends to `max_logit` for ``temperature`` T to 0. Cost: one forward pass, no memory.
    ValueError for logits that `check_logits` refuses, and for a temperature that is not above 0.
    """
    require_above_0("temperature", temperature)
    return -temperature * (_single(logits) / temperature).logsumexp(dim=1)


def require_above_0(name: str, value: float) -> None:
    """ValueError unless the number of that name is finite and above 0."""
    if not 0 < value < float("inf"):
        raise ValueError(f"{name}={value} must be a number above 0.")


def _single(logits: Tensor) -> Tensor:
    check_logits(logits)
    return logits.to(torch.float32)
