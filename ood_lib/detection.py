"""The whole method on one image."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.base import ClassifierMixin
from torch import Tensor, nn

from ood_lib.data.labels import IGNORE_INDEX
from ood_lib.data.sample import Sample
from ood_lib.inference import Score, predict
from ood_lib.meta import remove_false_positives
from ood_lib.scores import entropy
from ood_lib.segments import segment_metrics


class Detection(NamedTuple):
    """What was found in an image (H, W), step by step."""

    score: np.ndarray  #: float32 (H, W), the score map a of equation 3.7
    labels: np.ndarray  #: int32 (H, W), the segment's number at each pixel, from 1; 0 for none
    metrics: pd.DataFrame  #: one row for each segment
    probability: np.ndarray  #: float64 (segments,), p^FP
    mask: np.ndarray  #: bool (H, W), the pixels of the segments that were kept


def detect(model: nn.Module, image: Tensor, classifier: ClassifierMixin, threshold: float,
           target: Tensor | None = None, *, score: Score = entropy) -> Detection:
    """From an image uint8 (3, H, W) to the anomalies in it: score, segments, metrics, decision.

    ``classifier`` is a fitted meta classifier, ``threshold`` the t of equation 3.8 for which it was
    fitted. Of ``target`` uint8 (H, W), if there is one, only the ignored pixels (255) are looked
    at: they are in no segment.
    """
    image = torch.as_tensor(image)
    no_labels = torch.zeros(image.shape[1:], dtype=torch.uint8)  # (H, W)
    sample = Sample(image, no_labels, "image", "image")
    result = next(predict(model, [sample], score=score, probabilities=True, progress=False))
    score_map = result.score.numpy()  # (H, W)
    is_strange = score_map >= threshold  # equation 3.8
    if target is not None:
        is_strange &= np.asarray(target) != IGNORE_INDEX
    metrics, labels = segment_metrics(result.probabilities, is_strange)
    probability = classifier.predict_proba(metrics)[:, 1] if len(metrics) else np.empty(0)
    mask = remove_false_positives(labels, probability)
    return Detection(score_map, labels, metrics, probability, mask)
