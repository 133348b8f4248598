"""Scores that ask more than once: Monte-Carlo dropout and ensembles."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from ood_lib.models.logits import image_logits
from ood_lib.scores.image_score import ImageScore

Measure = Literal["entropy", "mutual_information"]


def predictive_entropy(probabilities: Tensor) -> Tensor:
    """Entropy of the mean of several predictions over log C: (K, N, C, H, W) to (N, H, W), float32 in [0, 1].

    What is unclear to the answers together: the noise of the data and their disagreement.
    """
    return _entropy(probabilities.mean(dim=0), dim=1)


def mutual_information(probabilities: Tensor) -> Tensor:
    """By how much the answers disagree, over log C: (K, N, C, H, W) to (N, H, W), float32 in [0, 1].

    The `predictive_entropy` less the mean entropy of the answers (Houlsby et al. 2011); 0 where all say the same,
    however unsure. For one answer, K = 1, it is 0 everywhere.
    """
    return (predictive_entropy(probabilities) - _entropy(probabilities, dim=2).mean(dim=0)).clamp(min=0)


MEASURES = {"entropy": predictive_entropy, "mutual_information": mutual_information}


class SeveralAnswers(ImageScore):
    """A score of the distribution of several answers; ``measure`` is `predictive_entropy` or `mutual_information`."""

    def __init__(self, model: nn.Module, measure: Measure = "entropy") -> None:
        super().__init__(model)
        if measure not in MEASURES:
            raise ValueError(f"measure={measure!r} must be one of: {', '.join(MEASURES)}.")
        self.measure: Measure = measure

    @abstractmethod
    def answers(self, images: Tensor) -> Tensor:
        """Class probabilities (K, N, C, H, W), float32, of the images (N, 3, H, W)."""

    def judge(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """As in `ImageScore.judge`; the logits are the logarithm of the mean answer."""
        probabilities = self.answers(images)
        mean = probabilities.mean(dim=0)
        return mean.clamp(min=torch.finfo(mean.dtype).tiny).log(), MEASURES[self.measure](probabilities)


class MCDropout(SeveralAnswers):
    """Answers of one network with dropout switched on (Gal and Ghahramani 2016; Kendall et al. 2015).

    The network's own dropout layers are switched on. With ``layers``, names of modules in ``model``, whole channels of
    what these are given are dropped at the ``rate`` too, for networks that were trained without dropout; they never
    learnt to do without. The masks follow from ``seed`` and are the same for every batch. Range [0, 1].
    Cost: ``passes`` forward passes; memory: as many probability maps. ValueError where nothing would be dropped.
    """

    def __init__(
        self,
        model: nn.Module,
        passes: int = 8,
        layers: Sequence[str] = (),
        rate: float = 0.2,
        measure: Measure = "entropy",
        seed: int = 0,
    ) -> None:
        super().__init__(model, measure)
        if passes < 1 or not 0 < rate < 1:
            raise ValueError(f"passes={passes} must be at least 1, and rate={rate} between 0 and 1.")
        own = [layer for layer in model.modules() if isinstance(layer, _DropoutNd) and layer.p > 0]
        if not (own or layers):
            raise ValueError(
                f"{type(model).__name__} has no dropout layer, so all answers would be the same. Name modules whose "
                "input is to be dropped: MCDropout(model, layers=[...])."
            )
        self.passes, self.layers, self.rate, self.seed = passes, tuple(layers), rate, seed

    def answers(self, images: Tensor) -> Tensor:
        devices = [images.device] if images.is_cuda else []
        with torch.random.fork_rng(devices), _dropping(self.model, self.layers, self.rate):
            torch.manual_seed(self.seed)
            return torch.stack([self.logits(images).softmax(dim=1) for _ in range(self.passes)])


class Ensemble(SeveralAnswers):
    """Answers of several networks that were trained from other beginnings (Lakshminarayanan et al. 2017).

    Range [0, 1]. Cost: one forward pass and the weights in memory for each network; and all their training.
    """

    def __init__(self, models: Sequence[nn.Module], measure: Measure = "entropy") -> None:
        if len(models) < 2:
            raise ValueError(f"An ensemble needs at least two networks, not {len(models)}.")
        super().__init__(models[0], measure)
        self.others = nn.ModuleList(models[1:])

    def answers(self, images: Tensor) -> Tensor:
        logits = [image_logits(model, images).float() for model in (self.model, *self.others)]
        return torch.stack([each.softmax(dim=1) for each in logits])


def _entropy(probabilities: Tensor, dim: int) -> Tensor:
    classes = torch.tensor(float(probabilities.shape[dim]))
    return (torch.special.entr(probabilities.float()).sum(dim=dim) / classes.log()).clamp(max=1)


@contextmanager
def _dropping(model: nn.Module, layers: Sequence[str], rate: float) -> Iterator[None]:
    """Inside, the dropout layers of the model drop, and the inputs of these layers lose channels at the rate."""
    own = [layer for layer in model.modules() if isinstance(layer, _DropoutNd)]
    modes = [layer.training for layer in own]
    with ExitStack() as stack:
        for name in layers:
            hook = model.get_submodule(name).register_forward_pre_hook(
                lambda _, inputs: (F.dropout2d(inputs[0], rate), *inputs[1:])
            )
            stack.callback(hook.remove)
        for layer, mode in zip(own, modes, strict=True):
            layer.train()
            stack.callback(layer.train, mode)
        yield
