"""Fine-tuning by entropy maximization (Chan et al. 2021; thesis, section 4.1)."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn

from ood_lib.data import SegmentationDataset
from ood_lib.device import half_precision
from ood_lib.files import cache_folder
from ood_lib.models.deeplabv3plus import DeepLabV3Plus
from ood_lib.models.logits import image_logits
from ood_lib.settings import FineTuneRecipe, Settings
from ood_lib.training.closed_set import closed_set_network
from ood_lib.training.epoch import EpochImages, Training, join_processes
from ood_lib.training.loss import entropy_maximization_loss
from ood_lib.training.recompute import recomputed_activations
from ood_lib.training.state import TrainingState

THESIS = FineTuneRecipe(lambda_=0.9, epochs=4, proxy_fraction=0.1, batch_size=2, learning_rate=1e-5)
"""The recipe of section 4.1, with the batch size of the published code; the text gives none."""
CACHE = "the cache folder"  #: as ``checkpoint`` of a training by settings


@dataclass(frozen=True)
class FineTuneResult:
    """What `fine_tune` did; the network itself was changed in place."""

    losses: Any  #: a pandas.DataFrame, for each step epoch and step, both from 0, and the loss
    proxy_ids: list[list[str]]  #: for each epoch the ids of the proxy images it used


def fine_tuned_network(settings: Settings, network: nn.Module | None = None,
                       **options: Any) -> nn.Module:
    """The network, by default the closed-set one, changed by `fine_tune_by`, to be evaluated."""
    network = closed_set_network(settings) if network is None else network
    fine_tune_by(settings, network, **options)
    return network.eval()


def fine_tune_by(settings: Settings, network: nn.Module, *,
                 scenes: SegmentationDataset | None = None,
                 proxy: SegmentationDataset | None = None,
                 checkpoint: Path | str | None = CACHE, progress: bool = True) -> FineTuneResult:
    """`fine_tune` as the settings say, on `training_images`; by default kept in the cache."""
    images = training_images(settings, scenes, proxy)
    checkpoint = cache_folder() if checkpoint == CACHE else checkpoint
    recipe = {name: getattr(settings, name) for name in FineTuneRecipe.model_fields}
    return fine_tune(network, *images, checkpoint=checkpoint, progress=progress, **recipe)


def training_images(settings: Settings, scenes: SegmentationDataset | None,
                    proxy: SegmentationDataset | None,
                    ) -> tuple[SegmentationDataset, SegmentationDataset]:
    """These data sets, or in the place of None the settings' own, cropped at random."""
    transform = settings.random_crops()
    if scenes is None:
        scenes = settings.open("cityscapes", "train", transform=transform)
        scenes = scenes.take(settings.num_in_distribution)
    return scenes, settings.open_proxy(transform=transform) if proxy is None else proxy


def fine_tune(model: nn.Module, in_distribution: SegmentationDataset, proxy: SegmentationDataset,
              *, checkpoint_activations: bool = False, checkpoint: Path | str | None = None,
              progress: bool = True, **recipe: Any) -> FineTuneResult:
    """Train the network on to be uncertain about proxy objects and certain about street scenes.

    ``model`` is any network that `ood_lib.models.logits.image_logits` can ask; ``recipe`` is a
    `FineTuneRecipe` by keyword, by default that of the `THESIS`. Each epoch shuffles all street
    scenes with newly drawn proxy images and takes one Adam step for every ``batch_size *
    accumulate`` of them. Batch normalisation keeps its statistics, which describe streets, unless
    ``batch_norm`` is "live". ``checkpoint_activations``: see `recomputed_activations`.

    With ``checkpoint``, a file to be, the state is kept after every epoch: the same call goes on
    from there, with the result that it would have had, or returns at once if all is done. In a
    folder the file is named by what decides the result. A call that fails changes no weights.

    ValueError for a recipe that cannot be, is not the file's or trains nothing; FloatingPointError
    if the loss is no longer a number.
    """
    chosen = THESIS.changed(**recipe)
    if checkpoint_activations and chosen.batch_norm == "live":
        raise ValueError("With checkpoint_activations statistics would be counted twice. "
                         'Leave it out, or take batch_norm="frozen".')
    sparing = recomputed_activations(model) if checkpoint_activations else nullcontext()
    with _unchanged_on_failure(model), sparing:
        training = _FineTuning(model, in_distribution, proxy, chosen)
        state = TrainingState(model, training.optimizer, training.scaler)
        images = {"in_distribution": in_distribution, "proxy": proxy}
        state.resume(checkpoint, chosen.model_dump(), _FineTuning, **images)
        for epoch in range(len(state.losses), chosen.epochs):
            state.losses.append(training.next_epoch(epoch, progress))
            if training.process == 0:
                state.save()
            if training.processes > 1:
                distributed.barrier()  # until all see the file
    proxy_ids = [training.images(epoch).proxy_ids for epoch in range(chosen.epochs)]
    return FineTuneResult(_by_step(state.losses), proxy_ids)


