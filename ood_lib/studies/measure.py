"""One run: entropy maximization, and what is measured of it."""

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from filelock import FileLock
from torch import nn

from ood_lib.data import SegmentationDataset
from ood_lib.data.coco_proxy import CocoProxy
from ood_lib.data.labels import CLASSES
from ood_lib.device import compute_device
from ood_lib.files import atomic_path, cache_folder
from ood_lib.kept import digest
from ood_lib.metrics.evaluate import evaluate_anomalies, evaluate_segmentation
from ood_lib.settings import Settings
from ood_lib.training import closed_set_network, fine_tune_by

MEASURED = {
    "tuning": ("lost_and_found", "train"),
    "lost_and_found": ("lost_and_found", "test"),
    "fishyscapes_static": ("fishyscapes_static", "val"),
    "cityscapes": ("cityscapes", "val"),
}
"""Which data set and split is measured under which name; choices are made by the first."""


@dataclass(frozen=True)
class RunResult:
    """What is kept of a run."""

    measures: dict[str, float]
    """``{name}_{measure}``, by the names in `MEASURED`, with ``_low`` and ``_high``, the bounds of
    its 95 % interval, and the IoU of each class; NaN for what cannot be measured."""
    tables: dict[str, pd.DataFrame]
    """By name: "proxy" has ``epoch``, ``id`` and `CocoProxy.properties` of each proxy image that
    was drawn, "verdicts" what `ood_lib.studies.verdicts` measures."""
    seconds: dict[str, float]  #: for each part of the run


def measure_run(settings: Settings, checkpoint: Path | None = None) -> RunResult:
    """Fine-tune the closed-set network with these settings and measure it on all `MEASURED`."""
    network, seconds = closed_set_network(settings), {}
    # Opened first, so that what is missing is missed before the training.
    datasets = {name: settings.open(*place) for name, place in MEASURED.items()}
    measures = {}
    with one_thread():
        with timed(seconds, "fine_tune"):
            trained = fine_tune_by(settings, network, checkpoint=checkpoint, progress=False)
        for name, dataset in datasets.items():
            with timed(seconds, name):
                measures |= _measures(name, network, dataset)
    proxy = _properties(trained.proxy_ids, settings.open_proxy())
    return RunResult(measures, {"proxy": proxy}, seconds)


def measure_start(settings: Settings) -> dict[str, float]:
    """The measures of `RunResult`, of the closed-set network from which all runs start, but for
    those by which choices are made.

    They are computed once and kept; who asks meanwhile waits for them.
    """
    network, measures = closed_set_network(settings), {}
    places = {name: place for name, place in MEASURED.items() if name != "tuning"}
    datasets = {name: settings.open(*place) for name, place in places.items()}
    path = cache_folder() / f"start-{digest(network, datasets, MEASURING)}.json"
    with FileLock(path.with_suffix(".lock")), one_thread():
        if not path.is_file():
            for name, dataset in datasets.items():
                measures |= _measures(name, network, dataset)
            with atomic_path(path) as aside:
                aside.write_text(json.dumps(measures), encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


@contextmanager
def timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    """Notes how long the block took."""
    start = time.perf_counter()
    yield
    seconds[part] = time.perf_counter() - start


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it one thread computes, if on a CPU: a run's numbers are the same whoever does it."""
    threads = torch.get_num_threads()  # more add up in another order, and train another network
    if compute_device().type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _measures(name: str, network: nn.Module, dataset: SegmentationDataset) -> dict[str, float]:
    """Those of one data set, with the bounds of their intervals."""
    is_street = MEASURED[name][0] == "cityscapes"
    evaluate = evaluate_segmentation if is_street else evaluate_anomalies
    metrics = evaluate(network, dataset, progress=False)
    values = metrics.compute()
    by_class = {}
    if is_street:
        ious = zip(CLASSES, values.pop("iou").tolist(), strict=True)
        by_class = {f"iou_{c.name}": iou for c, iou in ious}
    # Of one sequence alone there is no interval.
    has_bounds = len({frame.sequence for frame in dataset.frames}) > 1
    bounds = metrics.interval() if has_bounds else dict.fromkeys(values, (math.nan, math.nan))
    named = columns({measure: (value, *bounds[measure]) for measure, value in values.items()})
    return {f"{name}_{column}": value for column, value in (named | by_class).items()}


def columns(measures: dict[str, tuple[float, float, float]]) -> dict[str, float]:
    """Each value under the measure's name, and the bounds of its interval, ``_low``, ``_high``."""
    named = {}
    for measure, (value, low, high) in measures.items():
        named |= {measure: value, f"{measure}_low": low, f"{measure}_high": high}
    return named


def _properties(ids: list[list[str]], proxy: CocoProxy) -> pd.DataFrame:
    """Those of the images drawn in each epoch."""
    rows = [(epoch, id_) for epoch, drawn in enumerate(ids) for id_ in drawn]
    table = pd.DataFrame(rows, columns=["epoch", "id"])
    return table.join(proxy.properties, on="id", validate="many_to_one")


MEASURING = (one_thread, _measures, _properties)
"""What decides the numbers of a run beside its settings, data and fine-tuned network."""
