"""COCO (Lin et al. 2014) stands in for all that is no street scene: the proxy."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools import mask as rle

from ood_lib.data.coco_index import EXCLUDED_CATEGORIES, YEAR, open_index
from ood_lib.data.folders import Frame, Layout, require_folder
from ood_lib.data.labels import IGNORE_INDEX, OOD_INDEX, ROAD
from ood_lib.data.sample import PublishedDataset, Transform

if TYPE_CHECKING:
    import pandas as pd


class CocoProxy(PublishedDataset):
    """Targets are 254 (OoD) on instances of any category, crowds included, and else 255 (ignored),
    or with ``background`` "road" the class 0, as the published code has it.

    Reads ``{root}/annotations/instances_train2017.json`` and the images in ``{root}/train2017``, or
    ``{root}/images/train2017``. Outlines are polygons or run lengths, compressed ones too; what has
    none, as where only boxes were drawn, is ignored, and a warning says how many.
    Images with an instance of the `EXCLUDED_CATEGORIES` are left out, and only those are kept whose
    share of OoD pixels is from ``min_ood_share`` to ``max_ood_share`` and for which ``query``
    holds: an expression over the columns of `properties` as `pandas.DataFrame.query` takes it, such
    as ``objects >= 2 and `pixels of animal` == 0``. The annotations are read once (`coco_index`).
    """

    folder = "coco"
    splits = {"train": 118287}
    page = "https://cocodataset.org/#download"
    layouts = (Layout("{split}2017/*.jpg", "annotations/instances_{split}2017.json"),)

    def __init__(self, root: Path, split: str, transform: Transform | None = None,
                 min_ood_share: float = 0.0, max_ood_share: float = 1.0,
                 query: str | None = None, background: str = "ignored") -> None:
        shares = f"min_ood_share={min_ood_share} and max_ood_share={max_ood_share}"
        if not 0 <= min_ood_share <= max_ood_share <= 1:
            raise ValueError(f"{shares} must be numbers from 0 to 1, the first not the larger one.")
        if background not in ("ignored", "road"):
            raise ValueError(f"background={background!r} must be one of: ignored, road.")
        self.background = background
        folder = require_folder(image_folder(root, split))
        annotations = require_folder(root / "annotations") / f"instances_{split}{YEAR}.json"
        self._index = open_index(annotations)
        names = self._index["file_name"]
        missing = sorted(set(names) - set(os.listdir(folder)))
        if missing:
            raise FileNotFoundError(
                f"{annotations} names the image {folder / missing[0]}, which is missing, as are "
                f"{len(missing) - 1} more of {len(names)}. Unpack {folder.name}.zip again."
            )
        names = names[self._index["ood_share"].between(min_ood_share, max_ood_share)]
        gc.freeze()  # else so many new objects have it search all of torch's, for twice the time
        frames = [Frame(name[:-4], name[:-4], folder / name, annotations) for name in names]
        gc.unfreeze()
        super().__init__(frames, transform)
        if not frames:
            excluded = ", ".join(sorted(EXCLUDED_CATEGORIES))
            raise ValueError(f"{shares} leave no image without {excluded}. Widen the range.")
        if query is not None:
            self.frames = self._chosen(query)

    @classmethod
    def count(cls, root: Path, split: str, **options: Any) -> tuple[int, int]:
        """How many images there are, and how many the annotations name: of all COCO."""
        images = list(image_folder(root, split).glob("[!.]*.jpg"))
        annotations = root / "annotations" / f"instances_{split}{YEAR}.json"
        labels = open_index(annotations).attrs["num_images"] if annotations.is_file() else 0
        return len(images), labels

    @property
    def properties(self) -> pd.DataFrame:
        """What can be measured of each sample as it is on disk, before any crop: row ``id``.

        Columns: ``pixels``; ``ood_share``, the share of OoD pixels; ``objects``, connected parts of
        these, corners included; ``boundary``, pairs of neighbouring pixels, one of them OoD: its
        length in sides of a pixel; ``pixels of {supercategory}``, which may overlap, for each.
        """
        numbers = [int(id_) for id_ in self.ids]  # by which the index is ordered
        rows = self._index.loc[numbers].set_axis(self.ids).rename_axis("id")
        rows.insert(0, "pixels", rows["height"] * rows["width"])
        return rows.drop(columns=["file_name", "height", "width", "skipped", "counts"])

    def read_target(self, frame: Frame) -> np.ndarray:
        columns = ("height", "width", "counts")
        height, width, counts = (self._index[name].at[int(frame.id)] for name in columns)
        mask = rle.decode({"size": [int(height), int(width)], "counts": counts})  # (H, W)
        other = ROAD if self.background == "road" else IGNORE_INDEX
        return np.where(mask > 0, OOD_INDEX, other).astype(np.uint8)

    def _chosen(self, query: str) -> list[Frame]:
        """The frames for which the query holds. ValueError if it is no query or holds for none."""
        properties = self.properties
        try:
            holds = properties.eval(query, engine="python").astype(bool)
            chosen = [frame for frame, kept in zip(self.frames, holds, strict=True) if kept]
        except (NameError, SyntaxError, TypeError, ValueError, AttributeError, KeyError) as error:
            columns = ", ".join(f"`{name}`" if " " in name else name for name in properties)
            hint = f"{error}. It must say yes or no of an image by its {columns}."
            raise ValueError(f"The query {query!r} cannot be answered: {hint}") from error
        if not chosen:
            raise ValueError(f"The query {query!r} holds for none of the {len(self)} images.")
        return chosen


def image_folder(root: Path, split: str) -> Path:
    """Where the images are: in COCO's own folder, or in ``images``, as other tools want it."""
    usual = root / f"{split}{YEAR}"
    other = root / "images" / usual.name
    return other if other.is_dir() and not usual.is_dir() else usual
