"""LostAndFound (Pinggera et al. 2016): drives towards small obstacles that somebody lost on the road."""

import re
from pathlib import Path

import numpy as np

from ood_lib.data.cityscapes import CityscapesLayout
from ood_lib.data.labels import LOST_AND_FOUND_IDS, LOST_AND_FOUND_TARGET_OF_ID, OBSTACLE_TARGET_OF_ID
from ood_lib.data.sample import Frame, Transform, read_labels, to_target

_TARGETS = {"ignore": LOST_AND_FOUND_TARGET_OF_ID, "anomaly": OBSTACLE_TARGET_OF_ID}


class LostAndFound(CityscapesLayout):
    """Targets are 0 in-distribution (the road), 1 anomaly, and 255 where a pixel is ignored.

    Reads ``{root}/leftImg8bit/{split}/{street}/{id}_leftImg8bit.png`` and
    ``{root}/gtCoarse/{split}/{street}/{id}_gtCoarse_labelIds.png``, every frame that lies there; a sample's sequence
    is the street and the number of the drive, since neighbouring frames show nearly the same.

    ``nonhazards`` says what the objects are that a car need not avoid (ids 31, 33, 34 and 36-39): "ignore" gives them
    255, as in the thesis, "anomaly" gives them 1, as in SegmentMeIfYouCan (Chan et al. 2021). Numbers of the one are
    not comparable with numbers of the other.
    """

    folder = "lost_and_found"
    splits = {"train": 1036, "test": 1203}
    page = "http://wwwlehre.dhbw-stuttgart.de/~sgehrig/lostAndFoundDataset"
    annotation = "gtCoarse"

    def __init__(self, root: Path, split: str, transform: Transform | None = None, nonhazards: str = "ignore") -> None:
        if nonhazards not in _TARGETS:
            raise ValueError(f"nonhazards={nonhazards!r} must be one of: {', '.join(_TARGETS)}.")
        self.nonhazards, self._targets = nonhazards, _TARGETS[nonhazards]
        super().__init__(root, split, transform)
        for frame in self.frames:
            if not re.match(r"\d\d_", frame.image.parent.name):  # Cityscapes' gtCoarse would pass for obstacles
                raise ValueError(
                    f"{frame.image.parent} is no street of LostAndFound, whose folders begin with two digits and _, as "
                    "in 04_Maurener_Weg_8. Cityscapes has folders and files of the same names, but other label ids: "
                    "open it as cityscapes, and keep the two data sets in folders of their own."
                )

    def read_target(self, frame: Frame) -> np.ndarray:
        return to_target(read_labels(frame.label), self._targets, LOST_AND_FOUND_IDS, frame.label)
