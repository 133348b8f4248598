"""Scores that ask how far a pixel's features, or its logits, are from those of known things."""

from operator import index
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ood_lib.data.sample import SegmentationDataset
from ood_lib.scores.features import FeatureScore
from ood_lib.scores.image_score import LogitScore
from ood_lib.scores.of_logits import max_logit

_AT_ONCE = 2**13  # pixels whose distances to the whole bank are in memory at once
_RIDGE = 1e-6  # of the mean variance, added to every variance: dead channels have none


class Mahalanobis(FeatureScore):
    """Squared Mahalanobis distance of the features to the nearest class (Lee et al. 2018, eq. 2).

    min_c (f - mu_c)^T Sigma^-1 (f - mu_c), with the mean mu_c of each class and one covariance
    Sigma within classes, of pixels drawn alike from all classes. Range [0, infinity), around D for
    D features that are normal within their class. It is the paper's plain form: one layer, no
    perturbed input. Cost: one forward pass, a product of (pixels, D) with (D, D).
    """

    def __init__(self, model: nn.Module, layer: str | None = None) -> None:
        super().__init__(model, layer, "means", "whitening")

    def fit(self, scenes: SegmentationDataset, seed: int = 0, progress: bool = True) -> Self:
        """Means and covariance of what `sample_pixels` draws."""
        return self.fit_features(*self.sample_pixels(scenes, seed=seed, progress=progress))

    def fit_features(self, features: Tensor, classes: Tensor) -> Self:
        """The same from features (n, D) with classes (n,); those that do not occur have no mean."""
        features = features.double()
        _, number = classes.unique(return_inverse=True)
        members = F.one_hot(number).to(features)  # (n, C)
        means = members.T @ features / members.sum(0)[:, None]  # (C, D)
        residuals = features - means[number]  # (n, D)
        covariance = residuals.T @ residuals / len(features)  # (D, D)
        ridge = _RIDGE * covariance.diagonal().mean().clamp(min=torch.finfo(torch.float32).tiny)
        identity = torch.eye(len(covariance)).to(covariance)
        # With Sigma = L L^T the distance is the ordinary one of features times L^-T.
        root = torch.linalg.cholesky(covariance + ridge * identity)
        whitening = torch.linalg.solve_triangular(root, identity, upper=False).T
        self.whitening, self.means = whitening.float(), (means @ whitening).float()
        return self

    def of_features(self, features: Tensor) -> Tensor:
        exact = "donot_use_mm_for_euclid_dist"  # products of matrices lose digits of differences
        distances = torch.cdist(features @ self.whitening, self.means, compute_mode=exact)  # (n, C)
        return distances.amin(dim=1).square()


class NearestNeighbours(FeatureScore):
    """Distance of the features to the k-th nearest of a bank of known pixels (Sun et al. 2022).

    Features are divided by their length first, so the score is in [0, 2]. What has fewer than ``k``
    of its kind in the bank is strange. Cost: one forward pass, and the distances of all pixels to
    the bank, which can be more; memory: bank x D numbers.
    """

    def __init__(self, model: nn.Module, k: int = 50, layer: str | None = None) -> None:
        super().__init__(model, layer, "bank")
        self.k = k

    def fit(self, scenes: SegmentationDataset, size: int = 3000, seed: int = 0,
            progress: bool = True) -> Self:
        """A bank of ``size`` drawn pixels; ValueError where no class has k, and all is strange."""
        features, classes = self.sample_pixels(scenes, seed=seed, progress=progress)
        order = torch.randperm(len(features), generator=torch.Generator().manual_seed(index(seed)))
        chosen = order[:size]
        most = int(classes[chosen].bincount().max())
        if self.k > most:
            raise ValueError(f"k={self.k}, but the bank's {len(chosen)} pixels hold {most} of "
                             "their commonest class: choose a smaller k or a larger bank.")
        return self.fit_features(features[chosen])

    def fit_features(self, features: Tensor) -> Self:
        """The bank from features (n, D); ValueError for fewer than k."""
        if not 1 <= self.k <= len(features):
            raise ValueError(f"There is no neighbour number {self.k} among {len(features)} pixels.")
        self.bank = F.normalize(features.float(), dim=1)
        return self

    def of_features(self, features: Tensor) -> Tensor:
        nearest = []
        for part in F.normalize(features, dim=1).split(_AT_ONCE):
            cosines = part @ self.bank.T  # (pixels, bank)
            nearest.append(cosines.topk(self.k, dim=1, sorted=False).values.amin(dim=1))
        # For vectors of length 1 the squared distance is 2 - 2 cos.
        return (2 - 2 * torch.cat(nearest)).clamp(min=0).sqrt()


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
        """From its own predictions; a class without any gets what all pixels have."""
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
