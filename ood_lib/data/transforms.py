"""Random changes of an image and its target alike, for training."""

from collections.abc import Callable
from functools import partial
from operator import index
from typing import Literal

import numpy as np
from torch import Tensor

_Pair = tuple[Tensor, Tensor]


def training_transform(crop: int | tuple[int, int], flip: bool = True,
                       small: Literal["enlarged", "warped"] = "enlarged") -> Callable[..., _Pair]:
    """Cut a random window ``crop`` (height, width), or a square, and mirror half of them; torch's
    global generator draws.

    An image with a side that is shorter than the window's is first "enlarged", its aspect kept
    (section 4.1), or "warped" to the window, as the published code does. ValueError for others.
    """
    height, width = map(index, np.broadcast_to(crop, 2))
    if height < 1 or width < 1:
        raise ValueError(f"crop={crop} must be a number of pixels from 1, or (height, width).")
    if small not in ("enlarged", "warped"):
        raise ValueError(f"small={small!r} must be one of: enlarged, warped.")
    return partial(_cut_and_mirror, crop=(height, width), flip=flip, small=small)


def _cut_and_mirror(image: Tensor, target: Tensor, crop: tuple[int, int], flip: bool,
                    small: str) -> _Pair:
    from torchvision.transforms import v2  # late, as that takes longer than PyTorch itself

    F = v2.functional
    height, width = F.get_size(image)
    scale = max(crop[0] / height, crop[1] / width)
    if scale > 1:  # a side is shorter than the window's
        enlarged = [round(height * scale), round(width * scale)]
        size = enlarged if small == "enlarged" else list(crop)
        image, target = F.resize(image, size), F.resize(target, size)
    image, target = v2.RandomCrop(crop)(image, target)
    return v2.RandomHorizontalFlip(0.5 if flip else 0.0)(image, target)
