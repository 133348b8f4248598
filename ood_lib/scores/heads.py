"""Scores that train a small head of their own on a network's features; the network stays as it is."""

import math
from collections.abc import Iterator
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ood_lib.data.labels import OOD_INDEX
from ood_lib.data.sample import SegmentationDataset
from ood_lib.scores.features import FeatureScore, PixelFeatures

_BATCH = 512


class RBFHead(FeatureScore):
    """A network of radial basis functions on the features, in the manner of DUQ (van Amersfoort et al. 2020).

    K_c(f) = exp(-|W_c f - e_c|^2 / (2 n sigma^2)) is the kernel of class c, with a learnt matrix W_c (n, D) and a
    centre e_c that is the moving average of its class (equations 1 and 3-6); the score is 1 - max_c K_c, in [0, 1]:
    near 1 where the features are far from all centres. In DUQ the whole network learns with it, held smooth by a
    gradient penalty; here the network is frozen.
    Cost: one forward pass, C x n x D products for each pixel, and a short training.
    """

    def __init__(self, model: nn.Module, layer: str | None = None, size: int = 16, sigma: float = 1.0) -> None:
        super().__init__(model, layer)
        self.size, self.sigma = size, sigma
        self.weights = nn.ParameterList()
        for name in ("centre", "scale", "centres"):
            self.register_buffer(name, None)

    def fit(
        self, scenes: SegmentationDataset, each: int = 1000, epochs: int = 2, seed: int = 0, progress: bool = True
    ) -> Self:
        """Learn the kernels of all classes from up to ``each`` pixels of every class in every image. Gives itself."""
        return self.fit_features(*self.draw_pixels(scenes, each, seed, progress), epochs=epochs, seed=seed)

    def fit_features(self, features: Tensor, classes: Tensor, epochs: int = 2, seed: int = 0) -> Self:
        """The same from features (n, D) with classes (n,)."""
        known, number = classes.unique(return_inverse=True)
        self.centre, self.scale = features.mean(0), features.std(0).clamp(min=1e-6)
        draws = torch.Generator().manual_seed(seed)
        shape = (len(known), self.size, features.shape[1])
        weight = nn.Parameter(torch.randn(shape, generator=draws) / math.sqrt(shape[-1]))
        self.weights = nn.ParameterList([weight])
        totals, counts = torch.zeros(shape[:2]), torch.ones(len(known))  # so that the centres begin at 0
        self.centres = torch.randn(shape[:2], generator=draws) * 0.05
        optimizer = torch.optim.Adam([weight], 3e-3)
        for batch, of in _batches(features, number, epochs, draws):
            members = F.one_hot(of, len(known)).float()
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
        if self.centres is None:
            raise RuntimeError("RBFHead has no centres yet: call fit with street scenes first.")
        apart = self._embed(features) - self.centres
        return torch.exp(-apart.square().mean(dim=2) / (2 * self.sigma**2))

    def _embed(self, features: Tensor) -> Tensor:
        return torch.einsum("bd,cnd->bcn", (features - self.centre) / self.scale, self.weights[0])

    def of_features(self, features: Tensor) -> Tensor:
        """One minus the largest kernel, float32 (n,), of features (n, D)."""
        return torch.cat([1 - self.kernels(part).amax(dim=1) for part in features.split(_BATCH)])


class OutlierHead(FeatureScore):
    """A second output that says how likely a pixel is none of the classes (Bevandic et al. 2018; void classifier).

    Two layers on the features learn to tell pixels of street scenes from the proxy's out-of-distribution pixels. The
    score is the probability of the latter, in [0, 1]; with as many of either in training it is no share of anything in
    a street. Cost: one forward pass, D x 64 products for each pixel; a short training, and negatives.
    """

    def __init__(self, model: nn.Module, layer: str | None = None, hidden: int = 64) -> None:
        super().__init__(model, layer)
        self.hidden = hidden
        self.head = nn.Sequential()

    def fit(
        self,
        scenes: SegmentationDataset,
        proxy: SegmentationDataset,
        each: int = 1000,
        epochs: int = 2,
        seed: int = 0,
        progress: bool = True,
    ) -> Self:
        """Learn from up to ``each`` pixels of every class in every scene, and as many in all of the proxy's objects."""
        known = self.draw_pixels(scenes, each, seed, progress)
        negatives = self.draw_pixels(proxy, -(-len(known.classes) // len(proxy)), seed, progress)
        return self.fit_features(known.features, _of_objects(negatives), epochs=epochs, seed=seed)

    def fit_features(self, known: Tensor, strange: Tensor, epochs: int = 2, seed: int = 0) -> Self:
        """The same from features (n, D) of known and (m, D) of strange pixels; each side weighs one half."""
        features = torch.cat([known, strange])
        is_strange = torch.cat([torch.zeros(len(known)), torch.ones(len(strange))])
        weight = torch.tensor([len(known) / len(strange)])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = nn.Sequential(
                nn.BatchNorm1d(features.shape[1]), nn.Linear(features.shape[1], self.hidden), nn.ReLU(),
                nn.Linear(self.hidden, 1),
            )  # fmt: skip
        optimizer = torch.optim.Adam(self.head.parameters(), 3e-3)
        for batch, of in _batches(features, is_strange, epochs, torch.Generator().manual_seed(seed)):
            loss = F.binary_cross_entropy_with_logits(self.head(batch)[:, 0], of, pos_weight=weight)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self.head.eval()
        return self

    def of_features(self, features: Tensor) -> Tensor:
        """The probability of an outlier, float32 (n,), of features (n, D)."""
        if not len(self.head):
            raise RuntimeError("OutlierHead has learnt nothing yet: call fit with street scenes and a proxy first.")
        return self.head(features).sigmoid()[:, 0]


def _of_objects(pixels: PixelFeatures) -> Tensor:
    found = pixels.features[pixels.classes == OOD_INDEX]
    if not len(found):
        raise ValueError(f"The proxy has no out-of-distribution pixel (target {OOD_INDEX}); open it as coco_proxy.")
    return found


def _batches(features: Tensor, labels: Tensor, epochs: int, draws: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Every pixel once in each epoch, in a new order; what does not fill a batch is left out of that epoch."""
    size = min(_BATCH, len(features))
    for _ in range(epochs):
        order = torch.randperm(len(features), generator=draws)
        for chosen in order[: len(order) // size * size].split(size):
            yield features[chosen], labels[chosen]
