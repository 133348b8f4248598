"""The segments of a data set, streamed into one Parquet file and read from it the second time."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from layouts import write_road_anomaly
from torch import Tensor

import ood_lib.segment_table as module
from ood_lib.data import open_dataset
from ood_lib.inference import predict
from ood_lib.scores import entropy
from ood_lib.segment_table import segment_table
from ood_lib.segments import metric_names, segment_metrics

THRESHOLD = 0.993


@pytest.fixture
def kept(tmp_path):
    (tmp_path / "kept").mkdir()
    return tmp_path / "kept"


def max_softmax(logits: Tensor) -> Tensor:
    return 1 - logits.softmax(dim=1).amax(dim=1)


def table_of(model, dataset, **options) -> pd.DataFrame:
    return segment_table(model, dataset, THRESHOLD, progress=False, **options)


def refuse(*_, **__):
    raise AssertionError("the network was asked")


def test_the_table_holds_the_segments_of_every_image_in_order(network, street):
    table = table_of(network, street)
    assert table.columns.tolist() == ["image", "sequence", "segment", *metric_names(19), "iou"]
    expected = []
    for result in predict(network, street, probabilities=True, progress=False):
        metrics, _ = segment_metrics(result.probabilities, result.score.numpy() >= THRESHOLD, result.target)
        expected.append(metrics.assign(image=result.id, sequence=result.sequence))
        own = table[table["image"] == result.id]
        assert own["segment"].tolist() == list(range(1, len(metrics) + 1))
    expected = pd.concat(expected, ignore_index=True)
    assert len(expected) > 4
    pd.testing.assert_frame_equal(table.drop(columns="segment"), expected[table.columns.drop("segment")])
    assert table["iou"].between(0, 1).all()


def test_the_second_time_the_table_is_read(network, street, kept, monkeypatch):
    first = table_of(network, street, checkpoint=kept)
    assert [path.suffix for path in kept.iterdir()] == [".parquet"]
    monkeypatch.setattr(module, "predict", refuse)
    pd.testing.assert_frame_equal(table_of(network, street, checkpoint=kept), first)


def test_another_threshold_score_network_or_rule_has_a_table_of_its_own(network, street, kept, make_network, tmp_path):
    files = []
    strict = open_dataset("lost_and_found", tmp_path / "laf", "test", nonhazards="anomaly")
    for model, dataset, threshold, score in (
        (network, street, THRESHOLD, entropy),
        (network, street, 0.9, entropy),
        (network, street, THRESHOLD, max_softmax),
        (make_network(1), street, THRESHOLD, entropy),
        (network, street.take(2), THRESHOLD, entropy),
        (network, strict, THRESHOLD, entropy),
    ):
        segment_table(model, dataset, threshold, score=score, checkpoint=kept, progress=False)
        files.append(len(list(kept.iterdir())))
    assert files == [1, 2, 3, 4, 5, 6]


def test_after_an_interruption_it_goes_on_with_the_same_result(network, street, kept, monkeypatch):
    monkeypatch.setattr(module, "IMAGES_PER_PART", 2)
    asked = []

    def until_the_second_part(model, images, **options):
        asked.extend(images.indices)
        if 2 in images.indices:
            raise KeyboardInterrupt
        return predict(model, images, **options)

    monkeypatch.setattr(module, "predict", until_the_second_part)
    with pytest.raises(KeyboardInterrupt):
        table_of(network, street, checkpoint=kept)
    assert not list(kept.glob("*.parquet"))

    def note(model, images, **options):
        asked.extend(images.indices)
        return predict(model, images, **options)

    monkeypatch.setattr(module, "predict", note)
    table = table_of(network, street, checkpoint=kept)
    assert asked == [0, 1, 2, 3, 2, 3]
    pd.testing.assert_frame_equal(table, table_of(network, street))
    assert [path.suffix for path in kept.iterdir()] == [".parquet"]


def test_images_without_a_segment_give_a_table_without_rows(network, street, kept):
    table = segment_table(network, street, 1.1, checkpoint=kept, progress=False)
    assert len(table) == 0
    assert table.columns.tolist() == ["image", "sequence", "segment", *metric_names(19), "iou"]
    assert (table.dtypes[metric_names(19)] == np.float64).all()


def test_without_public_labels_there_is_no_iou(network, tmp_path):
    root = write_road_anomaly(tmp_path / "road", "test")
    table = table_of(network, open_dataset("road_anomaly_21", root, "test"))
    assert len(table) > 0
    assert "iou" not in table


def test_a_kept_file_that_is_damaged_is_named(network, street, kept):
    table_of(network, street, checkpoint=kept)
    file = next(kept.glob("*.parquet"))
    file.write_bytes(b"PAR1 half a file")
    with pytest.raises(ValueError, match=f"{file.name} cannot be read .* Delete it"):
        table_of(network, street, checkpoint=kept)


@pytest.mark.parametrize("score", [lambda logits: entropy(logits), partial(entropy)])
def test_a_score_that_has_no_name_cannot_be_kept(network, street, kept, score):
    with pytest.raises(ValueError, match="no name of its own"):
        table_of(network, street, score=score, checkpoint=kept)
    assert len(table_of(network, street, score=score)) > 0


def test_the_threshold_must_be_a_number(network, street):
    with pytest.raises(ValueError, match="threshold=nan"):
        segment_table(network, street, float("nan"))


def test_the_network_keeps_its_mode_and_weights(network, street):
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network.train()
    table_of(network, street)
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
