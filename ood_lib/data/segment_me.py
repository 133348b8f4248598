"""SegmentMeIfYouCan (Chan et al. 2021): a benchmark of photographs from the web and of obstacles put on roads."""

import re
from pathlib import Path
from typing import ClassVar

import numpy as np

from ood_lib.data.labels import ANOMALY_IDS, ANOMALY_TARGET_OF_ID
from ood_lib.data.sample import (
    Files,
    Frame,
    PairedFiles,
    Transform,
    find_files,
    pair,
    read_labels,
    require_folder,
    to_target,
)


class SegmentMeIfYouCan(PairedFiles):
    """Targets, as stored, are 0 in-distribution, 1 anomaly, and 255 where a pixel is ignored.

    Reads ``{root}/images/{frame}{suffix}`` and ``{root}/labels_masks/{frame}_labels_semantic.png``. The split ``val``
    is what is named ``validation...``, ``test`` the rest. The labels of ``test`` are not public: all of its targets
    are 255, and `labelled` is false. Images are of different sizes; a sample's sequence is its id.
    """

    page = "https://segmentmeifyoucan.com/datasets"
    suffix: ClassVar[str]

    def __init__(self, root: Path, split: str, transform: Transform | None = None) -> None:
        image, label = root / "images" / f"*{self.suffix}", root / "labels_masks" / "*_labels_semantic.png"
        super().__init__(pair(self.list_files(root, split), image, label, labels_public=split == "val"), transform)

    @classmethod
    def list_files(cls, root: Path, split: str) -> Files:
        images = find_files(require_folder(root / "images", "the images"), f"*{cls.suffix}")
        labels = find_files(require_folder(root / "labels_masks", "the labels"), "*_labels_semantic.png")
        names = {name for name in images.keys() | labels.keys() if cls.split_of(name) == split}
        return Files(*({name: found[name] for name in names & found.keys()} for found in (images, labels)))

    @classmethod
    def split_of(cls, name: str) -> str | None:
        """The split of the frame of that name; None for what the benchmark leaves out."""
        return "val" if name.startswith("validation") else "test"

    def read_target(self, frame: Frame) -> np.ndarray:
        return to_target(read_labels(frame.label), ANOMALY_TARGET_OF_ID, ANOMALY_IDS, frame.label)


class RoadAnomaly21(SegmentMeIfYouCan):
    """Animals, vehicles and things unknown to Cityscapes, anywhere in the picture; see `SegmentMeIfYouCan`."""

    folder = "dataset_AnomalyTrack"
    splits = {"val": 10, "test": 100}
    suffix = ".jpg"


class RoadObstacle21(SegmentMeIfYouCan):
    """Small obstacles on the road ahead; all but the road is ignored. See `SegmentMeIfYouCan`.

    What the benchmark leaves out is not part of it: ten validation images, the scenes at night and in the snow.
    """

    folder = "dataset_ObstacleTrack"
    splits = {"val": 30, "test": 327}
    suffix = ".webp"

    left_out: ClassVar[frozenset[int]] = frozenset({19, *range(21, 30)})
    """Numbers of validation images."""
    extra_scenes: ClassVar[frozenset[str]] = frozenset({"snowstorm1", "snowstorm2", "driveway"})

    @classmethod
    def split_of(cls, name: str) -> str | None:
        number = re.match(r"validation_(\d+)", name)
        if name.partition("_")[0] in cls.extra_scenes or (number and int(number[1]) in cls.left_out):
            return None
        return super().split_of(name)
