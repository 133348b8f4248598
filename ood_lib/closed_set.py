"""The closed-set network that every experiment starts from: its weights read, or trained here once and kept."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from torchvision.transforms.v2.functional import to_dtype
from tqdm.auto import tqdm

from ood_lib.data import SegmentationDataset, collate, training_transform
from ood_lib.data.labels import IGNORE_INDEX, NUM_CLASSES
from ood_lib.device import compute_device, half_precision
from ood_lib.epoch import EpochImages
from ood_lib.files import cache_folder
from ood_lib.models import build_model, load_checkpoint
from ood_lib.profiles import PRETRAINED, Settings
from ood_lib.training import seeded
from ood_lib.training_state import TrainingState, checkpoint_file, describe_dataset, weights_digest


@dataclass(frozen=True)
class Recipe:
    """How a network learns street scenes from nothing: one cycle of the learning rate, AdamW, a moving average."""

    epochs: int = 14
    crop: int = 128
    batch_size: int = 16
    learning_rate: float = 3e-3
    """The largest of the cycle."""
    weight_decay: float = 1e-3
    warm_up: float = 0.15
    """Share of the training in which the learning rate rises."""
    average_decay: float = 0.998
    seed: int = 0
    """Not that of the experiment: all its runs start from the same network."""


def closed_set_network(settings: Settings) -> nn.Module:
    """The network of the settings with weights that know the 19 classes, on the CPU and in evaluation mode.

    Reads the settings' ``checkpoint``; where a profile has the section ``closed_set`` instead, trains with that recipe
    on Cityscapes train once and keeps the result in the cache. Raises ValueError where a profile has neither.
    """
    if settings.checkpoint == PRETRAINED:
        return build_model(settings.model, NUM_CLASSES, pretrained=True).eval()
    if settings.checkpoint is not None:
        return load_checkpoint(build_model(settings.model, NUM_CLASSES), settings.checkpoint).eval()
    if settings.closed_set is None:
        raise ValueError(
            f"The profile {settings.profile} has neither a checkpoint for {settings.model} nor a section closed_set "
            "that says how to train it. Add one of them, or checkpoint: pretrained for a network that brings its own."
        )
    try:
        recipe = Recipe(**settings.closed_set)
    except TypeError as error:
        raise ValueError(f"closed_set of the profile {settings.profile} is no Recipe: {error}.") from None
    scenes = settings.open("cityscapes", "train", transform=training_transform(recipe.crop))
    return train_closed_set(settings.model, scenes, recipe, cache_folder())


def closed_set_ensemble(settings: Settings) -> list[nn.Module]:
    """The network of the settings, and its sisters: trained alike, from other beginnings and with other draws.

    Their weights lie beside the ``checkpoint``, named like it with -1, -2, ... before the suffix; where there are none,
    it is alone.
    """
    networks = [closed_set_network(settings)]
    first = Path(settings.checkpoint) if settings.checkpoint not in (None, PRETRAINED) else None
    while first is not None and (path := first.with_stem(f"{first.stem}-{len(networks)}")).is_file():
        networks.append(load_checkpoint(build_model(settings.model, NUM_CLASSES), path).eval())
    return networks


def train_closed_set(model: str, scenes: SegmentationDataset, recipe: Recipe, checkpoint: Path) -> nn.Module:
    """Train the network of that name from nothing; gives the moving average of its weights, on the CPU.

    Cross-entropy, the classes weighted by `class_weights`. The state is kept after every epoch in ``checkpoint``, a
    file or a folder as in `ood_lib.training.fine_tune`, and training goes on from there.
    """
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        network = build_model(model, NUM_CLASSES)
        return _train(network, scenes, recipe, checkpoint)


def class_weights(scenes: SegmentationDataset, images: int = 500) -> Tensor:
    """Mild weights (19,) against imbalance: the class's share of the pixels to the power of -1/4, with mean 1."""
    counts = torch.zeros(NUM_CLASSES)
    for i in range(min(images, len(scenes))):
        target = scenes[i].target.flatten().long()
        counts += torch.bincount(target[target != IGNORE_INDEX], minlength=NUM_CLASSES)
    weights = (counts / counts.sum()).clamp(min=1e-5) ** -0.25
    return weights / weights.mean()


def learning_rate(recipe: Recipe, progress: float) -> float:
    """The rate at a share of the training in [0, 1]: up along a cosine during the warm-up, then down to zero."""
    rising = 0.5 - 0.5 * math.cos(math.pi * min(progress / recipe.warm_up, 1))
    falling = 0.5 + 0.5 * math.cos(math.pi * max(progress - recipe.warm_up, 0) / (1 - recipe.warm_up))
    return recipe.learning_rate * max(rising, 0.04) * falling


def _train(network: nn.Module, scenes: SegmentationDataset, recipe: Recipe, checkpoint: Path) -> nn.Module:
    device = compute_device()
    settings = asdict(recipe) | {"scenes": describe_dataset(scenes)}
    settings["starting weights"] = weights_digest(network.state_dict())
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(recipe.average_decay), use_buffers=True)
    both = nn.ModuleDict({"network": network, "average": average}).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=recipe.weight_decay)
    path = checkpoint_file(checkpoint, settings, [scenes])
    # On the CPU half precision is hardly faster, but it was so with the shipped weights, which this can make again.
    half = half_precision() or torch.bfloat16
    scaler = torch.amp.GradScaler(device.type, enabled=half == torch.float16)
    state = TrainingState.resume(path, settings, both, optimizer, scaler)
    if state.epochs_done == recipe.epochs:  # then no image need be looked at
        return average.module.cpu().eval()
    step = Step(network, optimizer, scaler, class_weights(scenes).to(device), half)
    for epoch in range(state.epochs_done, recipe.epochs):
        images = EpochImages(scenes, scenes, 0, recipe.seed, epoch)
        workers = 2 if device.type == "cuda" else 0  # on the CPU they would take the cores from the network
        loader = DataLoader(images, recipe.batch_size, collate_fn=collate, drop_last=True, num_workers=workers)
        bar = tqdm(loader, desc=f"closed set, epoch {epoch + 1} of {recipe.epochs}", leave=False)
        losses = []
        with seeded(recipe.seed, epoch, device):
            for number, (pixels, target) in enumerate(bar):
                rate = learning_rate(recipe, (epoch + number / len(loader)) / recipe.epochs)
                losses.append(step(pixels.to(device), target.to(device), rate))
                average.update_parameters(network)
        state.finish_epoch(losses, [])
        state.save(path, settings, both, optimizer, scaler)
    return average.module.cpu().eval()


@dataclass(frozen=True)
class Step:
    """One step of the optimizer at a time, in half precision; float16, whose range is small, with a scaled loss."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    class_weights: Tensor
    dtype: torch.dtype

    def __call__(self, pixels: Tensor, target: Tensor, rate: float) -> float:
        """Learn from images uint8 (N, 3, H, W) and train ids uint8 (N, H, W) at that learning rate; gives the loss."""
        self.network.train()
        images = to_dtype(pixels, torch.float32, scale=True).contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, self.dtype):
            logits = self.network(images)
        loss = F.cross_entropy(logits.float(), target.long(), weight=self.class_weights, ignore_index=IGNORE_INDEX)
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.item()
