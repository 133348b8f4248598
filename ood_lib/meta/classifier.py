"""What all meta classifiers have in common."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from safetensors.numpy import save
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

import ood_lib
from ood_lib.files import atomic_path
from ood_lib.meta.inputs import (
    Standardisation,
    false_positive_labels,
    metric_columns,
    metric_values,
    require_both_kinds,
)

FoldTrainer = Callable[[Sequence[np.ndarray]], list[np.ndarray]]
"""Takes the rows (k,) that each fold leaves out, all folds equally many; gives p^FP (k,) of these rows for each, by a
classifier that was fitted on all other rows."""

FORMAT = 1


class MetaClassifier(ClassifierMixin, BaseEstimator, ABC):
    """A scikit-learn classifier of segments, True for a false positive (thesis, equations 3.10 and 3.11).

    Metrics are a DataFrame with a row for each segment, whose columns are known by name, or an array (n, m). The
    columns image, sequence, segment and iou are never looked at. Metrics are standardised with mean and standard
    deviation of the rows that it is fitted on.
    """

    def fit(self, metrics: Any, false_positive: ArrayLike) -> Self:
        """Learn from metrics (n, m) and labels (n,), bool: False for the segments that touch an anomaly, True else.

        ValueError for metrics that are missing, NaN or infinite, for other labels, and if all labels are equal.
        """
        columns = metric_columns(metrics)
        values = metric_values(metrics, columns)
        labels = false_positive_labels(false_positive, len(values))
        require_both_kinds(labels)
        self.__dict__.pop("feature_names_in_", None)  # of a table that it was fitted on before
        if columns is not None:
            self.feature_names_in_ = np.array(columns, dtype=object)
        self.n_features_in_ = values.shape[1]
        self.classes_ = np.array([False, True])
        self.standardisation_ = Standardisation.fit(values)
        self._fit(self.standardisation_(values), labels)
        return self

    def predict_proba(self, metrics: Any) -> np.ndarray:
        """Probabilities (n, 2), float64: column 1 is p^FP, that of a false positive; column 0 is 1 - p^FP.

        A table's columns are found by name, whatever their order; others are not looked at. ValueError if some are
        missing, NaN or infinite, NotFittedError before `fit`.
        """
        check_is_fitted(self)
        columns = self._columns()
        if not isinstance(metrics, pd.DataFrame) or columns is None:
            columns = metric_columns(metrics)
        values = metric_values(metrics, columns)
        if values.shape[1] != self.n_features_in_:
            raise ValueError(
                f"There are {values.shape[1]} metrics; the classifier was fitted on {self.n_features_in_}."
            )
        probability = self._probability(self.standardisation_(values))
        return np.stack([1 - probability, probability], axis=1)

    def predict(self, metrics: Any) -> np.ndarray:
        """Whether each segment is a false positive, bool (n,): p^FP >= 0.5."""
        return self.predict_proba(metrics)[:, 1] >= 0.5

    @property
    def num_parameters(self) -> int:
        """How many numbers were learnt, without means and scales of the metrics. NotFittedError before `fit`."""
        check_is_fitted(self)
        return sum(array.size for array in self._arrays().values())

    def save(self, path: Path | str) -> None:
        """Write a safetensors file for `load_meta_classifier`; it appears whole or not at all.

        Its metadata are JSON: kind, parameters and columns of the classifier, the versions of the libraries and a
        digest of all numbers. NotFittedError before `fit`.
        """
        check_is_fitted(self)
        arrays = {"mean": self.standardisation_.mean, "scale": self.standardisation_.scale} | self._arrays()
        about = {
            "format": FORMAT,
            "kind": type(self).__name__,
            "parameters": self.get_params(),
            "columns": self._columns(),
            "versions": {"ood_lib": ood_lib.__version__} | {name: version(name) for name in ("torch", "scikit-learn")},
            "digest": digest(arrays),
        }
        with atomic_path(path) as aside:
            aside.write_bytes(save(arrays, metadata={"meta_classifier": json.dumps(about, default=_plain)}))

    @abstractmethod
    def fold_trainer(self, values: np.ndarray, labels: np.ndarray) -> FoldTrainer:
        """For metrics (n, m), float64, and labels (n,), bool: what fits this classifier for many folds of them.

        Each fold's classifier is the one that `fit` gives for the rows of the fold. Both kinds must be among them.
        """

    @abstractmethod
    def folds_at_once(self, rows: int, metrics: int) -> int:
        """How many folds of so many rows and metrics the `fold_trainer` should be given at a time."""

    @abstractmethod
    def _fit(self, standardised: np.ndarray, labels: np.ndarray) -> None: ...

    @abstractmethod
    def _probability(self, standardised: np.ndarray) -> np.ndarray:
        """p^FP (n,), float64."""

    @abstractmethod
    def _arrays(self) -> dict[str, np.ndarray]:
        """The learnt numbers, by name."""

    @abstractmethod
    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take up what `_arrays` gave. ValueError or KeyError if that does not fit the parameters."""

    def _columns(self) -> list[str] | None:
        names = getattr(self, "feature_names_in_", None)
        return None if names is None else names.tolist()


def _plain(value: Any) -> Any:
    """What JSON can hold of NumPy's numbers and arrays."""
    return value.tolist()


def digest(arrays: dict[str, np.ndarray]) -> str:
    """A fingerprint of arrays by name."""
    hashed = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        hashed.update(f"{name} {array.dtype} {array.shape} ".encode())
        hashed.update(np.ascontiguousarray(array).tobytes())
    return hashed.hexdigest()[:16]
