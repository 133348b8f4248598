"""Cityscapes (Cordts et al. 2016): street scenes of German cities, the in-distribution data."""

from pathlib import Path

import numpy as np

from ood_lib.data.labels import CITYSCAPES_IDS, TRAIN_ID_OF_LABEL_ID
from ood_lib.data.sample import Frame, SegmentationDataset, Transform, read_labels, require_folder, to_target


class Cityscapes(SegmentationDataset):
    """Targets are the train ids 0-18, and 255 where a pixel is ignored.

    Reads ``{root}/leftImg8bit/{split}/{city}/{id}_leftImg8bit.png`` and, as downloaded,
    ``{root}/gtFine/{split}/{city}/{id}_gtFine_labelIds.png``.
    """

    splits = ("train", "val")

    def __init__(self, root: Path, split: str, transform: Transform | None = None) -> None:
        super().__init__(find_frames(root, split, "gtFine"), transform)

    def read_target(self, frame: Frame) -> np.ndarray:
        return to_target(read_labels(frame.label), TRAIN_ID_OF_LABEL_ID, CITYSCAPES_IDS, frame.label)


def find_frames(root: Path, split: str, annotation: str) -> list[Frame]:
    """All frames of a split, sorted by city and id, in the folders that Cityscapes and LostAndFound share.

    ``annotation`` is ``gtFine`` or ``gtCoarse``. FileNotFoundError if a folder is missing, there is no image, or an
    image has no labels.
    """
    images = require_folder(root / "leftImg8bit" / split, "the images")
    labels = require_folder(root / annotation / split, "the labels")
    paths = sorted(images.glob("*/[!.]*_leftImg8bit.png"))
    if not paths:
        raise FileNotFoundError(f"There is no image in {images}; expected <city>/<city>_*_leftImg8bit.png.")
    labelled = set(labels.glob(f"*/*_{annotation}_labelIds.png"))
    frames = []
    for image in paths:
        name = image.stem.removesuffix("_leftImg8bit")
        label = labels / image.parent.name / f"{name}_{annotation}_labelIds.png"
        if label not in labelled:
            raise FileNotFoundError(f"The image {image} has no labels: {label} is missing. Fetch the labels again.")
        frames.append(Frame(image.stem, name.rpartition("_")[0], image, label))
    return frames
