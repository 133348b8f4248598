"""An epoch of any training: its images in their order, all that is drawn, and its steps."""

import math
import os
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from ood_lib.data.sample import Sample, SegmentationDataset, collate
from ood_lib.device import compute_device
from ood_lib.models.logits import as_images
from ood_lib.settings import ClosedSetRecipe, FineTuneRecipe

_NAN = "Lower the learning rate, or look for NaN in the weights and for images without labels."


class EpochImages(Dataset[Sample]):
    """The images of one epoch in order, each with a seed; all drawn from ``seed`` and ``epoch``."""

    def __init__(self, in_distribution: SegmentationDataset, proxy: SegmentationDataset,
                 num_proxy: int, seed: int, epoch: int) -> None:
        rng = np.random.default_rng((seed, epoch))
        chosen = rng.choice(len(proxy), size=num_proxy, replace=False).tolist()
        # All street scenes and a draw of proxy images, mixed.
        images = [(in_distribution, i) for i in range(len(in_distribution))]
        images += [(proxy, i) for i in chosen]
        self.images = [images[i] for i in rng.permutation(len(images))]
        self.seeds = rng.integers(2**63, size=len(images)).tolist()
        ids = proxy.ids
        self.proxy_ids = [str(ids[i]) for i in chosen]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        dataset, position = self.images[index]
        with own_draws(self.seeds[index]):
            return dataset[position]


@contextmanager
def own_draws(seed: int, gpu: torch.device | None = None) -> Iterator[None]:
    """Seeds all global generators, which transforms and dropout use, and puts them back."""
    of_python, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[] if gpu is None else [gpu]):
        # Not torch.manual_seed, which changes the generators of all GPUs for good.
        torch.default_generator.manual_seed(seed)
        if gpu is not None:
            torch.cuda.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(of_python)
            np.random.set_state(of_numpy)  # noqa: NPY002


class Batch(NamedTuple):
    """What one process computes at once."""

    positions: Sequence[int]  #: in the epoch's images
    share: float  #: of the images of the step, over all its batches in all processes
    ends_step: bool


def batches_of_process(images: int, batch_size: int, accumulate: int, process: int = 0,
                       processes: int = 1) -> list[Batch]:
    """The batches of one of the processes in an epoch of so many images.

    Each step's ``batch_size * accumulate`` images, or those that are left, go round the processes.
    A process that gets none computes one with share 0, as all have to take part in a step.
    """
    at_once = -(-batch_size // processes)  # rounded up
    batches = []
    for start in range(0, images, batch_size * accumulate):
        # The step is that of one process alone; each takes its turn at the images.
        step = range(start, min(start + batch_size * accumulate, images))
        own = step[process::processes]
        for first in range(0, len(own), at_once):
            batch = own[first : first + at_once]
            is_last = first + at_once >= len(own)
            batches.append(Batch(batch, len(batch) / len(step), is_last))
        if not own:
            batches.append(Batch(step[:1], 0.0, True))
    return batches


def join_processes() -> tuple[torch.device, int, int]:
    """The device of this process, and which it is of how many that were launched together."""
    if "LOCAL_RANK" not in os.environ and not distributed.is_initialized():
        # Alone it asks accelerate nothing: what that was told by the environment, or by somebody's
        # Accelerator in this process, would act on the numbers.
        return compute_device(), 0, 1
    from accelerate import PartialState  # late, for half a second's sake

    state = PartialState(cpu=compute_device().type == "cpu")
    return state.device, state.process_index, state.num_processes


class Training(ABC):
    """A network that learns, in one process or several; each kind of training has its own loss."""

    memory_format = torch.contiguous_format  # of the images

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer,
                 recipe: ClosedSetRecipe | FineTuneRecipe, half: torch.dtype | None,
                 device: torch.device, process: int = 0, processes: int = 1,
                 search: bool = False) -> None:
        self.optimizer, self.recipe, self.half = optimizer, recipe, half
        self.device, self.process, self.processes = device, process, processes
        self.gpu = device if device.type == "cuda" else None
        # The range of float16 is small: there the loss is scaled.
        self.scaler = torch.amp.GradScaler(device.type, enabled=half == torch.float16)
        self.network: nn.Module = network.to(device)
        if processes > 1:
            options = {"device_ids": self.gpu and [self.gpu], "find_unused_parameters": search}
            self.network = DistributedDataParallel(self.network, **options)

    @abstractmethod
    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """The mean over the images of a batch, of (N, C, H, W) and uint8 (N, H, W)."""

    def step(self, progress: float) -> None:
        """Change the weights; ``progress`` is the share of the training before this, in [0, 1]."""
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()

    def epoch(self, images: EpochImages, epoch: int, **bar: Any) -> list[float]:
        """The loss of each step; ``bar`` holds options of tqdm."""
        recipe = self.recipe
        sizes = (len(images), recipe.batch_size, getattr(recipe, "accumulate", 1))
        batches = batches_of_process(*sizes, self.process, self.processes)
        positions = [batch.positions for batch in batches]
        # On the CPU workers would take the cores from the network.
        workers = {"num_workers": 2, "pin_memory": True} if self.gpu else {}
        loader = DataLoader(images, batch_sampler=positions, collate_fn=collate, **workers)
        num_steps = sum(batch.ends_step for batch in batches)
        losses, total = [], torch.zeros((), device=self.device)
        seed = np.random.SeedSequence((recipe.seed, epoch, 1, self.process)).generate_state(1)[0]
        self.optimizer.zero_grad()
        # Whatever the caller has switched on or off around this call.
        plain = torch.autocast(self.device.type, enabled=False)
        with own_draws(int(seed), self.gpu), torch.enable_grad(), plain:
            steps = zip(batches, loader, strict=True)  # here, since to open the loader is a draw
            for batch, samples in tqdm(steps, total=len(batches), **bar):
                total += self._backward(batch, *samples)
                if batch.ends_step:
                    self.step((epoch + len(losses) / num_steps) / recipe.epochs)
                    if self.processes > 1:
                        distributed.all_reduce(total)
                    losses.append(total.item())
                    total.zero_()
                    if not math.isfinite(losses[-1]):
                        where = f"epoch {epoch + 1}, step {len(losses)}"
                        raise FloatingPointError(f"The loss became {losses[-1]} in {where}. {_NAN}")
        return losses

    def _backward(self, batch: Batch, pixels: Tensor, target: Tensor) -> Tensor:
        """The batch's part of the step's loss, with its gradients added to those of the others."""
        pixels = pixels.to(self.device, non_blocking=True)  # uint8 (N, 3, H, W)
        target = target.to(self.device, non_blocking=True)  # uint8 (N, H, W)
        images = as_images(pixels).contiguous(memory_format=self.memory_format)  # in [0, 1]
        goes_on = self.processes > 1 and not batch.ends_step
        with self.network.no_sync() if goes_on else nullcontext():
            in_half = {"dtype": self.half, "enabled": self.half is not None}
            # No cache, which would outlive a step where the caller has another autocast around it.
            with torch.autocast(self.device.type, cache_enabled=False, **in_half):
                logits = self.network(images)  # (N, C, H, W)
            loss = batch.share * self.loss(logits, target)
            # Times the number of processes, as gradients are averaged over them.
            self.scaler.scale(loss * self.processes).backward()
        return loss.detach()
