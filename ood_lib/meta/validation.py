"""Cross-validation of meta classifiers: each segment is judged by a classifier that has not seen it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin, clone
from tqdm.auto import tqdm

from ood_lib.meta.classifier import FoldTrainer, MetaClassifier
from ood_lib.meta.folds import Fold, check_folds, folds_of_scheme
from ood_lib.meta.inputs import false_positive_labels, metric_columns, metric_values
from ood_lib.meta.kept import KeptProbabilities


def cross_validate(
    classifier: ClassifierMixin,
    metrics: Any,
    false_positive: ArrayLike,
    scheme: str = "leave-one-out",
    groups: ArrayLike | None = None,
    *,
    folds: int = 10,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    progress: bool = True,
) -> np.ndarray:
    """p^FP (n,), float64, of each row of metrics (n, m) by a classifier that was fitted on others.

    ``scheme`` says which others: "leave-one-out", all others, as in the thesis; "k-fold", those outside of its fold,
    one of ``folds``, drawn by ``seed`` with equal shares of false positives; "group", those of all other ``groups``
    (n,), as sequences. Frames of a sequence show the same things again, so that only "group" judges a classifier on
    things that are new to it.

    ``classifier`` is any scikit-learn classifier with predict_proba; clones of it are fitted, it stays as it is.
    For the other options and what is refused see `predict_left_out`.
    """
    labels = false_positive_labels(false_positive, len(metrics))
    made = folds_of_scheme(scheme, labels, groups, folds, seed)
    return _predict(classifier, metrics, labels, made, checkpoint, progress)


def predict_left_out(
    classifier: ClassifierMixin,
    metrics: Any,
    false_positive: ArrayLike,
    folds: Sequence[ArrayLike],
    *,
    checkpoint: Path | str | None = None,
    progress: bool = True,
) -> np.ndarray:
    """p^FP (n,), float64, of the rows that each fold leaves out, by a clone that was fitted on all others; NaN else.

    ``folds`` holds the rows (k,), from 0, of each fold: ``[[3], [7]]`` leaves one out for two rows. With
    ``checkpoint``, a folder, what is done is kept there in one Parquet file, named by the classifier, metrics, labels,
    folds and this code: interrupted, it goes on; done, it is read. A damaged file is named and made again.
    ValueError for bad metrics and labels as in `MetaClassifier.fit`, for folds that overlap, and for a fold without
    which the remaining segments are all of one kind.
    """
    labels = false_positive_labels(false_positive, len(metrics))
    made = [Fold(f"fold {number}", np.asarray(rows)) for number, rows in enumerate(folds)]
    return _predict(classifier, metrics, labels, made, checkpoint, progress)


def _predict(
    classifier: ClassifierMixin,
    metrics: Any,
    labels: np.ndarray,
    folds: list[Fold],
    checkpoint: Path | str | None,
    progress: bool,
) -> np.ndarray:
    columns = metric_columns(metrics)
    values = metric_values(metrics, columns)
    check_folds(folds, labels)
    rows = [fold.rows for fold in folds]
    kept = KeptProbabilities.open(checkpoint, classifier, columns, values, labels, rows)
    probability = kept.read()
    todo = [left_out for left_out in rows if np.isnan(probability[left_out]).any()]
    with tqdm(desc="folds", total=len(rows), initial=len(rows) - len(todo), unit="fold", disable=not progress) as bar:
        if todo:
            table = values if columns is None else metrics[columns]
            for chunk, predicted in _train(classifier, table, values, labels, todo):
                for left_out, of_fold in zip(chunk, predicted, strict=True):
                    probability[left_out] = of_fold
                kept.write(probability)
                bar.update(len(chunk))
    return probability


def _train(
    classifier: ClassifierMixin,
    table: pd.DataFrame | np.ndarray,
    values: np.ndarray,
    labels: np.ndarray,
    folds: list[np.ndarray],
) -> Iterator[tuple[list[np.ndarray], list[np.ndarray]]]:
    """Chunks of folds that leave out equally many rows, with their p^FP."""
    if isinstance(classifier, MetaClassifier):
        train, at_once = classifier.fold_trainer(values, labels), classifier.folds_at_once(*values.shape)
    else:
        train, at_once = _one_by_one(classifier, table, labels), 1
    for size in sorted({len(rows) for rows in folds}):
        alike = [rows for rows in folds if len(rows) == size]
        for start in range(0, len(alike), at_once):
            chunk = alike[start : start + at_once]
            yield chunk, train(chunk)


def _one_by_one(classifier: ClassifierMixin, table: pd.DataFrame | np.ndarray, labels: np.ndarray) -> FoldTrainer:
    """For any classifier of scikit-learn: a clone is fitted for each fold."""
    if not hasattr(classifier, "predict_proba"):
        raise ValueError(
            f"{type(classifier).__name__} gives no probabilities (predict_proba); CalibratedClassifierCV lends them."
        )

    def left_out(rows: np.ndarray) -> np.ndarray:
        others = np.delete(np.arange(len(labels)), rows)
        fitted = clone(classifier).fit(_take(table, others), labels[others])
        return fitted.predict_proba(_take(table, rows))[:, list(fitted.classes_).index(True)]

    return lambda folds: [left_out(rows) for rows in folds]


def _take(table: pd.DataFrame | np.ndarray, rows: np.ndarray) -> pd.DataFrame | np.ndarray:
    return table.iloc[rows] if isinstance(table, pd.DataFrame) else table[rows]
