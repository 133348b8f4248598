"""Which meta classifier does better: all of them on the segments of ten times as many drives.

The draws of drives, with replacement, are the same for every network: so differences can be paired,
and an interval be taken over networks and drives together.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import Lars
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from ood_lib.claims import OnDrives
from ood_lib.data import SegmentationDataset, open_dataset
from ood_lib.inference import predict
from ood_lib.kept import read_table, write_table
from ood_lib.meta import LogisticMetaClassifier, NeuralMetaClassifier, cross_validate
from ood_lib.metrics.classifiers import weighted_measures
from ood_lib.metrics.curves import draw_groups, over_networks_and_drives, rows_of
from ood_lib.miniature import Size, ensure_miniature
from ood_lib.segments import metric_names, segment_metrics
from ood_lib.settings import Settings
from ood_lib.studies.measure import RunResult, one_thread, timed
from ood_lib.training import closed_set_network, fine_tune_by

DRIVES = Size(train=1, val=1, proxy=1, tuning_sequences=1, fishyscapes=1, test_sequences=300)
"""What is painted: test drives, of which the first are those of the book."""
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
ENDS = (0.3, 0.7)  #: the thesis's two, at which architectures are compared, and segments left out
PREFIXES = (5, 13, 21, 34, 55)  #: so many metrics, in the order of LARS, at `LARS_AT`
LARS_AT = 0.7
FOLDS = 5
ALONE = 6  #: of the segments of so many drives each is left out alone
SMALL = 10  #: a segment with fewer pixels is small
DRAWS = 200

_DEPTHS = {f"NN-L-{layers}": (75,) * layers for layers in (0, 1, 2, 4, 5, 6)}
_WIDTHS = {f"NN-L-3-N-{n}": (n,) * 3 for n in (15, 25, 35, 45, 55, 65, 85, 95, 110)}
_UNEVEN = {"NN-L1-130-L2-45-L3-30": (130, 45, 30), "NN-L1-60-L2-140-L3-30": (60, 140, 30),
           "NN-L1-40-L2-80-L3-135": (40, 80, 135)}  # fmt: skip
ARCHITECTURES = _DEPTHS | _WIDTHS | _UNEVEN
"""Tables 4.4 to 4.6, without NN-L-3, which is the thesis's network, "NN" here."""


class Judged(NamedTuple):
    """p^FP of segments by a classifier that has not seen them."""

    left_out: str  #: at once: a "segment", a "fold" of them, or a fifth of the drives, "drive"
    classifier: str
    table: pd.DataFrame  #: the segments
    probability: np.ndarray  #: (segments,)


def measure_verdicts(settings: Settings, checkpoint: Path | None = None) -> RunResult:
    """Fine-tune the closed-set network with these settings, and judge its segments.

    The table "verdicts" has ``threshold``; ``left_out`` and ``classifier`` as in `Judged`;
    ``segments``, all or small; ``measure``, auroc, auprc, "auprc of false", for which the false
    ones are positive, or "removed", the share of the false ones with p^FP from 0.5; ``value``; and
    ``draws``, that of `DRAWS` draws of drives, int16 of 1e-4, -1 for a draw without both kinds.

    ``checkpoint`` is that of `ood_lib.training.fine_tune`; beside it lies, until the run has ended,
    what is computed after the training. ValueError for data that are not painted.
    """
    network, seconds = closed_set_network(settings), {}
    dataset = open_drives(settings)
    folder = None if checkpoint is None else checkpoint.with_suffix("")
    with one_thread():
        with timed(seconds, "fine_tune"):
            fine_tune_by(settings, network, checkpoint=checkpoint, progress=False)
        with timed(seconds, "segments"):
            tables = segment_tables(network, dataset, folder)
        with timed(seconds, "judge"):
            weights = drawn_weights(dataset)
            verdicts = [row for threshold, table in tables.items()
                        for judged in judge(table, threshold, settings.seed, folder)
                        for row in measure(judged, threshold, weights)]
    counts = {f"segments at {threshold}": float(len(table)) for threshold, table in tables.items()}
    if folder is not None:
        shutil.rmtree(folder)
    return RunResult(counts, {"verdicts": pd.DataFrame(verdicts)}, seconds)


