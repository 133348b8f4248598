"""What all meta classifiers have in common: scikit-learn's methods, and a file to keep one in."""

import hashlib
import json
from abc import ABC, abstractmethod
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from ood_lib.files import atomic_path
from ood_lib.meta.table import Standardisation, label_values, metric_table, metric_values


class MetaClassifier(ClassifierMixin, BaseEstimator, ABC):
    """A scikit-learn classifier of segments, True for a false positive (equations 3.10 and 3.11).

    Metrics are a DataFrame with a row for each segment, whose columns are known by name, or an
    array (n, m). The columns image, sequence, segment and iou are never looked at. Metrics are
    standardised with mean and standard deviation of the rows that the classifier is fitted on;
    ``parameters_`` (P,) are the numbers that it learns from them.
    """

    classes_ = np.array([False, True])

    @abstractmethod
    def learn(self, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Parameters (F, P) of F classifiers, of which none depends on another.

        Each has its own standardised metrics ``inputs`` (F, n, m) and labels ``targets`` (F, n).
        """

    @abstractmethod
    def probability(self, parameters: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """p^FP (F, n), float64, by ``parameters`` (F, P) of standardised metrics (F, n, m)."""

    def fit(self, metrics: Any, false_positive: ArrayLike) -> Self:
        """Learn from metrics (n, m) and labels (n,): False for segments that touch an anomaly.

        ValueError for metrics that are no finite numbers, and for labels that are not 0 or 1.
        """
        table = metric_table(metrics)
        values = metric_values(table)                                                # (n, m)
        labels = label_values(false_positive, len(values))                           # (n,)
        validate_data(self, table, skip_check_array=True)  # notes how many metrics of which names
        self.standardisation_ = Standardisation.fit(values)
        self.parameters_ = self.learn(self.standardisation_(values)[None], labels[None])[0]
        return self

    def predict_proba(self, metrics: Any) -> np.ndarray:
        """Probabilities (n, 2), float64: column 1 is p^FP, that of a false positive.

        A table's columns are found by name, whatever their order; others are not looked at.
        ValueError if some are missing, NaN or infinite, NotFittedError before `fit`.
        """
        check_is_fitted(self)
        table = metric_table(metrics, getattr(self, "feature_names_in_", None))
        values = metric_values(table)                                                # (n, m)
        validate_data(self, table, reset=False, skip_check_array=True)  # compares with these
        inputs = self.standardisation_(values)[None]                                 # (1, n, m)
        probability = self.probability(self.parameters_[None], inputs)[0]            # (n,)
        return np.stack([1 - probability, probability], axis=1)

    def predict(self, metrics: Any) -> np.ndarray:
        """Whether each segment is a false positive, bool (n,): p^FP >= 0.5."""
        return self.predict_proba(metrics)[:, 1] >= 0.5

    @property
    def num_parameters(self) -> int:
        """How many numbers were learnt, without means and scales. NotFittedError before `fit`."""
        check_is_fitted(self)
        return len(self.parameters_)

    def save(self, path: Path | str) -> None:
        """Write a safetensors file for `load_meta_classifier`; it appears whole or not at all.

        Its metadata are JSON: kind, parameters, columns, versions. NotFittedError before `fit`.
        """
        check_is_fitted(self)
        about = {
            "kind": type(self).__name__, "parameters": self.get_params(),
            "columns": getattr(self, "feature_names_in_", None),
            "versions": {"torch": version("torch"), "scikit-learn": version("scikit-learn")},
        }
        text = json.dumps(about, default=lambda value: value.tolist())  # of NumPy's
        arrays = self.standardisation_._asdict() | {"parameters": self.parameters_}
        metadata = {"meta_classifier": text, "checksum": _checksum(text, arrays)}
        with atomic_path(path) as aside:
            aside.write_bytes(save(arrays, metadata))


def load_meta_classifier(path: Path | str) -> MetaClassifier:
    """The fitted classifier that was written by its method ``save``; it predicts what it did then.

    FileNotFoundError if there is no file, ValueError if it is damaged or none of these.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata, names = file.metadata() or {}, file.keys()
            arrays = {name: file.get_tensor(name) for name in names}
        text = metadata["meta_classifier"]
        if metadata["checksum"] != _checksum(text, arrays):
            raise ValueError("it does not hold what was written")
        about = json.loads(text)
        settings = about["parameters"]
        settings |= {name: tuple(own) for name, own in settings.items() if isinstance(own, list)}
        kinds = {kind.__name__: kind for kind in MetaClassifier.__subclasses__()}
        classifier = kinds[about["kind"]](**settings)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged or holds no meta classifier ({error}).") from error
    if about["columns"] is not None:
        classifier.feature_names_in_ = np.array(about["columns"], dtype=object)
    classifier.n_features_in_ = len(arrays["mean"])
    classifier.parameters_ = arrays.pop("parameters")
    classifier.standardisation_ = Standardisation(**arrays)
    return classifier


def _checksum(text: str, arrays: dict[str, np.ndarray]) -> str:
    parts = [f"{name} {array.shape}".encode() + array.tobytes() for name, array in arrays.items()]
    return hashlib.sha256(b"".join([text.encode(), *sorted(parts)])).hexdigest()[:16]
