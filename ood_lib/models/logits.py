"""One question to any network: the class scores of every pixel, at the size of the image."""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

OVERLAP = 1 / 3
"""Of two neighbouring windows: the share of a window that its neighbour sees too."""

_TOO_SMALL = 64
"""Below so many pixels a network's own error is taken for the image's fault."""


def image_logits(model: nn.Module, images: Tensor, window: tuple[int, int] | None = None) -> Tensor:
    """Logits (N, C, H, W) of ``model`` for float images (N, 3, H, W) in [0, 1], at the size of the images.

    ``model`` is any module that maps such images to logits (N, C, h, w), or to what `read_logits` knows; logits of
    another size are interpolated. With ``window`` (height, width) an image that is larger is looked at in overlapping
    windows of that size, for want of memory. Where windows overlap, their logits are averaged, each counting the
    less the nearer the pixel is to its edge. A network that looks at the mean over the image, as that of the thesis
    does, sees only the window's then.

    Raises TypeError for any other result of the model, and ValueError for logits that are not one map of at least two
    classes for each image, and for images that are too small for the network.
    """
    if window is None or (images.shape[2] <= window[0] and images.shape[3] <= window[1]):
        return _whole(model, images)
    height, width = (min(side, most) for side, most in zip(images.shape[2:], window, strict=True))
    weight = torch.outer(_ramp(height), _ramp(width)).to(images.device)
    total = weights = torch.zeros(())
    for top, left in itertools.product(_starts(images.shape[2], height), _starts(images.shape[3], width)):
        place = (..., slice(top, top + height), slice(left, left + width))
        logits = _whole(model, images[place]).float()
        if total.ndim == 0:
            total = logits.new_zeros(*logits.shape[:2], *images.shape[2:])
            weights = logits.new_zeros(images.shape[2:])
        total[place] += logits * weight
        weights[place] += weight
    return total / weights


def read_logits(output: object) -> Tensor:
    """Logits (N, C, h, w) from what a network of torchvision, transformers or plain PyTorch returns.

    That is the tensor itself; a dictionary with ``out``, as of torchvision; an object with ``logits`` (SegFormer); or
    one with ``class_queries_logits`` and ``masks_queries_logits`` (Mask2Former): Q masks with a class distribution
    each, one more class being "none". There the score of class c at a pixel is the sum of P(c | q) P(pixel | q) over
    all q (Cheng et al. 2022), and its logits are the logarithms, so that their softmax are the scores normalised.
    Raises TypeError for anything else.
    """
    if isinstance(output, Tensor):
        return output
    if isinstance(output, dict) and isinstance(output.get("out"), Tensor):
        return output["out"]
    if isinstance(getattr(output, "logits", None), Tensor):
        return output.logits
    if hasattr(output, "masks_queries_logits"):
        classes = output.class_queries_logits.softmax(dim=-1)[..., :-1]
        scores = torch.einsum("nqc,nqhw->nchw", classes, output.masks_queries_logits.sigmoid())
        return scores.clamp(min=torch.finfo(scores.dtype).tiny).log()
    holds = f" with {', '.join(map(str, output))}" if isinstance(output, dict) else ""
    raise TypeError(
        f"The network returned {type(output).__name__}{holds}, not logits (N, C, H, W). "
        "Wrap it in a module whose forward returns that one tensor."
    )


def _whole(model: nn.Module, images: Tensor) -> Tensor:
    try:
        logits = read_logits(model(images))
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or min(images.shape[2:]) >= _TOO_SMALL:
            raise
        raise ValueError(
            f"The network cannot take images of {images.shape[3]} x {images.shape[2]} pixels ({error}). "
            "Give larger ones, or larger windows."
        ) from error
    if logits.ndim != 4 or len(logits) != len(images) or logits.shape[1] < 2:
        raise ValueError(
            f"For images {tuple(images.shape)} the network returned a tensor {tuple(logits.shape)}, not logits "
            "(N, C, H, W) with at least two classes C. Wrap it in a module whose forward returns these."
        )
    if logits.shape[2:] == images.shape[2:]:
        return logits
    return F.interpolate(logits, images.shape[2:], mode="bilinear", align_corners=False)


def _starts(length: int, window: int) -> list[int]:
    """First pixels of the fewest windows that cover ``length`` and overlap by at least `OVERLAP`, evenly spread."""
    step = max(1, int(window * (1 - OVERLAP)))
    count = 1 + -(-(length - window) // step)
    return [round(i * (length - window) / max(count - 1, 1)) for i in range(count)]


def _ramp(length: int) -> Tensor:
    """Weights float (length,) that rise from the edges to 1 over half of what neighbours share."""
    distance = torch.arange(1, length + 1).minimum(torch.arange(length, 0, -1))
    return (distance / max(1, length * OVERLAP / 2)).clamp(max=1)