def open_drives(settings: Settings) -> SegmentationDataset:
    """The drives, painted first where they are missing, in pictures of the settings' size."""
    root = ensure_miniature(size=drives_of(settings))
    return open_dataset("lost_and_found", root / "lost_and_found", "test")


def drives_of(settings: Settings) -> Size:
    """What is painted of them. ValueError for settings with data that are not painted."""
    if not settings.is_painted:
        root = settings.data_root
        raise ValueError(f"Verdicts are of painted drives, but {root} is not painted.")
    height, width = settings.open("lost_and_found", "test")[0].target.shape
    return replace(DRIVES, height=height, width=width)


def segment_tables(network: nn.Module, dataset: SegmentationDataset,
                   folder: Path | None) -> dict[float, pd.DataFrame]:
    """By threshold the metrics of all segments with ``iou`` and ``sequence``."""
    path = None if folder is None else folder / "segments.parquet"
    table = None if path is None else read_table(path, lambda kept: kept.to_pandas())
    if table is None:
        parts = []
        for result in predict(network, dataset, probabilities=True, progress=False):
            for threshold in THRESHOLDS:  # each pixel is asked for once
                mask = result.score.numpy() >= threshold
                metrics, _ = segment_metrics(result.probabilities, mask, result.target.numpy())
                parts.append(metrics.assign(sequence=result.sequence, threshold=threshold))
        table = pd.concat(parts, ignore_index=True)
        if path is not None:
            write_table(table, path)
    tables = table.groupby("threshold")
    return {t: own.drop(columns="threshold").reset_index(drop=True) for t, own in tables}


def judge(table: pd.DataFrame, threshold: float, seed: int,
          folder: Path | None) -> Iterator[Judged]:
    """All classifiers that are compared on these segments."""
    own = {"seed": seed, "checkpoint": folder, "progress": False}
    usual = {"LR": LogisticMetaClassifier(), "NN": NeuralMetaClassifier(seed=seed)}
    by_fold, by_drive = usual | others(seed), usual | others(seed)
    if threshold in ENDS:
        part = table[rows_of(table["sequence"].tolist()) < ALONE].reset_index(drop=True)
        for name, classifier in usual.items():
            yield Judged("segment", name, part, _judge(classifier, part, "leave-one-out", **own))
        for name, hidden in ARCHITECTURES.items():
            by_fold[name] = NeuralMetaClassifier(hidden, seed=seed)
        for name in ("sigmoid", "tanh"):
            by_fold[name] = NeuralMetaClassifier(activation=name, seed=seed)
    if threshold == LARS_AT:
        by_drive |= {f"{name} on {n}": on_first(n, classifier)
                     for n in PREFIXES for name, classifier in usual.items()}
    fifth = rows_of(table["sequence"].tolist()) % FOLDS
    for name, classifier in by_fold.items():
        yield Judged("fold", name, table, _judge(classifier, table, "k-fold", folds=FOLDS, **own))
    for name, classifier in by_drive.items():
        yield Judged("drive", name, table, _judge(classifier, table, "group", groups=fifth, **own))
    yield Judged("fold", "size alone", table, 1 / (1 + table["S"].to_numpy()))
    yield Judged("drive", "size alone", table, 1 / (1 + table["S"].to_numpy()))


def _judge(classifier: ClassifierMixin, table: pd.DataFrame, scheme: str, **options) -> np.ndarray:
    return cross_validate(classifier, table[metric_names()], table["iou"] == 0, scheme, **options)


def others(seed: int) -> dict[str, ClassifierMixin]:
    """What anybody would try."""
    nearest = make_pipeline(StandardScaler(), KNeighborsClassifier(5))
    boosting = HistGradientBoostingClassifier(early_stopping=False, random_state=seed)
    return {"five nearest": nearest, "boosting": boosting}


