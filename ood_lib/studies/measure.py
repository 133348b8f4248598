"""One run: entropy maximization, and what is measured of it. An edit here makes earlier records outdated."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

from ood_lib.closed_set import closed_set_network
from ood_lib.data import SegmentationDataset, training_transform
from ood_lib.data.coco_proxy import CocoProxy
from ood_lib.data.labels import CLASSES, NUM_CLASSES
from ood_lib.device import compute_device
from ood_lib.evaluation import evaluate_anomalies
from ood_lib.inference import predict
from ood_lib.metrics import MeanIoU, PixelMetrics
from ood_lib.profiles import Settings
from ood_lib.training import FineTuneResult, fine_tune

MEASURED = {
    "tuning": ("lost_and_found", "train"),
    "lost_and_found": ("lost_and_found", "test"),
    "fishyscapes_static": ("fishyscapes_static", "val"),
    "cityscapes": ("cityscapes", "val"),
}
"""Which data set and split is measured under which name."""

RECALLS = np.linspace(0, 1, 201)
FALSE_POSITIVE_RATES = np.unique(np.concatenate([[0], np.geomspace(1e-4, 1, 121), np.linspace(0, 1, 101)]))
"""Where the curves are kept, alike in all runs, so that they can be averaged."""


@dataclass(frozen=True)
class RunResult:
    """What is kept of a run."""

    measures: dict[str, float]
    """``{name}_{measure}``, the names being those in `MEASURED`, with ``_low`` and ``_high`` the bounds of its 95 %
    interval, and the IoU of each class; NaN for what cannot be measured."""
    curves: pd.DataFrame
    """Columns data (name in `MEASURED`), curve (roc or pr), x and y (float32): see `thin_curves`."""
    proxy: pd.DataFrame
    """One row for each proxy image and epoch in which it was drawn: epoch, id, and its `CocoProxy.properties`."""
    seconds: dict[str, float]
    """For each part of the run."""


def measure_run(settings: Settings, checkpoint: Path | None = None) -> RunResult:
    """Fine-tune the closed-set network with these settings and measure it on all that is `MEASURED`.

    On the tuning set, LostAndFound train, whatever is chosen by its result can be chosen.

    ``checkpoint`` is that of `ood_lib.training.fine_tune`, so that an interrupted run can go on.
    """
    seconds: dict[str, float] = {}
    with _timed(seconds, "fine_tune"):
        model = closed_set_network(settings)
        proxy = settings.open_proxy(transform=training_transform(settings.crop))
        tuned = _fine_tune(model, proxy, settings, checkpoint)
    measures: dict[str, float] = {}
    curves = []
    for name, (data, split) in MEASURED.items():
        dataset = settings.open(data, split)
        with _timed(seconds, name):
            if data == "cityscapes":
                measures |= _segmentation(model, dataset)
                continue
            pixels = evaluate_anomalies(model, dataset, progress=False)
            measures |= _with_bounds(name, pixels.compute(), pixels.interval())
            curves.append(thin_curves(pixels).assign(data=name))
    together = pd.concat(curves, ignore_index=True)[["data", "curve", "x", "y"]]
    return RunResult(measures, together, _drawn(tuned.proxy_ids, proxy), seconds)


def thin_curves(pixels: PixelMetrics) -> pd.DataFrame:
    """Points of both curves: columns curve (roc or pr), x and y (float32).

    For the ROC curve y is the highest true positive rate at a false positive rate of at most x; for the PR curve the
    precision at the highest threshold whose recall is at least x.
    """
    fpr, tpr = pixels.roc()
    highest = tpr[np.searchsorted(fpr, FALSE_POSITIVE_RATES, side="right") - 1]
    precision, recall = (values[::-1] for values in pixels.precision_recall())
    first = precision[np.searchsorted(recall, RECALLS, side="left")]
    parts = (("roc", FALSE_POSITIVE_RATES, highest), ("pr", RECALLS, first))
    points = [pd.DataFrame({"curve": name, "x": np.float32(x), "y": np.float32(y)}) for name, x, y in parts]
    return pd.concat(points, ignore_index=True)


def _fine_tune(model: nn.Module, proxy: CocoProxy, settings: Settings, checkpoint: Path | None) -> FineTuneResult:
    scenes = settings.open("cityscapes", "train", transform=training_transform(settings.crop))
    names = ("lambda_", "ood_share", "epochs", "proxy_fraction", "batch_size", "learning_rate", "seed")
    recipe = {name: getattr(settings, name) for name in names}
    workers = 2 if compute_device().type == "cuda" else 0  # on the CPU they would take the cores from the network
    scenes = scenes.take(settings.num_in_distribution)
    return fine_tune(model, scenes, proxy, **recipe, num_workers=workers, checkpoint=checkpoint, progress=False)


def _segmentation(model: nn.Module, scenes: SegmentationDataset) -> dict[str, float]:
    metrics = MeanIoU(NUM_CLASSES)
    for result in predict(model, scenes, progress=False):
        metrics.update(result.prediction, result.target, group=result.sequence)
    found = metrics.compute()
    of_classes = {f"cityscapes_iou_{c.name}": float(v) for c, v in zip(CLASSES, found["iou"], strict=True)}
    return _with_bounds("cityscapes", {"miou": found["miou"]}, metrics.interval()) | of_classes


def _with_bounds(data: str, values: dict[str, float], bounds: dict[str, tuple[float, float]]) -> dict[str, float]:
    named = {}
    for name, value in values.items():
        low, high = bounds[name]
        named |= {f"{data}_{name}": value, f"{data}_{name}_low": low, f"{data}_{name}_high": high}
    return named


def _drawn(ids: list[list[str]], proxy: CocoProxy) -> pd.DataFrame:
    """The properties of the images drawn in each epoch."""
    drawn = pd.DataFrame([(epoch, id_) for epoch, own in enumerate(ids) for id_ in own], columns=["epoch", "id"])
    return drawn.merge(proxy.properties, left_on="id", right_index=True, how="left", validate="many_to_one")


@contextmanager
def _timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[part] = time.perf_counter() - started
