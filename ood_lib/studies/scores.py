"""Every anomaly score on the same networks and images, before and after entropy maximization (chapters 3a and 3b)."""

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from torch import Tensor, nn
from tqdm.auto import tqdm

from ood_lib.closed_set import closed_set_ensemble
from ood_lib.data import SegmentationDataset, training_transform
from ood_lib.deciding_code import code_digest
from ood_lib.device import compute_device
from ood_lib.files import atomic_path, cache_folder
from ood_lib.metrics import PixelMetrics
from ood_lib.metrics.paired import paired_differences
from ood_lib.metrics.pixels import MEASURES
from ood_lib.profiles import Settings
from ood_lib.scores.by_name import SCORES, NamedScore, make_score
from ood_lib.scores.features import as_images
from ood_lib.studies.inputs import inputs_of, key_of
from ood_lib.studies.measure import MEASURED
from ood_lib.training import fine_tune
from ood_lib.training_state import weights_digest

Score = Callable[[Tensor], Tensor]
"""From float images (N, 3, H, W) in [0, 1] to score maps (N, H, W)."""

JUDGED = ("tuning", "lost_and_found", "fishyscapes_static")
"""Names in `MEASURED`: the tuning set, on which settings of scores were chosen, and the two test sets."""
NETWORKS = ("before", "after")
FILE = "scores.json"


class ScoreRecord(NamedTuple):
    """What came of the comparison; differences are of pairs, with the same sequences drawn for both."""

    measures: pd.DataFrame
    """Index data, network, score; columns auroc, auprc, fpr95, each with _low and _high."""
    gains: pd.DataFrame
    """Index data, score; the same columns: after entropy maximization less before."""
    over_entropy: pd.DataFrame
    """Index data, network, score; the same columns: the score less the entropy of the same network."""
    key: str
    """Of all that decides the numbers."""


def networks(settings: Settings) -> dict[str, list[nn.Module]]:
    """``before`` and ``after`` entropy maximization: the network of the settings, and its sisters if it has any."""
    before = closed_set_ensemble(settings)
    after = [_fine_tuned(copy.deepcopy(network), settings) for network in before]
    return dict(zip(NETWORKS, (before, after), strict=True))


def all_scores(models: list[nn.Module], settings: Settings, progress: bool = True) -> dict[str, Score]:
    """All `SCORES` by name, as `make_score` makes them; without the ensemble where there is but one network."""
    names = [name for name in SCORES if name != "ensemble" or len(models) > 1]
    return {name: make_score(name, models, settings, progress) for name in names}


def measure_scores(
    scores: dict[str, Score], dataset: SegmentationDataset, progress: bool = True
) -> dict[str, PixelMetrics]:
    """Each score's measures on a data set with targets 0, 1 and 255, its pixels grouped by sequence."""
    metrics = {name: PixelMetrics() for name in scores}
    device = compute_device()
    for sample in tqdm(dataset, desc="scores", unit="image", leave=False, disable=not progress):
        images = as_images(sample.image, device)
        for name, score in scores.items():
            metrics[name].update(score(images)[0].cpu(), sample.target, group=sample.sequence)
    return metrics


def relative_costs(scores: dict[str, Score], model: nn.Module, images: Tensor, repeats: int = 3) -> dict[str, float]:
    """Seconds that each score takes for these images (N, 3, H, W) over those of a forward pass; the best of repeats.

    Score and forward pass take turns, so that other work on the machine slows both.
    """
    once = NamedScore(model, lambda logits: logits)
    costs = {}
    for name, score in scores.items():
        turns = [(_seconds(score, images), _seconds(once, images)) for _ in range(repeats + 1)]
        of_score, of_pass = (min(taken) for taken in zip(*turns[1:], strict=True))  # the first turn warms up
        costs[name] = of_score / of_pass
    return costs


