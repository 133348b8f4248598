"""One run: entropy maximization, and what is measured of it. An edit here makes earlier records outdated."""

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage
from torch import nn

from ood_lib.closed_set import closed_set_network
from ood_lib.data import SegmentationDataset, training_transform
from ood_lib.data.coco_proxy import CocoProxy
from ood_lib.data.labels import CLASSES, NUM_CLASSES, OOD_INDEX
from ood_lib.device import compute_device
from ood_lib.evaluation import evaluate_anomalies
from ood_lib.inference import predict
from ood_lib.metrics import MeanIoU, PixelMetrics
from ood_lib.profiles import Settings
from ood_lib.training import FineTuneResult, fine_tune

IMAGES: dict[str, int | None] = {"lost_and_found": None, "fishyscapes_static": None, "cityscapes": None}
"""How many images of each data set are measured, spread evenly; None for all."""
TEST_SETS = {"lost_and_found": "test", "fishyscapes_static": "val"}

RECALLS = np.linspace(0, 1, 201)
FALSE_POSITIVE_RATES = np.unique(np.concatenate([[0], np.geomspace(1e-4, 1, 121), np.linspace(0, 1, 101)]))
"""Where the curves are kept, alike in all runs, so that they can be averaged."""


@dataclass(frozen=True)
class RunResult:
    """What is kept of a run."""

    measures: dict[str, float]
    """``{data set}_{measure}``, with ``_low`` and ``_high`` the bounds of its 95 % interval, and the IoU of each
    class; NaN for what cannot be measured."""
    curves: pd.DataFrame
    """Columns data, curve (roc or pr), x and y (float32): see `thin_curves`."""
    proxy: pd.DataFrame
    """One row for each proxy image and epoch in which it was drawn: epoch, id, and what `describe_proxy` gives."""
    seconds: dict[str, float]
    """For each part of the run."""


def measure_run(settings: Settings, checkpoint: Path | None = None) -> RunResult:
    """Fine-tune the closed-set network with these settings and measure it on both test sets and on Cityscapes val.

    ``checkpoint`` is that of `ood_lib.training.fine_tune`, so that an interrupted run can go on.
    """
    seconds: dict[str, float] = {}
    with _timed(seconds, "fine_tune"):
        model = closed_set_network(settings)
        proxy = _proxy(settings)
        tuned = _fine_tune(model, proxy, settings, checkpoint)
    measures: dict[str, float] = {}
    curves = []
    for name, split in TEST_SETS.items():
        with _timed(seconds, name):
            pixels = evaluate_anomalies(model, settings.open(name, split).take(IMAGES[name]), progress=False)
            measures |= _with_bounds(name, pixels.compute(), pixels.interval())
            curves.append(thin_curves(pixels).assign(data=name))
    with _timed(seconds, "cityscapes"):
        measures |= _segmentation(model, settings.open("cityscapes", "val").take(IMAGES["cityscapes"]))
    with _timed(seconds, "proxy"):
        drawn = _drawn(tuned.proxy_ids, proxy)
    return RunResult(measures, pd.concat(curves, ignore_index=True)[["data", "curve", "x", "y"]], drawn, seconds)


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


def describe_proxy(proxy: CocoProxy) -> pd.DataFrame:
    """Row ``id`` for each image of the data set, as it is on disk, before any crop.

    Columns: ``pixels``, ``ood_share``, ``objects`` (connected parts of the OoD pixels, corners included),
    ``boundary`` (pairs of neighbouring pixels, one of them OoD, so its length in sides of a pixel), and
    ``pixels of {supercategory}``.
    """
    masks = (proxy.read_target(frame) == OOD_INDEX for frame in proxy.frames)
    shapes = [(mask.size, mask.mean(), _objects(mask), _boundary(mask)) for mask in masks]
    table = pd.DataFrame(shapes, index=proxy.ids, columns=["pixels", "ood_share", "objects", "boundary"])
    return table.join(proxy.supercategory_pixels.add_prefix("pixels of ")).rename_axis("id")


def _objects(mask: np.ndarray) -> int:
    return ndimage.label(mask, structure=np.ones((3, 3)))[1]


def _boundary(mask: np.ndarray) -> int:
    return int((mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum())


def _proxy(settings: Settings) -> CocoProxy:
    shares = {name: getattr(settings, name) for name in ("min_ood_share", "max_ood_share")}
    return settings.open("coco_proxy", "train", transform=training_transform(settings.crop), **shares)


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
    """What `describe_proxy` gives for the images drawn in each epoch."""
    drawn = pd.DataFrame([(epoch, id_) for epoch, own in enumerate(ids) for id_ in own], columns=["epoch", "id"])
    once, part = set(drawn["id"]), copy.copy(proxy)
    part.frames = [frame for frame in proxy.frames if frame.id in once]
    return drawn.merge(describe_proxy(part), left_on="id", right_index=True, how="left", validate="many_to_one")


@contextmanager
def _timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[part] = time.perf_counter() - started
