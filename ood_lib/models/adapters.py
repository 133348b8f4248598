"""Other networks behind the one interface here, and those of libraries by name."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ood_lib.models.deeplabv3plus import IMAGENET_MEAN, IMAGENET_STD
from ood_lib.models.logits import image_logits
from ood_lib.settings import SHORT_NAMES


class Adapter(nn.Module):
    """A network with habits of its own: images (N, 3, H, W) in [0, 1] to logits (N, C, H, W).

    ``network`` gives what `ood_lib.models.logits.read_logits` knows. Its images have blue first if
    ``bgr``, and are normalised by ``mean`` and ``std``, of images in [0, ``white``] and in that
    order. Where sides are no multiples of ``stride``, the last pixels at the right and at the
    bottom are repeated, and the logits cut to size; outputs of no class, ``void``, are left out.
    ``layer`` is the one that gives the logits, for scores that cannot find it.

    ValueError for a layer or, when it runs, for outputs that the network lacks.
    """

    def __init__(
        self, network: nn.Module, mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD, stride: int = 1, bgr: bool = False, white: float = 1,
        void: Sequence[int] = (), layer: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.network, self.stride, self.bgr, self.void = network, stride, bgr, tuple(void)
        self.layer = f"network.{layer}" if layer else None
        if layer and layer not in (known := [name for name, _ in network.named_modules()]):
            raise ValueError(f"The network has no layer {layer!r}, but {', '.join(known[1:])}.")
        # Kept with the weights, which are worth little under another normalisation.
        for name, numbers in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor([x / white for x in numbers]).view(3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        missing = (0, -width % self.stride, 0, -height % self.stride)  # at the right and bottom
        x = x.flip(1) if self.bgr else x
        padded = F.pad((x - self.mean) / self.std, missing, mode="replicate")
        logits = image_logits(self.network, padded)[..., :height, :width]
        classes = [output for output in range(logits.shape[1]) if output not in self.void]
        if len(classes) + len(self.void) != logits.shape[1]:
            raise ValueError(f"The network has {logits.shape[1]} outputs, from 0; not all of "
                             f"void={self.void} are among them.")
        return logits[:, classes] if self.void else logits


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
    import segmentation_models_pytorch as smp

    stride = 32  # what its encoders divide the sides by
    if Path(name).is_dir() or name.startswith("smp-hub/"):
        network = smp.from_pretrained(name)
        _require_classes(name, network.segmentation_head[0].out_channels, num_classes)
        return Adapter(network, **_albumentations(name), stride=stride)
    architecture, _, encoder = name.partition("/")
    weights = "imagenet" if pretrained else None
    network = smp.create_model(architecture, encoder, weights, classes=num_classes)
    if not (pretrained or encoder.startswith("tu-")):  # random; and the hub would have to be asked
        return Adapter(network, stride=stride)
    try:
        said = smp.encoders.get_preprocessing_params(encoder)
    except (ValueError, LookupError, OSError):
        return Adapter(network, **_imagenet(name), stride=stride)
    white, is_bgr = said["input_range"][1], said["input_space"] == "BGR"
    return Adapter(network, said["mean"], said["std"], stride, is_bgr, white)


def _albumentations(name: str) -> dict[str, Any]:
    """Of a whole network of smp's: what the file of albumentations beside its weights says."""
    from huggingface_hub import hf_hub_download

    file = "albumentations_config_eval.json"
    try:
        path = Path(name) / file if Path(name).is_dir() else Path(hf_hub_download(name, file))
        steps = json.loads(path.read_text(encoding="utf-8"))["transform"]["transforms"]
        said = next(step for step in steps if step["__class_fullname__"].endswith("Normalize"))
    except (OSError, StopIteration):
        return _imagenet(name)
    return {"mean": said["mean"], "std": said["std"], "white": 255 / said["max_pixel_value"]}


def _transformers(name: str, num_classes: int, pretrained: bool) -> Adapter:
    """Of transformers, by its name on the Hugging Face hub or the folder of ``config.json``."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(name)
    is_query = config.model_type in ("mask2former", "maskformer")
    kind = "AutoModelForUniversalSegmentation" if is_query else "AutoModelForSemanticSegmentation"
    if pretrained:
        _require_classes(name, config.num_labels, num_classes)
        network = getattr(transformers, kind).from_pretrained(name)
    else:
        config.num_labels = num_classes
        network = getattr(transformers, kind).from_config(config)
    network = network.float()  # since transformers 5 it is of the type that the folder names
    try:
        said = transformers.AutoImageProcessor.from_pretrained(name)
    except (OSError, ValueError):  # it lacks preprocessor_config.json
        return Adapter(network, **_imagenet(name)) if pretrained else Adapter(network)
    mean, std = (said.image_mean, said.image_std) if said.do_normalize else ((0.0,) * 3, (1.0,) * 3)
    # Where it does not rescale, the range of its images is that of their mean.
    white = 255 * said.rescale_factor if said.do_rescale else 255 if max(mean) > 1 else 1
    is_bgr = bool(getattr(said, "do_flip_channel_order", False))
    return Adapter(network, mean, std, bgr=is_bgr, white=white)


def _imagenet(name: str) -> dict[str, Any]:
    warnings.warn(
        f"Nothing beside the weights of {name} says how its images are to be normalised, so they "
        "are as for ImageNet. Are they not, wrap the network in ood_lib.models.Adapter.",
        stacklevel=4,  # of `build_model`
    )
    return {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}


LIBRARIES = {"torchvision": _torchvision, "smp": _smp, "transformers": _transformers}
"""What stands before the colon of a name: from the rest of it, num_classes and pretrained."""


def build_adapted(name: str, num_classes: int, pretrained: bool) -> Adapter | None:
    """The network of that name in one of `LIBRARIES`; None for a name of another kind."""
    library, colon, own = SHORT_NAMES.get(name, name).partition(":")
    if not colon or library not in LIBRARIES:
        return None
    try:
        return LIBRARIES[library](own, num_classes, pretrained)
    except ImportError as error:
        raise ImportError(f"{name} needs more: pip install 'ood-lib[models]'") from error


def _require_classes(name: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise ValueError(
            f"The weights of {name} know {found} classes, but num_classes={wanted}. "
            "Take weights for Cityscapes' 19 classes, or pretrained=False for random ones."
        )
