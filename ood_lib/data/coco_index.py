"""What this library needs of COCO's annotations: read once, in about two minutes, then kept."""

from __future__ import annotations

import json
import sys
import warnings
from array import array
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools import mask as rle
from tqdm.auto import tqdm

from ood_lib.files import cache_folder
from ood_lib.kept import digest, files_digest, read_table, write_table

if TYPE_CHECKING:  # pandas and SciPy take half a second, and not every user reads COCO
    import pandas as pd

EXCLUDED_CATEGORIES = frozenset({
    "person", "bicycle", "car", "motorcycle", "bus", "truck", "traffic light", "stop sign",
})
"""What Cityscapes knows too: no image with such an instance is in the proxy (section 4.1)."""

YEAR = 2017
_ARCHIVE = f"annotations_trainval{YEAR}.zip"

_PIXELS = "pixels of "  # before a supercategory in the name of its column

_COLUMNS = [
    "image_id", "file_name", "height", "width", "ood_share", "objects", "boundary", "skipped",
    "counts",
]  # and one for each supercategory
_UNUSED = {"area", "bbox", "iscrowd", "license", "coco_url", "flickr_url", "date_captured"}
_LARGE = 100_000_000  # bytes of annotations from which on the time to read them is announced


def open_index(path: Path) -> pd.DataFrame:
    """The index of the file ``instances_{split}2017.json``, from the cache if it is there.

    One row for each image without an instance of the `EXCLUDED_CATEGORIES`, by number: file_name,
    height, width; counts, pycocotools' run lengths (bytes) of the pixels on instances of any
    category, crowds included; skipped, the annotations without an outline, of which a warning tells
    the sum; ood_share, objects, boundary and ``pixels of {supercategory}`` as in
    `CocoProxy.properties`. ``attrs["num_images"]`` is the number of all images in the file.
    FileNotFoundError or ValueError say what is wrong with the annotations.
    """
    if not path.is_file():
        raise FileNotFoundError(f"The annotations {path} are missing. Unpack {_ARCHIVE} there.")
    kept = index_path(path)
    table = read_table(kept, _check)
    if table is None:
        table = _read(path)
        write_table(table, kept)
    index = table.set_index("image_id")
    if skipped := index["skipped"].sum():
        if not index["objects"].any():
            raise ValueError(f"{path} outlines nothing, as where only boxes are. Fetch {_ARCHIVE}.")
        about = f"annotations without an outline, {skipped} in all, so that these are ignored"
        warnings.warn(f"{path} has {about}.", stacklevel=3)
    return index


def _read(path: Path) -> pd.DataFrame:
    """The index of the file, made. ValueError says in what that is not as COCO's."""
    progress = path.stat().st_size >= _LARGE
    if progress:
        tqdm.write(f"Reading {path}, once, takes about two minutes", file=sys.stderr)
    try:
        return make_table(*read_annotations(path), progress)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        is_ours = type(error) is ValueError
        what = error if is_ours else f"it is no whole JSON file with COCO's lists ({error!r})"
        message = f"{path} is not as COCO's annotations: {what}. Fetch {_ARCHIVE} again."
        raise ValueError(message) from error


def index_path(path: Path) -> Path:
    """Where the index of this state of an annotation file is kept."""
    key = digest(read_annotations, make_table, files_digest([path]))
    return cache_folder() / f"coco-{key}.parquet"


def _check(table: Any) -> pd.DataFrame:
    """What was made. KeyError if a column is missing, which no checksum covers."""
    table.select(_COLUMNS)
    return table.to_pandas()


def read_annotations(path: Path) -> tuple[list[dict[str, Any]], list[str], int]:
    """The proxy's images with their instances; all supercategories; how many images COCO has. What
    is not as COCO's, outlines excepted, raises an error of some kind."""
    with path.open(encoding="utf-8") as file:
        content = json.load(file, object_hook=_slim)
    categories = {category["id"]: category for category in content["categories"]}
    images = {image["id"]: image | {"instances": []} for image in content["images"]}
    if not images or not categories:
        raise ValueError("it names no images or no categories")
    year = (content.get("info") or {}).get("year", YEAR)
    if str(year) != str(YEAR):  # other images, under other names, and other annotations
        raise ValueError(f"its year is {year}, expected {YEAR}")
    for number, image in images.items():
        if image["file_name"] != f"{number:012d}.jpg":
            named = f"the image {number} is named {image['file_name']!r}"
            raise ValueError(f"{named}, in {YEAR} it is '{number:012d}.jpg'")
    dropped = set()
    for instance in content["annotations"]:
        image, category = instance["image_id"], instance["category_id"]
        if image not in images or category not in categories:
            unknown = f"image {image} or category {category}, which the file does not name"
            raise ValueError(f"annotation {instance.get('id')} is of {unknown}")
        instance["supercategory"] = str(categories[category]["supercategory"])
        images[image]["instances"].append(instance)
        if categories[category]["name"] in EXCLUDED_CATEGORIES:
            dropped.add(image)
    names = sorted({str(category["supercategory"]) for category in categories.values()})
    return [images[number] for number in sorted(images.keys() - dropped)], names, len(images)


