"""One epoch of fine-tuning: its images in their order, and which process computes which of them at once."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ood_lib.data.sample import Sample, SegmentationDataset, collate


class EpochImages(Dataset[Sample]):
    """The images of one epoch in the order of use, drawn from ``seed`` and ``epoch`` alone.

    Each image has a seed of its own for the random transform, so that nothing depends on who loads it when.
    """

    def __init__(
        self, in_distribution: SegmentationDataset, proxy: SegmentationDataset, num_proxy: int, seed: int, epoch: int
    ) -> None:
        rng = np.random.default_rng((seed, epoch))
        chosen = rng.choice(len(proxy), size=num_proxy, replace=False).tolist()
        images = [(in_distribution, i) for i in range(len(in_distribution))] + [(proxy, i) for i in chosen]
        self.images = [images[i] for i in rng.permutation(len(images))]
        self.seeds = rng.integers(2**63, size=len(images)).tolist()
        ids = proxy.ids
        self.proxy_ids = [ids[i] for i in chosen]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        dataset, position = self.images[index]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seeds[index])
            return dataset[position]


class Batch(NamedTuple):
    """What one process computes at once."""

    positions: Sequence[int]
    """In the epoch's images."""
    share: float
    """Of the images of the step, over all its batches in all processes."""
    ends_step: bool


def share_out(images: int, batch_size: int, accumulate: int, process: int = 0, processes: int = 1) -> list[Batch]:
    """The batches of one of the processes in an epoch of so many images.

    Each step's ``batch_size * accumulate`` images, or those that are left, go round the processes. A process that gets
    none computes one with share 0, as all have to take part in a step.
    """
    if batch_size < 1 or accumulate < 1:
        raise ValueError(f"batch_size={batch_size} and accumulate={accumulate} must be at least 1.")
    at_once = -(-batch_size // processes)
    batches = []
    for start in range(0, images, batch_size * accumulate):
        step = range(start, min(start + batch_size * accumulate, images))
        own = step[process::processes]
        for first in range(0, len(own), at_once):
            batch = own[first : first + at_once]
            batches.append(Batch(batch, len(batch) / len(step), ends_step=first + at_once >= len(own)))
        if not own:
            batches.append(Batch(step[:1], 0.0, ends_step=True))
    return batches


class EpochLoader:
    """Reads the batches of this process, and gives each with images uint8 (N, 3, H, W) and target on the device."""

    def __init__(
        self, images: EpochImages, batch_size: int, accumulate: int, num_workers: int, accelerator: Accelerator
    ) -> None:
        self.device = accelerator.device
        processes = (accelerator.process_index, accelerator.num_processes)
        self.batches = share_out(len(images), batch_size, accumulate, *processes)
        self.loader = DataLoader(
            images,
            batch_sampler=[batch.positions for batch in self.batches],
            collate_fn=collate,
            num_workers=num_workers,
            pin_memory=self.device.type == "cuda",
        )

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Batch, Tensor, Tensor]]:
        for batch, (images, target) in zip(self.batches, self.loader, strict=True):
            yield batch, images.to(self.device, non_blocking=True), target.to(self.device, non_blocking=True)