def compare_scores(settings: Settings, progress: bool = True) -> ScoreRecord:
    """Measure every score before and after entropy maximization on `JUDGED`; minutes, so each data set is kept.

    Interrupted, it goes on after the last data set that was finished.
    """
    models = networks(settings)
    key = score_key(settings, models)
    folder = cache_folder() / f"scores-{key}"
    fitted: dict[str, dict[str, Score]] = {}
    for data in JUDGED:
        if not (folder / f"{data}.json").is_file():
            fitted = fitted or {which: all_scores(models[which], settings, progress) for which in NETWORKS}
            dataset = settings.open(*MEASURED[data])
            judged = {which: measure_scores(fitted[which], dataset, progress) for which in NETWORKS}
            _write(folder / f"{data}.json", _rows(data, judged))
    rows = [json.loads((folder / f"{data}.json").read_text(encoding="utf-8")) for data in JUDGED]
    return _as_record({name: sum((part[name] for part in rows), []) for name in rows[0]}, key)


def write_score_record(record: ScoreRecord, folder: Path) -> None:
    """Write the record as JSON, `FILE`, into a folder."""
    tables = {name: getattr(record, name).reset_index().to_dict("records") for name in ScoreRecord._fields[:3]}
    _write(folder / FILE, tables | {"key": record.key})


def read_score_record(folder: Path, settings: Settings) -> ScoreRecord | None:
    """The record in a folder if it is what `compare_scores` would give with these settings and today's code.

    None if it is of other settings, data, weights, packages or code, or is not there.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    kept = json.loads(path.read_text(encoding="utf-8"))
    key = kept.pop("key")
    return _as_record(kept, key) if key == score_key(settings, {"before": closed_set_ensemble(settings)}) else None


def score_key(settings: Settings, models: dict[str, list[nn.Module]]) -> str:
    """16 hexadecimal digits that change with everything that decides the numbers."""
    here = Path(__file__).parents[1]
    code = tuple(path.relative_to(here).as_posix() for path in sorted((here / "scores").glob("*.py")))
    inputs = inputs_of(settings) | {
        "scores": code_digest((*code, "metrics/paired.py", "studies/scores.py")),
        "sisters": [weights_digest(model.state_dict()) for model in models["before"]],
    }
    return key_of(inputs)


def _fine_tuned(model: nn.Module, settings: Settings) -> nn.Module:
    transform = training_transform(settings.crop)
    scenes = settings.open("cityscapes", "train", transform=transform).take(settings.num_in_distribution)
    fine_tune(
        model,
        scenes,
        settings.open_proxy(transform=transform),
        lambda_=settings.lambda_,
        ood_share=settings.ood_share,
        epochs=settings.epochs,
        proxy_fraction=settings.proxy_fraction,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        seed=settings.seed,
        checkpoint=cache_folder(),
    )
    return model.eval()


def _seconds(score: Score, images: Tensor) -> float:
    start = time.perf_counter()
    score(images).sum().item()  # waits for a GPU
    return time.perf_counter() - start


def _rows(data: str, judged: dict[str, dict[str, PixelMetrics]]) -> dict[str, list[dict[str, Any]]]:
    before, after = (judged[which] for which in NETWORKS)
    measures, over_entropy = [], []
    for which in NETWORKS:
        for name, metrics in judged[which].items():
            place = {"data": data, "network": which, "score": name}
            values, bounds = metrics.compute(), metrics.interval()
            measures.append(place | _columns({m: (values[m], *bounds[m]) for m in MEASURES}))
            over_entropy.append(place | _columns(paired_differences(metrics, judged[which]["entropy"])))
    gains = [{"data": data, "score": name} | _columns(paired_differences(after[name], before[name])) for name in before]
    return {"measures": measures, "gains": gains, "over_entropy": over_entropy}


def _columns(values: dict[str, tuple[float, float, float]]) -> dict[str, float]:
    ends = ("", "_low", "_high")
    return {f"{m}{end}": float(v) for m, of in values.items() for end, v in zip(ends, of, strict=True)}


def _as_record(rows: dict[str, list[dict[str, Any]]], key: str) -> ScoreRecord:
    places = {"measures": ["data", "network", "score"], "gains": ["data", "score"]}
    places["over_entropy"] = places["measures"]
    return ScoreRecord(*(pd.DataFrame(rows[name]).set_index(index) for name, index in places.items()), key=key)


def _write(path: Path, content: dict[str, Any]) -> None:
    with atomic_path(path) as aside:
        aside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
