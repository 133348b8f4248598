"""What every data set here is: a list of images with their targets, read when asked for."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, NamedTuple, Self

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import Dataset

from ood_lib.data.folders import Frame, Layout
from ood_lib.data.labels import ANOMALY_IDS, ANOMALY_TARGET_OF_ID, IGNORE_INDEX
from ood_lib.kept import files_digest

Transform = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Of an image and its target, which come as torchvision's ``tv_tensors``: its transforms know what
to do with each."""


class Sample(NamedTuple):
    """One image and what is known about its pixels."""

    image: Tensor  #: uint8 (3, H, W), RGB
    target: Tensor  #: uint8 (H, W); its values are the data set's, but 255 is ignored
    id: str  #: stem of the image file
    sequence: str  #: common to images taken moments apart; the id where an image stands alone


class SegmentationDataset(Dataset[Sample]):
    """A map-style data set of `Sample`: frames, such as those of a `Layout`, and, if these have
    labels, a `read_target` of its own. ``transform`` is called with (image, target) and returns
    both, changed alike."""

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
        pixels = self.read_pixels(frame)  # (H, W, 3)
        unlabelled = np.full(pixels.shape[:2], IGNORE_INDEX, dtype=np.uint8)  # (H, W)
        target = unlabelled if frame.label is None else self.read_target(frame)
        if target.shape != unlabelled.shape:
            raise ValueError(
                f"{frame.label} gives a target (H, W) of {target.shape}, the image {frame.image} "
                f"is of {unlabelled.shape}. One of them is not the original; give both anew."
            )
        image = torch.from_numpy(pixels).permute(2, 0, 1).contiguous()  # (3, H, W)
        target = torch.from_numpy(target)
        if self.transform is not None:
            from torchvision import tv_tensors  # late, as that takes longer than PyTorch itself

            image, target = self.transform(tv_tensors.Image(image), tv_tensors.Mask(target))
        return Sample(image, target, frame.id, frame.sequence)

    def take(self, count: int | None) -> Self:
        """With ``count`` of its samples, spread evenly over the order; with all of them if None."""
        count = len(self) if count is None else count
        if not 1 <= count <= len(self):
            advice = "take 1 to all of them, or None. It may be a profile's num_in_distribution"
            raise ValueError(f"Cannot take {count} of {len(self)} samples; {advice}: lower that.")
        part = copy.copy(self)
        part.frames = [self.frames[i * len(self) // count] for i in range(count)]
        return part

    def what_decides(self) -> dict[str, Any]:
        """For `ood_lib.kept.digest`: ids and sequences, the state of all files, the transform, and
        as options all other attributes whose names do not begin with an underscore."""
        options = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        names = "\n".join(f"{frame.id} of {frame.sequence}" for frame in self.frames)
        files = [path for frame in self.frames for path in (frame.image, frame.label) if path]
        return options | {"frames": names, "files": files_digest(files)}

    def read_pixels(self, frame: Frame) -> np.ndarray:
        """The frame's image, uint8 (H, W, 3), RGB."""
        return read_image(frame.image)

    def read_target(self, frame: Frame) -> np.ndarray:
        """The target of a frame that has labels, uint8 (H, W), writable."""
        raise NotImplementedError(f"{type(self).__name__} must define read_target for its labels.")


class PublishedDataset(SegmentationDataset):
    """A data set that is known by name: its facts, and how its label ids become targets."""

    folder: ClassVar[str]  #: its own folder's name under a data root
    splits: ClassVar[dict[str, int]]  #: split -> number of images, as published
    page: ClassVar[str]  #: where to get it
    layouts: ClassVar[Sequence[Layout]]  #: how its own folder may be laid out, the usual way first
    known_ids: ClassVar[frozenset[int]] = ANOMALY_IDS  #: the label ids that the data set defines
    target_of_id: np.ndarray = ANOMALY_TARGET_OF_ID  #: uint8 (256,): label id -> target

    @classmethod
    def layout_of(cls, root: Path, **options: Any) -> Layout:
        """The layout of this folder; the usual one if there is none to be seen."""
        others = (layout for layout in cls.layouts[1:] if layout.is_in(root))
        return next(others, cls.layouts[0])

    @classmethod
    def count(cls, root: Path, split: str, **options: Any) -> tuple[int, int]:
        """How many images and how many labels of the split are there, partners or not."""
        layout = cls.layout_of(root, **options)
        return len(layout.files(root, split, "image")), len(layout.files(root, split, "label"))

    def read_pixels(self, frame: Frame) -> np.ndarray:
        return read_image(frame.image, upright=False)  # the labels lie on the pixels as stored

    def read_target(self, frame: Frame) -> np.ndarray:
        label_ids = read_labels(frame.label, upright=False)  # (H, W)
        found = np.flatnonzero(np.bincount(label_ids.ravel(), minlength=256))  # np.unique is slow
        unknown = sorted(set(found.tolist()) - self.known_ids)
        if unknown:
            raise ValueError(
                f"{frame.label} holds the label ids {unknown}, which the data set does not define "
                f"(its ids end at {max(self.known_ids - {255})}). Is it one of its label files?"
            )
        return self.target_of_id[label_ids]


def last_with_anomaly(dataset: SegmentationDataset) -> dict[str, int]:
    """Of each sequence that shows an anomaly, target 1, the index of the last frame with one.

    On a drive it is nearest there; the very last labels of many in LostAndFound are blank. Reads
    labels, untransformed. ValueError if there is no anomaly at all.
    """
    found: dict[str, int] = {}
    for index, frame in reversed(list(enumerate(dataset.frames))):
        if frame.sequence not in found and frame.label and (dataset.read_target(frame) == 1).any():
            found[frame.sequence] = index
    if not found:
        raise ValueError(f"None of the {len(dataset)} frames has an anomaly; give test data.")
    return dict(reversed(found.items()))


def read_image(path: Path, upright: bool = True) -> np.ndarray:
    """An image file as uint8 (H, W, 3), RGB, turned as viewers do by its EXIF data if ``upright``.

    Of grey values of 16 bits the upper eight count. Errors as of `read_file`, also for grey values
    of 32 bits, whose range nobody knows.
    """
    return read_file(path, "an image", lambda file: _rgb(_open(file, upright)))


def read_labels(path: Path, upright: bool = True) -> np.ndarray:
    """An 8-bit label file as uint8 (H, W), grey values or indices, turned like its image; errors as
    of `read_file`."""
    labels = read_file(path, "an image", lambda file: np.array(_open(file, upright)))
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise ValueError(
            f"{path} should hold one label id of 8 bits for each pixel, but its pixels are "
            f"{labels.dtype} {labels.shape}. Give the label ids, not the colours or the instances."
        )
    return labels


def _open(file: BinaryIO, upright: bool) -> Image.Image:
    image = Image.open(file)
    if upright:
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I;16"):  # of which Pillow would make all above 255 white
        image = Image.fromarray((np.array(image) >> 8).astype(np.uint8))
    if image.mode in "IF":
        raise ValueError("it has 32 bits for each pixel's grey value; 8 and 16 are understood")
    return np.array(image.convert("RGB"))


def read_file(path: Path, kind: str, read: Callable[[BinaryIO], np.ndarray]) -> np.ndarray:
    """What ``read`` makes of the open file; FileNotFoundError or ValueError names a bad one."""
    if not path.is_file():
        what = "a folder: give files in it" if path.is_dir() else "not there: look for it"
        raise FileNotFoundError(f"{path} is {what}.")
    try:
        with path.open("rb") as file:
            return read(file)
    except Exception as error:  # Pillow, NumPy and zipfile have a dozen for one or other damage
        advice = "Give a sound copy: of HEIC a JPEG, of what is too large a smaller one."
        raise ValueError(f"{path} cannot be read as {kind} ({error}). {advice}") from error


def collate(samples: Sequence[Sample]) -> tuple[Tensor, Tensor]:
    """Stack to images uint8 (N, 3, H, W), targets uint8 (N, H, W). ValueError if sizes differ."""
    sizes = sorted({tuple(sample.target.shape) for sample in samples})
    if len(sizes) > 1:
        instead = "Open the data set with transform=training_transform(crop), or use batch_size=1."
        raise ValueError(f"Images of the sizes {sizes} cannot share a batch. {instead}")
    images = torch.stack([sample.image.as_subclass(Tensor) for sample in samples])
    targets = torch.stack([sample.target.as_subclass(Tensor) for sample in samples])
    return images, targets
