"""The segments of a data set, streamed into one Parquet file and read from it the second time."""

import importlib
import weakref
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from layouts import write_road_anomaly
from torch import Tensor

import ood_lib.segments.table as module
from ood_lib.data import open_dataset
from ood_lib.inference import predict
from ood_lib.scores import ODIN, energy, entropy
from ood_lib.segments import metric_names, segment_metrics, segment_table

THRESHOLD = 0.993


@pytest.fixture
def kept(tmp_path):
    (tmp_path / "kept").mkdir()
    return tmp_path / "kept"


def max_softmax(logits: Tensor) -> Tensor:
    return 1 - logits.softmax(dim=1).amax(dim=1)


def scaled_entropy(factor: float):
    def scaled(logits: Tensor) -> Tensor:
        return factor * entropy(logits)

    return scaled


def table_of(model, dataset, **options) -> pd.DataFrame:
    return segment_table(model, dataset, THRESHOLD, progress=False, **options)


def files_of(kept) -> list[str]:
    """Below the folders of the tables."""
    return sorted(str(path.relative_to(kept)) for path in kept.glob("*/*"))


def test_the_table_holds_the_segments_of_every_image_in_order(network, street):
    table = table_of(network, street)
    assert table.columns.tolist() == ["image", "sequence", "segment", *metric_names(19), "iou"]
    expected = []
    for result in predict(network, street, probabilities=True, progress=False):
        metrics, _ = segment_metrics(
            result.probabilities, result.score.numpy() >= THRESHOLD, result.target
        )
        expected.append(metrics.assign(image=result.id, sequence=result.sequence))
        own = table[table["image"] == result.id]
        assert own["segment"].tolist() == list(range(1, len(metrics) + 1))
    expected = pd.concat(expected, ignore_index=True)
    assert len(expected) > 4
    pd.testing.assert_frame_equal(
        table.drop(columns="segment"), expected[table.columns.drop("segment")]
    )
    assert table["iou"].between(0, 1).all()


def test_probabilities_are_let_go_before_the_next_ones_are_computed(network, street, monkeypatch):
    seen = []

    def watched(probabilities, *others):
        seen.append(weakref.ref(probabilities))
        return segment_metrics(probabilities, *others)

    monkeypatch.setattr(module, "segment_metrics", watched)
    alive = []
    network.register_forward_pre_hook(lambda *_: alive.append([one() is not None for one in seen]))
    table_of(network, street, batch_size=2)
    assert alive == [[], [False, False]]


def test_the_second_time_the_table_is_read(network, street, kept):
    first = table_of(network, street, checkpoint=kept)
    [folder] = kept.iterdir()
    assert files_of(kept) == [f"{folder.name}/000000-000004.parquet"]
    network.register_forward_pre_hook(lambda *_: pytest.fail("the network was asked"))
    pd.testing.assert_frame_equal(table_of(network, street, checkpoint=kept), first)


def test_another_threshold_score_network_or_rule_has_a_table_of_its_own(
    network, street, kept, make_network, tmp_path
):
    files = []
    strict = open_dataset("lost_and_found", tmp_path / "laf", "test", nonhazards="anomaly")
    for model, dataset, threshold, score in (
        (network, street, THRESHOLD, entropy),
        (network, street, 0.9, entropy),
        (network, street, THRESHOLD, max_softmax),
        (network, street, -2.9, partial(energy, temperature=1.5)),
        (network, street, -2.9, partial(energy, temperature=1.6)),
        (make_network(1), street, THRESHOLD, entropy),
        (network, street.take(2), THRESHOLD, entropy),
        (network, strict, THRESHOLD, entropy),
    ):
        segment_table(model, dataset, threshold, score=score, checkpoint=kept, progress=False)
        files.append(len(list(kept.iterdir())))
    assert files == [1, 2, 3, 4, 5, 6, 7, 8]


def test_after_an_interruption_it_goes_on_with_the_same_result(network, street, kept, monkeypatch):
    monkeypatch.setattr(module, "IMAGES_PER_PART", 2)
    read, asked = type(street).__getitem__, []

    def interrupted_once(dataset, index):
        asked.append(index)
        if asked == [0, 1, 2]:
            raise KeyboardInterrupt
        return read(dataset, index)

    monkeypatch.setattr(type(street), "__getitem__", interrupted_once)
    with pytest.raises(KeyboardInterrupt):
        table_of(network, street, checkpoint=kept)
    assert [name[-21:] for name in files_of(kept)] == ["000000-000002.parquet"]
    table = table_of(network, street, checkpoint=kept)
    assert asked == [0, 1, 2, 2, 3]
    pd.testing.assert_frame_equal(table, table_of(network, street))
    assert len(list(kept.iterdir())) == 1


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


def test_a_kept_file_that_is_damaged_is_named_and_made_again(network, street, kept):
    table = table_of(network, street, checkpoint=kept)
    [file] = kept.glob("*/*")
    whole = file.read_bytes()
    for damage in (b"PAR1 half a file", whole[:60] + bytes([whole[60] ^ 255]) + whole[61:]):
        file.write_bytes(damage)
        with pytest.warns(UserWarning, match=f"{file.name} is damaged .* it is made again"):
            again = table_of(network, street, checkpoint=kept)
        pd.testing.assert_frame_equal(again, table)
        assert file.read_bytes() == whole


def test_what_a_score_does_decides_not_where_it_is_written(
    network, street, kept, tmp_path, monkeypatch
):
    body = "def score(logits):\n    return {} - logits.softmax(dim=1).amax(dim=1)\n"
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for name, number in (("first_score", 1), ("same_score", 1), ("other_score", 1.01)):
        (tmp_path / f"{name}.py").write_text(f"# {name}\n" + body.format(number))
        score = importlib.import_module(name).score
        table_of(network, street, score=score, checkpoint=kept)
        found.append(len(list(kept.iterdir())))
    assert found == [1, 1, 2]


@pytest.mark.parametrize("score", [lambda logits: entropy(logits), scaled_entropy(2)])
def test_a_score_that_has_no_name_cannot_be_kept(network, street, kept, score):
    with pytest.raises(ValueError, match="has no name by which"):
        table_of(network, street, score=score, checkpoint=kept)
    assert len(table_of(network, street, score=score)) > 0 and not list(kept.iterdir())


def test_a_score_of_images_is_kept_by_its_settings(network, street, kept):
    for temperature, tables in ((1.0, 1), (1.0, 1), (2.0, 2)):
        score = ODIN(network, temperature)
        table = segment_table(network, street, 0.9, score=score, checkpoint=kept, progress=False)
        assert len(table) > 0 and len(list(kept.iterdir())) == tables


def test_two_closures_as_transform_are_not_taken_for_one(network, street, kept):
    def brighter(by: int):
        return lambda image, target: ((image + by).clamp(max=255), target)

    for by in (0, 40):
        street.transform = brighter(by)
        with pytest.raises(ValueError, match="has no name by which"):
            table_of(network, street, checkpoint=kept)
    assert not list(kept.iterdir())


def test_the_threshold_must_be_a_number(network, street):
    with pytest.raises(ValueError, match="threshold=nan"):
        segment_table(network, street, float("nan"))


def test_the_network_keeps_its_mode_and_weights(network, street):
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network.train()
    table_of(network, street)
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
