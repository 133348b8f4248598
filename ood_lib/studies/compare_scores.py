"""Every score on the same networks and images, before and after entropy maximization."""

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from timeit import timeit
from typing import Any, NamedTuple

import pandas as pd
from filelock import FileLock
from torch import Tensor, nn

from ood_lib.data import SegmentationDataset
from ood_lib.files import atomic_path, cache_folder
from ood_lib.kept import digest
from ood_lib.metrics import PixelMetrics, paired_differences
from ood_lib.metrics.evaluate import evaluate_anomalies
from ood_lib.scores import ImageScore, LogitScore
from ood_lib.scores.by_name import SCORES, make_score
from ood_lib.settings import Settings
from ood_lib.studies.measure import MEASURED, columns, one_thread
from ood_lib.studies.runs import run_inputs
from ood_lib.training import closed_set_ensemble, fine_tuned_network

# Names in `MEASURED`: the set on which settings of scores were chosen, and two test sets.
JUDGED = ("tuning", "lost_and_found", "fishyscapes_static")
PLACE = ["data", "network", "score"]
INDEX = {"measures": PLACE, "gains": ["data", "score"], "over_entropy": PLACE}
FILE = "scores.json"


class ScoreRecord(NamedTuple):
    """Tables by `INDEX`, of auroc, auprc, fpr95, and _low and _high; differences are of pairs."""

    measures: pd.DataFrame
    gains: pd.DataFrame  #: after entropy maximization less before
    over_entropy: pd.DataFrame  #: the score less the entropy of the same network
    key: str  #: of all that decides the numbers


def all_scores(models: Sequence[nn.Module], settings: Settings,
               progress: bool = True) -> dict[str, ImageScore]:
    """All `SCORES` as `make_score` makes them; the ensemble only if there are several networks."""
    names = [name for name in SCORES if name != "ensemble" or len(models) > 1]
    return {name: make_score(name, models, settings, progress) for name in names}


def measure_scores(scores: dict[str, ImageScore], dataset: SegmentationDataset,
                   progress: bool = True) -> dict[str, PixelMetrics]:
    """`evaluate_anomalies` of scores of one network, by name: one image at a time, in float32."""
    model = next(iter(scores.values())).model
    how = {"batch_size": 1, "mixed_precision": False, "progress": progress}
    return evaluate_anomalies(model, dataset, score=scores, **how)


def relative_costs(scores: dict[str, ImageScore], model: nn.Module, images: Tensor,
                   repeats: int = 3) -> dict[str, float]:
    """Seconds that each score takes for images (N, 3, H, W) over those of a forward pass."""
    once, costs = LogitScore(model, nn.Identity()), {}
    for name, score in scores.items():
        # They take turns, so that other work slows both; the first turn warms up.
        turns = [(_seconds(score, images), _seconds(once, images)) for _ in range(repeats + 1)]
        of_score, of_pass = zip(*turns[1:], strict=True)
        costs[name] = min(of_score) / min(of_pass)
    return costs


@one_thread()
def compare_scores(settings: Settings, progress: bool = True, frames: int | None = None,
                   made: dict[str, ImageScore] | None = None) -> ScoreRecord:
    """Measure every score before and after entropy maximization on `JUDGED`, or ``frames`` of each.

    It takes minutes; interrupted, it goes on after the last data set that was finished. ``made``
    are `all_scores` before, where they are at hand.
    """
    before = closed_set_ensemble(settings)
    after = [fine_tuned_network(settings, copy.deepcopy(network)) for network in before]
    key = score_key(settings, before, frames)
    folder = cache_folder() / f"scores-{key}"
    folder.mkdir(exist_ok=True)
    paths = {data: folder / f"{data}.json" for data in JUDGED}
    scores: list[dict[str, ImageScore]] = []
    with FileLock(folder / ".lock"):  # who asks for the same meanwhile waits, and reads it
        for data, path in paths.items():
            if path.is_file():
                continue
            if not scores:
                made = made or all_scores(before, settings, progress)
                scores = [made, all_scores(after, settings, progress)]
            dataset = settings.open(*MEASURED[data]).take(frames)
            _write(path, _rows(data, *[measure_scores(of, dataset, progress) for of in scores]))
    parts = [json.loads(path.read_text(encoding="utf-8")) for path in paths.values()]
    return _as_record({name: sum((part[name] for part in parts), []) for name in INDEX}, key)


def write_score_record(record: ScoreRecord, folder: Path) -> None:
    """Write the record as JSON, `FILE`, into a folder."""
    tables = {name: getattr(record, name).reset_index().to_dict("records") for name in INDEX}
    _write(folder / FILE, tables | {"key": record.key})


def read_score_record(folder: Path, settings: Settings,
                      frames: int | None = None) -> ScoreRecord | None:
    """The record in a folder; None if there is none that `compare_scores` would give today."""
    if not (folder / FILE).is_file():
        return None
    content = json.loads((folder / FILE).read_text(encoding="utf-8"))
    is_current = content["key"] == score_key(settings, closed_set_ensemble(settings), frames)
    return _as_record(content, content["key"]) if is_current else None


def score_key(settings: Settings, ensemble: Sequence[nn.Module], frames: int | None = None) -> str:
    """16 hexadecimal digits that change with settings, data, weights, packages and what acts."""
    return digest(run_inputs(settings), ensemble, frames, JUDGED, SCORES, measure_scores, _rows)


def _seconds(score: ImageScore, images: Tensor) -> float:
    return timeit(lambda: score.score(images).sum().item(), number=1)  # the item waits for a GPU


def _rows(data: str, before: dict[str, PixelMetrics],
          after: dict[str, PixelMetrics]) -> dict[str, list[dict[str, Any]]]:
    """The rows of the three tables for one data set, of the metrics by score."""
    measures, gains, over_entropy = [], [], []
    for which, of_network in {"before": before, "after": after}.items():
        for name, metrics in of_network.items():
            place, bounds = {"data": data, "network": which, "score": name}, metrics.interval()
            values = {measure: (v, *bounds[measure]) for measure, v in metrics.compute().items()}
            measures.append(place | columns(values))
            differences = paired_differences(metrics, of_network["entropy"])
            over_entropy.append(place | columns(differences))
    for name, metrics in before.items():
        differences = paired_differences(after[name], metrics)
        gains.append({"data": data, "score": name} | columns(differences))
    return {"measures": measures, "gains": gains, "over_entropy": over_entropy}


def _as_record(rows: dict[str, list[dict[str, Any]]], key: str) -> ScoreRecord:
    tables = {name: pd.DataFrame(rows[name]).set_index(index) for name, index in INDEX.items()}
    return ScoreRecord(**tables, key=key)


def _write(path: Path, content: dict[str, Any]) -> None:
    with atomic_path(path) as aside:  # where numbers of NumPy become floats
        aside.write_text(json.dumps(content, indent=1, default=float) + "\n", encoding="utf-8")
