"""Scores of several answers to one image: Monte-Carlo dropout and ensembles."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from ood_lib.models.logits import at_least_float32, image_logits
from ood_lib.scores.image_score import ImageScore, evaluation_mode


def predictive_entropy(probabilities: Tensor) -> Tensor:
    """Entropy of the mean prediction over log C: (K, N, C, H, W) to (N, H, W), in [0, 1]."""
    return _entropy(probabilities.mean(dim=0), dim=1)


def mutual_information(probabilities: Tensor) -> Tensor:
    """By how much the answers disagree, over log C: (K, N, C, H, W) to (N, H, W), in [0, 1].

    The `predictive_entropy` less the mean entropy of the answers (Houlsby et al. 2011).
    """
    mean_entropy = _entropy(probabilities, dim=2).mean(dim=0)  # (N, H, W)
    return (predictive_entropy(probabilities) - mean_entropy).clamp(min=0)


MEASURES = {"entropy": predictive_entropy, "mutual_information": mutual_information}


class SeveralAnswers(ImageScore):
    """A score of several answers to the same images; ``measure`` is one of `MEASURES`."""

    def __init__(self, model: nn.Module, measure: str = "entropy") -> None:
        super().__init__(model)
        if measure not in MEASURES:
            raise ValueError(f"measure={measure!r} must be one of: {', '.join(MEASURES)}.")
        self.measure = measure

    @abstractmethod
    def answers(self, images: Tensor) -> Tensor:
        """Class probabilities (K, N, C, H, W), at least float32, of the images (N, 3, H, W)."""

    def judge(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The logits are the logarithm of the mean answer."""
        probabilities = self.answers(images)  # (K, N, C, H, W)
        mean = probabilities.mean(dim=0).clamp(min=torch.finfo(probabilities.dtype).tiny)
        return mean.log(), MEASURES[self.measure](probabilities)


class MCDropout(SeveralAnswers):
    """One network with dropout switched on (Gal and Ghahramani 2016; Kendall et al. 2015).

    With ``layers``, names of modules in ``model``, whole channels of what these are given are
    dropped at the ``rate`` too, for networks that were trained without; ValueError if nothing is
    dropped. Masks are alike for every batch. Range [0, 1]. Cost: ``passes`` forward passes.
    """

    def __init__(self, model: nn.Module, passes: int = 8, layers: Sequence[str] = (),
                 rate: float = 0.2, measure: str = "entropy", seed: int = 0) -> None:
        super().__init__(model, measure)
        if passes < 1 or not 0 < rate < 1:
            raise ValueError(f"passes={passes} must be at least 1, and rate={rate} in (0, 1).")
        if not (layers or any(isinstance(m, _DropoutNd) and m.p > 0 for m in model.modules())):
            raise ValueError(f"{type(model).__name__} has no dropout layer, so all answers would "
                             "be the same. Name modules whose input to drop: layers=[...].")
        self.passes, self.layers, self.rate, self.seed = passes, tuple(layers), rate, seed

    def answers(self, images: Tensor) -> Tensor:
        drop = lambda _, inputs: (F.dropout2d(inputs[0], self.rate), *inputs[1:])  # noqa: E731
        devices = [images.device] if images.is_cuda else []
        with torch.random.fork_rng(devices), evaluation_mode(self.model), ExitStack() as hooks:
            for layer in self.model.modules():
                layer.training = isinstance(layer, _DropoutNd)
            for name in self.layers:
                layer = self.model.get_submodule(name)
                hooks.enter_context(layer.register_forward_pre_hook(drop))
            torch.manual_seed(self.seed)
            passes = [image_logits(self.model, images).softmax(dim=1) for _ in range(self.passes)]
        return torch.stack(passes)  # (K, N, C, H, W)


class Ensemble(SeveralAnswers):
    """Several networks trained from other beginnings (Lakshminarayanan et al. 2017).

    Range [0, 1]. Cost: for each network a forward pass, its weights in memory, and its training.
    """

    def __init__(self, models: Sequence[nn.Module], measure: str = "entropy") -> None:
        if len(models) < 2:
            raise ValueError(f"An ensemble needs at least two networks, not {len(models)}.")
        super().__init__(models[0], measure)
        self.others = nn.ModuleList(models[1:])

    def answers(self, images: Tensor) -> Tensor:
        networks = (self.model, *self.others)
        return torch.stack([image_logits(network, images).softmax(dim=1) for network in networks])


def _entropy(probabilities: Tensor, dim: int) -> Tensor:
    """Over log C and without that dimension, which is of the C classes."""
    nats = torch.special.entr(at_least_float32(probabilities)).sum(dim=dim)
    return (nats / math.log(probabilities.shape[dim])).clamp(max=1)
