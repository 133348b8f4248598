"""What a network knows of a pixel just before it names a class."""

from abc import abstractmethod
from operator import index

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from ood_lib.data.labels import IGNORE_INDEX
from ood_lib.data.sample import SegmentationDataset
from ood_lib.models.logits import image_logits
from ood_lib.scores.image_score import ForwardPass, OnePassScore, forward_pass


class FeatureScore(OnePassScore):
    """A score of a network's features: what its last convolution, which names the class, is given.

    ``layer`` is that convolution's name in ``model``; by default what `classifying_layer` finds.
    """

    def __init__(self, model: nn.Module, layer: str | None = None, *learns: str) -> None:
        super().__init__(model, *learns)
        self.layer, self._found = layer, layer  # what is found is no setting

    def needed_layer(self, images: Tensor) -> str:
        if self._found is None:
            self._found = classifying_layer(self.model, images[:1])
        return self._found

    def features(self, images: Tensor) -> Tensor:
        """Features (N, D, h, w), at least float32, of images (N, 3, H, W)."""
        return forward_pass([self], images).features[self._found]

    @abstractmethod
    def of_features(self, features: Tensor) -> Tensor:
        """The score (n,) of the features (n, D) of n pixels."""

    def of_pass(self, seen: ForwardPass) -> Tensor:
        features = seen.features[self._found].permute(0, 2, 3, 1)  # (N, h, w, D)
        score = self.of_features(features.flatten(0, 2)).view(features.shape[:3])  # (N, h, w)
        size = seen.images.shape[2:]
        return F.interpolate(score[:, None], size, mode="bilinear", align_corners=False)[:, 0]

    def sample_pixels(self, dataset: SegmentationDataset, each: int = 1000, seed: int = 0,
                      progress: bool = True) -> tuple[Tensor, Tensor]:
        """Features (n, D) and targets int64 (n,) of pixels of all images, none that is ignored.

        Of every target value up to ``each`` are drawn in every image. ValueError if none is left.
        """
        generator = torch.Generator().manual_seed(index(seed))
        features, classes = [], []  # of each image (pixels, D) and (pixels,)
        for sample, seen in self.passes(dataset, progress):
            of_image = seen.features[self._found][0].cpu()  # (D, h, w)
            # The target of a cell is that of the pixel in its middle.
            target, size = sample.target[None, None], of_image.shape[1:]
            target = F.interpolate(target, size, mode="nearest-exact").flatten().long()  # (h w,)
            order = torch.randperm(target.numel(), generator=generator)
            chosen = torch.cat([order[target[order] == c][:each] for c in target.unique()])
            chosen = chosen[target[chosen] != IGNORE_INDEX]
            features.append(of_image.flatten(1).T[chosen])
            classes.append(target[chosen])
        if not sum(map(len, classes)):
            raise ValueError("There is no labelled pixel to learn from; give data with labels.")
        return torch.cat(features), torch.cat(classes)


def classifying_layer(model: nn.Module, images: Tensor) -> str:
    """Name of the layer that gives the logits: the network's own ``layer``, if that is a text, else
    the last convolution, transposed or not, with one output a class, or for its ``void`` ones too.

    ValueError where there is none, as in networks that classify masks instead of pixels.
    """
    if isinstance(named := getattr(model, "layer", None), str):
        return named
    ran: list[nn.Module] = []
    with torch.no_grad(), register_module_forward_hook(lambda layer, *_: ran.append(layer)):
        classes = image_logits(model, images).shape[1]
    outputs = classes + len(getattr(model, "void", ()))  # which an `Adapter` leaves out
    kinds = nn.Conv2d | nn.ConvTranspose2d
    names = {layer: name for name, layer in model.named_modules() if isinstance(layer, kinds)}
    found = [names[layer] for layer in ran if layer in names and layer.out_channels == outputs]
    if not found:
        raise ValueError(f"{type(model).__name__} has no convolution with {outputs} outputs, one "
                         "for each class, whose input would be the features. Take a score of "
                         "logits, or name layer=... (of the score, or of its Adapter).")
    return found[-1]
