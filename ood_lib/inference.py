"""What a network says about every image of a data set."""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.transforms.v2.functional import to_dtype
from tqdm.auto import tqdm

from ood_lib.data.sample import Sample, SegmentationDataset
from ood_lib.device import compute_device, half_precision
from ood_lib.models.logits import image_logits
from ood_lib.scores import entropy

SMALLEST_WINDOW = 256
"""Pixels of the shorter side, below which a window shows too little of a street."""


class Prediction(NamedTuple):
    """One image's result, on the CPU but for the probabilities."""

    id: str
    sequence: str
    target: Tensor
    """uint8 (H, W), as the data set gives it."""
    score: Tensor
    """float32 (H, W), the anomaly score map; higher is stranger."""
    prediction: Tensor
    """uint8 (H, W), the most likely class (chapter 2)."""
    probabilities: Tensor | None
    """float32 (C, H, W), the softmax of the logits; None unless it was asked for. Where it was computed: on a GPU,
    `ood_lib.segments.segment_metrics` sums it faster than it could be copied."""


def predict(
    model: nn.Module,
    dataset: SegmentationDataset,
    *,
    score: Callable[[Tensor], Tensor] = entropy,
    probabilities: bool = False,
    batch_size: int = 4,
    window: tuple[int, int] | None = None,
    mixed_precision: bool = True,
    progress: bool = True,
) -> Iterator[Prediction]:
    """Yield the prediction for each image of the data set, in order, holding no more than two batches of them.

    ``model`` is any network that `ood_lib.models.logits.image_logits` can ask; ``score`` maps logits (N, C, H, W) to
    (N, H, W). On a GPU, where the network is moved and stays, it computes in bfloat16 or float16 unless
    ``mixed_precision`` is False, images are read and copied while it computes, and where memory does not suffice the
    batch is halved and at last the image is cut into windows; ``window`` (height, width) asks for these from the start.
    Their result is near that of the whole image, the nearer the more they show: with the miniature network, windows of
    the full height and little more than half the width change the entropy of street scenes by 0.004 on average, windows
    of half the height and width by 0.06.
    The network runs in evaluation mode and gets its own mode back at the end.
    """
    device = compute_device()
    was_training = model.training
    model.to(device, memory_format=torch.channels_last).eval()
    judge = _Judge(model, score, probabilities, batch_size, window, half_precision() if mixed_precision else None)
    on_gpu = device.type == "cuda"  # on the CPU, workers would take the cores from the network
    workers = min(8, os.cpu_count() or 1) if on_gpu else 0
    loader = DataLoader(dataset, batch_size, collate_fn=_stack, num_workers=workers, pin_memory=on_gpu)
    bar = tqdm(desc="predicting", total=len(dataset), unit="image", disable=not progress)
    try:
        for batch in itertools.chain.from_iterable(loader):
            maps = judge(batch.images.to(device, non_blocking=True, memory_format=torch.channels_last))
            yield from map(Prediction, batch.ids, batch.sequences, batch.targets, *maps)
            bar.update(len(batch.ids))
    finally:
        bar.close()
        model.train(was_training)


@dataclass
class _Judge:
    """Score maps, classes and, if asked for, probabilities of a batch; what fits into memory is kept for the next."""

    model: nn.Module
    score: Callable[[Tensor], Tensor]
    probabilities: bool
    batch_size: int
    window: tuple[int, int] | None
    half: torch.dtype | None

    def __call__(self, images: Tensor) -> list[Sequence[Tensor | None]]:
        """For uint8 images (N, 3, H, W): N score maps, N predictions and N probability maps or None."""
        while True:
            try:
                parts = [self._maps(part) for part in images.split(self.batch_size)]
                return [list(itertools.chain.from_iterable(maps)) for maps in zip(*parts, strict=True)]
            except torch.OutOfMemoryError as error:
                reason = str(error)
            self._make_smaller(images.shape, reason)  # not above, where the error still holds what did not fit

    @torch.no_grad()
    def _maps(self, images: Tensor) -> tuple[Sequence[Tensor | None], ...]:
        with torch.autocast(images.device.type, self.half, enabled=self.half is not None):
            logits = image_logits(self.model, to_dtype(images, torch.float32, scale=True), self.window).float()
        softmax = logits.softmax(dim=1) if self.probabilities else [None] * len(images)
        return self.score(logits).float().cpu(), logits.argmax(dim=1).to(torch.uint8).cpu(), softmax

    def _make_smaller(self, shape: torch.Size, reason: str) -> None:
        torch.cuda.empty_cache()
        if self.batch_size > 1:
            self.batch_size = min(self.batch_size, shape[0]) // 2 or 1
            return
        height, width = self.window or shape[2:]
        self.window = (height, -(-width // 2)) if width >= height else (-(-height // 2), width)
        if min(self.window) < SMALLEST_WINDOW:
            raise MemoryError(
                f"Not even {width} x {height} pixels of one image fit into the GPU's memory. Free it of other "
                f"processes, or take a smaller network. {reason}"
            )


class _Batch(NamedTuple):
    """Images of one size: uint8 (N, 3, H, W) and (N, H, W)."""

    ids: list[str]
    sequences: list[str]
    images: Tensor
    targets: Tensor


def _stack(samples: list[Sample]) -> list[_Batch]:
    """A batch for each run of images of one size: data sets of photographs from the web mix sizes."""
    batches = []
    for _, run in groupby(samples, key=lambda sample: sample.image.shape):
        images, targets, ids, sequences = zip(*run, strict=True)
        stacked = (torch.stack([part.as_subclass(Tensor) for part in parts]) for parts in (images, targets))
        batches.append(_Batch(list(ids), list(sequences), *stacked))
    return batches
