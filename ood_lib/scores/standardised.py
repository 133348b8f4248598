"""Maximum logits, each class measured by its own rule."""

from typing import Self

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ood_lib.data.sample import SegmentationDataset
from ood_lib.models.logits import image_logits
from ood_lib.scores.features import as_images
from ood_lib.scores.of_logits import max_logit


class StandardisedMaxLogits:
    """Max logit, less its mean and over its deviation in the class that the network predicts (Jung et al. 2021).

    -(max_c y_c - mu_k) / sigma_k with the predicted class k: classes that are always named with small logits, such as
    poles, are no longer strange for that. Range: any. The paper goes on to suppress class boundaries and to smooth,
    which is left out. Cost: one forward pass, one pass over training images before; memory 2 C numbers.
    """

    means: Tensor | None = None
    """float32 (C,) of the largest logit, by predicted class."""
    deviations: Tensor | None = None
    """float32 (C,), not smaller than 1e-6."""

    @torch.no_grad()
    def fit(self, model: nn.Module, scenes: SegmentationDataset, progress: bool = True) -> Self:
        """Means and deviations from the network's own predictions on street scenes. Gives itself.

        A class that is never predicted gets those of all pixels. ValueError for a data set without an image.
        """
        model.eval()
        moments = torch.zeros(3, 1, dtype=torch.float64)
        for sample in tqdm(scenes, desc="logits", unit="image", leave=False, disable=not progress):
            logits = image_logits(model, as_images(sample.image, model)).float().cpu()
            largest, predicted = (part.flatten() for part in logits.max(dim=1))
            powers = torch.stack([torch.ones_like(largest), largest, largest.square()]).double()
            moments = moments + torch.zeros(3, logits.shape[1]).double().index_add_(1, predicted, powers)
        if not moments.any():
            raise ValueError("There is no image to learn the size of logits from; give street scenes.")
        number, first, second = torch.where(moments[0] > 0, moments, moments.sum(1, keepdim=True))
        self.means = (first / number).float()
        self.deviations = (second / number - (first / number).square()).clamp(min=1e-12).sqrt().float()
        return self

    def score(self, logits: Tensor) -> Tensor:
        """Score map (N, H, W), float32, of logits (N, C, H, W); RuntimeError before `fit`."""
        if self.means is None or self.deviations is None:
            raise RuntimeError("StandardisedMaxLogits knows no class yet: call fit with street scenes first.")
        if len(self.means) != logits.shape[1]:
            raise ValueError(f"It was fitted to {len(self.means)} classes, but these logits have {logits.shape[1]}.")
        predicted = logits.argmax(dim=1)
        means, deviations = (part.to(logits.device)[predicted] for part in (self.means, self.deviations))
        return (max_logit(logits) + means) / deviations
