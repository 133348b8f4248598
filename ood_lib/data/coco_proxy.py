"""COCO (Lin et al. 2014) as a stand-in for everything that is not a street scene: the out-of-distribution proxy."""

import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
from pycocotools import mask as rle
from pycocotools.coco import COCO

from ood_lib.data.labels import IGNORE_INDEX, OOD_INDEX
from ood_lib.data.sample import Frame, SegmentationDataset, Transform, require_folder

EXCLUDED_CATEGORIES = frozenset(
    {"person", "bicycle", "car", "motorcycle", "bus", "truck", "traffic light", "stop sign"}
)
"""An image with an instance of one of these, which Cityscapes knows too, is not part of the proxy (section 4.1)."""


class CocoProxy(SegmentationDataset):
    """Targets are 254 (OoD) where an instance of any category is, crowds included, and 255 (ignored) elsewhere.

    Reads ``{root}/annotations/instances_train2017.json`` and the images in ``{root}/train2017``. Only images whose
    share of OoD pixels is from ``min_ood_share`` to ``max_ood_share`` are kept.
    """

    splits = ("train",)

    def __init__(
        self,
        root: Path,
        split: str,
        transform: Transform | None = None,
        min_ood_share: float = 0.0,
        max_ood_share: float = 1.0,
    ) -> None:
        if not 0 <= min_ood_share <= max_ood_share <= 1:
            raise ValueError(
                f"min_ood_share={min_ood_share} and max_ood_share={max_ood_share} must be shares of an image's pixels "
                "with 0 <= min_ood_share <= max_ood_share <= 1."
            )
        images = require_folder(root / f"{split}2017", "the images")
        annotations = require_folder(root / "annotations", "the instances") / f"instances_{split}2017.json"
        self._coco = _read_coco(annotations)
        super().__init__(_find_frames(self._coco, images, annotations), transform)
        if (min_ood_share, max_ood_share) != (0, 1):
            shares = zip(self.frames, self.ood_shares, strict=True)
            self.frames = [frame for frame, share in shares if min_ood_share <= share <= max_ood_share]
        if not self.frames:
            raise ValueError(
                f"No image of {annotations} is free of {', '.join(sorted(EXCLUDED_CATEGORIES))} and has a share of "
                f"OoD pixels from {min_ood_share} to {max_ood_share}. Widen the range."
            )

    @property
    def ood_shares(self) -> np.ndarray:
        """Share of OoD pixels of each sample, float64 (len,), in the order of ``ids``; computed when asked for."""
        return ood_shares(self._coco, [int(id_) for id_ in self.ids])

    def read_target(self, frame: Frame) -> np.ndarray:
        mask = rle.decode(_instances(self._coco, int(frame.id)))
        return np.where(mask > 0, OOD_INDEX, IGNORE_INDEX).astype(np.uint8)


def ood_shares(coco: COCO, image_ids: list[int]) -> np.ndarray:
    """Share of each image's pixels on which there is an instance, float64 (len(image_ids),) in [0, 1]."""
    sizes = [coco.imgs[i]["height"] * coco.imgs[i]["width"] for i in image_ids]
    return np.array([float(rle.area(_instances(coco, i))) for i in image_ids]) / np.array(sizes, dtype=float)


def _instances(coco: COCO, image_id: int) -> dict:
    """All instances of an image merged into one run-length encoded mask."""
    image = coco.imgs[image_id]
    masks = [coco.annToRLE(annotation) for annotation in coco.imgToAnns.get(image_id, [])]
    nothing = rle.encode(np.zeros((image["height"], image["width"]), dtype=np.uint8, order="F"))
    return rle.merge([nothing, *masks])


def _read_coco(path: Path) -> COCO:
    if not path.is_file():
        raise FileNotFoundError(f"The annotations {path} are missing. Unpack annotations_trainval2017.zip there.")
    try:
        with redirect_stdout(StringIO()):  # COCO tells how long every step took
            coco = COCO(path)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, AssertionError) as error:
        raise ValueError(f"{path} cannot be read as COCO annotations ({error!r}). Fetch the file again.") from error
    if not coco.imgs or not coco.cats:
        raise ValueError(f"{path} names no images or no categories; expected those of COCO. Fetch the file again.")
    return coco


def _find_frames(coco: COCO, images: Path, annotations: Path) -> list[Frame]:
    excluded = {key for key, category in coco.cats.items() if category["name"] in EXCLUDED_CATEGORIES}
    dropped = {a["image_id"] for a in coco.anns.values() if a["category_id"] in excluded}
    on_disk = {path.name for path in images.iterdir()}
    frames = []
    for key in sorted(coco.imgs.keys() - dropped):
        name = coco.imgs[key]["file_name"]
        if name not in on_disk:
            raise FileNotFoundError(f"{annotations} names the image {images / name}, which is missing. Fetch it again.")
        frames.append(Frame(f"{key:012d}", f"{key:012d}", images / name, annotations))
    return frames
