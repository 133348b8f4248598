"""What a network says about every image of a data set."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.transforms.v2.functional import to_dtype
from tqdm.auto import tqdm

from ood_lib.data.sample import Sample, SegmentationDataset, collate
from ood_lib.scores import entropy


class Prediction(NamedTuple):
    """One image's result, on the CPU."""

    id: str
    sequence: str
    target: Tensor
    """uint8 (H, W), as the data set gives it."""
    score: Tensor
    """float32 (H, W), the anomaly score map; higher is stranger."""
    prediction: Tensor
    """uint8 (H, W), the most likely class (chapter 2)."""


def predict(
    model: nn.Module,
    dataset: SegmentationDataset,
    *,
    score: Callable[[Tensor], Tensor] = entropy,
    batch_size: int = 4,
    progress: bool = True,
) -> Iterator[Prediction]:
    """Yield the prediction for each image of the data set, in order, holding no more than a batch of them.

    ``score`` maps logits (N, C, H, W) to (N, H, W). The network is moved to a GPU if there is one, and stays there; it
    runs in evaluation mode and gets its own mode back at the end.
    """
    device = torch.device("cuda") if torch.cuda.is_available() else next(model.parameters()).device
    was_training = model.training
    model.to(device).eval()
    loader = DataLoader(dataset, batch_size, collate_fn=list)
    try:
        for samples in _of_one_size(tqdm(loader, desc="predicting", unit="batch", disable=not progress)):
            images, targets = collate(samples)
            with torch.no_grad():
                logits = model(to_dtype(images.to(device), torch.float32, scale=True))
                scores, classes = score(logits).float().cpu(), logits.argmax(dim=1).to(torch.uint8).cpu()
            for sample, *maps in zip(samples, targets.to(torch.uint8), scores, classes, strict=True):
                yield Prediction(sample.id, sample.sequence, *maps)
    finally:
        model.train(was_training)


def _of_one_size(batches: Iterable[list[Sample]]) -> Iterator[list[Sample]]:
    """The batches, cut where the size of the images changes: data sets of photographs from the web mix sizes."""
    for batch in batches:
        for _, samples in groupby(batch, key=lambda sample: sample.image.shape):
            yield list(samples)
