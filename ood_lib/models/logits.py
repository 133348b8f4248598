"""One question to any network: the class scores of every pixel, at the size of the image."""

import itertools
import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

OVERLAP = 1 / 3
"""Of two neighbouring windows: the share of a window that its neighbour sees too."""

_TOO_SMALL = 64
"""Below so many pixels a network's own error is taken for the image's fault."""


def image_logits(model: nn.Module, images: Tensor, window: tuple[int, int] | None = None) -> Tensor:
    """Logits (N, C, H, W) of ``model`` for images (N, 3, H, W), uint8 or float in [0, 1].

    ``model`` is any module that maps float images to logits (N, C, h, w), or to what `read_logits`
    knows. Logits of another size are interpolated, those in half precision become float32. With
    ``window`` (height, width) a larger image is looked at in overlapping windows of that size, for
    want of memory: their logits are averaged, each counting the less the nearer the pixel is to its
    edge. A network that looks at the mean over the image sees only that of the window then.

    TypeError for any other result of the model, ValueError for logits that are not one map of at
    least two classes for each image, and for images too small for the network.
    """
    images = as_images(images)
    if window is None or (images.shape[2] <= window[0] and images.shape[3] <= window[1]):
        return _whole_logits(model, images)
    height, width = (min(side, most) for side, most in zip(images.shape[2:], window, strict=True))
    weight = torch.outer(_ramp(height), _ramp(width)).to(images.device)  # (height, width)
    total, weights = None, weight.new_zeros(images.shape[2:])
    tops, lefts = _starts(images.shape[2], height), _starts(images.shape[3], width)
    for top, left in itertools.product(tops, lefts):
        place = (..., slice(top, top + height), slice(left, left + width))
        logits = _whole_logits(model, images[place])  # (N, C, height, width)
        if total is None:  # only now is the number of classes known
            total = logits.new_zeros(*logits.shape[:2], *images.shape[2:])  # (N, C, H, W)
        total[place] += logits * weight
        weights[place] += weight
    return total / weights


def read_logits(output: object) -> Tensor:
    """Logits (N, C, h, w) from what a network of torchvision, transformers or plain PyTorch gives.

    That is the tensor itself; a dictionary with ``out``, as of torchvision; an object with
    ``logits`` (SegFormer); or one with ``class_queries_logits`` and ``masks_queries_logits``
    (Mask2Former): Q masks with a class distribution each, one more class being "none". There the
    score of class c at a pixel is the sum of P(c | q) P(pixel | q) over all q (Cheng et al. 2022);
    its logits are the logarithms, so that softmax normalises it. TypeError for anything else.
    """
    if isinstance(output, Tensor):
        return output
    if isinstance(output, dict) and isinstance(output.get("out"), Tensor):
        return output["out"]
    if isinstance(getattr(output, "logits", None), Tensor):
        return output.logits
    if hasattr(output, "masks_queries_logits"):
        classes = output.class_queries_logits.softmax(dim=-1)[..., :-1]  # (N, Q, C)
        masks = output.masks_queries_logits.sigmoid()  # (N, Q, h, w)
        scores = torch.einsum("nqc,nqhw->nchw", classes, masks)
        return scores.clamp(min=torch.finfo(scores.dtype).tiny).log()
    holds = f" with {', '.join(map(str, output))}" if isinstance(output, dict) else ""
    raise TypeError(
        f"The network returned {type(output).__name__}{holds}, not logits (N, C, H, W). "
        "Wrap it in a module whose forward returns that one tensor."
    )


def as_images(pixels: Tensor, device: torch.device | None = None) -> Tensor:
    """Images (N, 3, H, W), float32 in [0, 1], of uint8 ones, or of a single one (3, H, W).

    Images that are float already keep their values and type.
    """
    images = pixels if pixels.is_floating_point() else pixels.float() / 255
    return (images if images.ndim == 4 else images[None]).to(device=device)


def at_least_float32(values: Tensor) -> Tensor:
    """The values, in float32 if they come in half precision; float64 stays."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _whole_logits(model: nn.Module, images: Tensor) -> Tensor:
    try:
        logits = read_logits(model(images))
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or min(images.shape[2:]) >= _TOO_SMALL:
            raise
        raise ValueError(
            f"The network cannot take images of {images.shape[3]} x {images.shape[2]} pixels "
            f"({error}). Give larger ones, or larger windows."
        ) from error
    if logits.ndim != 4 or len(logits) != len(images) or logits.shape[1] < 2:
        raise ValueError(
            f"For images {tuple(images.shape)} the network returned a tensor "
            f"{tuple(logits.shape)}, not logits (N, C, H, W) with at least two classes C. "
            "Wrap it in a module whose forward returns these."
        )
    if logits.shape[2:] != images.shape[2:]:
        off = logits == -math.inf  # apart, as 0 times -inf would be NaN
        enlarge = partial(F.interpolate, size=images.shape[2:], mode="bilinear")
        logits = enlarge(logits.masked_fill(off, 0))  # (N, C, H, W)
        if off.any():
            logits = logits.masked_fill(enlarge(off.to(logits)) > 0, -math.inf)
    return at_least_float32(logits)


def _starts(length: int, window: int) -> list[int]:
    """First pixels of the fewest windows that cover ``length``, evenly spread; see `OVERLAP`."""
    step = max(1, int(window * (1 - OVERLAP)))
    count = 1 + -(-(length - window) // step)
    return [round(i * (length - window) / max(count - 1, 1)) for i in range(count)]


def _ramp(length: int) -> Tensor:
    """Weights float (length,) that rise from the edges to 1 over half of what neighbours share."""
    distance = torch.arange(1, length + 1).minimum(torch.arange(length, 0, -1))
    return (distance / max(1, length * OVERLAP / 2)).clamp(max=1)
