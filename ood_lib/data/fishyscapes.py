"""Fishyscapes (Blum et al. 2021): Cityscapes scenes into which objects were pasted, and frames of LostAndFound."""

import os
from pathlib import Path

import numpy as np

from ood_lib.data.cityscapes import Cityscapes, drive_of
from ood_lib.data.labels import ANOMALY_IDS, ANOMALY_TARGET_OF_ID
from ood_lib.data.lost_and_found import LostAndFound
from ood_lib.data.sample import (
    Files,
    Frame,
    PairedFiles,
    PublishedDataset,
    Transform,
    find_files,
    pair,
    read_image,
    read_labels,
    require_folder,
    to_target,
)

VERSIONS = ("composed", "v1", "v2", "v3")
_CITY = "[0-9][0-9][0-9][0-9]_[A-Za-z]*"  # the number in Fishyscapes, then the name that the scene has in Cityscapes
_STREET = "[0-9][0-9][0-9][0-9]_[0-9][0-9]_*"  # the same of LostAndFound, whose streets begin with two digits


class Fishyscapes(PairedFiles):
    """Targets, as stored, are 0 in-distribution, 1 anomaly, and 255 where a pixel is ignored."""

    folder = "fishyscapes"
    page = "https://fishyscapes.com/dataset"

    def read_target(self, frame: Frame) -> np.ndarray:
        return to_target(read_labels(frame.label), ANOMALY_TARGET_OF_ID, ANOMALY_IDS, frame.label)


class FishyscapesStatic(Fishyscapes):
    """Objects pasted into validation scenes of Cityscapes. Targets are 0, 1 and 255, as in `Fishyscapes`.

    ``version`` "composed" reads ready images ``{root}/Static/original/*.png`` and the labels of the same names,
    ``{root}/Static/labels/*.png``; an ending ``_rgb`` or ``_labels`` of the stem does not count. "v1", "v2" and "v3"
    read the download of that version, unpacked in ``{root}/fs_val_v3`` or in ``root`` itself: the differences
    ``NNNN_{id}_rgb.npz`` that are added to the scene ``{cityscapes}/leftImg8bit/val/{city}/{id}_leftImg8bit.png``,
    and the labels ``NNNN_{id}_labels.png``. ``cityscapes`` is by default the folder of that name beside ``root``.

    Without ``version`` it is the composed one if that is there, else the only one that is; ``self.version`` tells.
    The versions blend the objects in differently and so give different numbers: say which one was measured.
    """

    splits = {"val": 30}
    version: str

    def __init__(
        self,
        root: Path,
        split: str,
        transform: Transform | None = None,
        version: str | None = None,
        cityscapes: Path | str | None = None,
    ) -> None:
        self.version = version or _find_version(root)
        files = self.list_files(root, split, self.version)
        super().__init__(pair(files, *_places(root, self.version)), transform)
        self._cityscapes = None if self.version == "composed" else _base(root, cityscapes, Cityscapes)
        if self._cityscapes is not None:
            scenes = {frame.image: self._scene(frame) for frame in self.frames}
            _require_scenes({file: scene for file, scene in scenes.items() if not scene.is_file()}, Cityscapes)

    @classmethod
    def list_files(cls, root: Path, split: str, version: str | None = None) -> Files:
        version = version or _find_version(root)
        image, label = _places(root, version)
        images = require_folder(image.parent, f"the images, {version}; a download lies in fs_val_v3, say")
        labels = require_folder(label.parent, f"the labels, {version}")
        if version == "composed":
            found = Files(find_files(images, "*.png"), find_files(labels, "*.png"))
            return Files(_without("_rgb", found.images), _without("_labels", found.labels))
        return Files(find_files(images, f"{_CITY}_rgb.npz"), find_files(labels, f"{_CITY}_labels.png"))

    def read_pixels(self, frame: Frame) -> np.ndarray:
        if self._cityscapes is None:
            return super().read_pixels(frame)
        scene, overlay = read_image(self._scene(frame)), _read_overlay(frame.image)
        if overlay.shape != scene.shape:
            raise ValueError(
                f"The overlay {frame.image} is of shape {overlay.shape}, but the image {self._scene(frame)} of "
                f"{scene.shape}. They must be equal: one of the two files is not the original; fetch both again."
            )
        return np.clip(scene + overlay, 0, 255).astype(np.uint8)

    def _scene(self, frame: Frame) -> Path:
        """The image of Cityscapes to which the frame's overlay is added."""
        name = frame.id.partition("_")[2].removesuffix("_rgb")
        return self._cityscapes / "leftImg8bit" / "val" / name.partition("_")[0] / f"{name}_leftImg8bit.png"


