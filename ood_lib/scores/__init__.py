"""Anomaly scores: how little a network's output at a pixel looks like that for anything it knows.

Higher always means stranger. Scores of logits are plain functions, (N, C, H, W) to (N, H, W). Those
that ask more of a network are each an `ImageScore`, with ``fit`` where they learn something, and
``judge(images)``. `ood_lib.inference.predict` takes either, or several at once.
"""

from ood_lib.scores.distances import Mahalanobis, NearestNeighbours, StandardisedMaxLogits
from ood_lib.scores.dropout_and_ensembles import (
    Ensemble,
    MCDropout,
    mutual_information,
    predictive_entropy,
)
from ood_lib.scores.heads import OutlierHead, RBFHead
from ood_lib.scores.image_score import ImageScore, LogitScore
from ood_lib.scores.odin import ODIN
from ood_lib.scores.of_logits import check_logits, energy, entropy, margin, max_logit, max_softmax
from ood_lib.scores.reconstruction import Reconstruction

__all__ = [
    "ODIN", "Ensemble", "ImageScore", "LogitScore", "MCDropout", "Mahalanobis",
    "NearestNeighbours", "OutlierHead", "RBFHead", "Reconstruction", "StandardisedMaxLogits",
    "check_logits", "energy", "entropy", "margin", "max_logit", "max_softmax",
    "mutual_information", "predictive_entropy",
]
