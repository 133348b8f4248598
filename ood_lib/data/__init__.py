"""The data sets, read from the folders in which they are distributed."""

from pathlib import Path
from typing import Any

from ood_lib.data.cityscapes import Cityscapes
from ood_lib.data.coco_proxy import CocoProxy
from ood_lib.data.course import COURSE_FOLDERS, RoadAnomaly, course_copy
from ood_lib.data.fishyscapes import FishyscapesLostAndFound, FishyscapesStatic
from ood_lib.data.lost_and_found import LostAndFound
from ood_lib.data.sample import PublishedDataset, Sample, SegmentationDataset, collate
from ood_lib.data.segment_me_if_you_can import RoadAnomaly21, RoadObstacle21
from ood_lib.data.transforms import training_transform
from ood_lib.files import user_path

__all__ = [
    "DATASETS", "Sample", "SegmentationDataset", "class_in", "collate", "data_folder",
    "open_dataset", "training_transform",
]

DATASETS: dict[str, type[PublishedDataset]] = {
    "cityscapes": Cityscapes,
    "coco_proxy": CocoProxy,
    "lost_and_found": LostAndFound,
    "fishyscapes_static": FishyscapesStatic,
    "fishyscapes_lost_and_found": FishyscapesLostAndFound,
    "road_anomaly": RoadAnomaly,
    "road_anomaly_21": RoadAnomaly21,
    "road_obstacle_21": RoadObstacle21,
}
"""The data sets, by the name that `open_dataset` takes."""


def open_dataset(name: str, root: Path | str, split: str | None = None,
                 **options: Any) -> SegmentationDataset:
    """The data set of that name in its own folder ``root``; so far only its files are listed.

    ==============================  ===================  ========================  ==============
    name                            split                ``root`` holds            targets
    ==============================  ===================  ========================  ==============
    ``cityscapes``                  ``train``, ``val``   leftImg8bit, gtFine       0-18 and 255
    ``coco_proxy``                  ``train``            train2017, annotations    254 and 255
    ``lost_and_found``              ``train``, ``test``  leftImg8bit, gtCoarse     0, 1 and 255
    ``fishyscapes_static``          ``val``              Static, or fs_val_v3 ...  0, 1 and 255
    ``fishyscapes_lost_and_found``  ``val``              fishyscapes_lostandfound  0, 1 and 255
    ``road_anomaly``                ``val``              frames                    0, 1 and 255
    ``road_anomaly_21``             ``val``, ``test``    images, labels_masks      0, 1 and 255
    ``road_obstacle_21``            ``val``, ``test``    images, labels_masks      0, 1 and 255
    ==============================  ===================  ========================  ==============

    Targets are train ids 0-18 of Cityscapes, 254 on objects of the proxy, and in test data 0
    in-distribution and 1 anomaly; 255 is ignored. ``split`` may be left out where there is but one.
    All data sets take the option ``transform``, called with (image, target), and some take others:
    `CocoProxy`, `LostAndFound`, `FishyscapesStatic` and `FishyscapesLostAndFound` say which. The
    last five are also read as courses hand them around (`ood_lib.data.course`), without options.

    ValueError for a name, a split or an option's value that does not exist, FileNotFoundError where
    the folder is not as the data set is distributed.
    """
    if name not in DATASETS:
        raise ValueError(f"There is no data set {name!r}; choose one of: {', '.join(DATASETS)}.")
    splits = list(DATASETS[name].splits)
    if split is None and len(splits) == 1:
        split = splits[0]
    if split not in splits:
        raise ValueError(f"{name} has no split {split!r}; choose one of: {', '.join(splits)}.")
    root = user_path(root)
    try:
        return class_in(name, root)(root, split, **options)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}{_advice(name, root)}") from None


def class_in(name: str, root: Path) -> type[PublishedDataset]:
    """The class that reads the data set of that name as it lies in its own folder ``root``."""
    return course_copy(name, root) or DATASETS[name]


def data_folder(name: str, data_root: Path) -> Path:
    """The data set's own folder under a data root: the usual one, or if that does not hold it, a
    course's copy that lies there. Of a name that `open_dataset` does not know, that name."""
    usual = data_root / (DATASETS[name].folder if name in DATASETS else name)
    copies = [data_root / folder for folder, of in COURSE_FOLDERS.items() if of == name]
    if not copies or name in _data_sets_in(usual):
        return usual
    return next((folder for folder in copies if course_copy(name, folder)), usual)


def _advice(name: str, root: Path) -> str:
    """Where the data set seems to lie instead, or what else ``root`` seems to be."""
    # An archive may have been unpacked into a folder of its own, or one too deep may be given.
    for folder in (root, *sorted(root.glob("[!._]*/")), root.parent):
        if name in _data_sets_in(folder):
            if folder == root:  # where its labels lie
                return " The root is right: what is missing must be put where this says."
            advice = f" The folder {folder} looks like {name}: give that one as root"
            return advice + "; what was unpacked side by side must be moved into one folder."
    if others := " and ".join(_data_sets_in(root)):
        return f" {root} looks like {others}: open it by that name, or give another."
    return " Give as root the data set's own folder, unpacked as it is distributed."


def _data_sets_in(folder: Path) -> list[str]:
    return [
        name for name, dataset in DATASETS.items()
        if course_copy(name, folder) or any(way.is_in(folder) for way in dataset.layouts)
    ]
