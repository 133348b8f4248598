"""Masks as image editors save them, and data sets whose labels may be such."""

from pathlib import Path

import numpy as np
from PIL import Image

from ood_lib.data.folders import Frame
from ood_lib.data.sample import PublishedDataset, read_image, read_labels


def read_mask(path: Path, upright: bool = True) -> np.ndarray:
    """A mask as uint8 (H, W): its grey levels, whether it was saved as grey, RGB, RGBA or with a
    palette; where colours are no greys, as `read_labels` has it: indices, or ValueError."""
    pixels = read_image(path, upright)  # (H, W, 3)
    with Image.open(path) as image:
        has_16_bits = image.mode.startswith("I")  # of which an id would lie in the lower eight
    if has_16_bits or (pixels != pixels[..., :1]).any():
        return read_labels(path, upright)
    return pixels[..., 0].copy()


class MaskedDataset(PublishedDataset):
    """A data set whose label files went through many hands, and perhaps through an editor."""

    def read_target(self, frame: Frame) -> np.ndarray:
        ids = read_mask(frame.label, upright=False)
        found = np.flatnonzero(np.bincount(ids.ravel(), minlength=256))  # np.unique is slow
        if unknown := sorted(set(found.tolist()) - self.known_ids):
            raise ValueError(
                f"{frame.label} holds the label ids {unknown}, which the data set does not define "
                f"(its ids end at {max(self.known_ids - {255})}). Is it one of its label files?"
            )
        return self.target_of_id[ids]
