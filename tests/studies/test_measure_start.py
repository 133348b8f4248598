"""The measures of the network from which all runs start."""

import numpy as np
import pytest
from studied import write_experiment

from ood_lib.metrics.evaluate import evaluate_anomalies, evaluate_segmentation
from ood_lib.settings import Settings
from ood_lib.studies import measure
from ood_lib.studies.measure import measure_start
from ood_lib.training import closed_set_network


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> Settings:
    return write_experiment(tmp_path_factory.mktemp("experiment"))


def test_they_are_those_of_the_closed_set_network(experiment):
    found, network = measure_start(experiment), closed_set_network(experiment)
    street = experiment.open("lost_and_found", "test")
    own = evaluate_anomalies(network, street, progress=False).compute()
    assert {name: found[f"lost_and_found_{name}"] for name in own} == pytest.approx(own)
    scenes = evaluate_segmentation(network, experiment.open("cityscapes", "val"), progress=False)
    assert found["cityscapes_miou"] == pytest.approx(scenes.compute()["miou"])


def test_they_are_computed_once(experiment, monkeypatch, tmp_path):
    monkeypatch.setenv("OOD_LIB_CACHE", str(tmp_path))
    computed, usual = [], measure._measures
    watched = lambda name, *of: computed.append(name) or usual(name, *of)  # noqa: E731
    monkeypatch.setattr(measure, "_measures", watched)
    monkeypatch.setattr(measure, "MEASURING", ())  # a lambda has no name to keep results by
    first = measure_start(experiment)
    assert computed == ["lost_and_found", "fishyscapes_static", "cityscapes"]
    again = measure_start(experiment)
    np.testing.assert_equal(again, first)  # NaN for a class that no image shows
    assert len(computed) == 3

    (kept,) = tmp_path.glob("start-*.json")
    kept.unlink()
    np.testing.assert_equal(measure_start(experiment), first)
    assert len(computed) == 6
