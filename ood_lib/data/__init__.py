"""The data sets, read from the folders in which they are distributed."""

from pathlib import Path
from typing import Any

from ood_lib.data.cityscapes import Cityscapes
from ood_lib.data.coco_proxy import CocoProxy
from ood_lib.data.fishyscapes import FishyscapesStatic
from ood_lib.data.lost_and_found import LostAndFound
from ood_lib.data.sample import Sample, SegmentationDataset, collate
from ood_lib.data.transforms import training_transform

__all__ = ["DATASETS", "Sample", "SegmentationDataset", "collate", "open_dataset", "training_transform"]

DATASETS = {
    "cityscapes": Cityscapes,
    "coco_proxy": CocoProxy,
    "lost_and_found": LostAndFound,
    "fishyscapes_static": FishyscapesStatic,
}


def open_dataset(name: str, root: Path | str, split: str | None = None, **options: Any) -> SegmentationDataset:
    """The data set of that name in its own folder ``root``; nothing but the list of its files is read yet.

    ======================  ==================  ============================  =========================================
    name                    split               ``root`` holds                targets
    ======================  ==================  ============================  =========================================
    ``cityscapes``          ``train``, ``val``  leftImg8bit, gtFine           train ids 0-18, 255 ignored
    ``coco_proxy``          ``train``           train2017, annotations        254 out-of-distribution, 255 ignored
    ``lost_and_found``      ``train``, ``test`` leftImg8bit, gtCoarse         0 in-distribution, 1 anomaly, 255 ignored
    ``fishyscapes_static``  ``val``             Static                        0 in-distribution, 1 anomaly, 255 ignored
    ======================  ==================  ============================  =========================================

    ``split`` may be left out where there is but one. Options: ``transform``, called with (image, target); for the
    proxy also ``min_ood_share`` and ``max_ood_share``. Raises ValueError for a name or split that does not exist,
    and FileNotFoundError where the folder is not as the data set is distributed.
    """
    if name not in DATASETS:
        raise ValueError(f"There is no data set {name!r}; choose one of: {', '.join(DATASETS)}.")
    splits = DATASETS[name].splits
    if split is None and len(splits) == 1:
        split = splits[0]
    if split not in splits:
        raise ValueError(f"{name} has no split {split!r}; choose one of: {', '.join(splits)}.")
    return DATASETS[name](Path(root).expanduser(), split, **options)
