"""Cross-validation of meta classifiers: each segment is judged by one that has not seen it."""

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin, clone
from sklearn.model_selection import LeaveOneGroupOut, LeaveOneOut, StratifiedKFold
from tqdm.auto import tqdm

from ood_lib.device import compute_device
from ood_lib.kept import digest, read_table, write_table
from ood_lib.meta.classifier import MetaClassifier
from ood_lib.meta.table import Metrics, Standardisation, label_values, metric_table, metric_values


def cross_validate(classifier: ClassifierMixin, metrics: Any, false_positive: ArrayLike,
                   scheme: str = "leave-one-out", groups: ArrayLike | None = None, *,
                   folds: int = 10, seed: int = 0, checkpoint: Path | str | None = None,
                   progress: bool = True) -> np.ndarray:
    """p^FP (n,), float64, of each row of metrics (n, m) by a classifier that was fitted on others.

    ``scheme`` says which others: "leave-one-out", all others, as in the thesis; "k-fold", those
    outside of its fold, one of ``folds``, drawn by ``seed`` with equal shares of false positives;
    "group", those of all other ``groups`` (n,): frames of a sequence show the same things again.
    ``classifier`` is any of scikit-learn with predict_proba. For the rest see `predict_left_out`.
    """
    k_fold = StratifiedKFold(folds, shuffle=True, random_state=seed)
    splitters = {"leave-one-out": LeaveOneOut(), "group": LeaveOneGroupOut(), "k-fold": k_fold}
    if scheme not in splitters:
        raise ValueError(f"scheme={scheme!r} is not known; take one of {', '.join(splitters)}.")
    if (groups is None) == (scheme == "group"):
        raise ValueError(f'scheme={scheme!r}: groups are for scheme="group", and needed there.')
    if groups is not None:
        groups, _ = pd.factorize(np.asarray(groups, dtype=object))  # (n,): numbers, -1 for None
        if (groups < 0).any():
            raise ValueError(f"The group of row {np.argmin(groups)} is missing.")
    labels = label_values(false_positive, len(metrics))                              # (n,)
    left_out = [rows for _, rows in splitters[scheme].split(labels, labels, groups)]
    return predict_left_out(
        classifier, metrics, labels, left_out, checkpoint=checkpoint, progress=progress)


def predict_left_out(classifier: ClassifierMixin, metrics: Any, false_positive: ArrayLike,
                     folds: Sequence[ArrayLike], *, checkpoint: Path | str | None = None,
                     progress: bool = True) -> np.ndarray:
    """p^FP (n,), float64, of the rows of each fold, by a clone fitted on all others; NaN else.

    ``folds`` holds the rows (k,), from 0, of each fold: ``[[3], [7]]`` leaves one out for two rows.
    With ``checkpoint``, a folder, what is done is kept there in a Parquet file, named by all that
    decides it. ValueError for metrics that are no finite numbers, labels that are not 0 or 1, folds
    that overlap, and a fold without which the remaining segments are all of one kind.
    """
    table = metric_table(metrics)
    values = metric_values(table)                                                    # (n, m)
    labels = label_values(false_positive, len(values))                               # (n,)
    folds = [np.asarray(rows) for rows in folds]
    _check_folds(folds, labels)
    names = list(getattr(table, "columns", []))
    path, probability = _kept(checkpoint, len(values), (classifier, names, values, labels, folds))
    todo = [rows for rows in folds if np.isnan(probability[rows]).any()]
    with tqdm(desc="folds", total=len(folds), unit="fold", disable=not progress) as bar:
        bar.update(len(folds) - len(todo))
        for some, predicted in _predict(classifier, table, labels, todo):
            probability[some] = predicted
            if path is not None:
                write_table(pd.DataFrame({"probability": probability}), path)
            bar.update(len(some))
    return probability