class FishyscapesLostAndFound(Fishyscapes):
    """Frames of LostAndFound, labelled anew. Targets are 0, 1 and 255, as in `Fishyscapes`.

    Reads the labels ``NNNN_{id}_labels.png`` in ``{root}/fishyscapes_lostandfound``, or in ``root`` itself, and the
    images ``{lost_and_found}/leftImg8bit/{train,test}/{street}/{id}_leftImg8bit.png``, from whichever split has them.
    ``lost_and_found`` is by default the folder of that name beside ``root``. A sample's sequence is the drive, as in
    LostAndFound.

    36 of the 100 frames, those of street 04, are in the test split of LostAndFound: do not choose settings on them
    and then report numbers from there.
    """

    splits = {"val": 100}

    def __init__(
        self, root: Path, split: str, transform: Transform | None = None, lost_and_found: Path | str | None = None
    ) -> None:
        files, folder = self.list_files(root, split, lost_and_found), _labels_folder(root)
        if not files.labels:
            raise FileNotFoundError(
                f"There are no labels in {folder}; expected NNNN_STREET_DRIVE_FRAME_labels.png, the street beginning "
                "with two digits. Unpack fishyscapes_lostandfound.zip there."
            )
        images = _base(root, lost_and_found, LostAndFound) / "leftImg8bit" / "{train,test}"
        missing = {file: images / _laf_image(name) for name, file in files.labels.items() if name not in files.images}
        _require_scenes(missing, LostAndFound)
        frames = pair(files, images / "*", folder / "*", lambda name: drive_of(name.partition("_")[2]))
        super().__init__(frames, transform)

    @classmethod
    def list_files(cls, root: Path, split: str, lost_and_found: Path | str | None = None) -> Files:
        labels = find_files(require_folder(_labels_folder(root), "the labels"), f"{_STREET}_labels.png")
        base = _base(root, lost_and_found, LostAndFound) / "leftImg8bit"
        places = {name: [base / part / _laf_image(name) for part in LostAndFound.splits] for name in labels}
        found = {name: next(filter(Path.is_file, paths), None) for name, paths in places.items()}
        return Files({name: path for name, path in found.items() if path}, labels)


def _places(root: Path, version: str) -> tuple[Path, Path]:
    """Where a version of Static has its images and its labels, with ``*`` for the name of the frame."""
    if version not in VERSIONS:
        raise ValueError(f"version={version!r} must be one of: {', '.join(VERSIONS)}.")
    if version == "composed":
        return root / "Static" / "original" / "*.png", root / "Static" / "labels" / "*.png"
    folder = root / f"fs_val_{version}"
    if not folder.is_dir() and any(root.glob(f"{_CITY}_rgb.npz")):
        folder = root
        if root.name in {f"fs_val_{other}" for other in VERSIONS} - {f"fs_val_{version}"}:
            raise ValueError(f"By its name, {root} holds another version than {version!r}; give that as version.")
    return folder / "*_rgb.npz", folder / "*_labels.png"


def _find_version(root: Path) -> str:
    """The version that is there. ValueError if that cannot be told."""
    if (root / "Static").is_dir():
        return "composed"
    named = [
        version for version in VERSIONS if (root / f"fs_val_{version}").is_dir() or root.name == f"fs_val_{version}"
    ]
    if len(named) == 1:
        return named[0]
    if named or any(root.glob(f"{_CITY}_rgb.npz")):
        raise ValueError(
            f"{root} holds overlays of {' and '.join(named) or 'a version that no folder names'}; the versions give "
            "different numbers, so say which one is meant (version='v3', for example), or leave but one there."
        )
    return "composed"


def _labels_folder(root: Path) -> Path:
    folder = root / "fishyscapes_lostandfound"
    return root if not folder.is_dir() and any(root.glob(f"{_STREET}_labels.png")) else folder


def _laf_image(name: str) -> str:
    """``0003_04_Weg_8_000001_000030`` -> ``04_Weg_8/04_Weg_8_000001_000030_leftImg8bit.png``."""
    name = name.partition("_")[2]
    return f"{name.rsplit('_', 2)[0]}/{name}_leftImg8bit.png"


def _without(ending: str, files: dict[str, Path]) -> dict[str, Path]:
    return {name.removesuffix(ending): path for name, path in files.items()}


def _base(root: Path, given: Path | str | None, dataset: type[PublishedDataset]) -> Path:
    """The folder of the data set from which the images are: the one that was given, or the one beside ``root``."""
    return Path(os.path.abspath(root)).parent / dataset.folder if given is None else Path(given).expanduser()


def _require_scenes(missing: dict[Path, Path], dataset: type[PublishedDataset]) -> None:
    """FileNotFoundError for a file of Fishyscapes -> the image that it belongs to and that is not there."""
    for file, image in missing.items():
        raise FileNotFoundError(
            f"The image {image} is missing, to which {file} belongs ({len(missing)} such images are). They come from "
            f"{dataset.__name__}, {dataset.page}: unpack them there, or give the folder that holds their leftImg8bit "
            f"as {dataset.folder}."
        )


def _read_overlay(path: Path) -> np.ndarray:
    """What is to be added to an image, int64 (H, W, 3). ValueError, naming the file, if that is not what it holds."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            overlay = arrays["rgb"]
    except FileNotFoundError:
        raise FileNotFoundError(f"The file {path} is gone. Fetch the data set again, or open it anew.") from None
    except Exception as error:  # zipfile, zlib and NumPy have a dozen kinds for one or the other damage
        raise ValueError(
            f"{path} cannot be read as an overlay, an archive with the array 'rgb' ({error}). Fetch the file again."
        ) from error
    if overlay.dtype.kind not in "iu":
        raise ValueError(
            f"{path} holds numbers of type {overlay.dtype}; expected integers, the differences to the Cityscapes image "
            "in steps of 1 of 255. It is not the original; fetch the file again."
        )
    return overlay.astype(np.int64)
