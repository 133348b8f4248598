"""Every score by its name, with the settings that were chosen on the miniature's tuning set."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from ood_lib import scores
from ood_lib.data import SegmentationDataset
from ood_lib.device import compute_device
from ood_lib.models.logits import as_images
from ood_lib.scores.features import FeatureScore, classifying_layer
from ood_lib.settings import Settings

Networks = Sequence[nn.Module]
SCENES = 50  #: from which scores learn; the autoencoder, from pixels alone, from four times as many


def make_score(name: str, models: Networks, settings: Settings,
               progress: bool = True) -> scores.ImageScore:
    """The score of that name, one of `SCORES`, for the first network; an ensemble is of all.

    It learns from the settings' street scenes, an outlier head from their proxy too. Networks are
    moved to the GPU if there is one, and are in evaluation mode then. ValueError for another name,
    and where a network lacks what the score needs.
    """
    if name not in SCORES:
        raise ValueError(f"There is no score {name!r}; choose one of: {', '.join(SCORES)}.")
    models = [model.to(compute_device()).eval() for model in models]
    return SCORES[name](models, settings, progress).to(compute_device()).eval()


def _scenes(settings: Settings, count: int = SCENES, crops: bool = False) -> SegmentationDataset:
    transform = settings.random_crops() if crops else None
    scenes = settings.open("cityscapes", "train", transform=transform)
    return scenes.take(min(count, len(scenes)))


def _made(kind: type, models: Networks, settings: Settings, progress: bool,
          **options: Any) -> scores.ImageScore:
    score = kind(models[0], **options)
    if isinstance(score, FeatureScore):
        score.fit(_scenes(settings), seed=settings.seed, progress=progress)
    return score


def _standardised(models: Networks, settings: Settings, progress: bool) -> scores.ImageScore:
    return scores.StandardisedMaxLogits(models[0]).fit(_scenes(settings), progress)


def _outlier_head(models: Networks, settings: Settings, progress: bool) -> scores.ImageScore:
    proxy = settings.open_proxy(transform=settings.random_crops())
    head, seed = scores.OutlierHead(models[0]), settings.seed
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # the crops are drawn from torch's global generator
        return head.fit(_scenes(settings), proxy, seed=seed, progress=progress)


def _dropout(models: Networks, settings: Settings, progress: bool) -> scores.ImageScore:
    """With the network's own dropout layers, or, where it has none, before the classifying one."""
    try:
        return scores.MCDropout(models[0], seed=settings.seed)
    except ValueError:
        image = as_images(_scenes(settings, 1)[0].image, compute_device())
        layers = [classifying_layer(models[0], image)]
        return scores.MCDropout(models[0], layers=layers, rate=0.5, seed=settings.seed)


def _ensemble(models: Networks, *_: Any) -> scores.ImageScore:
    return scores.Ensemble(models)


def _reconstruction(models: Networks, settings: Settings, progress: bool) -> scores.ImageScore:
    score = scores.Reconstruction(models[0], seed=settings.seed)
    return score.fit(_scenes(settings, 4 * SCENES, crops=True), progress=progress)


SCORES: dict[str, Callable[[Networks, Settings, bool], scores.ImageScore]] = {
    "max softmax": partial(_made, scores.LogitScore, function=scores.max_softmax),
    "margin": partial(_made, scores.LogitScore, function=scores.margin),
    "entropy": partial(_made, scores.LogitScore, function=scores.entropy),
    "max logit": partial(_made, scores.LogitScore, function=scores.max_logit),
    "energy": partial(_made, scores.LogitScore, function=scores.energy),
    "standardised max logits": _standardised,
    "Mahalanobis": partial(_made, scores.Mahalanobis),
    "nearest neighbours": partial(_made, scores.NearestNeighbours, k=200),
    "ODIN": partial(_made, scores.ODIN, temperature=10, epsilon=0.002),
    "MC dropout": _dropout,
    "ensemble": _ensemble,
    "RBF head": partial(_made, scores.RBFHead),
    "outlier head": _outlier_head,
    "reconstruction": _reconstruction,
}
"""How each is made, with the settings that have the best AUPRC on the miniature's tuning set before
entropy maximization. But k = 400 is better yet, near the road's share of the bank, 540, where the
score breaks down; and the energy's best temperature, 0.1, would be max logit."""
