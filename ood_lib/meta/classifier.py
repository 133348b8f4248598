"""What all meta classifiers have in common: scikit-learn's methods, a file, and the final mask."""

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

from ood_lib.data.arrays import to_array
from ood_lib.files import atomic_path
from ood_lib.kept import digest
from ood_lib.meta.table import Standardisation, label_values, metric_table, metric_values


class MetaClassifier(ClassifierMixin, BaseEstimator, ABC):
    """A scikit-learn classifier of segments, True for a false positive (equations 3.10 and 3.11).

    Metrics are a DataFrame with a row for each segment, whose columns are known by name but for the
    `BOOKKEEPING`, or an array (n, m). They are standardised with mean and standard deviation of the
    rows that it is fitted on; ``parameters_`` (P,) are the numbers that it learns from them.
    """

    classes_ = np.array([False, True])

    @abstractmethod
    def learn(self, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Parameters (F, P) of F classifiers, each of its own metrics (F, n, m), labels (F, n)."""

    @abstractmethod
    def probability(self, parameters: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """p^FP (F, n), float64, by ``parameters`` (F, P) of standardised metrics (F, n, m)."""

    def fit(self, metrics: Any, false_positive: ArrayLike) -> Self:
        """Learn from metrics (n, m) and labels (n,), False on an anomaly; ValueError for others."""
        table = metric_table(metrics)
        values = metric_values(table)                                                # (n, m)
        labels = label_values(false_positive, len(values))                           # (n,)
        validate_data(self, table, skip_check_array=True)  # notes how many metrics of which names
        self.standardisation_ = Standardisation.fit(values)
        self.parameters_ = self.learn(self.standardisation_(values)[None], labels[None])[0]
        return self

    def predict_proba(self, metrics: Any) -> np.ndarray:
        """Probabilities (n, 2), float64: column 1 is p^FP; NotFittedError before `fit`."""
        check_is_fitted(self)
        table = metric_table(metrics, getattr(self, "feature_names_in_", None))
        values = metric_values(table)                                                # (n, m)
        validate_data(self, table, reset=False, skip_check_array=True)  # names what is missing
        inputs = self.standardisation_(values)[None]                                 # (1, n, m)
        probability = self.probability(self.parameters_[None], inputs)[0]            # (n,)
        return np.stack([1 - probability, probability], axis=1)

    def predict(self, metrics: Any) -> np.ndarray:
        """Whether each segment is a false positive, bool (n,): p^FP >= 0.5."""
        return self.predict_proba(metrics)[:, 1] >= 0.5

    @property
    def num_parameters(self) -> int:
        """How many numbers were learnt, without means and scales."""
        check_is_fitted(self)
        return len(self.parameters_)

    def save(self, path: Path | str) -> None:
        """Write a safetensors file for `load_meta_classifier`."""
        check_is_fitted(self)
        about = {
            "kind": type(self).__name__, "parameters": self.get_params(),
            "columns": getattr(self, "feature_names_in_", None),
            "versions": {"torch": version("torch"), "scikit-learn": version("scikit-learn")},
        }
        text = json.dumps(about, default=lambda value: value.tolist())  # of NumPy's
        arrays = self.standardisation_._asdict() | {"parameters": self.parameters_}
        metadata = {"meta_classifier": text, "checksum": digest(text, arrays)}
        with atomic_path(path) as aside:
            aside.write_bytes(save(arrays, metadata))


def load_meta_classifier(path: Path | str) -> MetaClassifier:
    """The classifier that was written by its method ``save``; ValueError for another file."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata, names = file.metadata() or {}, file.keys()
            arrays = {name: file.get_tensor(name) for name in names}
        text = metadata["meta_classifier"]
        if metadata["checksum"] != digest(text, arrays):
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


def remove_false_positives(labels: Any, probability: Any, cutoff: float = 0.5) -> np.ndarray:
    """The final prediction of section 3.3, bool (H, W): pixels of segments with p^FP < ``cutoff``.

    ``labels`` (H, W) are those of `ood_lib.segments.segment_metrics`, ``probability`` (n,) is p^FP.
    ValueError if the numbers of segments differ, and for p^FP or a cutoff that are not from 0 to 1.
    """
    labels, probability = to_array(labels), to_array(probability).astype(np.float64)
    if labels.ndim != 2 or labels.dtype.kind not in "iu" or labels.min(initial=0) < 0:
        found = f"{labels.dtype} {labels.shape}"
        raise ValueError(f"Expected labels (H, W) of whole numbers from 0, not {found}.")
    if probability.shape != (labels.max(initial=0),):
        raise ValueError(f"The labels go up to {labels.max(initial=0)}, but p^FP, column 1 of "
                         f"predict_proba for these segments, has the shape {probability.shape}.")
    wrong = [value for value in (cutoff, *probability) if not 0 <= value <= 1]  # NaN too
    if wrong:
        raise ValueError(f"The cutoff and p^FP must be from 0 to 1, not {wrong[0]}.")
    return np.append(False, probability < cutoff)[labels]  # (H, W): 0 is outside, k is segment k
