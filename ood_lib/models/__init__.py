"""Networks by name, and their weights in files."""

import torch
from torch import nn

from ood_lib.models.adapters import LIBRARIES
from ood_lib.models.checkpoint import load_checkpoint, save_checkpoint
from ood_lib.models.deeplabv3plus import MINIATURE, SMALL, WRN38, DeepLabV3Plus

__all__ = ["ARCHITECTURES", "DeepLabV3Plus", "build_model", "load_checkpoint", "save_checkpoint"]

ARCHITECTURES = {"deeplabv3plus_miniature": MINIATURE, "deeplabv3plus_small": SMALL,
                 "deeplabv3plus_wrn38": WRN38}
"""The networks of this library, by name."""


def build_model(name: str, num_classes: int = 19, *, pretrained: bool = False) -> nn.Module:
    """A network from images (N, 3, H, W), float in [0, 1], to logits (N, num_classes, H, W).

    ============================  ==================================================================
    name                          network
    ============================  ==================================================================
    ``deeplabv3plus_miniature``   714,304 parameters, for the painted city on one core
    ``deeplabv3plus_small``       the same at twice the size of pictures, for a small GPU
    ``deeplabv3plus_wrn38``       the network of the thesis
    ``torchvision:NAME``          of torchvision, such as ``torchvision:deeplabv3_resnet50``
    ``smp:ARCHITECTURE/ENCODER``  of segmentation_models_pytorch, or ``smp:smp-hub/...``
    ``transformers:NAME``         SegFormer or Mask2Former, by the name on the hub or a local folder
    ============================  ==================================================================

    Weights are random, drawn from torch's global generator (`torch.manual_seed` makes them
    repeatable). For the last three, ``pretrained=True`` fetches the published ones: for the whole
    network where the name has such, else for the encoder. Raises ValueError for another name, fewer
    than two classes, or weights for another number of them.
    """
    if num_classes < 2:
        raise ValueError(f"A network needs at least two classes, not num_classes={num_classes}.")
    library, colon, own = name.partition(":")
    if colon and library in LIBRARIES:
        try:
            return LIBRARIES[library](own, num_classes, pretrained)
        except ImportError as error:
            raise ImportError(f"{name} needs more: pip install 'ood-lib[models]'") from error
    if name not in ARCHITECTURES:
        known = [*sorted(ARCHITECTURES), *(f"{library}:..." for library in LIBRARIES)]
        raise ValueError(f"There is no network {name!r}; choose one of: {', '.join(known)}.")
    if pretrained:
        raise ValueError(f"There are no weights to fetch for {name}; load_checkpoint reads a file.")
    # Convolutions are faster with the channels of a pixel side by side in memory.
    return DeepLabV3Plus(ARCHITECTURES[name], num_classes).to(memory_format=torch.channels_last)
