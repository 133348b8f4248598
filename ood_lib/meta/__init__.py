"""Which segments are false positives (thesis, sections 3.3 and 3.4), and how well that is told."""

from ood_lib.meta.classifier import MetaClassifier, load_meta_classifier, remove_false_positives
from ood_lib.meta.logistic import LogisticMetaClassifier
from ood_lib.meta.neural import NeuralMetaClassifier
from ood_lib.meta.validation import cross_validate, predict_left_out

__all__ = [
    "LogisticMetaClassifier", "MetaClassifier", "NeuralMetaClassifier", "cross_validate",
    "load_meta_classifier", "predict_left_out", "remove_false_positives",
]
