"""The objective of entropy maximization (Chan et al. 2021; thesis, section 3.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ood_lib.data.labels import IGNORE_INDEX, OOD_INDEX
from ood_lib.models.logits import at_least_float32


def entropy_maximization_loss(logits: Tensor, target: Tensor, lambda_: float = 0.9,
                              ood_index: int = OOD_INDEX, ignore_index: int = IGNORE_INDEX,
                              ood_share: float | None = None) -> Tensor:
    """Equations 3.3-3.5 for a batch that mixes street scenes and proxy images; a scalar.

    ``logits`` are (N, C, H, W), ``target`` is an integer (N, H, W). A pixel of class c < C adds
    (1 - lambda) (-log p_c), a pixel with ``ood_index`` adds lambda times the mean of -log p over
    all classes, which is least where the entropy is greatest (equation 3.6), and a pixel with
    ``ignore_index`` adds nothing. The sum is divided by all H W pixels and averaged over the
    images. ValueError for any other target, shapes that differ, and shares outside [0, 1].

    So an image weighs the more the more of its pixels are out-of-distribution, unless ``ood_share``
    is given: then their sum is scaled as though just this share of its pixels were.
    """
    for name, share in (("lambda_", lambda_), ("ood_share", ood_share)):
        if share is not None and not 0 <= share <= 1:
            raise ValueError(f"{name}={share} must be from 0 to 1.")
    target = target.long()  # (N, H, W)
    is_ood = _is_out_of_distribution(logits, target, ood_index, ignore_index)
    # A mean over all pixels needs more digits than half precision has.
    log_p = F.log_softmax(at_least_float32(logits), dim=1)  # (N, C, H, W)

    known = target.masked_fill(is_ood, ignore_index)
    in_loss = F.nll_loss(log_p, known, ignore_index=ignore_index, reduction="none")  # (N, H, W)
    out_loss = -log_p.mean(dim=1).masked_fill(~is_ood, 0)  # (N, H, W)
    if ood_share is not None:
        found = is_ood.to(log_p.dtype).mean(dim=(1, 2), keepdim=True)  # (N, 1, 1)
        out_loss = out_loss * torch.where(found > 0, ood_share / found, 0)
    return ((1 - lambda_) * in_loss + lambda_ * out_loss).mean()


def _is_out_of_distribution(logits: Tensor, target: Tensor, ood_index: int,
                            ignore_index: int) -> Tensor:
    """Which pixels are, bool (N, H, W), in a target that has been found valid."""
    if target.shape != (logits.shape[0], *logits.shape[2:]):
        shapes = f"{tuple(logits.shape)} need a target (N, H, W), not {tuple(target.shape)}"
        raise ValueError(f"The logits {shapes}.")
    is_class = (target >= 0) & (target < logits.shape[1])
    is_ood = target == ood_index
    is_known = is_class | is_ood | (target == ignore_index)
    if not is_known.all():
        raise ValueError(
            f"The target holds {target[~is_known].unique().tolist()}; a pixel must be a class from "
            f"0 to {logits.shape[1] - 1}, {ood_index} (strange) or {ignore_index} (ignored).")
    return is_ood
