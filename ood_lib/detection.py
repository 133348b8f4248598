"""The whole method on one image."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.base import ClassifierMixin
from torch import Tensor, nn

from ood_lib.data.labels import IGNORE_INDEX
from ood_lib.data.sample import Sample
from ood_lib.inference import predict
from ood_lib.meta import remove_false_positives
from ood_lib.scores import entropy
from ood_lib.segments import segment_metrics


class Detection(NamedTuple):
    """What was found in an image (H, W), step by step."""

    score: np.ndarray
    """float32 (H, W), the score map a of equation 3.7."""
    labels: np.ndarray
    """int32 (H, W), the number of the segment at each pixel, from 1; 0 where there is none."""
    metrics: pd.DataFrame
    """One row for each segment."""
    probability: np.ndarray
    """float64 (segments,), p^FP."""
    mask: np.ndarray
    """bool (H, W), the pixels of the segments that were kept."""


def detect(
    model: nn.Module,
    image: Tensor,
    classifier: ClassifierMixin,
    threshold: float,
    target: Tensor | None = None,
    *,
    score: Callable[[Tensor], Tensor] = entropy,
) -> Detection:
    """From an image uint8 (3, H, W) to the anomalies in it: score, threshold, segments, metrics, decision.

    ``classifier`` is a fitted meta classifier, ``threshold`` the t of equation 3.8 for which it was fitted. Of
    ``target`` uint8 (H, W), if there is one, only the ignored pixels (255) are looked at: they are in no segment.
    """
    unjudged = torch.zeros(image.shape[1:], dtype=torch.uint8) if target is None else torch.as_tensor(target)
    sample = Sample(torch.as_tensor(image), unjudged, "image", "image")
    result = next(predict(model, [sample], score=score, probabilities=True, progress=False))
    counts = result.target.numpy() != IGNORE_INDEX
    metrics, labels = segment_metrics(result.probabilities, (result.score.numpy() >= threshold) & counts)
    probability = classifier.predict_proba(metrics)[:, 1] if len(metrics) else np.empty(0)
    return Detection(result.score.numpy(), labels, metrics, probability, remove_false_positives(labels, probability))