def on_first(number: int, classifier: ClassifierMixin) -> ClassifierMixin:
    """It on the metrics that LARS takes first, found anew wherever it is fitted."""
    chosen = SelectFromModel(Lars(n_nonzero_coefs=number), threshold=1e-12)
    return make_pipeline(StandardScaler(), chosen, classifier)


def drawn_weights(dataset: SegmentationDataset) -> pd.DataFrame:
    """How often each drive counts: (1 + `DRAWS`, drives), first all once; columns are sequences."""
    drives = list(dict.fromkeys(frame.sequence for frame in dataset.frames))
    draws = draw_groups(len(drives), DRAWS, seed=0)
    return pd.DataFrame(np.vstack([np.ones_like(draws[:1]), draws]), columns=drives)


def measure(judged: Judged, threshold: float, weights: pd.DataFrame) -> Iterator[dict]:
    """Rows of the table."""
    table, truth = judged.table, (judged.table["iou"] > 0).to_numpy()
    for segments, these in {"all": table["S"] > 0, "small": table["S"] < SMALL}.items():
        rows = np.flatnonzero(these)
        if len(set(truth[rows])) < 2:
            continue
        own = weights[table["sequence"].iloc[rows]].to_numpy()                # (1 + DRAWS, rows)
        p = judged.probability[rows]
        values = weighted_measures(truth[rows], 1 - p, own)
        values["auprc of false"] = weighted_measures(~truth[rows], p, own)["auprc"]
        of_false = own[:, ~truth[rows]]                                       # (1 + DRAWS, false)
        with np.errstate(invalid="ignore"):  # where a draw has none
            values["removed"] = of_false @ (p[~truth[rows]] >= 0.5) / of_false.sum(axis=1)
        for name, drawn in values.items():
            units = np.nan_to_num(np.round(drawn * 1e4), nan=-1).astype(np.int16)
            yield {"threshold": threshold, "left_out": judged.left_out, "segments": segments,
                   "classifier": judged.classifier, "measure": name, "value": drawn[0],
                   "draws": units[1:]}  # fmt: skip


def furthest_ahead(table: pd.DataFrame, asked: OnDrives, bounds: Sequence[float] = (0,),
                   ) -> tuple[str, float, float, float, float]:
    """Of the classifiers asked for the one that is furthest ahead of the other, or least behind.

    By how much in the mean over networks, low, high, and p of the nearest of the bounds, for new
    networks and drives, corrected for the choice (Bonferroni). ``table`` is that of
    `ood_lib.studies.read_verdicts`. ValueError where networks lack one of them.
    """
    count = len(asked.classifiers)
    found = {name: difference(table, name, asked, 1 - 0.05 / count) for name in asked.classifiers}
    best = max(found, key=lambda name: found[name][0])
    mean, low, high, _ = found[best]
    nearest = min(bounds, key=lambda bound: abs(bound - mean))
    p = difference(table, best, asked, bound=nearest)[3]
    return best, mean, low, high, min(1.0, count * p)


def difference(table: pd.DataFrame, classifier: str, asked: OnDrives, level: float = 0.95,
               bound: float = 0) -> tuple[float, float, float, float]:
    """By how much ``classifier`` is ahead of the other, as `over_networks_and_drives` has it."""
    wanted = {n: getattr(asked, n) for n in ("threshold", "left_out", "segments", "measure")}
    other = asked.other
    rows = table[np.logical_and.reduce([table[name] == value for name, value in wanted.items()])]
    one, two = (rows[rows["classifier"] == n].set_index("run") for n in (classifier, other))
    if set(one.index) != set(two.index) or not one.index.is_unique or one.empty:
        raise ValueError(f"{classifier} and {other} are not judged once by each network: {wanted}.")
    two = two.loc[one.index]
    drawn = [np.where((d := np.stack(own["draws"])) < 0, np.nan, d / 1e4) for own in (one, two)]
    values = (one["value"] - two["value"]).to_numpy()
    return over_networks_and_drives(values, drawn[0] - drawn[1], level, bound)


JUDGING = (one_thread, segment_tables, judge, drawn_weights, measure)
"""What decides the numbers beside settings, drives and fine-tuned network."""
