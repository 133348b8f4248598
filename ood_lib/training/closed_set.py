"""The closed-set network that every experiment starts from: its weights read, or trained once."""

import math
import warnings
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ood_lib.data import SegmentationDataset, training_transform
from ood_lib.data.labels import IGNORE_INDEX, NUM_CLASSES
from ood_lib.device import compute_device, half_precision
from ood_lib.files import cache_folder
from ood_lib.models import build_model, load_checkpoint
from ood_lib.settings import PRETRAINED, ClosedSetRecipe, Settings
from ood_lib.training.epoch import EpochImages, Training, own_draws
from ood_lib.training.state import TrainingState


def closed_set_network(settings: Settings) -> nn.Module:
    """The network of the settings with weights that know the 19 classes, for evaluation on the CPU.

    Reads the settings' ``checkpoint``, or trains once by the recipe ``closed_set`` on Cityscapes
    train and keeps the result in the cache. ValueError where there is neither.
    """
    if settings.checkpoint is not None:
        return _with_weights(settings.model, settings.checkpoint)
    recipe = settings.closed_set
    if recipe is None:
        raise ValueError(
            f"The profile {settings.profile} has neither a checkpoint for {settings.model} nor a "
            "section closed_set that says how to train it. Add one, or checkpoint: pretrained.")
    scenes = settings.open("cityscapes", "train", transform=training_transform(recipe.crop))
    return train_closed_set(settings.model, scenes, recipe, cache_folder())


def closed_set_ensemble(settings: Settings) -> list[nn.Module]:
    """The network of the settings, and its sisters: trained alike, but with other draws.

    Their weights, if any, lie beside the ``checkpoint``, with -1, -2, ... before its suffix.
    """
    networks = [closed_set_network(settings)]
    if isinstance(settings.checkpoint, Path):
        first = settings.checkpoint
        while (path := first.with_stem(f"{first.stem}-{len(networks)}")).is_file():
            networks.append(_with_weights(settings.model, path))
    return networks


def _with_weights(name: str, checkpoint: Path | str) -> nn.Module:
    library, _, own = name.partition(":")
    is_whole = own.startswith("smp-hub/") or Path(own).is_dir()
    if checkpoint == PRETRAINED and library in ("torchvision", "smp") and not is_whole:
        warnings.warn(
            f"Only the encoder of {name} has published weights; the layers that name the classes "
            "are random. Train it on street scenes, and give those weights as checkpoint.",
            stacklevel=3)
    with own_draws(0):  # of weights that are not kept, but for those of the warning
        if checkpoint == PRETRAINED:
            return build_model(name, NUM_CLASSES, pretrained=True).eval()
        return load_checkpoint(build_model(name, NUM_CLASSES), checkpoint).eval()


def train_closed_set(model: str, scenes: SegmentationDataset, recipe: ClosedSetRecipe,
                     checkpoint: Path) -> nn.Module:
    """Train the network of that name from nothing; gives the moving average of its weights.

    Cross-entropy, the classes weighted by `class_weights`. ``checkpoint`` is that of `fine_tune`.
    ValueError for scenes too few for a batch, or without labels.
    """
    if len(scenes) < recipe.batch_size:
        raise ValueError(
            f"Nothing can be learned from {len(scenes)} scenes in batches of {recipe.batch_size}, "
            "as only whole ones are used. Lower batch_size in closed_set, or give more scenes.")
    steps = recipe.epochs * (len(scenes) // recipe.batch_size)
    if (of_first := recipe.average_decay ** (steps - 1)) > 0.5:
        warnings.warn(
            f"The moving average over {steps} steps is still made of the weights after the first, "
            f"which are random, by {of_first:.0%}. Lower average_decay, or train for longer.",
            stacklevel=2)
    with own_draws(recipe.seed):
        training = _ClosedSetTraining(build_model(model, NUM_CLASSES), recipe)
        both = nn.ModuleDict({"network": training.network, "average": training.average})
        state = TrainingState(both, training.optimizer, training.scaler)
        acting = (_ClosedSetTraining, class_weights)  # an edit of these is another training
        state.resume(checkpoint, recipe.model_dump(), acting, scenes=scenes)
        if len(state.losses) < recipe.epochs:  # else no image need be looked at
            training.weights = class_weights(scenes[i].target for i in range(len(scenes)))
        for epoch in range(len(state.losses), recipe.epochs):
            state.losses.append(training.next_epoch(scenes, epoch))
            state.save()
    return training.average.module.cpu().eval()


def class_weights(targets: Iterable[Tensor]) -> Tensor:
    """Mild weights (19,) against imbalance in the first 500 targets: shares to the power of -1/4.

    Their mean is 1. ValueError if no pixel has a class.
    """
    counts = torch.zeros(NUM_CLASSES)
    for target in islice(targets, 500):
        labels = target.flatten().long()
        counts += torch.bincount(labels[labels != IGNORE_INDEX], minlength=NUM_CLASSES)
    if not counts.any():
        raise ValueError("No pixel of these scenes has a label; give a split with public labels.")
    weights = (counts / counts.sum()).clamp(min=1e-5) ** -0.25
    return weights / weights.mean()


def learning_rate(recipe: ClosedSetRecipe, progress: float) -> float:
    """The rate at a share of the training in [0, 1]: up along a cosine, then down to zero."""
    rising = min(progress / recipe.warm_up, 1)
    falling = max(progress - recipe.warm_up, 0) / (1 - recipe.warm_up)
    up = 0.5 - 0.5 * math.cos(math.pi * rising)
    down = 0.5 + 0.5 * math.cos(math.pi * falling)
    return recipe.learning_rate * max(up, 0.04) * down


class _ClosedSetTraining(Training):
    """The network, and the moving average of its weights."""

    memory_format = torch.channels_last
    weights: Tensor  #: of the classes, (19,)

    def __init__(self, network: nn.Module, recipe: ClosedSetRecipe) -> None:
        decay, device = get_ema_multi_avg_fn(recipe.average_decay), compute_device()
        self.average = AveragedModel(network, multi_avg_fn=decay, use_buffers=True).to(device)
        optimizer = torch.optim.AdamW(network.parameters(), weight_decay=recipe.weight_decay)
        # On the CPU half precision is hardly faster, but it was so with the shipped weights, which
        # this can make again.
        half = half_precision() or torch.bfloat16
        super().__init__(network, optimizer, recipe, half, device)

    def next_epoch(self, scenes: SegmentationDataset, epoch: int) -> list[float]:
        """The loss of each step; the last images are left out where they fill no batch."""
        images = EpochImages(scenes, scenes, 0, self.recipe.seed, epoch)
        del images.images[len(images) // self.recipe.batch_size * self.recipe.batch_size :]
        self.network.train()
        about = f"closed set, epoch {epoch + 1} of {self.recipe.epochs}"
        return self.epoch(images, epoch, desc=about, leave=False)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        weights = self.weights.to(logits.device)
        return F.cross_entropy(logits.float(), target.long(), weights, ignore_index=IGNORE_INDEX)

    def step(self, progress: float) -> None:
        self.optimizer.param_groups[0]["lr"] = learning_rate(self.recipe, progress)
        super().step(progress)
        self.average.update_parameters(self.network)
