"""Frames whose label file labels nothing, as the last ones of many drives of LostAndFound."""

import warnings

import numpy as np
import pytest
from layouts import save, write_fishyscapes, write_lost_and_found, write_road_anomaly

from ood_lib.data import open_dataset
from ood_lib.data.sample import last_with_anomaly
from ood_lib.inference import predict
from ood_lib.metrics import PixelMetrics, SegmentMetrics
from ood_lib.metrics.evaluate import evaluate_anomalies
from ood_lib.segments import segment_table

DRIVE = "02_Hanns_Klemm_Str_44_{:06d}"


@pytest.fixture
def root(tmp_path):
    """Six frames in three drives; of the second the last label is blank, of the third both."""
    root = write_lost_and_found(tmp_path / "lost_and_found", "test", 6)
    frames = open_dataset("lost_and_found", root, "test").frames
    for blank in (3, 4, 5):
        save(frames[blank].label, np.zeros((24, 40)))
    return root


def test_the_last_frame_of_a_sequence_that_has_an_anomaly(root, tmp_path):
    dataset = open_dataset("lost_and_found", root, "test")
    expected = {DRIVE.format(0): 1, DRIVE.format(1): 2}
    assert last_with_anomaly(dataset) == expected
    assert list(last_with_anomaly(dataset)) == list(expected)  # in the order of the data set
    far_off = np.ones((24, 40))
    far_off[0, 0] = 31  # a non-hazard is an anomaly for who says so
    save(dataset.frames[3].label, far_off)
    assert last_with_anomaly(dataset) == expected
    counted = open_dataset("lost_and_found", root, "test", nonhazards="anomaly")
    assert last_with_anomaly(counted) == expected | {DRIVE.format(1): 3}
    single = open_dataset("fishyscapes_static", write_fishyscapes(tmp_path / "fishyscapes", 3))
    assert list(last_with_anomaly(single).values()) == [0, 1, 2]


def test_without_any_anomaly_there_is_no_last_one(root, tmp_path):
    dataset = open_dataset("lost_and_found", root, "test")
    dataset.frames = dataset.frames[3:]
    with pytest.raises(ValueError, match="None of the 3 frames has an anomaly"):
        last_with_anomaly(dataset)
    unknown = open_dataset("road_anomaly_21", write_road_anomaly(tmp_path, "test", 2), "test")
    with pytest.raises(ValueError, match="None of the 2 frames"):
        last_with_anomaly(unknown)


def test_blank_frames_change_no_measure(root, network):
    dataset = open_dataset("lost_and_found", root, "test")
    labelled = open_dataset("lost_and_found", root, "test")
    labelled.frames = labelled.frames[:3]
    with warnings.catch_warnings(action="error"):
        whole = evaluate_anomalies(network, dataset, progress=False)
        part = evaluate_anomalies(network, labelled, progress=False)
        assert whole.compute() == part.compute()
        assert all(0 <= value <= 1 for value in whole.compute().values())
        assert np.isfinite(list(whole.interval().values())).all()


def test_blank_frames_have_no_segments_and_are_counted(root, network):
    dataset = open_dataset("lost_and_found", root, "test")
    threshold = np.median([result.score for result in predict(network, dataset, progress=False)])
    measures = {name: (PixelMetrics(), SegmentMetrics(threshold)) for name in ("whole", "part")}
    with warnings.catch_warnings(action="error"):
        for i, result in enumerate(predict(network, dataset, progress=False)):
            for name, both in measures.items():
                if name == "whole" or i < 3:
                    for metrics in both:
                        metrics.update(result.score, result.target, group=result.sequence)
        whole, part = (both[1] for both in measures.values())
        assert whole.compute() == part.compute() and whole.counts() == part.counts()
        assert whole.counts()["anomalies"] == 3
        table = segment_table(network, dataset, threshold, progress=False)
    assert set(table["image"]) == set(dataset.ids[:3])
    assert np.isfinite(table.drop(columns=["image", "sequence"])).all(axis=None)
    only_blank = open_dataset("lost_and_found", root, "test")
    only_blank.frames = only_blank.frames[3:]
    assert len(segment_table(network, only_blank, threshold, progress=False)) == 0
