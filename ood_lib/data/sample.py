"""What every data set here is: a list of images with their targets, read when asked for."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from ood_lib.data.labels import IGNORE_INDEX

Transform = Callable[[tv_tensors.Image, tv_tensors.Mask], tuple[tv_tensors.Image, tv_tensors.Mask]]


class Sample(NamedTuple):
    """One image and what is known about its pixels."""

    image: tv_tensors.Image
    """uint8 (3, H, W), RGB."""
    target: tv_tensors.Mask
    """uint8 (H, W); what the values mean is up to the data set, but 255 is ignored everywhere."""
    id: str
    """Stem of the image file."""
    sequence: str
    """Images with the same sequence were taken moments apart; the id where an image stands alone."""


class Frame(NamedTuple):
    """Where a sample lies on disk."""

    id: str
    sequence: str
    image: Path
    label: Path | None
    """None where the publishers keep the labels to themselves."""


class Files(NamedTuple):
    """What there is of a split, by the name of the frame; one that lacks its image or its label is in one of them."""

    images: dict[str, Path]
    labels: dict[str, Path]


class SegmentationDataset(Dataset[Sample], ABC):
    """A map-style data set of `Sample`; the data sets differ in how they find their frames and read a target.

    A data set of one's own gives its frames to this class and says how to read a target; that is all.

    ``transform`` is called with (image, target) and returns both, changed alike.
    """

    def __init__(self, frames: Sequence[Frame], transform: Transform | None = None) -> None:
        self.frames = list(frames)
        self.transform = transform

    @property
    def ids(self) -> list[str]:
        """The ids of all samples, in order."""
        return [frame.id for frame in self.frames]

    @property
    def labelled(self) -> bool:
        """Whether every frame has labels."""
        return all(frame.label is not None for frame in self.frames)

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Sample:
        frame = self.frames[index]
        pixels = self.read_pixels(frame)
        if frame.label is None:
            labels = np.full(pixels.shape[:2], IGNORE_INDEX, dtype=np.uint8)
        else:
            labels = self.read_target(frame)
        if labels.shape != pixels.shape[:2]:
            raise ValueError(
                f"{frame.label} gives a target of {_size(labels)} pixels, but the image {frame.image} has "
                f"{_size(pixels)}. They must be equal: one of the two files is not the original; fetch both again."
            )
        image = tv_tensors.Image(torch.from_numpy(pixels).permute(2, 0, 1).contiguous())
        target = tv_tensors.Mask(torch.from_numpy(labels))
        if self.transform is not None:
            image, target = self.transform(image, target)
        return Sample(image, target, frame.id, frame.sequence)

    def take(self, count: int | None) -> Self:
        """The data set with ``count`` of its samples, spread evenly over the order; all of them if None."""
        if count is None:
            return self
        if not 1 <= count <= len(self):
            raise ValueError(f"Cannot take {count} of {len(self)} samples; choose a number from 1 to {len(self)}.")
        part = copy.copy(self)
        part.frames = [self.frames[i * len(self) // count] for i in range(count)]
        return part

    def read_pixels(self, frame: Frame) -> np.ndarray:
        """The frame's image, uint8 (H, W, 3), RGB."""
        return read_image(frame.image)

    @abstractmethod
    def read_target(self, frame: Frame) -> np.ndarray:
        """The target of a frame that has labels, uint8 (H, W), writable."""


class PublishedDataset(SegmentationDataset):
    """A data set that is known by name: its facts, and what of its files is there."""

    folder: ClassVar[str]
    """Its own folder's name under a data root."""
    splits: ClassVar[dict[str, int]]
    """Split -> number of images, as published."""
    page: ClassVar[str]
    """Where to get it."""

    @classmethod
    @abstractmethod
    def count(cls, root: Path, split: str, **options: Any) -> tuple[int, int]:
        """How many images and how many labels of the split there are in the data set's own folder."""


class PairedFiles(PublishedDataset):
    """A published data set with a label file for each image file."""

    @classmethod
    @abstractmethod
    def list_files(cls, root: Path, split: str, **options: Any) -> Files:
        """The split's files below the data set's own folder; FileNotFoundError only for a folder that is missing."""

    @classmethod
    def count(cls, root: Path, split: str, **options: Any) -> tuple[int, int]:
        files = cls.list_files(root, split, **options)
        return len(files.images), len(files.labels)


def find_files(folder: Path, pattern: str) -> dict[str, Path]:
    """Files by their path within the folder, in order, without what follows the pattern's last ``*``.

    ``._*``, which Macs leave beside every file, are none.
    """
    ending = pattern.rpartition("*")[2]
    paths = (path for path in sorted(folder.glob(pattern)) if not path.name.startswith("._"))
    return {path.relative_to(folder).as_posix().removesuffix(ending): path for path in paths}


