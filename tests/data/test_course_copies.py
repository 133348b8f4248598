"""Layouts as they are met: the archive of a course, masks from an image editor, capital endings."""

import numpy as np
import pytest
from layouts import anomaly, noise, save, write_course_copy, write_fishyscapes, write_road_anomaly
from PIL import Image

from ood_lib.data import DATASETS, data_folder, open_dataset
from ood_lib.data.doctor import examine
from ood_lib.data.masks import read_mask
from ood_lib.data.sample import read_labels
from ood_lib.settings import load_settings

COPIES = {
    "RoadAnomaly": ("road_anomaly", ".jpg", 2),
    "RoadAnomaly21": ("road_anomaly_21", ".png", 1),
    "RoadObsticle21": ("road_obstacle_21", ".webp", 1),
    "RoadObstacle21": ("road_obstacle_21", ".webp", 1),
    "fs_static": ("fishyscapes_static", ".jpg", 1),
    "FS_LostFound_full": ("fishyscapes_lost_and_found", ".png", 1),
}
"""Folder -> data set, ending of the images, value of an anomaly in the masks."""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OOD_LIB_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("folder", COPIES)
def test_the_archive_of_a_course(folder, tmp_path):
    name, suffix, mark = COPIES[folder]
    root = write_course_copy(tmp_path / folder, suffix, 3, mark)
    dataset = open_dataset(name, root, "val")
    assert dataset.ids == ["0", "1", "2"] and dataset.labelled
    assert [frame.sequence for frame in dataset.frames] == dataset.ids
    assert np.array_equal(dataset[1].target, anomaly())
    assert dataset[1].image.shape == (3, 24, 40)
    opened = load_settings("thesis", tmp_path).open(name, "val")
    assert opened.frames == dataset.frames
    row = examine(tmp_path, [(name, "val")]).iloc[0]
    assert (row["images"], row["labels"], row["verdict"]) == (3, 3, "incomplete")


def test_which_data_set_a_copy_is_only_its_folder_says(tmp_path):
    root = write_course_copy(tmp_path / "RoadAnomaly21", ".png")
    with pytest.raises(FileNotFoundError, match="RoadAnomaly21 looks like road_anomaly_21: open"):
        open_dataset("road_obstacle_21", root, "val")
    with pytest.raises(FileNotFoundError, match=r"folder .*RoadAnomaly21 looks like road_anomaly_"):
        open_dataset("road_anomaly_21", tmp_path, "val")
    with pytest.raises(FileNotFoundError, match="There is no file"):
        open_dataset("road_anomaly_21", root.rename(tmp_path / "pictures"), "val")


def test_what_was_published_comes_before_a_copy(tmp_path):
    write_fishyscapes(tmp_path / "fishyscapes", 2)
    copy = write_course_copy(tmp_path / "fs_static", ".jpg", 3)
    settings = load_settings("thesis", tmp_path)
    assert len(settings.open("fishyscapes_static")) == 2
    with pytest.raises(ValueError, match="a course's copy, to which .*version.* cannot apply"):
        open_dataset("fishyscapes_static", copy, version="v3")
    for file in (tmp_path / "fishyscapes" / "Static" / "labels").iterdir():
        file.unlink()
    assert len(settings.open("fishyscapes_static")) == 3
    assert data_folder("cityscapes", tmp_path) == tmp_path / "cityscapes"
    renamed = write_road_anomaly(tmp_path / "RoadAnomaly21", "val", 2)  # as it was published
    assert open_dataset("road_anomaly_21", renamed, "val").ids[0] == "validation0000"


def test_half_a_copy_is_no_smaller_data_set(tmp_path):
    root = write_course_copy(tmp_path / "fs_static", ".jpg", 3)
    (root / "labels_masks" / "1.png").unlink()
    expected = rf"1.jpg has no label: {root}/labels_masks/1.png is missing .1 in all"
    with pytest.raises(FileNotFoundError, match=expected):
        open_dataset("fishyscapes_static", root)


def as_saved(ids: np.ndarray, mode: str) -> Image.Image:
    """Grey levels as an editor saves them: ``P`` numbers the levels that occur, as if by chance."""
    grey = Image.fromarray(ids.astype(np.uint8))
    if mode != "P":
        return grey.convert(mode)
    levels = np.unique(ids)[::-1]
    image = Image.fromarray((len(levels) - 1 - np.searchsorted(levels[::-1], ids)).astype(np.uint8))
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette(np.repeat(levels, 3).astype(np.uint8).tobytes())
    return image


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_masks_from_an_image_editor(mode, tmp_path):
    root = write_road_anomaly(tmp_path / "dataset_AnomalyTrack", "val", 2)
    dataset = open_dataset("road_anomaly_21", root, "val")
    as_saved(anomaly(), mode).save(dataset.frames[0].label)
    assert np.array_equal(read_mask(dataset.frames[0].label), anomaly())
    assert np.array_equal(dataset[0].target, anomaly())
    assert examine(tmp_path, [("road_anomaly_21", "val")])["verdict"].tolist() == ["incomplete"]


def test_colours_are_no_grey_levels(tmp_path):
    path = save(tmp_path / "colours.png", noise(0))
    with pytest.raises(ValueError, match=f"{path} should hold one label id.*not the colours"):
        read_mask(path)
    image = Image.frombytes("P", (40, 24), anomaly().astype(np.uint8).tobytes())
    image.putpalette([0, 0, 0, 220, 20, 60])  # of colours, as tools paint label files
    image.save(path)
    assert np.array_equal(read_mask(path), read_labels(path))
    Image.fromarray(anomaly().astype(np.uint16)).save(path)
    with pytest.raises(ValueError, match="pixels are uint16"):  # an id in the lower eight bits
        read_mask(path)


def test_endings_in_capitals(tmp_path):
    root = write_road_anomaly(tmp_path / "dataset_AnomalyTrack", "val", 3)
    for number in (1, 2):
        path = root / "images" / f"validation000{number}.jpg"
        path.rename(path.with_suffix(".JPG"))
    dataset = open_dataset("road_anomaly_21", root, "val")
    assert dataset.ids == [f"validation000{i}" for i in range(3)]
    path.with_suffix(".JPG").unlink()
    expected = f"has no image: {path} is missing"  # not .[jJ][pP][gG]
    with pytest.raises(FileNotFoundError, match=expected):
        open_dataset("road_anomaly_21", root, "val")
    copy = write_course_copy(tmp_path / "RoadAnomaly", ".JPG", 2, 2)
    assert len(open_dataset("road_anomaly", copy)) == 2


def test_road_anomaly_is_sixty_frames():
    assert DATASETS["road_anomaly"].splits == {"val": 60}
