"""Networks by name, and their weights in files."""

import torch
from torch import nn

from ood_lib.models.adapters import LIBRARIES, Adapter, build_adapted
from ood_lib.models.checkpoint import load_checkpoint, save_checkpoint
from ood_lib.models.deeplabv3plus import MINIATURE, SMALL, WRN38, DeepLabV3Plus
from ood_lib.models.own import own_file, own_network

__all__ = ["ARCHITECTURES", "Adapter", "DeepLabV3Plus", "build_model", "load_checkpoint",
           "save_checkpoint"]

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
    ``segformer``                 of the latter, one that was trained on Cityscapes
    ``FILE.py:CALLABLE``          of one's own, with its own weights: `ood_lib.models.own`
    ============================  ==================================================================

    Weights are random, drawn from torch's global generator (`torch.manual_seed` makes them
    repeatable). For libraries' networks ``pretrained=True`` fetches published ones: of the whole
    where there are such, else of the encoder. ValueError for another name, fewer than two classes,
    or weights for another number of them.
    """
    if num_classes < 2:
        raise ValueError(f"A network needs at least two classes, not num_classes={num_classes}.")
    if own_file(name):
        return own_network(name, num_classes)
    if adapted := build_adapted(name, num_classes, pretrained):
        return adapted
    if name not in ARCHITECTURES:
        known = [*sorted(ARCHITECTURES), *(f"{kind}:..." for kind in (*LIBRARIES, "file.py"))]
        raise ValueError(f"There is no network {name!r}; choose one of: {', '.join(known)}.")
    if pretrained:
        raise ValueError(f"There are no weights to fetch for {name}; load_checkpoint reads a file.")
    # Convolutions are faster with the channels of a pixel side by side in memory.
    return DeepLabV3Plus(ARCHITECTURES[name], num_classes).to(memory_format=torch.channels_last)
