"""Networks of other libraries behind the one interface here: from images in [0, 1] to logits."""

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ood_lib.models.deeplabv3plus import IMAGENET_MEAN, IMAGENET_STD
from ood_lib.models.logits import image_logits


class Adapter(nn.Module):
    """A network of another library: images (N, 3, H, W) in [0, 1] to logits (N, C, H, W).

    ``network`` takes images normalised by ``mean`` and ``std``, blue first if ``bgr``, and returns
    what `ood_lib.models.logits.read_logits` knows. Images whose sides are no multiples of
    ``stride`` are continued at the right and at the bottom by their last pixels, and the logits cut
    to size.
    """

    def __init__(self, network: nn.Module, mean: Sequence[float] = IMAGENET_MEAN,
                 std: Sequence[float] = IMAGENET_STD, stride: int = 1, bgr: bool = False) -> None:
        super().__init__()
        self.network = network
        self.stride = stride
        self.bgr = bgr
        # Kept with the weights, which are worth little under another normalisation.
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        missing = (0, -width % self.stride, 0, -height % self.stride)  # at the right and bottom
        x = x.flip(1) if self.bgr else x
        padded = F.pad((x - self.mean) / self.std, missing, mode="replicate")
        return image_logits(self.network, padded)[..., :height, :width]


def build_adapted(name: str, num_classes: int, pretrained: bool) -> Adapter:
    """A network by ``library:name``, one of `LIBRARIES`; ValueError if its classes differ."""
    library, _, own_name = name.partition(":")
    return LIBRARIES[library](own_name, num_classes, pretrained)


def _torchvision(name: str, num_classes: int, pretrained: bool) -> Adapter:
    """Of `torchvision.models.segmentation`; only the encoder can be pretrained."""
    from torchvision.models import get_model, get_model_weights, list_models, segmentation

    known = list_models(module=segmentation)
    if name not in known:
        raise ValueError(
            f"torchvision has no segmentation network {name!r}; choose one of: {', '.join(known)}."
        )
    encoder = "DEFAULT" if pretrained else None
    network = get_model(name, weights=None, weights_backbone=encoder, num_classes=num_classes)
    said = get_model_weights(name).DEFAULT.transforms()
    return Adapter(network, said.mean, said.std)


def _smp(name: str, num_classes: int, pretrained: bool) -> Adapter:
    """Of segmentation_models_pytorch, ``architecture/encoder``, or a network of its hub."""
    smp = _import("segmentation_models_pytorch", "segmentation-models-pytorch")
    stride = 32  # what its encoders divide the sides by
    if Path(name).is_dir() or name.startswith("smp-hub/"):
        network = smp.from_pretrained(name)
        _require_classes(name, network.segmentation_head[0].out_channels, num_classes)
        said = _albumentations_beside(name)
        if said is None:
            return _as_for_imagenet(network, name, stride)
        return _adapt(network, said["mean"], said["std"], 255 / said["max_pixel_value"], stride)
    architecture, _, encoder = name.partition("/")
    weights = "imagenet" if pretrained else None
    network = smp.create_model(architecture, encoder, weights, classes=num_classes)
    if not (pretrained or encoder.startswith("tu-")):  # random; and the hub would have to be asked
        return Adapter(network, stride=stride)
    try:
        said = smp.encoders.get_preprocessing_params(encoder)
    except (ValueError, LookupError, OSError):
        return _as_for_imagenet(network, name, stride)
    is_bgr = said["input_space"] == "BGR"
    return _adapt(network, said["mean"], said["std"], said["input_range"][1], stride, is_bgr)


def _albumentations_beside(name: str) -> dict | None:
    """How the images of a whole network were normalised, by the file of its hub or folder."""
    from huggingface_hub import hf_hub_download

    file = "albumentations_config_eval.json"
    try:
        path = Path(name) / file if Path(name).is_dir() else hf_hub_download(name, file)
        steps = json.loads(Path(path).read_text(encoding="utf-8"))["transform"]["transforms"]
    except OSError:
        return None
    return next((step for step in steps if step["__class_fullname__"].endswith("Normalize")), None)


def _transformers(name: str, num_classes: int, pretrained: bool) -> Adapter:
    """Of transformers, by its name on the Hugging Face hub or the folder of ``config.json``."""
    transformers = _import("transformers", "transformers")
    config = transformers.AutoConfig.from_pretrained(name)
    is_query = config.model_type in ("mask2former", "maskformer")
    kind = "AutoModelForUniversalSegmentation" if is_query else "AutoModelForSemanticSegmentation"
    kind = getattr(transformers, kind)
    if pretrained:
        _require_classes(name, config.num_labels, num_classes)
    config.num_labels = num_classes
    network = kind.from_pretrained(name) if pretrained else kind.from_config(config)
    network = network.float()  # since transformers 5 it is of the type that its file names
    try:
        said = transformers.AutoImageProcessor.from_pretrained(name)
    except (OSError, ValueError):  # it lacks preprocessor_config.json
        return _as_for_imagenet(network, name) if pretrained else Adapter(network)
    mean, std = (said.image_mean, said.image_std) if said.do_normalize else ((0.0,) * 3, (1.0,) * 3)
    # Where it does not rescale, the range of its images is that of their mean.
    white = 255 * said.rescale_factor if said.do_rescale else 255 if max(mean) > 1 else 1
    return _adapt(network, mean, std, white, bgr=bool(getattr(said, "do_flip_channel_order", None)))


def _adapt(network: nn.Module, mean: Sequence[float], std: Sequence[float], white: float,
           stride: int = 1, bgr: bool = False) -> Adapter:
    """With mean and deviation of images in [0, white], as a library gives them."""
    return Adapter(network, [m / white for m in mean], [s / white for s in std], stride, bgr)


def _as_for_imagenet(network: nn.Module, name: str, stride: int = 1) -> Adapter:
    warnings.warn(
        f"Nothing beside the weights of {name} says how its images are to be normalised, so they "
        "are as for ImageNet. If it learned from others, give their numbers to "
        "ood_lib.models.adapters.Adapter(network, mean, std).",
        stacklevel=5,  # of `build_model`
    )
    return Adapter(network, stride=stride)


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
