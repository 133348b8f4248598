"""What a result on a data set depends on, and so its digest."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from layouts import (
    bird,
    noise,
    save,
    write_cityscapes,
    write_coco,
    write_lost_and_found,
    write_overlays,
)

from ood_lib.data import SegmentationDataset, open_dataset, training_transform
from ood_lib.data.folders import Frame, Layout
from ood_lib.data.sample import read_labels
from ood_lib.kept import digest


@pytest.fixture
def root(tmp_path) -> Path:
    return write_cityscapes(tmp_path)


def of(root: Path, **options) -> str:
    return digest(open_dataset("cityscapes", root, "train", **options))


def later(path: Path) -> None:
    """As if it had been written a moment later."""
    state = path.stat()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1_000_000))


def test_it_is_the_same_for_the_same_samples(root):
    dataset = open_dataset("cityscapes", root, "train")
    assert of(root) == of(root) == digest(dataset) == digest(dataset.take(6))
    assert dataset.what_decides().keys() == {"frames", "files", "transform"}


@pytest.mark.parametrize("kind", ["image", "label"])
def test_files_replaced_under_the_same_name_are_noticed(root, kind):
    before = of(root)
    later(getattr(open_dataset("cityscapes", root, "train").frames[3], kind))
    assert of(root) != before


def test_another_folder_holds_other_files(root, tmp_path):
    assert of(root) != of(write_cityscapes(tmp_path / "again"))


def test_a_part_is_not_the_whole_and_does_not_look_at_the_rest(root):
    dataset = open_dataset("cityscapes", root, "train")
    parts = {digest(dataset.take(count)) for count in range(1, 7)}
    assert len(parts) == 6
    before = digest(dataset.take(2))
    later(dataset.frames[1].image)
    assert dataset.take(2).ids == [dataset.ids[0], dataset.ids[3]]
    assert digest(dataset.take(2)) == before


def test_the_sequence_decides(root):
    dataset = open_dataset("cityscapes", root, "train")
    before = digest(dataset)
    dataset.frames[0] = dataset.frames[0]._replace(sequence="another")
    assert digest(dataset) != before


def test_the_transform_decides(root):
    crops = [of(root, transform=training_transform(size)) for size in (8, 8, 16)]
    assert crops[0] == crops[1]
    assert len({of(root), *crops, of(root, transform=training_transform(8, flip=False))}) == 4


def test_a_transform_without_a_name_is_refused(root):
    def closure(image, target):
        return image, target

    for transform in (lambda image, target: (image, target), closure, object()):
        with pytest.raises(ValueError, match="has no name by which"):
            of(root, transform=transform)


def test_options_decide(tmp_path):
    root = write_lost_and_found(tmp_path)
    options = ("ignore", "anomaly")
    found = {digest(open_dataset("lost_and_found", root, "test", nonhazards=o)) for o in options}
    assert len(found) == 2


def test_the_images_under_overlays_decide(tmp_path):
    root = write_overlays(tmp_path / "fishyscapes")
    dataset = open_dataset("fishyscapes_static", root, version="v3")
    whole, first = digest(dataset), digest(dataset.take(1))
    later(next((tmp_path / "cityscapes").glob("leftImg8bit/val/ulm/*.png")))  # of the second
    assert digest(dataset) != whole and digest(dataset.take(1)) == first


def test_the_annotations_of_the_proxy_are_one_file(tmp_path):
    root = write_coco(tmp_path, [bird(1, 0, 0, 4, 4)], [(20, 30)] * 3)
    dataset = open_dataset("coco_proxy", root)
    assert len({frame.label for frame in dataset.frames}) == 1
    before = digest(dataset)
    assert digest(open_dataset("coco_proxy", root, max_ood_share=0.01)) != before
    later(dataset.frames[0].label)
    assert digest(open_dataset("coco_proxy", root)) != before


class Photos(SegmentationDataset):
    """A data set of one's own, with an option and something that follows from the others."""

    def __init__(self, root: Path, limit: int = 127) -> None:
        super().__init__(Layout("images/*.jpg", "masks/*.png").frames(root))
        self.limit = limit
        self._read = object()

    def read_target(self, frame: Frame) -> np.ndarray:
        return (read_labels(frame.label) > self.limit).astype(np.uint8)


def test_a_data_set_of_ones_own(tmp_path):
    save(tmp_path / "images" / "a.jpg", noise(0))
    save(tmp_path / "masks" / "a.png", np.full((24, 40), 255))
    assert Photos(tmp_path)[0].target.unique().tolist() == [1]
    assert digest(Photos(tmp_path)) == digest(Photos(tmp_path))
    assert digest(Photos(tmp_path)) != digest(Photos(tmp_path, limit=100))


def test_it_takes_no_time(root):
    """That of 3000 frames well below a tenth of a second."""
    dataset = open_dataset("cityscapes", root, "train")
    (root / "many").mkdir()
    for number in range(6000):
        (root / "many" / f"{number}").touch()
    frame = dataset.frames[0]
    dataset.frames = [
        frame._replace(image=root / "many" / f"{i}", label=root / "many" / f"{i + 3000}")
        for i in range(3000)
    ]
    started = time.perf_counter()
    digest(dataset)
    assert time.perf_counter() - started < 1  # also beside other tests
