"""LostAndFound (Pinggera et al. 2016): drives towards small obstacles that somebody lost on the road."""

from pathlib import Path

import numpy as np

from ood_lib.data.cityscapes import find_frames
from ood_lib.data.labels import LOST_AND_FOUND_IDS, LOST_AND_FOUND_TARGET_OF_ID
from ood_lib.data.sample import Frame, SegmentationDataset, Transform, read_labels, to_target


class LostAndFound(SegmentationDataset):
    """Targets are 0 in-distribution (the road), 1 anomaly, and 255 where a pixel is ignored.

    Reads ``{root}/leftImg8bit/{split}/{street}/{id}_leftImg8bit.png`` and
    ``{root}/gtCoarse/{split}/{street}/{id}_gtCoarse_labelIds.png``; a sample's sequence is the street and the number
    of the drive, since neighbouring frames show nearly the same.
    """

    splits = ("train", "test")

    def __init__(self, root: Path, split: str, transform: Transform | None = None) -> None:
        super().__init__(find_frames(root, split, "gtCoarse"), transform)

    def read_target(self, frame: Frame) -> np.ndarray:
        return to_target(read_labels(frame.label), LOST_AND_FOUND_TARGET_OF_ID, LOST_AND_FOUND_IDS, frame.label)
