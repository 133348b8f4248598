"""Anomaly scores: how little a network's output at a pixel looks like that for anything it knows."""

from ood_lib.scores.checks import check_logits
from ood_lib.scores.normalised_entropy import entropy

__all__ = ["check_logits", "entropy"]
