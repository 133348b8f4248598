"""Anomaly scores: how little a network's output at a pixel looks like that for anything it knows.

Higher always means stranger. Scores of logits are functions, ``score(logits)``, (N, C, H, W) to (N, H, W). Those that
ask more of a network are objects with ``fit``, where they learn something, and ``score(images)``: see
`ood_lib.scores.image_score.ImageScore`.
"""

from ood_lib.scores.checks import check_logits
from ood_lib.scores.distances import Mahalanobis, NearestNeighbours
from ood_lib.scores.heads import OutlierHead, RBFHead
from ood_lib.scores.image_score import ImageScore
from ood_lib.scores.normalised_entropy import entropy
from ood_lib.scores.odin import ODIN
from ood_lib.scores.of_logits import energy, margin, max_logit, max_softmax
from ood_lib.scores.reconstruction import Reconstruction
from ood_lib.scores.several_answers import Ensemble, MCDropout, mutual_information, predictive_entropy
from ood_lib.scores.standardised import StandardisedMaxLogits

__all__ = [
    "ODIN",
    "Ensemble",
    "ImageScore",
    "MCDropout",
    "Mahalanobis",
    "NearestNeighbours",
    "OutlierHead",
    "RBFHead",
    "Reconstruction",
    "StandardisedMaxLogits",
    "check_logits",
    "energy",
    "entropy",
    "margin",
    "max_logit",
    "max_softmax",
    "mutual_information",
    "predictive_entropy",
]
