"""The table mu of section 3.4: the segments of a whole data set with their metrics, computed once and kept."""

import math
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor, nn
from torch.utils.data import Subset
from tqdm.auto import tqdm

from ood_lib.data.sample import SegmentationDataset
from ood_lib.files import atomic_path
from ood_lib.inference import Prediction, predict
from ood_lib.scores import ImageScore, entropy
from ood_lib.segments import segment_metrics
from ood_lib.training_state import describe_dataset, fingerprint, weights_digest

IMAGES_PER_PART = 100
"""After so many images, what was computed is safe from an interruption."""


def segment_table(
    model: nn.Module,
    dataset: SegmentationDataset,
    threshold: float,
    *,
    score: Callable[[Tensor], Tensor] = entropy,
    batch_size: int = 4,
    checkpoint: Path | str | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """The segments with score >= ``threshold`` (equation 3.8) in all images of the data set, one row for each.

    The columns are ``image`` and ``sequence`` (the ids), ``segment`` (its number in the image, from 1), the metrics of
    `ood_lib.segments.segment_metrics` and, where labels are public, ``iou``; a segment with iou 0 is a false positive
    (equation 3.11). Where the labels ignore pixels, these are in no segment.

    With ``checkpoint``, a folder, the table is kept there as a Parquet file named by the weights, the images, the
    score, the threshold and the library's code: the second time it is read. Interrupted, it goes on after the last
    `IMAGES_PER_PART` images that were finished. ValueError for a threshold that is no number, for a score without a
    name of its own, which could not be told from another, and for a kept file that cannot be read.
    """
    if not math.isfinite(threshold):
        raise ValueError(f"threshold={threshold}; give the number that the score of a segment's pixels reaches.")
    if checkpoint is None:
        with tempfile.TemporaryDirectory() as folder:
            return _table(model, dataset, threshold, score, batch_size, Path(folder) / "segments.parquet", progress)
    options = {name: value for name, value in vars(dataset).items() if isinstance(value, str)}  # nonhazards, version
    settings = {
        "threshold": threshold, "score": _name(score), "dataset": describe_dataset(dataset), "options": options,
        "weights": weights_digest(model.state_dict()),
    }  # fmt: skip
    path = Path(checkpoint) / f"segments-{fingerprint(settings, (dataset,))}.parquet"
    return _table(model, dataset, threshold, score, batch_size, path, progress)


def _table(
    model: nn.Module,
    dataset: SegmentationDataset,
    threshold: float,
    score: Callable[[Tensor], Tensor],
    batch_size: int,
    path: Path,
    progress: bool,
) -> pd.DataFrame:
    """The table in the file, which is made from parts if it is not there."""
    if not path.is_file():
        folder = path.with_suffix(".parts")
        parts = {start: folder / f"{start:06}.parquet" for start in range(0, len(dataset), IMAGES_PER_PART)}
        bar = tqdm(desc="segments", total=len(dataset), unit="image", disable=not progress)
        for start, part in parts.items():
            images = Subset(dataset, range(start, min(start + IMAGES_PER_PART, len(dataset))))
            if not part.is_file():
                results = predict(model, images, score=score, probabilities=True, batch_size=batch_size, progress=False)
                tables = []
                for result in results:
                    tables.append(_of_image(result, threshold, dataset.labelled))
                    bar.update()
                _write(part, tables)
            else:
                bar.update(len(images))
        bar.close()
        _join(list(parts.values()), path)
        shutil.rmtree(folder, ignore_errors=True)
    return _read(path)


def _of_image(result: Prediction, threshold: float, labelled: bool) -> pd.DataFrame:
    target = result.target.numpy() if labelled else None
    metrics, _ = segment_metrics(result.probabilities, result.score.numpy() >= threshold, target)
    ids = {"image": result.id, "sequence": result.sequence, "segment": range(1, len(metrics) + 1)}
    return pd.concat([pd.DataFrame(ids, index=metrics.index), metrics], axis=1)


def _write(path: Path, tables: list[pd.DataFrame]) -> None:
    # An image without a segment has no ids whose type pandas could know.
    table = pd.concat(tables).astype({"image": str, "sequence": str, "segment": "int64"})
    with atomic_path(path) as aside:
        table.to_parquet(aside, index=False)


def _join(parts: list[Path], path: Path) -> None:
    """One file of all parts, of which no more than one is in memory."""
    schema = pq.read_schema(parts[0])
    with atomic_path(path) as aside, pq.ParquetWriter(aside, schema) as writer:
        for part in parts:
            writer.write_table(pq.read_table(part).cast(schema))


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path} cannot be read as a table of segments ({error}). Delete it.") from error


def _name(score: Callable[[Tensor], Tensor]) -> str:
    name = f"{getattr(score, '__module__', '')}.{getattr(score, '__qualname__', '<no name>')}"
    owner = getattr(score, "__self__", None)
    if isinstance(owner, ImageScore):  # what it learnt is among the weights
        return f"{name} of {type(owner).__name__}({owner.extra_repr()})"
    if "<" in name or owner is not None:
        raise ValueError(
            f"The score {score!r} has no name of its own by which to keep its table. "
            "Define it with def at the top of a module or notebook, or leave checkpoint out."
        )
    return name
