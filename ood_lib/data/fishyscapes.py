"""Fishyscapes Static (Blum et al. 2021): Cityscapes scenes into which objects were pasted."""

from pathlib import Path

import numpy as np

from ood_lib.data.labels import IGNORE_INDEX
from ood_lib.data.sample import Frame, SegmentationDataset, Transform, read_labels, require_folder, to_target

_TARGETS = frozenset({0, 1, IGNORE_INDEX})
_AS_STORED = np.arange(256, dtype=np.uint8)


class FishyscapesStatic(SegmentationDataset):
    """Targets, as stored, are 0 in-distribution, 1 anomaly, and 255 where a pixel is ignored.

    Reads the composed images ``{root}/Static/original/*.png`` and the labels of the same names,
    ``{root}/Static/labels/*.png``; an ending ``_rgb`` or ``_labels`` of the stem does not count.
    """

    splits = ("val",)

    def __init__(self, root: Path, split: str, transform: Transform | None = None) -> None:
        super().__init__(_find_frames(root), transform)

    def read_target(self, frame: Frame) -> np.ndarray:
        return to_target(read_labels(frame.label), _AS_STORED, _TARGETS, frame.label)


def _find_frames(root: Path) -> list[Frame]:
    images = require_folder(root / "Static" / "original", "the composed images")
    labels = require_folder(root / "Static" / "labels", "the labels")
    label_of = {path.stem.removesuffix("_labels"): path for path in labels.glob("*.png")}
    frames = []
    for image in sorted(images.glob("[!.]*.png")):
        name = image.stem.removesuffix("_rgb")
        if name not in label_of:
            raise FileNotFoundError(f"The image {image} has no labels: {labels / name}.png is missing. Fetch it again.")
        frames.append(Frame(image.stem, image.stem, image, label_of[name]))
    if not frames:
        raise FileNotFoundError(f"There is no image in {images}; expected *.png, composed from overlay and scene.")
    return frames