def _slim(entry: dict[str, Any]) -> dict[str, Any]:
    """Called on each object while the JSON is read: all of them would fill twice the memory."""
    slim = {key: value for key, value in entry.items() if key not in _UNUSED}
    if isinstance(entry.get("segmentation"), list):
        with suppress(TypeError, OverflowError):  # no polygons: `_masks` will say so
            slim["segmentation"] = [array("d", part) for part in entry["segmentation"]]
    return slim


def make_table(images: list[dict[str, Any]], supercategories: list[str], num_images: int,
               progress: bool) -> pd.DataFrame:
    """The index as it is kept. ValueError names an instance whose outline is none."""
    import pandas as pd

    images = tqdm(images, "indexing COCO", unit="image", disable=not progress)
    rows = [_row(image, supercategories) for image in images]
    table = pd.DataFrame(rows, columns=_COLUMNS + [_PIXELS + name for name in supercategories])
    table.attrs["num_images"] = num_images
    return table


def _row(image: dict[str, Any], supercategories: list[str]) -> dict[str, Any]:
    """An image's row of the table: what holds of all its instances, and of each supercategory."""
    from scipy import ndimage

    height, width = image.get("height"), image.get("width")
    if not all(type(side) is int and 0 < side < 2**16 for side in (height, width)):  # as in JPEGs
        raise ValueError(f"the image {image['id']} has the height {height!r} and width {width!r}")
    empty = {"size": [height, width], "counts": [height * width]}
    parts = {name: [rle.frPyObjects(empty, height, width)] for name in supercategories}
    skipped = 0
    for instance in image["instances"]:
        masks = _masks(instance, height, width)
        parts[instance["supercategory"]] += masks
        skipped += not masks
    unions = [rle.merge(masks) for masks in parts.values()]
    whole = rle.merge(unions)
    mask = rle.decode(whole)  # uint8 (H, W), 0 and 1
    return {
        "image_id": image["id"], "file_name": image["file_name"], "height": height, "width": width,
        "ood_share": float(mask.mean()),
        "objects": ndimage.label(mask, structure=np.ones((3, 3)))[1],
        "boundary": int((mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum()),
        "skipped": skipped, "counts": whole["counts"],
        **{_PIXELS + name: int(n) for name, n in zip(parts, rle.area(unions), strict=True)},
    }


def _masks(instance: dict[str, Any], height: int, width: int) -> list[dict[str, Any]]:
    """Of an instance: its polygons, or a crowd's run lengths; none if it has no outline, as where
    there are boxes only. ValueError for an outline that cannot be."""
    outline = instance.get("segmentation") or []
    if isinstance(outline, dict):
        if isinstance(outline.get("counts"), str):
            outline = outline | {"counts": _run_lengths(outline["counts"])}
        parts, is_valid = [outline], _are_run_lengths(outline, height, width)
    else:
        # Two points enclose no pixel, and pycocotools would take their four numbers for a box.
        parts = outline if isinstance(outline, list) else [outline]
        parts = [part for part in parts if not isinstance(part, array) or len(part) > 4]
        is_valid = all(_is_polygon(part, 2 * max(height, width)) for part in parts)
    if not is_valid:
        raise ValueError(
            f"annotation {instance.get('id')} of image {instance['image_id']}, {width} x {height}, "
            f"has neither polygons [x, y, x, y, ...] nor run lengths, but {str(outline)[:60]}"
        )
    return rle.frPyObjects(parts, height, width) if parts else []


def _run_lengths(text: str) -> list[int]:
    """What pycocotools' compressed string stands for; it would read beyond the end of a broken one.

    A character is five bits of a number, the lowest first, and one that says whether more follow.
    From the fourth number on, the difference to the last but one is written.
    """
    runs, run, shift = [], 0, 0
    for character in text:
        bits = ord(character) - 48
        run |= (bits & 31) << shift
        shift += 5
        if bits & 32:  # more follow
            continue
        if bits & 16:  # a negative number
            run -= 1 << shift
        runs.append(run + runs[-2] if len(runs) > 2 else run)
        run, shift = 0, 0
    return runs


def _is_polygon(part: Any, limit: int) -> bool:
    """Whether these are pairs of numbers; endless or very large ones would crash pycocotools."""
    return isinstance(part, array) and len(part) % 2 == 0 and np.abs(part).max() <= limit


def _are_run_lengths(outline: dict[str, Any], height: int, width: int) -> bool:
    """Whether these are whole numbers that add up to all pixels."""
    counts = outline.get("counts")
    if not isinstance(counts, list) or not all(type(run) is int and run >= 0 for run in counts):
        return False
    return outline.get("size") == [height, width] and sum(counts) == height * width
