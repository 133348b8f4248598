"""The label ids that the data sets store, and what they mean here."""

from typing import NamedTuple

import numpy as np

IGNORE_INDEX = 255
"""Target of a pixel that neither training nor any measure looks at."""

OOD_INDEX = 254
"""Training target of a pixel on a proxy object, whose class is none of the network's."""

ROAD = 0
"""Target of a pixel of the road, the first of the classes."""


class SegmentationClass(NamedTuple):
    """One of the classes the network knows: the channel of its output; name; RGB, 0-255, as in
    every picture of Cityscapes labels; what Cityscapes writes into its ``labelIds`` images."""

    train_id: int
    name: str
    color: tuple[int, int, int]
    label_id: int


_NAME_COLOR_ID = (
    ("road", (128, 64, 128), 7), ("sidewalk", (244, 35, 232), 8), ("building", (70, 70, 70), 11),
    ("wall", (102, 102, 156), 12), ("fence", (190, 153, 153), 13), ("pole", (153, 153, 153), 17),
    ("traffic light", (250, 170, 30), 19), ("traffic sign", (220, 220, 0), 20),
    ("vegetation", (107, 142, 35), 21), ("terrain", (152, 251, 152), 22),
    ("sky", (70, 130, 180), 23), ("person", (220, 20, 60), 24), ("rider", (255, 0, 0), 25),
    ("car", (0, 0, 142), 26), ("truck", (0, 0, 70), 27), ("bus", (0, 60, 100), 28),
    ("train", (0, 80, 100), 31), ("motorcycle", (0, 0, 230), 32), ("bicycle", (119, 11, 32), 33),
)
CLASSES = tuple(SegmentationClass(i, *of_class) for i, of_class in enumerate(_NAME_COLOR_ID))
"""The 19 classes of Cityscapes, in the order of the network's channels."""

NUM_CLASSES = len(CLASSES)
"""How many classes the network knows: 19."""

CITYSCAPES_IDS = frozenset([*range(34), 255])
"""Of Cityscapes: 0 unlabeled to 33 bicycle, and license plate, whose -1 is 255 in a byte."""

LOST_AND_FOUND_IDS = frozenset(range(44))
"""Of LostAndFound: 0 background and the like, 1 free space, 2-43 obstacles and other objects."""

_HAZARDS = [*range(2, 31), 32, 35, *range(40, 44)]  # of LostAndFound
_NON_HAZARDS = [31, 33, 34, *range(36, 40)]  # objects too, but such as a car need not avoid


def _lookup_table(target_of_id: dict[int, int]) -> np.ndarray:
    """uint8 (256,): the target of every id; an id not in the dictionary is ignored."""
    table = np.full(256, IGNORE_INDEX, dtype=np.uint8)
    table[list(target_of_id)] = list(target_of_id.values())
    table.setflags(write=False)
    return table


TRAIN_ID_OF_LABEL_ID = _lookup_table({c.label_id: c.train_id for c in CLASSES})
"""uint8 (256,): Cityscapes id -> train id 0-18, or 255 where its evaluation ignores the id."""

LOST_AND_FOUND_TARGET_OF_ID = _lookup_table({1: 0} | dict.fromkeys(_HAZARDS, 1))
"""uint8 (256,): LostAndFound id -> 0 in-distribution (road), 1 anomaly (hazards), 255 else."""

OBSTACLE_TARGET_OF_ID = _lookup_table({1: 0} | dict.fromkeys([*_HAZARDS, *_NON_HAZARDS], 1))
"""uint8 (256,): the same, but every object is an anomaly, as in SegmentMeIfYouCan."""

_ROAD_OR_NOT = dict.fromkeys([1, *_NON_HAZARDS], 0) | dict.fromkeys(_HAZARDS, 1)
HAZARD_TARGET_OF_ID = _lookup_table(_ROAD_OR_NOT)
"""uint8 (256,): the same, but non-hazards are road, as in the segments of the thesis's code."""

ANOMALY_IDS = frozenset({0, 1, IGNORE_INDEX})
"""What Fishyscapes and SegmentMeIfYouCan store: 0 in-distribution, 1 anomaly, 255 ignored."""

ANOMALY_TARGET_OF_ID = _lookup_table({0: 0, 1: 1})
"""uint8 (256,): the `ANOMALY_IDS` as they are."""
