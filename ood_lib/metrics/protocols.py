"""One set of score maps, measured by every protocol, and what of that can be compared."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from ood_lib.data import open_dataset
from ood_lib.data.sample import SegmentationDataset
from ood_lib.metrics.components import SegmentMetrics
from ood_lib.metrics.pixels import PixelMetrics
from ood_lib.metrics.score_maps import find_maps, read_map

FACTS = yaml.safe_load(Path(__file__).with_suffix(".yml").read_text("utf-8"))
TEST_DATA: dict[str, dict] = FACTS["data"]  #: what protocols differ in, by data set


def compare_protocols(folder: Path | str, name: str, root: Path | str,
                      split: str | None = None) -> tuple[pd.DataFrame, list[str]]:
    """Measures by protocol (row), NaN where it has none, and sentences on what is not comparable.

    The maps are those of `find_maps`, the data one of `TEST_DATA`, opened by `open_dataset`. One
    map is in memory at a time. ValueError as these two, and for labels that are not public or lack
    a class.
    """
    dataset = theirs = open_dataset(name, root, split)
    if not dataset.labelled:
        raise ValueError("These labels are not public: take the split val, or export the maps.")
    maps = find_maps(folder, dataset)
    pixels, images = _pixels(dataset, maps)
    their_pixels, facts = pixels, TEST_DATA[name]
    if name == "lost_and_found":  # as SegmentMeIfYouCan has it
        theirs = open_dataset(name, root, split, nonhazards="anomaly")
        theirs.frames = [frame for frame in theirs.frames if not frame.id.startswith("15_")]
        their_pixels, _ = _pixels(theirs, maps)
    segments = SegmentMetrics(best_threshold(their_pixels), facts["segment"], facts["anomaly"])
    for frame in theirs.frames:
        score = read_map(maps[frame.id], frame).astype(np.float32)  # in which the threshold is
        segments.update(score, theirs.read_target(frame))
    try:
        in_bins = pixels.compute(bins=100)
    except ValueError:  # scores beyond [0, 1]
        in_bins = {}
    exact = pixels.compute() | _counts(dataset, pixels)
    official = their_pixels.compute() | segments.compute() | _counts(theirs, their_pixels)
    table = pd.DataFrame({
        "thesis": exact,
        "thesis, 100 bins": in_bins | _counts(dataset, pixels),
        "Fishyscapes": exact | {"auroc": np.nan},
        "SegmentMeIfYouCan": official | {"auroc": np.nan},
        "mean of images": images.mean().to_dict() | {"frames": len(images)},
    }).T.astype({"frames": int})  # fmt: skip
    filled = facts | segments.counts() | {"threshold": segments.threshold}
    filled["version"] = getattr(dataset, "version", None)
    return table, [note.format(**filled) for note in (*FACTS["notes"], facts["about"])]


def best_threshold(pixels: PixelMetrics) -> float:
    """From which score on the F1 of pixels is greatest, the highest of such scores."""
    precision, recall = (rates[-2::-1] for rates in pixels.precision_recall())  # from the highest
    f1 = precision * recall / np.maximum(precision + recall, 1e-300)  # 0 without a true alarm
    return float(pixels.thresholds()[f1.argmax()])


def _pixels(dataset: SegmentationDataset,
            maps: Mapping[str, Path]) -> tuple[PixelMetrics, pd.DataFrame]:
    """All pixels, and the measures of each frame that has both classes."""
    pooled, images, classes = PixelMetrics(), [], set()
    for frame in dataset.frames:
        score, target = read_map(maps[frame.id], frame), dataset.read_target(frame)
        pooled.update(score, target)
        own = set(np.unique(target).tolist())
        classes |= own
        if own >= {0, 1}:
            alone = PixelMetrics()
            alone.update(score, target)
            images.append(alone.compute())
    if not classes >= {0, 1}:
        raise ValueError(f"The {len(dataset)} frames that a protocol counts show no anomaly, or "
                         "nothing else: there is nothing to measure. Give more of the data set.")
    return pooled, pd.DataFrame(images)


def _counts(dataset: SegmentationDataset, pixels: PixelMetrics) -> dict[str, float]:
    """Of a row: where all pixels are alarms, precision is the share of the anomalous ones."""
    return {"frames": len(dataset), "anomalous": pixels.precision_recall()[0][0]}
