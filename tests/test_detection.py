"""From an image to the anomalies in it, in one call."""

import numpy as np
import pytest
import torch

from ood_lib.detection import detect
from ood_lib.inference import predict
from ood_lib.meta import LogisticMetaClassifier, remove_false_positives
from ood_lib.segments import segment_metrics
from ood_lib.segments.table import segment_table

THRESHOLD = 0.993


@pytest.fixture
def classifier(network, street):
    table = segment_table(network, street, THRESHOLD, progress=False)
    return LogisticMetaClassifier().fit(table, table["iou"] == 0)


def test_the_call_is_the_same_as_its_steps(network, street, classifier):
    sample = street[1]
    found = detect(network, sample.image, classifier, THRESHOLD, sample.target)
    results = {
        r.id: r for r in predict(network, street, probabilities=True, progress=False, batch_size=1)
    }
    result = results[sample.id]
    table, labels = segment_metrics(
        result.probabilities, result.score.numpy() >= THRESHOLD, sample.target
    )
    p_fp = classifier.predict_proba(table)[:, 1]
    assert np.array_equal(found.score, result.score)
    assert np.array_equal(found.labels, labels)
    assert "iou" not in found.metrics
    assert np.allclose(found.metrics, table.drop(columns="iou"))
    assert np.allclose(found.probability, p_fp)
    assert (p_fp < 0.5).any() and (p_fp >= 0.5).any()
    assert np.array_equal(found.mask, remove_false_positives(labels, p_fp))


def test_without_a_target_all_pixels_count(network, street, classifier):
    sample = street[0]
    judged = detect(network, sample.image, classifier, THRESHOLD, sample.target)
    everywhere = detect(network, sample.image, classifier, THRESHOLD)
    ignored = np.asarray(sample.target) == 255
    assert ignored.any() and not judged.labels[ignored].any()
    assert np.array_equal(everywhere.labels > 0, everywhere.score >= THRESHOLD)
    assert everywhere.labels[ignored].any()


def test_what_the_target_says_of_anomalies_is_not_looked_at(network, street, classifier):
    sample = street[0]
    changed = sample.target.clone()
    changed[changed == 1] = 0
    first, second = (
        detect(network, sample.image, classifier, THRESHOLD, t) for t in (sample.target, changed)
    )
    assert (sample.target == 1).any()
    assert np.array_equal(first.mask, second.mask)


def test_nothing_above_the_threshold_is_nothing_found(network, street, classifier):
    found = detect(network, street[0].image, classifier, 1.1)
    assert len(found.metrics) == 0 and found.probability.shape == (0,)
    assert found.mask.dtype == bool and not found.mask.any()


def test_the_network_keeps_its_mode(network, street, classifier):
    network.train()
    detect(network, torch.zeros(3, 16, 16, dtype=torch.uint8), classifier, THRESHOLD)
    assert network.training
