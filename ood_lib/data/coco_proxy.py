"""COCO (Lin et al. 2014) as a stand-in for everything that is not a street scene: the out-of-distribution proxy."""

import gc
import os
from pathlib import Path

import numpy as np
import pandas as pd
from pycocotools import mask as rle

from ood_lib.data.coco_index import EXCLUDED_CATEGORIES, YEAR, open_index
from ood_lib.data.labels import IGNORE_INDEX, OOD_INDEX
from ood_lib.data.sample import Frame, PublishedDataset, Transform, require_folder


class CocoProxy(PublishedDataset):
    """Targets are 254 (OoD) where an instance of any category is, crowds included, and 255 (ignored) elsewhere.

    Reads ``{root}/annotations/instances_train2017.json`` and the images in ``{root}/train2017``. Images with an
    instance of the `EXCLUDED_CATEGORIES` are left out, and only those are kept whose share of OoD pixels is from
    ``min_ood_share`` to ``max_ood_share`` and for which ``query`` holds: an expression over the columns of
    `properties` as `pandas.DataFrame.query` takes it, such as ``objects >= 2 and `pixels of animal` == 0``. The
    annotations are read once and then kept in the cache (`coco_index`).
    """

    folder = "coco"
    splits = {"train": 118287}
    page = "https://cocodataset.org/#download"

    def __init__(
        self,
        root: Path,
        split: str,
        transform: Transform | None = None,
        min_ood_share: float = 0.0,
        max_ood_share: float = 1.0,
        query: str | None = None,
    ) -> None:
        if not 0 <= min_ood_share <= max_ood_share <= 1:
            raise ValueError(
                f"min_ood_share={min_ood_share} and max_ood_share={max_ood_share} must be shares of an image's pixels "
                "with 0 <= min_ood_share <= max_ood_share <= 1."
            )
        images, annotations = _locate(root, split)
        self._index = open_index(annotations)
        rows = self._index.images
        _require_images(images, rows["file_name"].tolist(), annotations)
        names = rows["file_name"][rows["ood_share"].between(min_ood_share, max_ood_share)]
        super().__init__(_frames(images, names.tolist(), annotations), transform)
        if not self.frames:
            raise ValueError(
                f"No image of {annotations} is free of {', '.join(sorted(EXCLUDED_CATEGORIES))} and has a share of "
                f"OoD pixels from {min_ood_share} to {max_ood_share}. Widen the range."
            )
        if query is not None:
            self._select(query)

    @classmethod
    def count(cls, root: Path, split: str) -> tuple[int, int]:
        """How many images are in the folder, and how many the annotations name: of all of COCO, not of the proxy."""
        images, annotations = _locate(root, split)
        labelled = open_index(annotations).num_images if annotations.is_file() else 0
        return sum(name.endswith(".jpg") and not name.startswith(".") for name in os.listdir(images)), labelled

    @property
    def properties(self) -> pd.DataFrame:
        """What can be measured of each sample as it is on disk, before any crop: row ``id``.

        Columns: ``pixels``, ``ood_share``, ``objects`` (connected parts of the OoD pixels, corners included),
        ``boundary`` (pairs of neighbouring pixels, one of them OoD: its length in sides of a pixel), and
        ``pixels of {supercategory}`` (see `supercategory_pixels`).
        """
        rows = self._index.images.loc[self._numbers].set_axis(self.ids).rename_axis("id")
        rows.insert(0, "pixels", rows["height"] * rows["width"])
        own = rows[["pixels", "ood_share", "objects", "boundary"]]
        return own.join(self.supercategory_pixels.add_prefix("pixels of "))

    @property
    def ood_shares(self) -> np.ndarray:
        """Share of OoD pixels of each sample, float64 (len,), in the order of ``ids``."""
        return self._index.images["ood_share"].loc[self._numbers].to_numpy()

    @property
    def supercategory_pixels(self) -> pd.DataFrame:
        """How many pixels of each sample are on instances of each supercategory: row ``id``, column its name, int64.

        Instances of different supercategories may overlap, so a row's sum may exceed the number of OoD pixels.
        """
        return self._index.supercategory_pixels.loc[self._numbers].set_axis(self.ids)

    def read_target(self, frame: Frame) -> np.ndarray:
        columns = self._index.images
        height, width, counts = (columns[name].at[int(frame.id)] for name in ("height", "width", "counts"))
        mask = rle.decode({"size": [int(height), int(width)], "counts": counts})
        return np.where(mask > 0, OOD_INDEX, IGNORE_INDEX).astype(np.uint8)

    def _select(self, query: str) -> None:
        """Keep the samples for which the query holds; ValueError if it is none, or holds for no sample."""
        try:
            holds = self.properties.eval(query, engine="python")
            chosen = [frame for frame, kept in zip(self.frames, holds.astype(bool), strict=True) if kept]
        except (NameError, SyntaxError, TypeError, ValueError, AttributeError, KeyError) as error:
            columns = ", ".join(f"`{name}`" if " " in name else name for name in self.properties)
            raise ValueError(
                f"The query {query!r} of the proxy cannot be answered: {error}. It must say yes or no of an image by "
                f"its {columns}."
            ) from error
        if not chosen:
            raise ValueError(f"The query {query!r} holds for none of the {len(self.frames)} images of the proxy.")
        self.frames = chosen

    @property
    def _numbers(self) -> list[int]:
        """COCO's numbers of the images, by which the index is ordered."""
        return [int(id_) for id_ in self.ids]


def _locate(root: Path, split: str) -> tuple[Path, Path]:
    """The folder of the images and the annotation file, which may be missing."""
    images = require_folder(root / f"{split}{YEAR}", "the images")
    return images, require_folder(root / "annotations", "the instances") / f"instances_{split}{YEAR}.json"


def _frames(folder: Path, names: list[str], annotations: Path) -> list[Frame]:
    """One frame for each image file."""
    collects = gc.isenabled()
    gc.disable()  # so many new objects would make it search all of torch's, and double the time of opening
    try:
        return [Frame(name[:-4], name[:-4], folder / name, annotations) for name in names]
    finally:
        if collects:
            gc.enable()


def _require_images(folder: Path, names: list[str], annotations: Path) -> None:
    missing = sorted(set(names) - set(os.listdir(folder)))
    if missing:
        raise FileNotFoundError(
            f"{annotations} names the image {folder / missing[0]}, which is missing, as are {len(missing) - 1} more of "
            f"the {len(names)} images of the proxy. Unpack {folder.name}.zip again."
        )
