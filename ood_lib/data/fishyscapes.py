"""Fishyscapes (Blum et al. 2021): Cityscapes scenes with pasted objects, frames of LostAndFound."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from ood_lib.data.cityscapes import Cityscapes, drive_of
from ood_lib.data.folders import Frame, Layout
from ood_lib.data.lost_and_found import LostAndFound
from ood_lib.data.masks import MaskedDataset
from ood_lib.data.sample import PublishedDataset, Transform, read_file, read_image
from ood_lib.files import user_path
from ood_lib.kept import files_digest


# Fishyscapes numbers its files; then comes the scene's own name, with a city or a numbered street.
def _overlays(folder: str) -> Layout:
    name = f"{folder}[0-9][0-9][0-9][0-9]_[A-Za-z]*"
    return Layout(f"{name}_rgb.npz", f"{name}_labels.png")


def _labels(folder: str) -> Layout:
    """There are no images; each label file stands for the one that it names."""
    pattern = f"{folder}[0-9][0-9][0-9][0-9]_[0-9][0-9]_*_labels.png"
    return Layout(pattern, pattern)


VERSIONS = {
    "composed": Layout("Static/original/*.png", "Static/labels/*.png", endings=("_rgb", "_labels")),
    **{version: _overlays(f"fs_val_{version}/") for version in ("v1", "v2", "v3")},
}
"""The versions of Fishyscapes Static, and how they lie."""

UNNAMED = "v?"  # the version of overlays that lie in the root itself, where no folder names it


def versions_in(root: Path) -> dict[str, Layout]:
    """The versions of Fishyscapes Static that are there; `UNNAMED` only if there is no other."""
    found = {}
    for version, layout in VERSIONS.items():
        if (root / layout.image.partition("/")[0]).is_dir():
            found[version] = layout
        elif root.name == f"fs_val_{version}":
            found[version] = _overlays("")
    return found or ({UNNAMED: _overlays("")} if _overlays("").is_in(root) else {})


def _choose(root: Path, version: str | None) -> tuple[str, Layout]:
    """The version, by default the only one there, and its layout. ValueError if that is unclear."""
    if version not in (None, *VERSIONS):
        raise ValueError(f"version={version!r} must be one of: {', '.join(VERSIONS)}.")
    found = versions_in(root)
    if version is None and "composed" not in found and (len(found) > 1 or UNNAMED in found):
        raise ValueError(
            f"{root} holds overlays of {' and '.join(found)}. The versions give different numbers: "
            "say which is meant (version='v3', for example), or leave but one, in its own folder."
        )
    version = version or next(iter(found), "composed")
    if UNNAMED in found and version != "composed":
        return version, found[UNNAMED]
    return version, found.get(version, VERSIONS[version])


class FishyscapesStatic(PublishedDataset):
    """Objects pasted into validation scenes of Cityscapes. Targets are as stored: 0, 1 and 255.

    ``version`` "composed" reads ready images ``{root}/Static/original/*.png`` and the labels of the
    same names, ``{root}/Static/labels/*.png``; an ending ``_rgb`` or ``_labels`` of the stem does
    not count. "v1", "v2" and "v3" read that download in ``{root}/fs_val_v3``, say, or in ``root``
    itself: the labels ``NNNN_{id}_labels.png``, and the differences ``NNNN_{id}_rgb.npz`` to the
    scenes ``{cityscapes}/leftImg8bit/val/{city}/{id}_leftImg8bit.png``, by default from the folder
    ``cityscapes`` beside ``root``. Without ``version`` it is the composed one or else the only one.
    They blend the objects in differently: say which was measured; ``self.version`` tells.
    """

    folder = "fishyscapes"
    splits = {"val": 30}
    page = "https://fishyscapes.com/dataset"
    layouts = (*VERSIONS.values(), _overlays(""))

    def __init__(self, root: Path, split: str, transform: Transform | None = None,
                 version: str | None = None, cityscapes: Path | str | None = None) -> None:
        self.version, layout = _choose(root, version)
        super().__init__(layout.frames(root, split), transform)
        overlays = [frame.image for frame in self.frames if self.version != "composed"]
        self._scenes = _find_images(overlays, Cityscapes, "val", root, cityscapes)

    @classmethod
    def layout_of(cls, root: Path, version: str | None = None) -> Layout:
        return _choose(root, version)[1]

    def what_decides(self) -> dict[str, Any]:
        scenes = [self._scenes[frame.image] for frame in self.frames if self._scenes]
        return super().what_decides() | {"scenes": files_digest(scenes)}

    def read_pixels(self, frame: Frame) -> np.ndarray:
        if not self._scenes:
            return super().read_pixels(frame)
        scene = read_image(self._scenes[frame.image], upright=False)
        kind = "an overlay, an archive with the array 'rgb'"
        overlay = read_file(frame.image, kind, lambda f: np.load(f, allow_pickle=False)["rgb"])
        if overlay.shape != scene.shape or overlay.dtype.kind not in "iu":
            raise ValueError(
                f"{frame.image} holds {overlay.dtype} {overlay.shape}; expected integers "
                f"{scene.shape} to add to {self._scenes[frame.image]}. Fetch both again."
            )
        return np.clip(scene + overlay.astype(np.int64), 0, 255).astype(np.uint8)  # (H, W, 3)


class FishyscapesLostAndFound(MaskedDataset):
    """Frames of LostAndFound, labelled anew. Targets are as stored: 0, 1 and 255.

    Reads the labels ``NNNN_{id}_labels.png`` in ``{root}/fishyscapes_lostandfound``, or in ``root``
    itself, and the images ``{lost_and_found}/leftImg8bit/{train,test}/{street}/{id}_leftImg8bit.*``
    of either split, by default from the folder ``lost_and_found`` beside ``root``. A sample's
    sequence is the drive, as in LostAndFound.

    36 of the 100 frames, those of street 04, are in the test split of LostAndFound: do not choose
    settings on them and then report numbers from there.
    """

    folder = "fishyscapes"
    splits = {"val": 100}
    page = "https://fishyscapes.com/dataset"
    layouts = (_labels("fishyscapes_lostandfound/"), _labels(""))

    def __init__(self, root: Path, split: str, transform: Transform | None = None,
                 lost_and_found: Path | str | None = None) -> None:
        labels = [frame.label for frame in self.layout_of(root).frames(root, split)]
        images = _find_images(labels, LostAndFound, "train|test", root, lost_and_found)
        frames = []
        for label, image in images.items():
            drive = drive_of(image.stem.removesuffix("_leftImg8bit"))
            frames.append(Frame(image.stem, drive, image, label))
        super().__init__(frames, transform)


def _find_images(files: list[Path], dataset: type[PublishedDataset], splits: str, root: Path,
                 given: Path | str | None) -> dict[Path, Path]:
    """File ``NNNN_{id}_...`` -> the image of that id in the other data set, which lies in the
    folder that is given, else beside ``root``. FileNotFoundError if an image is missing."""
    beside = Path(os.path.abspath(root)).parent / dataset.folder  # of a link, beside the link
    folder = (beside if given is None else user_path(given)) / "leftImg8bit"
    images = {}
    for file in files:
        # 0003_04_Weg_8_000001_000030_labels -> 04_Weg_8/04_Weg_8_000001_000030_leftImg8bit.png
        scene = file.stem.partition("_")[2].rpartition("_")[0]
        below = f"{scene.rsplit('_', 2)[0]}/{scene}_leftImg8bit.png"
        places = [folder / split / below for split in splits.split("|")]
        images[file] = next(filter(Path.is_file, places), folder / splits / below)
    missing = [file for file, image in images.items() if not image.is_file()]
    if missing:
        raise FileNotFoundError(
            f"The image {images[missing[0]]} is missing, of {missing[0]} ({len(missing)} such "
            f"images are). Fetch {dataset.__name__}, {dataset.page}, or give the folder that holds "
            f"its leftImg8bit as {dataset.folder}."
        )
    return images