def _by_step(losses: list[list[float]]) -> Any:
    import pandas as pd  # late, for half a second's sake

    by_epoch = pd.Series(losses, name="loss").explode().astype(float)
    table = by_epoch.rename_axis("epoch").reset_index()
    table.insert(1, "step", table.index)
    return table


def _num_proxy(fraction: float, scenes: int, available: int) -> int:
    if scenes == 0:
        raise ValueError("There is no street scene to train on; give a data set that holds some.")
    number = int(fraction * scenes + 1e-6)  # rounded down, as in the thesis: 0.1 of 2,975 is 297
    if number > available or (number == 0 and fraction > 0):
        raise ValueError(
            f"proxy_fraction={fraction} of {scenes} street scenes asks for {number} proxy images, "
            f"but there are {available}. Choose a fraction from {1 / scenes:.3g} to "
            f"{available / scenes:.3g}, or 0 for none.")
    return number


class _Logits(nn.Module):
    """Any network as one of logits at image size, for the gradients of all processes to meet."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return image_logits(self.model, images)


class _FineTuning(Training):
    """The network, and the images from which each epoch draws."""

    def __init__(self, model: nn.Module, scenes: SegmentationDataset, proxy: SegmentationDataset,
                 recipe: FineTuneRecipe) -> None:
        if not any(weights.requires_grad for weights in model.parameters()):
            advice = "Call requires_grad_(True) on what shall learn."
            raise ValueError(f"{type(model).__name__} has no weight that can learn. {advice}")
        self.scenes, self.proxy = scenes, proxy
        self.num_proxy = _num_proxy(recipe.proxy_fraction, len(scenes), len(proxy))
        optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate)
        # Other networks may have layers on which no logit depends; to look for them takes time.
        search = not isinstance(model, DeepLabV3Plus)
        own = (_Logits(model), optimizer, recipe, half_precision())
        super().__init__(*own, *join_processes(), search)

    def images(self, epoch: int) -> EpochImages:
        return EpochImages(self.scenes, self.proxy, self.num_proxy, self.recipe.seed, epoch)

    def next_epoch(self, epoch: int, progress: bool) -> list[float]:
        """The loss of each step."""
        self.network.train()
        if self.recipe.batch_norm == "frozen":
            for module in self.network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        if self.recipe.fresh_adam:
            self.optimizer.state.clear()
        bar = {"desc": f"epoch {epoch + 1}", "disable": self.process > 0 or not progress}
        losses = self.epoch(self.images(epoch), epoch, **bar)
        if epoch == 0 and not any(losses):
            advice = "Change lambda_, ood_share or proxy_fraction, or give images with labels."
            raise ValueError(f"Nothing was learned, as no pixel weighs anything. {advice}")
        return losses

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        weights = {"lambda_": self.recipe.lambda_, "ood_share": self.recipe.ood_share}
        return entropy_maximization_loss(logits, target, **weights)


@contextmanager
def _unchanged_on_failure(model: nn.Module) -> Iterator[None]:
    """Puts each module's mode back at the end, and all weights too if the block raises."""
    modes = {module: module.training for module in model.modules()}
    before = copy.deepcopy(model.state_dict())
    try:
        yield
    except BaseException:
        model.load_state_dict(before)
        model.zero_grad()
        raise
    finally:
        for module, mode in modes.items():
            module.training = mode


FINE_TUNING = (training_images, _FineTuning)
"""What decides a fine-tuned network beside settings, images and starting weights."""