def _predict(classifier: ClassifierMixin, table: Metrics, labels: np.ndarray,
             folds: list[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows (F, k) of some folds at a time, with p^FP (F, k)."""
    predict_some, at_once = _predict_fold, 1
    if isinstance(classifier, MetaClassifier):
        # More than 32 leave the processor's cache. All together may take half a GiB.
        most = 32 if compute_device().type == "cpu" else 256
        predict_some, at_once = _predict_stack, int(np.clip(2**26 // table.size, 1, most))
    # A stack needs tables of one size, so folds that leave out equally many rows.
    for size in sorted({len(rows) for rows in folds}):
        alike = np.stack([rows for rows in folds if len(rows) == size])              # (folds, k)
        for start in range(0, len(alike), at_once):
            some = alike[start : start + at_once]
            yield some, predict_some(classifier, table, labels, some)


def _predict_stack(classifier: MetaClassifier, table: Metrics, labels: np.ndarray,
                   folds: np.ndarray) -> np.ndarray:
    """p^FP (F, k) by classifiers that learn all F folds at once."""
    values, parts = metric_values(table), []
    for rows in folds:
        others = np.delete(np.arange(len(values)), rows)
        standardise = Standardisation.fit(values[others])
        parts.append((standardise(values[others]), labels[others], standardise(values[rows])))
    inputs, targets, left_out = map(np.stack, zip(*parts, strict=True))  # (F, n - k, m), ...
    return classifier.probability(classifier.learn(inputs, targets), left_out)


def _predict_fold(classifier: ClassifierMixin, table: Metrics, labels: np.ndarray,
                  folds: np.ndarray) -> np.ndarray:
    """p^FP (1, k) of the one fold by any classifier of scikit-learn."""
    (rows,) = folds
    if not hasattr(classifier, "predict_proba"):
        raise ValueError(f"{type(classifier).__name__} gives no probabilities (predict_proba).")
    take = table.iloc if isinstance(table, pd.DataFrame) else table
    others = np.delete(np.arange(len(labels)), rows)
    fitted = clone(classifier).fit(take[others], labels[others])
    return fitted.predict_proba(take[rows])[None, :, list(fitted.classes_).index(True)]


def _kept(checkpoint: Any, rows: int, deciding: tuple) -> tuple[Path | None, np.ndarray]:
    """Where p^FP is kept, if anywhere, and what is known of it, (n,): NaN where nothing is."""
    unknown = np.full(rows, np.nan)
    if checkpoint is None:
        return None, unknown
    if not Path(checkpoint).is_dir():
        raise ValueError(f"checkpoint={str(checkpoint)!r} is no folder; make it, or give none.")
    versions = [version(name) for name in ("torch", "scikit-learn")]
    path = Path(checkpoint) / f"meta-{digest(_predict, *deciding, versions)}.parquet"

    def check(table: Any) -> np.ndarray:
        probability = table["probability"].to_numpy().copy()
        if len(probability) != rows or ((probability < 0) | (probability > 1)).any():
            raise ValueError(f"expected {rows} numbers from 0 to 1")
        return probability

    kept = read_table(path, check)
    return path, unknown if kept is None else kept


def _check_folds(folds: list[np.ndarray], labels: np.ndarray) -> None:
    """ValueError for folds that `predict_left_out` refuses."""
    times = np.zeros(len(labels), dtype=int)
    for number, rows in enumerate(folds):
        numbers = rows.ndim == 1 and rows.size > 0 and rows.dtype.kind in "iu"
        if not numbers or rows.min() < 0 or rows.max() >= len(labels):
            raise ValueError(f"Fold {number} is {rows}; expected rows from 0 to {len(labels) - 1}.")
        if len(np.unique(np.delete(labels, rows))) < 2:
            raise ValueError(f"Without fold {number}, rows {rows}, only one kind is left.")
        np.add.at(times, rows, 1)
    if times.max() > 1:
        raise ValueError(f"Row {np.argmax(times)} is left out twice; folds must not overlap.")
