"""Test sets as courses and papers' code hand them around: all alike, in one archive.

Each has ``images/{id}.{jpg, png or webp}`` and ``labels_masks/{id}.png``, so that its folder's name
alone, a key of `COURSE_FOLDERS`, says which one it is. RoadAnomaly is met so more often than as it
was published.
"""

import os
from pathlib import Path
from typing import Any

from ood_lib.data.folders import Layout
from ood_lib.data.labels import ANOMALY_TARGET_OF_ID
from ood_lib.data.masks import MaskedDataset
from ood_lib.data.sample import Transform

COURSE_FOLDERS = {
    "RoadAnomaly": "road_anomaly",
    "RoadAnomaly21": "road_anomaly_21",
    "RoadObsticle21": "road_obstacle_21",  # as that archive spells it
    "RoadObstacle21": "road_obstacle_21",
    "fs_static": "fishyscapes_static",
    "FS_LostFound_full": "fishyscapes_lost_and_found",
}
"""The names of such folders, and of the data sets that they hold."""

_LABELS = "labels_masks/*.[pP][nN][gG]"
_PUBLISHED = "labels_masks/*_labels_semantic*.png"
"""By these a folder of such a name is known to hold the data as they were published."""


def _layout(ending: str) -> Layout:
    return Layout(f"images/*.{ending}", _LABELS, sign=f"images/*.{ending}")


class CourseCopy(MaskedDataset):
    """A test set in such a folder, its labels 0, 1 and 255. All frames have labels; each stands
    alone, since its name does not tell from which drive it is."""

    layouts = tuple(map(_layout, ("[jJ][pP][gG]", "[pP][nN][gG]", "[wW][eE][bB][pP]")))

    def __init__(self, root: Path, split: str, transform: Transform | None = None,
                 **others: Any) -> None:
        if others:
            raise ValueError(f"{root} is a course's copy, to which {others} cannot apply.")
        super().__init__(self.layout_of(root).frames(root, split), transform)


_TARGETS = ANOMALY_TARGET_OF_ID.copy()
_TARGETS[[1, 2]] = 0, 1


class RoadAnomaly(MaskedDataset):
    """Animals, rocks and lost things on roads (Lis et al. 2019). Label id 2 is the anomaly, 0 and 1
    are in-distribution.

    Reads ``{root}/frames/{id}.jpg`` and ``{root}/frames/{id}.labels/labels_semantic.png``, or a
    course's copy.
    """

    folder = "RoadAnomaly_jpg"
    splits = {"val": 60}
    page = "https://www.epfl.ch/labs/cvlab/data/road-anomaly/"
    layouts = (Layout("frames/*.[jJ][pP][gG]", "frames/*.labels/labels_semantic.png"),)
    known_ids = frozenset({0, 1, 2, 255})
    target_of_id = _TARGETS

    def __init__(self, root: Path, split: str, transform: Transform | None = None) -> None:
        super().__init__(self.layout_of(root).frames(root, split), transform)


class _CopyOfRoadAnomaly(CourseCopy):
    known_ids = RoadAnomaly.known_ids
    target_of_id = RoadAnomaly.target_of_id


def course_copy(name: str, root: Path) -> type[CourseCopy] | None:
    """What reads the folder as a course's copy of the data set; None if it is no such copy."""
    is_named = COURSE_FOLDERS.get(Path(os.path.abspath(root)).name) == name
    if not is_named or not any(root.glob(_LABELS)) or any(root.glob(_PUBLISHED)):
        return None
    return _CopyOfRoadAnomaly if name == "road_anomaly" else CourseCopy
