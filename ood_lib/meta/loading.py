"""Meta classifiers from files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from ood_lib.meta.classifier import FORMAT, MetaClassifier, digest
from ood_lib.meta.inputs import Standardisation
from ood_lib.meta.logistic import LogisticMetaClassifier
from ood_lib.meta.neural import NeuralMetaClassifier

_KINDS: dict[str, type[MetaClassifier]] = {
    kind.__name__: kind for kind in (LogisticMetaClassifier, NeuralMetaClassifier)
}


def load_meta_classifier(path: Path | str) -> MetaClassifier:
    """The fitted classifier that was written by its method ``save``; it predicts what it did then.

    FileNotFoundError if there is no file, ValueError if it is damaged or none of these.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no meta classifier at {path}. Fit one, and write it with its method save.")
    try:
        about, arrays = _read(path)
        if about["format"] != FORMAT:
            raise ValueError(f"its format is {about['format']}, expected {FORMAT}")
        if about["digest"] != digest(arrays):
            raise ValueError("its numbers are not those that were written")
        return _restore(about, arrays)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged or holds no meta classifier ({error}). Fit and save it again.") from error


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    with safe_open(path, framework="numpy") as file:
        keys = file.keys()
        about = json.loads((file.metadata() or {})["meta_classifier"])
        return about, {key: file.get_tensor(key) for key in keys}


def _restore(about: dict[str, Any], arrays: dict[str, np.ndarray]) -> MetaClassifier:
    classifier = _KINDS[about["kind"]](**about["parameters"])
    if about["columns"] is not None:
        classifier.feature_names_in_ = np.array(about["columns"], dtype=object)
    classifier.standardisation_ = Standardisation(arrays["mean"], arrays["scale"])
    classifier.n_features_in_ = len(arrays["mean"])
    classifier.classes_ = np.array([False, True])
    classifier._restore(arrays)
    return classifier
