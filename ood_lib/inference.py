"""What a network, and scores of it, say about every image of a data set."""

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from operator import index
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from ood_lib.data.sample import Sample, SegmentationDataset, collate
from ood_lib.device import compute_device, half_precision
from ood_lib.models.logits import as_images
from ood_lib.scores import ImageScore, LogitScore, entropy
from ood_lib.scores.image_score import evaluation_mode, judge_together

SMALLEST_WINDOW = 256  #: of its shorter side
PIXELS_AT_ONCE = 2**23  #: of a batch: four frames of Cityscapes; a larger photograph goes alone

Score = Callable[[Tensor], Tensor] | ImageScore
"""A function from logits (N, C, H, W) to maps (N, H, W), or a score of images."""


class Prediction(NamedTuple):
    """One image's result, on the CPU but for the probabilities."""

    id: str
    sequence: str
    target: Tensor  #: uint8 (H, W), as the data set gives it
    score: Tensor | dict[str, Tensor]
    """float32 (H, W), the anomaly score map, higher is stranger; of several scores, by name."""
    prediction: Tensor  #: uint8 (H, W), the most likely class (chapter 2)
    probabilities: Tensor | None
    """float32 (C, H, W), the softmax of the logits; None unless it was asked for. Where it was
    computed: on a GPU, `ood_lib.segments.segment_metrics` sums it faster than it is copied."""


def predict(model: nn.Module, dataset: SegmentationDataset, *,
            score: Score | Mapping[str, Score] = entropy, probabilities: bool = False,
            batch_size: int = 4, window: tuple[int, int] | None = None,
            mixed_precision: bool = True, progress: bool = True) -> Iterator[Prediction]:
    """Yield the prediction for each image, in order, holding no more than two batches of them.

    A batch is one image, or up to ``batch_size`` of one size, with at most `PIXELS_AT_ONCE`.
    ``model`` is any network that `ood_lib.models.logits.image_logits` can ask, in evaluation mode:
    once for all scores that a forward pass can serve. Classes and probabilities are of the first
    score's logits. ValueError for a score of another network.

    On a GPU, where all is moved and stays, the network computes in half precision unless
    ``mixed_precision`` is False, and where memory does not suffice the batch is halved and at last
    the image cut into windows; ``window`` (height, width) asks for these from the start. With the
    miniature network, windows of the full height and little more than half the width change the
    entropy of street scenes by 0.004 on average, those of half the height and width by 0.06.
    ValueError for a score that windows cannot serve.
    """
    device = compute_device()
    by_name = score if isinstance(score, Mapping) else {"alone": score}
    scores = {name: _score_of(model, each).to(device) for name, each in by_name.items()}
    model.to(memory_format=torch.channels_last)  # in which convolutions are faster
    half = half_precision() if mixed_precision else None
    batch_size = index(batch_size)  # of NumPy's numbers torch takes none
    judge = _WithinMemory(scores, probabilities, batch_size, window, half)
    on_gpu = device.type == "cuda"  # on the CPU, workers would take the cores from the network
    workers = min(8, os.cpu_count() or 1) if on_gpu else 0
    own = torch.Generator()  # else to open the loader would be a draw from torch's global one
    loader = DataLoader(dataset, batch_size, num_workers=workers, collate_fn=_stack,
                        pin_memory=on_gpu, generator=own)
    with tqdm(desc="predicting", total=len(dataset), unit="image", disable=not progress) as bar:
        for ids, sequences, images, targets in itertools.chain.from_iterable(loader):
            images = images.to(device, non_blocking=True, memory_format=torch.channels_last)
            about = zip(ids, sequences, targets, strict=True)
            for names_and_target, (maps, *rest) in zip(about, judge(images), strict=True):
                found = maps if isinstance(score, Mapping) else maps["alone"]
                yield Prediction(*names_and_target, found, *rest)
            bar.update(len(images))
            del about, names_and_target, maps, rest, found  # before the next batch needs the memory


def _score_of(model: nn.Module, score: Score) -> ImageScore:
    if not isinstance(score, ImageScore):
        return LogitScore(model, score)
    if score.model is not model:
        raise ValueError(f"This {type(score).__name__} watches another network; give score.model.")
    return score


@dataclass
class _WithinMemory:
    """Judges a batch in parts and windows that fit into memory, remembered for the next batch."""

    scores: dict[str, ImageScore]
    probabilities: bool
    batch_size: int
    window: tuple[int, int] | None
    half: torch.dtype | None

    def __call__(self, images: Tensor) -> list[tuple[dict[str, Tensor], Tensor, Tensor | None]]:
        """For each of the images uint8 (N, 3, H, W): score maps, classes, probabilities or None."""
        while True:
            try:
                parts = [self._judge(part) for part in images.split(self.batch_size)]
                return list(itertools.chain.from_iterable(parts))
            except torch.OutOfMemoryError as error:
                reason = str(error)
            self._make_smaller(images.shape, reason)  # not above, where the error holds memory

    def _judge(self, images: Tensor) -> list[tuple[dict[str, Tensor], Tensor, Tensor | None]]:
        autocast = torch.autocast(images.device.type, self.half, enabled=self.half is not None)
        with torch.no_grad(), evaluation_mode(*self.scores.values()), autocast:
            logits, maps = judge_together(self.scores, as_images(images), self.window)
        on_cpu = [each.float().cpu() for each in maps.values()]  # of each score (N, H, W)
        by_image = [dict(zip(maps, one, strict=True)) for one in zip(*on_cpu, strict=True)]
        classes = logits.argmax(dim=1).to(torch.uint8).cpu()  # (N, H, W)
        softmax = logits.softmax(dim=1).float() if self.probabilities else [None] * len(images)
        return list(zip(by_image, classes, softmax, strict=True))

    def _make_smaller(self, shape: torch.Size, reason: str) -> None:
        torch.cuda.empty_cache()
        if self.batch_size > 1:
            self.batch_size = min(self.batch_size, shape[0]) // 2 or 1
            return
        height, width = self.window or shape[2:]
        self.window = (height, -(-width // 2)) if width >= height else (-(-height // 2), width)
        if min(self.window) < SMALLEST_WINDOW:
            raise MemoryError(f"Not even {width} x {height} pixels of one image fit into the GPU's "
                              f"memory: free it, or take a smaller network. {reason}")


def _stack(samples: list[Sample]) -> list[tuple[list[str], list[str], Tensor, Tensor]]:
    """Batches for each run of images of one size: ids, sequences, images and targets of each."""
    batches = []
    for shape, run in itertools.groupby(samples, key=lambda sample: sample.image.shape):
        of_one_size = list(run)
        count = max(1, PIXELS_AT_ONCE // shape[1:].numel())
        for start in range(0, len(of_one_size), count):
            part = of_one_size[start : start + count]
            ids, sequences = [each.id for each in part], [each.sequence for each in part]
            batches.append((ids, sequences, *collate(part)))
    return batches
