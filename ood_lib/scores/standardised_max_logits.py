"""Maximum logits, each class measured by its own rule."""

from typing import Self

import torch
from torch import Tensor, nn

from ood_lib.data.sample import SegmentationDataset
from ood_lib.scores.image_score import LogitScore
from ood_lib.scores.of_logits import max_logit


class StandardisedMaxLogits(LogitScore):
    """Max logit, less its mean and over its deviation in the predicted class (Jung et al. 2021).

    -(max_c y_c - mu_k) / sigma_k, of any range, with the predicted class k: classes that are always
    named with small logits, such as poles, are no longer strange for that. The paper goes on to
    suppress class boundaries and to smooth, which is left out. Cost: one forward pass.
    """

    def __init__(self, model: nn.Module) -> None:
        # Of the largest logit, by predicted class: float32 (C,), deviations at least 1e-6.
        super().__init__(model, max_logit, "means", "deviations")

    def fit(self, scenes: SegmentationDataset, progress: bool = True) -> Self:
        """Means and deviations from the network's own predictions on street scenes.

        A class that is never predicted gets those of all pixels. ValueError for no image.
        """
        moments = torch.zeros(3, 1, dtype=torch.float64)  # by class: number, sum, sum of squares
        for _, seen in self.passes(scenes, progress):
            largest, predicted = (part.flatten().cpu() for part in seen.logits.max(dim=1))
            powers = torch.stack([torch.ones_like(largest), largest, largest.square()])
            of_image = torch.zeros(3, seen.logits.shape[1], dtype=torch.float64)
            moments = moments + of_image.index_add_(1, predicted, powers.double())
        if not moments.any():
            raise ValueError("There is no image to learn the size of logits from; give scenes.")
        number, first, second = torch.where(moments[0] > 0, moments, moments.sum(1, keepdim=True))
        mean = first / number
        self.means = mean.float()
        self.deviations = (second / number - mean.square()).clamp(min=1e-12).sqrt().float()
        return self

    def of_logits(self, logits: Tensor) -> Tensor:
        if len(self.means) != logits.shape[1]:
            raise ValueError(f"It was fitted to {len(self.means)} classes, but these logits have "
                             f"{logits.shape[1]}.")
        predicted = logits.argmax(dim=1)  # (N, H, W)
        return (max_logit(logits) + self.means[predicted]) / self.deviations[predicted]
