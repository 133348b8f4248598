"""The table mu of section 3.4: the segments of a whole data set, computed once and kept."""

import math
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from torch import nn
from torch.utils.data import Subset
from tqdm.auto import tqdm

from ood_lib.data.sample import SegmentationDataset
from ood_lib.files import user_path
from ood_lib.inference import Prediction, Score, predict
from ood_lib.kept import digest, read_table, write_table
from ood_lib.scores import entropy
from ood_lib.segments.metrics import segment_metrics

IMAGES_PER_PART = 100  #: after so many, what was computed is safe from an interruption


def segment_table(model: nn.Module, dataset: SegmentationDataset, threshold: float, *,
                  score: Score = entropy, batch_size: int = 4,
                  checkpoint: Path | str | None = None, progress: bool = True) -> pd.DataFrame:
    """The segments with score >= ``threshold`` (equation 3.8) in all images, one row for each.

    The columns are ``image`` and ``sequence`` (the ids), ``segment`` (its number in the image, from
    1), the metrics of `ood_lib.segments.segment_metrics` and, where labels are public, ``iou``: 0
    for a false positive (equation 3.11). Ignored pixels are in no segment.

    With ``checkpoint``, a folder, parts are kept there, named by all that decides them. ValueError
    for a threshold that is no number, and then for a score or transform without a name.
    """
    if not math.isfinite(threshold):
        raise ValueError(f"threshold={threshold}; give the number that a segment's scores reach.")
    folder, parts = None, []
    if checkpoint is not None:
        key = digest(threshold, score, dataset, model, predict, _table)
        folder = user_path(checkpoint) / f"segments-{key}"
    with tqdm(desc="segments", total=len(dataset), unit="image", disable=not progress) as bar:
        for start in range(0, len(dataset), IMAGES_PER_PART):
            stop = min(start + IMAGES_PER_PART, len(dataset))
            path = None if folder is None else folder / f"{start:06}-{stop:06}.parquet"
            part = None if path is None else read_table(path, lambda kept: kept.to_pandas())
            if part is None:
                images = Subset(dataset, range(start, stop))
                results = predict(model, images, score=score, probabilities=True,
                                  batch_size=batch_size, progress=False)
                part = _table(results, threshold, dataset.labelled, bar)
                if path is not None:
                    write_table(part, path)
            parts.append(part)
            bar.update(stop - bar.n)
    return pd.concat(parts, ignore_index=True)


def _table(results: Iterable[Prediction], threshold: float, labelled: bool,
           bar: tqdm) -> pd.DataFrame:
    """The segments of some images."""
    tables = []
    for result in results:
        target = result.target.numpy() if labelled else None
        mask = result.score.numpy() >= threshold
        metrics, _ = segment_metrics(result.probabilities, mask, target)
        place = {"image": result.id, "sequence": result.sequence, "segment": metrics.index + 1}
        tables.append(metrics.assign(**place)[[*place, *metrics]])
        bar.update()
        del result  # before the next one needs the memory
    # An image without a segment has no ids whose type pandas could know.
    types = {"image": str, "sequence": str, "segment": "int64"}
    return pd.concat(tables, ignore_index=True).astype(types)