def pair(
    files: Files,
    image: Path,
    label: Path,
    sequence: Callable[[str], str] | None = None,
    labels_public: bool = True,
) -> list[Frame]:
    """One frame for each image, in the order of their names; their own id is the sequence if there is no other.

    ``image`` and ``label`` tell where the files should be, with ``*`` for the name of the frame. FileNotFoundError if
    there is no image, an image has no label (allowed where they are not public) or a label no image: what was
    unpacked by half must not pass for a smaller data set.
    """
    if not files.images:
        raise FileNotFoundError(
            f"There is no image in {image.parent}; expected {image.name}, named and sorted into folders as distributed."
            " Unpack the archive of the images there."
        )
    if labels_public:
        _require_partners(files.images, files.labels, label, "image", "label")
    _require_partners(files.labels, files.images, image, "label", "image")
    return [
        Frame(path.stem, sequence(name) if sequence else path.stem, path, files.labels.get(name))
        for name, path in sorted(files.images.items())
    ]


def _require_partners(files: dict[str, Path], partners: dict[str, Path], place: Path, kind: str, partner: str) -> None:
    alone = sorted(files.keys() - partners.keys())
    if alone:
        expected = place.parent / place.name.replace("*", alone[0])
        raise FileNotFoundError(
            f"The {kind} {files[alone[0]]} has no {partner}: {expected} is missing "
            f"({len(alone)} of {len(files)} {kind}s lack theirs). Unpack the archive of the {partner}s once more."
        )


def read_image(path: Path) -> np.ndarray:
    """An image file as uint8 RGB (H, W, 3). FileNotFoundError or ValueError, naming the file, if that fails."""
    return _read(path, lambda image: image.convert("RGB"))


def read_labels(path: Path) -> np.ndarray:
    """An 8-bit label file as uint8 (H, W): grey values, or the indices of a palette. Errors as in `read_image`."""
    labels = _read(path, lambda image: image)
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise ValueError(
            f"{path} should hold one label id of 8 bits for each pixel, but its pixels are {labels.dtype} of shape "
            f"{labels.shape}. Give the folder with the label ids, not with the colours or the instances."
        )
    return labels


def to_target(label_ids: np.ndarray, target_of_id: np.ndarray, known_ids: frozenset[int], path: Path) -> np.ndarray:
    """Look every label id up in the table (256,). ValueError names ids that the data set does not define."""
    found = np.flatnonzero(np.bincount(label_ids.ravel(), minlength=256))  # several times faster than np.unique
    unknown = sorted(set(found.tolist()) - known_ids)
    if unknown:
        raise ValueError(
            f"{path} holds the label ids {unknown}, which the data set does not define "
            f"(its ids end at {max(known_ids - {255})}). Is it the labelIds file of this data set?"
        )
    return target_of_id[label_ids]


def require_folder(folder: Path, purpose: str) -> Path:
    """The folder, if it is there. FileNotFoundError says what it should be and what lies beside it instead."""
    if folder.is_dir():
        return folder
    parent = next(p for p in folder.parents if p.is_dir())
    present = ", ".join(sorted(p.name for p in parent.iterdir())[:10]) or "nothing"
    raise FileNotFoundError(
        f"There is no folder {folder} ({purpose}). The folder {parent} holds: {present}. "
        "Give as root the data set's own folder, unpacked as it is distributed."
    )


def collate(samples: Sequence[Sample]) -> tuple[Tensor, Tensor]:
    """Stack samples of one size: images uint8 (N, 3, H, W) and targets uint8 (N, H, W). ValueError if sizes differ."""
    sizes = {tuple(sample.target.shape): sample.id for sample in samples}
    if len(sizes) > 1:
        found = ", ".join(f"{id_}: {width} x {height}" for (height, width), id_ in sizes.items())
        raise ValueError(
            f"Images of different sizes cannot share a batch ({found}). "
            "Open the data set with transform=training_transform(crop), or use batch_size=1."
        )
    images = torch.stack([sample.image.as_subclass(Tensor) for sample in samples])
    targets = torch.stack([sample.target.as_subclass(Tensor) for sample in samples])
    return images, targets


def _read(path: Path, prepare: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return np.array(prepare(image))
    except FileNotFoundError:
        raise FileNotFoundError(f"The file {path} is gone. Fetch the data set again, or open it anew.") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # Pillow's, for one or the other kind of damage
        raise ValueError(f"{path} cannot be read as an image ({error}). Fetch the file again.") from error


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"
