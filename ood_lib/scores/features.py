"""What a network knows of a pixel just before it names a class."""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.transforms.v2.functional import to_dtype
from tqdm.auto import tqdm

from ood_lib.data.labels import IGNORE_INDEX
from ood_lib.data.sample import SegmentationDataset
from ood_lib.models.logits import image_logits
from ood_lib.scores.image_score import ImageScore, to_size


class PixelFeatures(NamedTuple):
    """Pixels drawn from many images, in the order of these."""

    features: Tensor
    """float32 (pixels, D)."""
    classes: Tensor
    """int64 (pixels,): what the target says."""


class FeatureScore(ImageScore):
    """A score that looks at the features of a network: what its last convolution, which names the class, is given.

    ``layer`` is that convolution's name in ``model``; by default the last that runs and has one output for each class.
    """

    def __init__(self, model: nn.Module, layer: str | None = None) -> None:
        super().__init__(model)
        self.layer = layer

    def look(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, C, H, W) and features (N, D, h, w), both float32, of images (N, 3, H, W), in one forward pass."""
        if self.layer is None:
            self.layer = classifying_layer(self.model, images[:1])
        with _listening(self.model.get_submodule(self.layer)) as heard:
            logits = self.logits(images)
        if not heard or heard[-1].ndim != 4 or len(heard[-1]) != len(images):
            raise ValueError(
                f"The layer {self.layer} was given no features (N, D, h, w). Name the convolution that names the "
                f"classes: {type(self).__name__}(model, layer=...)."
            )
        return logits, heard[-1].float()

    @abstractmethod
    def of_features(self, features: Tensor) -> Tensor:
        """The score, float32 (n,), of the features (n, D) of n pixels."""

    def judge(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits, features = self.look(images)
        flat = features.permute(0, 2, 3, 1)
        with torch.autocast(images.device.type, enabled=False):  # distances need all digits
            score = self.of_features(flat.flatten(0, 2))
        return logits, to_size(score.view(flat.shape[:3]), images)

    def draw_pixels(self, dataset: SegmentationDataset, each: int, seed: int, progress: bool = True) -> PixelFeatures:
        """Features of up to ``each`` pixels of every target value in every image, drawn without replacement.

        So rare classes are heard too. Ignored pixels are not drawn. ValueError if no pixel is left.
        """
        generator, drawn = torch.Generator().manual_seed(seed), []
        self.eval()
        for sample in tqdm(dataset, desc="features", unit="image", leave=False, disable=not progress):
            with torch.no_grad():
                features = self.look(as_images(sample.image, self))[1][0].cpu()
            target = _at_size(sample.target, features.shape[1:])
            order = torch.randperm(target.numel(), generator=generator)
            chosen = torch.cat([order[target[order] == value][:each] for value in target.unique()])
            chosen = chosen[target[chosen] != IGNORE_INDEX]
            drawn.append(PixelFeatures(features.flatten(1).T[chosen], target[chosen]))
        pixels = PixelFeatures(*map(torch.cat, zip(*drawn, strict=True))) if drawn else None
        if pixels is None or not len(pixels.classes):
            raise ValueError("There is no labelled pixel to learn from; give a data set with labels.")
        return pixels


def classifying_layer(model: nn.Module, images: Tensor) -> str:
    """Name of the convolution that gives the logits: the last that runs with one output for each class.

    ValueError where there is none, as in networks that classify masks instead of pixels.
    """
    ran: list[str] = []
    names = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d)}
    hooks = [layer.register_forward_hook(lambda *_, name=name: ran.append(name)) for name, layer in names.items()]
    try:
        with torch.no_grad():
            classes = image_logits(model, images).shape[1]
    finally:
        for hook in hooks:
            hook.remove()
    found = [name for name in ran if names[name].out_channels == classes]
    if not found:
        raise ValueError(
            f"{type(model).__name__} has no convolution with {classes} outputs, one for each class, whose input would "
            "be the features. Take a score that looks at logits only, or name a layer: layer=..."
        )
    return found[-1]


def as_images(pixels: Tensor, device: torch.device | nn.Module) -> Tensor:
    """An image uint8 (3, H, W) as a batch of one, float in [0, 1], on the device, or where the module's weights lie."""
    if isinstance(device, nn.Module):
        device = next((tensor.device for tensor in device.parameters()), torch.device("cpu"))
    return to_dtype(torch.as_tensor(pixels), torch.float32, scale=True)[None].to(device)


@contextmanager
def _listening(layer: nn.Module) -> Iterator[list[Tensor]]:
    heard: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[0]))
    try:
        yield heard
    finally:
        hook.remove()


def _at_size(target: Tensor, size: torch.Size) -> Tensor:
    """The target (H, W) at the features' size, flat int64 (h * w,): of each cell the pixel in its middle."""
    rows, columns = (
        ((torch.arange(few) + 0.5) * many / few).long() for few, many in zip(size, target.shape, strict=True)
    )
    return torch.as_tensor(target)[rows][:, columns].flatten().long()
