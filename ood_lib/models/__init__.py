"""Networks by name, and their weights in files."""

import torch

from ood_lib.models.checkpoint import load_checkpoint, save_checkpoint
from ood_lib.models.deeplabv3plus import MINIATURE, WRN38, DeepLabV3Plus

__all__ = ["ARCHITECTURES", "DeepLabV3Plus", "build_model", "load_checkpoint", "save_checkpoint"]

ARCHITECTURES = {"deeplabv3plus_miniature": MINIATURE, "deeplabv3plus_wrn38": WRN38}


def build_model(name: str, num_classes: int = 19) -> DeepLabV3Plus:
    """A network with random weights, drawn from torch's global generator: `torch.manual_seed` makes it repeatable.

    ``deeplabv3plus_miniature`` runs on one core; ``deeplabv3plus_wrn38`` is the network of the thesis.
    Raises ValueError for another name or fewer than two classes.
    """
    if name not in ARCHITECTURES:
        raise ValueError(f"There is no network {name!r}; choose one of: {', '.join(sorted(ARCHITECTURES))}.")
    if num_classes < 2:
        raise ValueError(f"A network needs at least two classes to choose between, not num_classes={num_classes}.")
    # Convolutions are faster with the channels of a pixel side by side in memory; nothing else changes.
    return DeepLabV3Plus(ARCHITECTURES[name], num_classes).to(memory_format=torch.channels_last)
