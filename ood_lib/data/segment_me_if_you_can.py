"""SegmentMeIfYouCan (Chan et al. 2021): photographs from the web, and obstacles put on roads."""

import re
from pathlib import Path

from ood_lib.data.folders import Layout
from ood_lib.data.masks import MaskedDataset
from ood_lib.data.sample import Transform

LEFT_OUT = re.compile(r"validation_0*(19|2[1-9])(?!\d)|(snowstorm1|snowstorm2|driveway)(_|$)")
"""How the names of images begin that the benchmark leaves out of RoadObstacle21."""


def split_of(name: str) -> str | None:
    """The split of a frame, "val" if its name says "validation"; None for what is left out."""
    if LEFT_OUT.match(name):
        return None
    return "val" if name.startswith("validation") else "test"


def _layout(suffix: str) -> Layout:
    labels, sign = "labels_masks/*_labels_semantic.png", f"images/validation*{suffix}"
    return Layout(f"images/*{suffix}", labels, None, split_of, unlabelled="test", sign=sign)


class SegmentMeIfYouCan(MaskedDataset):
    """Targets, as stored, are 0 in-distribution, 1 anomaly, and 255 where a pixel is ignored.

    Reads ``{root}/images/{id}.{jpg or webp}`` and ``{root}/labels_masks/{id}_labels_semantic.png``.
    The labels of the split ``test`` are not public: all of its targets are 255, and `labelled` is
    false. Images are of different sizes; a sample's sequence is its id.
    """

    page = "https://segmentmeifyoucan.com/datasets"

    def __init__(self, root: Path, split: str, transform: Transform | None = None) -> None:
        super().__init__(self.layout_of(root).frames(root, split), transform)


class RoadAnomaly21(SegmentMeIfYouCan):
    """Animals, vehicles and things unknown to Cityscapes, anywhere in the picture."""

    folder = "dataset_AnomalyTrack"
    splits = {"val": 10, "test": 100}
    layouts = (_layout(".[jJ][pP][gG]"),)


class RoadObstacle21(SegmentMeIfYouCan):
    """Small obstacles on the road ahead; all but the road is ignored. Ten validation images and
    the scenes at night and in the snow are not part of the benchmark."""

    folder = "dataset_ObstacleTrack"
    splits = {"val": 30, "test": 327}
    layouts = (_layout(".webp"),)
