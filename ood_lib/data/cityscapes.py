"""Cityscapes (Cordts et al. 2016): street scenes of German cities, the in-distribution data."""

from pathlib import Path
from typing import ClassVar

import numpy as np

from ood_lib.data.labels import CITYSCAPES_IDS, TRAIN_ID_OF_LABEL_ID
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


class CityscapesLayout(PairedFiles):
    """Images ``{root}/leftImg8bit/{split}/{place}/{id}_leftImg8bit.png`` and labels
    ``{root}/{annotation}/{split}/{place}/{id}_{annotation}_labelIds.png``; the end of the id numbers the frame.
    """

    annotation: ClassVar[str]

    def __init__(self, root: Path, split: str, transform: Transform | None = None) -> None:
        image = root / "leftImg8bit" / split / "*_leftImg8bit.png"
        label = root / self.annotation / split / f"*_{self.annotation}_labelIds.png"
        super().__init__(pair(self.list_files(root, split), image, label, drive_of), transform)

    @classmethod
    def list_files(cls, root: Path, split: str) -> Files:
        images = require_folder(root / "leftImg8bit" / split, "the images")
        labels = require_folder(root / cls.annotation / split, "the labels")
        return Files(
            find_files(images, "*/*_leftImg8bit.png"), find_files(labels, f"*/*_{cls.annotation}_labelIds.png")
        )


class Cityscapes(CityscapesLayout):
    """Targets are the train ids 0-18, and 255 where a pixel is ignored.

    Reads the finely labelled images, ``{root}/leftImg8bit/{split}/{city}/{id}_leftImg8bit.png``, and the label ids as
    downloaded, ``{root}/gtFine/{split}/{city}/{id}_gtFine_labelIds.png``.
    """

    folder = "cityscapes"
    splits = {"train": 2975, "val": 500}
    page = "https://www.cityscapes-dataset.com"
    annotation = "gtFine"

    def read_target(self, frame: Frame) -> np.ndarray:
        return to_target(read_labels(frame.label), TRAIN_ID_OF_LABEL_ID, CITYSCAPES_IDS, frame.label)


def drive_of(name: str) -> str:
    """``ulm/ulm_000003_000019`` -> ``ulm_000003``: the frame's name without its folder and its own number."""
    return name.rpartition("/")[2].rpartition("_")[0]
