"""Every score by its name, fitted where it learns, with the settings that were chosen on the miniature's tuning set."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ood_lib.data import SegmentationDataset, training_transform
from ood_lib.device import compute_device
from ood_lib.models.logits import image_logits
from ood_lib.profiles import Settings
from ood_lib.scores.distances import Mahalanobis, NearestNeighbours
from ood_lib.scores.features import as_images, classifying_layer
from ood_lib.scores.heads import OutlierHead, RBFHead
from ood_lib.scores.image_score import ImageScore
from ood_lib.scores.normalised_entropy import entropy
from ood_lib.scores.odin import ODIN
from ood_lib.scores.of_logits import energy, margin, max_logit, max_softmax
from ood_lib.scores.reconstruction import Reconstruction
from ood_lib.scores.several_answers import Ensemble, MCDropout
from ood_lib.scores.standardised import StandardisedMaxLogits

SCENES = 50
"""Street scenes from which scores learn; the autoencoder, which learns from pixels alone, from four times as many."""


class NamedScore(NamedTuple):
    """A network and the score of what it says, as `ood_lib.inference.predict` takes them."""

    network: nn.Module
    """The segmentation network itself, or the `ImageScore` that watches it."""
    of_logits: Callable[[Tensor], Tensor]

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """The score map (N, H, W), float32, of float images (N, 3, H, W) in [0, 1]."""
        return self.of_logits(image_logits(self.network, images).float())


Builder = Callable[[Sequence[nn.Module], Settings, bool], ImageScore | Callable[[Tensor], Tensor]]


def make_score(name: str, models: Sequence[nn.Module], settings: Settings, progress: bool = True) -> NamedScore:
    """The score of that name, one of `SCORES`, for the first of the networks; an ensemble is of all of them.

    What learns, learns from street scenes of the settings' data, the outlier head from the proxy too, all with their
    seed. The networks are moved to the GPU if there is one, and are in evaluation mode afterwards. ValueError for
    another name, and where a network does not have what the score needs.
    """
    if name not in SCORES:
        raise ValueError(f"There is no score {name!r}; choose one of: {', '.join(SCORES)}.")
    models = [model.to(compute_device()).eval() for model in models]
    score = SCORES[name](models, settings, progress)
    if isinstance(score, ImageScore):
        method = score.to(compute_device()).eval()
        return NamedScore(method, method.of_last)
    return NamedScore(models[0], score)


def _scenes(settings: Settings, count: int = SCENES, crops: bool = False) -> SegmentationDataset:
    transform = training_transform(settings.crop) if crops else None
    scenes = settings.open("cityscapes", "train", transform=transform)
    return scenes.take(min(count, len(scenes)))


def _standardised(models: Sequence[nn.Module], settings: Settings, progress: bool) -> Callable[[Tensor], Tensor]:
    return StandardisedMaxLogits().fit(models[0], _scenes(settings), progress).score


def _learning(
    method: Callable[[nn.Module], Mahalanobis | NearestNeighbours | RBFHead],
) -> Builder:
    return lambda models, settings, progress: method(models[0]).fit(
        _scenes(settings), seed=settings.seed, progress=progress
    )


def _outlier_head(models: Sequence[nn.Module], settings: Settings, progress: bool) -> OutlierHead:
    proxy = settings.open_proxy(transform=training_transform(settings.crop))
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)  # the crops are drawn from torch's global generator
        return OutlierHead(models[0]).fit(_scenes(settings), proxy, seed=settings.seed, progress=progress)


def _dropout(models: Sequence[nn.Module], settings: Settings, progress: bool) -> MCDropout:
    """With the network's own dropout layers, or, where it has none, before the layer that names the class."""
    try:
        return MCDropout(models[0], seed=settings.seed)
    except ValueError:
        layer = classifying_layer(models[0], as_images(_scenes(settings, 1)[0].image, models[0]))
        return MCDropout(models[0], layers=[layer], rate=0.5, seed=settings.seed)


def _reconstruction(models: Sequence[nn.Module], settings: Settings, progress: bool) -> Reconstruction:
    method = Reconstruction(models[0], seed=settings.seed).to(compute_device())
    return method.fit(_scenes(settings, 4 * SCENES, crops=True), progress=progress)


SCORES: dict[str, Builder] = {
    "max softmax": lambda *_: max_softmax,
    "margin": lambda *_: margin,
    "entropy": lambda *_: entropy,
    "max logit": lambda *_: max_logit,
    "energy": lambda *_: energy,
    "standardised max logits": _standardised,
    "Mahalanobis": _learning(Mahalanobis),
    "nearest neighbours": _learning(lambda model: NearestNeighbours(model, k=200)),
    "ODIN": lambda models, *_: ODIN(models[0], temperature=10, epsilon=0.002),
    "MC dropout": _dropout,
    "ensemble": lambda models, *_: Ensemble(models),
    "RBF head": _learning(RBFHead),
    "outlier head": _outlier_head,
    "reconstruction": _reconstruction,
}
"""How each is made; those above ODIN cost one forward pass at most.

Settings have the best AUPRC on the miniature's tuning set, for the network before entropy maximization: T and epsilon
of ODIN, the dropout rate (0.1 to 0.7), the width of the RBF kernels (0.3 to 3). Two were left short of it: k, for 400
is better yet but near the road's share of the bank, 540, where the score breaks down; and the energy's temperature, for
the best, 0.1, is max logit.
"""
