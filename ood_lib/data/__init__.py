"""The data sets, read from the folders in which they are distributed."""

from pathlib import Path
from typing import Any

from ood_lib.data.cityscapes import Cityscapes
from ood_lib.data.coco_proxy import CocoProxy
from ood_lib.data.fishyscapes import FishyscapesLostAndFound, FishyscapesStatic
from ood_lib.data.lost_and_found import LostAndFound
from ood_lib.data.sample import PublishedDataset, Sample, SegmentationDataset, collate
from ood_lib.data.segment_me import RoadAnomaly21, RoadObstacle21
from ood_lib.data.transforms import training_transform

__all__ = ["DATASETS", "Sample", "SegmentationDataset", "collate", "open_dataset", "training_transform"]

DATASETS: dict[str, type[PublishedDataset]] = {
    "cityscapes": Cityscapes,
    "coco_proxy": CocoProxy,
    "lost_and_found": LostAndFound,
    "fishyscapes_static": FishyscapesStatic,
    "fishyscapes_lost_and_found": FishyscapesLostAndFound,
    "road_anomaly_21": RoadAnomaly21,
    "road_obstacle_21": RoadObstacle21,
}
"""The data sets, by the name that `open_dataset` takes."""

_SIGNS = {
    "cityscapes": ["gtFine/*/*/*_gtFine_labelIds.png"],
    "coco_proxy": ["annotations/instances_*2017.json"],
    "lost_and_found": ["gtCoarse/*/[0-9][0-9]_*/*_gtCoarse_labelIds.png"],
    "fishyscapes_static": ["Static/labels/*.png", "fs_val_v*/*_rgb.npz", "*_rgb.npz"],
    "fishyscapes_lost_and_found": ["fishyscapes_lostandfound/*_labels.png", "????_[0-9][0-9]_*_labels.png"],
    "road_anomaly_21": ["images/validation*.jpg"],
    "road_obstacle_21": ["images/validation*.webp"],
}
"""Files by which a data set's own folder is known."""


def open_dataset(name: str, root: Path | str, split: str | None = None, **options: Any) -> SegmentationDataset:
    """The data set of that name in its own folder ``root``; nothing but the list of its files is read yet.

    ==============================  ===================  ========================  ====================================
    name                            split                ``root`` holds            targets
    ==============================  ===================  ========================  ====================================
    ``cityscapes``                  ``train``, ``val``   leftImg8bit, gtFine       train ids 0-18, 255 ignored
    ``coco_proxy``                  ``train``            train2017, annotations    254 out-of-distribution, 255 ignored
    ``lost_and_found``              ``train``, ``test``  leftImg8bit, gtCoarse     0, 1 and 255, see below
    ``fishyscapes_static``          ``val``              Static, or fs_val_v3 ...  0, 1 and 255
    ``fishyscapes_lost_and_found``  ``val``              fishyscapes_lostandfound  0, 1 and 255
    ``road_anomaly_21``             ``val``, ``test``    images, labels_masks      0, 1 and 255
    ``road_obstacle_21``            ``val``, ``test``    images, labels_masks      0, 1 and 255
    ==============================  ===================  ========================  ====================================

    The targets of test data are 0 in-distribution, 1 anomaly, 255 ignored. ``split`` may be left out where there is
    but one. Options, further described in the classes:

    - ``transform``, called with (image, target), for all;
    - ``min_ood_share`` and ``max_ood_share`` for the proxy: which shares of an image may be out-of-distribution, and
      ``query``: what else must hold for it, such as ``objects >= 2``;
    - ``nonhazards`` for LostAndFound: "ignore", as in the thesis, or "anomaly", as in SegmentMeIfYouCan;
    - ``version`` for Fishyscapes Static: "composed" images or the overlays "v1", "v2" or "v3", which are added to
      images from the folder ``cityscapes``, by default the one beside ``root``; if not given, what is there;
    - ``lost_and_found`` for Fishyscapes LostAndFound: the folder of its images, by default the one beside ``root``.

    Raises ValueError for a name, a split or an option's value that does not exist, and FileNotFoundError where the
    folder is not as the data set is distributed.
    """
    if name not in DATASETS:
        raise ValueError(f"There is no data set {name!r}; choose one of: {', '.join(DATASETS)}.")
    splits = list(DATASETS[name].splits)
    if split is None and len(splits) == 1:
        split = splits[0]
    if split not in splits:
        raise ValueError(f"{name} has no split {split!r}; choose one of: {', '.join(splits)}.")
    root = Path(root).expanduser()
    try:
        return DATASETS[name](root, split, **options)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}{_advice(name, root)}") from None


def _advice(name: str, root: Path) -> str:
    """A sentence on where the data set seems to lie instead, or what else ``root`` seems to be; empty if unknown."""
    if _looks_like(name, root):
        return ""
    below = sorted(path for path in root.glob("[!._]*") if path.is_dir())
    for folder in (*below, root.parent):
        if _looks_like(name, folder):
            advice = f"The folder {folder} looks like {name}: give that one as root"
            return f" {advice}; if archives were unpacked side by side, move what they hold into one folder."
    others = [other for other in DATASETS if _looks_like(other, root)]
    return f" {root} looks like {' and '.join(others)}: open it by that name, or give another root." if others else ""


def _looks_like(name: str, folder: Path) -> bool:
    return any(next(folder.glob(sign), None) for sign in _SIGNS.get(name, ()))
