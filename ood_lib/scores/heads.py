"""Scores that train a small head of their own on a network's features; the network stays."""

import math
from collections.abc import Iterator
from operator import index
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ood_lib.data.labels import OOD_INDEX
from ood_lib.data.sample import SegmentationDataset
from ood_lib.scores.features import FeatureScore

_BATCH = 512  # pixels


class RBFHead(FeatureScore):
    """Radial basis functions on the features, in the manner of DUQ (van Amersfoort et al. 2020).

    K_c(f) = exp(-|W_c f - e_c|^2 / (2 n sigma^2)) is the kernel of class c, with a learnt matrix
    W_c (n, D) and a centre e_c, the moving average of its class (equations 1 and 3-6). The score is
    1 - max_c K_c, in [0, 1]: near 1 where the features are far from all centres. In DUQ the whole
    network learns with it, held smooth by a gradient penalty; here the network is frozen.
    Cost: one forward pass, C x n x D products for each pixel, and a short training.
    """

    def __init__(self, model: nn.Module, layer: str | None = None, size: int = 16,
                 sigma: float = 1.0) -> None:
        super().__init__(model, layer, "weight", "centre", "scale", "centres")
        self.size, self.sigma = size, sigma

    def fit(self, scenes: SegmentationDataset, epochs: int = 2, seed: int = 0,
            progress: bool = True) -> Self:
        """Learn the kernels from what `sample_pixels` draws."""
        pixels = self.sample_pixels(scenes, seed=seed, progress=progress)
        return self.fit_features(*pixels, epochs, seed)

    def fit_features(self, features: Tensor, classes: Tensor, epochs: int = 2,
                     seed: int = 0) -> Self:
        """The same from features (n, D) with classes (n,)."""
        known, number = classes.unique(return_inverse=True)
        self.centre, self.scale = features.mean(0), features.std(0).clamp(min=1e-6)
        draws = torch.Generator().manual_seed(index(seed))
        shape = (len(known), self.size, features.shape[1])
        drawn = torch.randn(shape, generator=draws)  # (C, n, D)
        self.weight = nn.Parameter(drawn / math.sqrt(shape[-1]))
        self.centres = torch.randn(shape[:2], generator=draws) * 0.05  # (C, n)
        totals, counts = torch.zeros(shape[:2]), torch.ones(len(known))  # averages begin at 0
        optimizer = torch.optim.Adam([self.weight], 3e-3)
        for batch, labels in _batches(features, number, epochs, draws):
            members = F.one_hot(labels, len(known)).float()  # (pixels, C)
            loss = F.binary_cross_entropy(self.kernels(batch).clamp(max=1 - 1e-6), members)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                embedded = torch.einsum("bc,bcn->cn", members, self._embed(batch))
            counts = 0.99 * counts + 0.01 * members.sum(0)
            totals = 0.99 * totals + 0.01 * embedded
            self.centres = totals / counts[:, None]
        return self

    def kernels(self, features: Tensor) -> Tensor:
        """K_c in [0, 1], (n, C), of features (n, D)."""
        differences = self._embed(features) - self.centres  # (pixels, C, n)
        return torch.exp(-differences.square().mean(dim=2) / (2 * self.sigma**2))

    def _embed(self, features: Tensor) -> Tensor:
        standardised = (features - self.centre) / self.scale
        return torch.einsum("bd,cnd->bcn", standardised, self.weight)

    def of_features(self, features: Tensor) -> Tensor:
        return torch.cat([1 - self.kernels(part).amax(dim=1) for part in features.split(_BATCH)])


class OutlierHead(FeatureScore):
    """A second output that says how likely a pixel is of no class (Bevandic et al. 2018).

    Two layers on the features learn to tell pixels of street scenes from the proxy's objects. The
    score is the probability of the latter, in [0, 1], as if there were as many of either.
    Cost: one forward pass, D x 64 products for each pixel; a short training, and negatives.
    """

    def __init__(self, model: nn.Module, layer: str | None = None) -> None:
        super().__init__(model, layer, "head")

    def fit(self, scenes: SegmentationDataset, proxy: SegmentationDataset, epochs: int = 2,
            seed: int = 0, progress: bool = True) -> Self:
        """From what `sample_pixels` draws, and as many strange pixels; ValueError without any."""
        known, _ = self.sample_pixels(scenes, seed=seed, progress=progress)  # (n, D)
        per_image = -(-len(known) // len(proxy))
        features, targets = self.sample_pixels(proxy, per_image, seed, progress)
        strange = features[targets == OOD_INDEX]  # (m, D)
        if not len(strange):
            raise ValueError("The proxy has no out-of-distribution pixel: open it as coco_proxy.")
        return self.fit_features(known, strange, epochs=epochs, seed=seed)

    def fit_features(self, known: Tensor, strange: Tensor, epochs: int = 2, seed: int = 0) -> Self:
        """The same from features (n, D) of known and (m, D) of strange pixels, each side half."""
        features = torch.cat([known, strange])
        is_strange = torch.cat([torch.zeros(len(known)), torch.ones(len(strange))])
        weight = torch.tensor([len(known) / len(strange)])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            inner, outer = nn.Linear(known.shape[1], 64), nn.Linear(64, 1)
        self.head = nn.Sequential(nn.BatchNorm1d(known.shape[1]), inner, nn.ReLU(), outer)
        optimizer = torch.optim.Adam(self.head.parameters(), 3e-3)
        draws = torch.Generator().manual_seed(index(seed))
        for batch, labels in _batches(features, is_strange, epochs, draws):
            logits = self.head(batch)[:, 0]
            loss = F.binary_cross_entropy_with_logits(logits, labels, pos_weight=weight)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self.head.eval()
        return self

    def of_features(self, features: Tensor) -> Tensor:
        return self.head(features).sigmoid()[:, 0]


def _batches(features: Tensor, labels: Tensor, epochs: int,
             draws: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Every pixel once an epoch, in a new order, but for what does not fill a batch."""
    if epochs < 1:
        raise ValueError(f"epochs={epochs} trains nothing; give 1 or more.")
    size = min(_BATCH, len(features))
    for _ in range(epochs):
        order = torch.randperm(len(features), generator=draws)
        for chosen in order[: len(order) // size * size].split(size):
            yield features[chosen], labels[chosen]
