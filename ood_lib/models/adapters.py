"""Networks of other libraries behind the one interface here: from images in [0, 1] to logits."""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ood_lib.models.deeplabv3plus import IMAGENET_MEAN, IMAGENET_STD
from ood_lib.models.logits import image_logits


class Adapter(nn.Module):
    """A network of another library: images (N, 3, H, W) in [0, 1] to logits (N, C, H, W).

    ``network`` takes images normalised by ``mean`` and ``std``, and returns what
    `ood_lib.models.logits.read_logits` knows. Images whose sides are no multiples of ``stride`` are
    continued at the right and at the bottom by their last pixels, and the logits cut to size.
    """

    def __init__(self, network: nn.Module, mean: tuple[float, ...] = IMAGENET_MEAN,
                 std: tuple[float, ...] = IMAGENET_STD, stride: int = 1) -> None:
        super().__init__()
        self.network = network
        self.stride = stride
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        missing = (0, -width % self.stride, 0, -height % self.stride)  # at the right and bottom
        padded = F.pad((x - self.mean) / self.std, missing, mode="replicate")
        return image_logits(self.network, padded)[..., :height, :width]


def build_adapted(name: str, num_classes: int, pretrained: bool) -> Adapter:
    """A network by ``library:name``, one of `LIBRARIES`; ValueError if its classes differ."""
    library, _, own_name = name.partition(":")
    return LIBRARIES[library](own_name, num_classes, pretrained)


def _torchvision(name: str, num_classes: int, pretrained: bool) -> Adapter:
    """Of `torchvision.models.segmentation`; only the encoder can be pretrained."""
    from torchvision.models import get_model, list_models, segmentation

    known = list_models(module=segmentation)
    if name not in known:
        raise ValueError(
            f"torchvision has no segmentation network {name!r}; choose one of: {', '.join(known)}."
        )
    encoder = "DEFAULT" if pretrained else None
    return Adapter(get_model(name, weights=None, weights_backbone=encoder, num_classes=num_classes))


def _smp(name: str, num_classes: int, pretrained: bool) -> Adapter:
    """Of segmentation_models_pytorch, ``architecture/encoder``, or a network of its hub."""
    smp = _import("segmentation_models_pytorch", "segmentation-models-pytorch")
    if Path(name).is_dir() or name.startswith("smp-hub/"):
        network = smp.from_pretrained(name)
        _require_classes(name, network.segmentation_head[0].out_channels, num_classes)
        return Adapter(network, stride=32)
    architecture, _, encoder = name.partition("/")
    weights = "imagenet" if pretrained else None
    network = smp.create_model(architecture, encoder, weights, classes=num_classes)
    return Adapter(network, stride=32)  # what its encoders divide the sides by


def _transformers(name: str, num_classes: int, pretrained: bool) -> Adapter:
    """Of transformers, by its name on the Hugging Face hub or the folder of ``config.json``."""
    transformers = _import("transformers", "transformers")
    config = transformers.AutoConfig.from_pretrained(name)
    is_query = config.model_type in ("mask2former", "maskformer")
    kind = "AutoModelForUniversalSegmentation" if is_query else "AutoModelForSemanticSegmentation"
    if not pretrained:
        config.num_labels = num_classes
        return Adapter(getattr(transformers, kind).from_config(config))
    _require_classes(name, config.num_labels, num_classes)
    return Adapter(getattr(transformers, kind).from_pretrained(name))


LIBRARIES: dict[str, Callable[[str, int, bool], Adapter]] = {
    "torchvision": _torchvision,
    "smp": _smp,
    "transformers": _transformers,
}
"""What stands before the colon of a name."""


def _import(module: str, package: str):  # noqa: ANN202 a module has no narrower type
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"This network needs {package}: pip install {package}") from error


def _require_classes(name: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise ValueError(
            f"The weights of {name} know {found} classes, but num_classes={wanted}. "
            "Take weights for Cityscapes' 19 classes, or pretrained=False for random ones."
        )
