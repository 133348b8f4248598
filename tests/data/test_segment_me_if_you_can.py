"""SegmentMeIfYouCan: two splits by name, labels of one only."""

import numpy as np
import pytest
from layouts import anomaly, noise, save, write_road_anomaly, write_road_obstacle, write_segment_me
from PIL import Image

from ood_lib.data import DATASETS, collate, open_dataset, training_transform


def test_road_anomaly_validation_has_images_of_different_sizes_with_labels(tmp_path):
    write_road_anomaly(tmp_path, "val", 2)
    write_road_anomaly(tmp_path, "test", 3)
    write_segment_me(tmp_path, "validation0002", ".jpg", noise(0, 30, 50), anomaly((30, 50)))
    for path in list((tmp_path / "labels_masks").iterdir()):  # the archive has such beside each
        save(path.with_name(f"{path.stem}_color.png"), np.zeros((24, 40, 3)))
    dataset = open_dataset("road_anomaly_21", tmp_path, "val")
    assert (
        dataset.ids == ["validation0000", "validation0001", "validation0002"] and dataset.labelled
    )
    assert [tuple(sample.target.shape) for sample in dataset] == [(24, 40), (24, 40), (30, 50)]
    sample = dataset[0]
    np.testing.assert_array_equal(sample.target.numpy(), anomaly())
    with Image.open(tmp_path / "images" / "validation0000.jpg") as image:
        np.testing.assert_array_equal(sample.image.permute(1, 2, 0).numpy(), np.asarray(image))
    assert sample.sequence == sample.id == "validation0000"


def test_test_frames_are_ignored_everywhere_as_their_labels_are_not_public(tmp_path):
    write_road_anomaly(tmp_path, "val", 1)
    write_road_anomaly(tmp_path, "test", 2)
    dataset = open_dataset(
        "road_anomaly_21", tmp_path, "test", transform=training_transform((8, 12))
    )
    assert dataset.ids == ["zebra0000", "zebra0001"] and not dataset.labelled
    assert [frame.label for frame in dataset.frames] == [None, None]
    assert dataset[0].target.unique().tolist() == [255] and dataset[0].target.shape == (8, 12)
    assert collate([dataset[0], dataset[1]])[1].unique().tolist() == [255]
    assert DATASETS["road_anomaly_21"].count(tmp_path, "test") == (2, 0)
    assert DATASETS["road_anomaly_21"].count(tmp_path, "val") == (1, 1)

    save(
        tmp_path / "labels_masks" / "zebra0001_labels_semantic.png", anomaly()
    )  # somebody who has them
    dataset = open_dataset("road_anomaly_21", tmp_path, "test")
    assert not dataset.labelled and dataset[1].target.unique().tolist() == [0, 1, 255]
    save(tmp_path / "labels_masks" / "zebra0000_labels_semantic.png", anomaly())
    assert open_dataset("road_anomaly_21", tmp_path, "test").labelled


def test_road_obstacle_leaves_out_what_the_benchmark_leaves_out(tmp_path):
    names = [f"validation_{i}" for i in range(40)] + [
        "validation_19_b",
        "validation_28.5",
        "validation_190",
    ]
    scenes = (
        "curvy-street",
        "darkasphalt2_dog",
        "driveway",
        "one-way-street",
        "paving_bag",
        "snowstorm1_00",
    )
    tests = [f"{scene}_{i}" for scene in (*scenes, "snowstorm2_00_02", "driveway2") for i in (1, 2)]
    for name in names:
        write_segment_me(tmp_path, name, ".webp", noise(0), anomaly())
    for name in tests:
        write_segment_me(tmp_path, name, ".webp", noise(0), None)
    kept = {f"validation_{i}" for i in (*range(19), 20, *range(30, 40), 190)}
    assert set(open_dataset("road_obstacle_21", tmp_path, "val").ids) == kept and len(kept) == 31
    test = open_dataset("road_obstacle_21", tmp_path, "test")
    assert {name.partition("_")[0] for name in test.ids} == {
        "curvy-street",
        "darkasphalt2",
        "driveway2",
        "one-way-street",
        "paving",
    }
    assert len(test) == 10 and test[0].target.unique().tolist() == [255]


def test_road_obstacle_reads_webp(tmp_path):
    write_road_obstacle(tmp_path, "val", 1, size=(96, 160))
    image, target, id_, _ = open_dataset("road_obstacle_21", tmp_path, "val")[0]
    assert id_ == "validation_0" and image.shape == (3, 96, 160)
    assert (
        np.abs(image[:, 2::4, 2::4].permute(1, 2, 0).numpy() - noise(0).astype(int)).mean() < 40
    )  # lossy
    assert target[:16].unique().tolist() == [0] and target[16:48, 20:60].unique().tolist() == [1]


def test_a_validation_image_without_labels_is_an_error_and_labels_without_image_always(tmp_path):
    write_road_obstacle(tmp_path, "val", 3)
    write_road_obstacle(tmp_path, "test", 3)
    label = tmp_path / "labels_masks/validation_1_labels_semantic.png"
    label.unlink()
    with pytest.raises(
        FileNotFoundError,
        match=f"validation_1.webp has no label: {label} is missing .1 in all",
    ):
        open_dataset("road_obstacle_21", tmp_path, "val")
    save(tmp_path / "labels_masks/paving_bag_1_labels_semantic.png", anomaly())
    expected = tmp_path / "images/paving_bag_1.webp"
    with pytest.raises(
        FileNotFoundError,
        match=f"paving_bag_1_labels_semantic.png has no image: {expected} is missing",
    ):
        open_dataset("road_obstacle_21", tmp_path, "test")
