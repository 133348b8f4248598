"""What this library needs of COCO's annotations: read once, in about two minutes, then kept as a Parquet file."""

import hashlib
import json
import re
import sys
import warnings
from array import array
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pycocotools import mask as rle
from scipy import ndimage
from tqdm.auto import tqdm

from ood_lib.files import atomic_path, cache_folder

EXCLUDED_CATEGORIES = frozenset(
    {"person", "bicycle", "car", "motorcycle", "bus", "truck", "traffic light", "stop sign"}
)
"""An image with an instance of one of these, which Cityscapes knows too, is not part of the proxy (section 4.1)."""

YEAR = 2017
FORMAT = 2
"""Another number for another content of the kept file: files of older formats are then not looked at."""

_UNUSED = frozenset({"area", "bbox", "iscrowd", "license", "coco_url", "flickr_url", "date_captured"})
_COLUMNS = ["image_id", "file_name", "height", "width", "ood_share", "objects", "boundary", "counts"]
_PIXELS = "pixels of "  # before the supercategory in the names of the file's columns
_LARGE = 100_000_000  # bytes of annotations from which on reading them takes so long that it is announced


class CocoIndex(NamedTuple):
    """The images without an instance of the `EXCLUDED_CATEGORIES`, in the order of their numbers."""

    images: pd.DataFrame
    """By image number: file_name, height, width, ood_share (float, share of pixels on an instance of any category,
    crowds included), objects (connected parts of these pixels, corners included), boundary (pairs of neighbouring
    pixels, one of them among these: a length in sides of a pixel) and counts (bytes, pycocotools' run lengths of the
    mask of these pixels)."""
    supercategory_pixels: pd.DataFrame
    """By image number, one column for each supercategory: how many pixels are on its instances, int64."""
    num_images: int
    """How many images the annotations name, those with excluded categories too."""


class Annotations(NamedTuple):
    """The annotation file, put in order and checked but for the outlines."""

    images: list[dict[str, Any]]
    """Those of the proxy: id, file_name, height, width."""
    instances: dict[int, list[dict[str, Any]]]
    """Image number -> its annotations, for the images of the proxy."""
    supercategories: dict[int, str]
    """Category number -> supercategory."""
    num_images: int


def open_index(path: Path) -> CocoIndex:
    """The index of the annotation file ``instances_{split}2017.json``, from the cache if it was made before.

    It is made anew when the file has changed or the kept index is damaged. FileNotFoundError or ValueError say what
    is wrong with the annotations.
    """
    if not path.is_file():
        raise FileNotFoundError(f"The annotations {path} are missing. Unpack annotations_trainval{YEAR}.zip there.")
    kept = index_path(path)
    if kept.is_file():
        try:
            return _from_table(pq.read_table(kept, page_checksum_verification=True))
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())
            warnings.warn(f"{kept} is damaged ({reason}); it is made again from {path}.", stacklevel=2)
    progress = path.stat().st_size >= _LARGE
    if progress:
        tqdm.write(f"Reading {path}, which is done once and takes a minute", file=sys.stderr)
    table = make_table(read_annotations(path), path, progress)
    write_table(table, kept)
    return _from_table(table)


def index_path(path: Path) -> Path:
    """Where the index of this state of an annotation file is kept."""
    state = path.stat()
    key = repr((FORMAT, sorted(EXCLUDED_CATEGORIES), str(path.resolve()), state.st_size, state.st_mtime_ns))
    return cache_folder() / f"coco-{hashlib.sha256(key.encode()).hexdigest()[:16]}.parquet"


def read_annotations(path: Path) -> Annotations:
    """Read the JSON and leave out the images with excluded categories. ValueError if it is not COCO's of 2017."""
    try:
        with path.open(encoding="utf-8") as file:
            content = json.load(file, object_hook=_slim)
        _check_year(content.get("info") or {}, content["images"])
        return _put_in_order(content)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _damaged(path, f"it is no whole JSON file, {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, f"its lists images, annotations and categories are not as COCO's, {error!r}") from error
    except ValueError as error:
        raise _damaged(path, str(error)) from error


def make_table(annotations: Annotations, path: Path, progress: bool) -> pa.Table:
    """The content of `CocoIndex` as one table. ValueError names an annotation of ``path`` that has no outline."""
    names = sorted(set(annotations.supercategories.values()))
    try:
        rows = [
            _row(image, annotations, names)
            for image in tqdm(annotations.images, f"indexing {path.name}", unit="image", disable=not progress)
        ]
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    whole = pa.int64()
    types = [whole, pa.string(), whole, whole, pa.float64(), whole, whole, pa.binary(), *[whole] * len(names)]
    columns = [*_COLUMNS, *[_PIXELS + name for name in names]]
    schema = pa.schema(zip(columns, types, strict=True), {"num_images": str(annotations.num_images)})
    return pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in rows], schema)


def write_table(table: pa.Table, kept: Path) -> None:
    """Keep the table at the `index_path` that the annotation file had before it was read."""
    with atomic_path(kept) as aside:
        pq.write_table(table, aside, compression="zstd", write_page_checksum=True)


def _from_table(table: pa.Table) -> CocoIndex:
    names = table.column_names
    if names[: len(_COLUMNS)] != _COLUMNS or not all(name.startswith(_PIXELS) for name in names[len(_COLUMNS) :]):
        raise ValueError(f"its columns are {', '.join(names)}")
    rows = table.to_pandas().set_index("image_id")
    pixels = rows.drop(columns=_COLUMNS[1:]).rename(columns=lambda name: name.removeprefix(_PIXELS))
    return CocoIndex(rows[_COLUMNS[1:]], pixels, int(table.schema.metadata[b"num_images"]))


def _slim(entry: dict[str, Any]) -> dict[str, Any]:
    """Called on every object of the JSON file while it is read: without this they would fill twice the memory."""
    slim = {key: value for key, value in entry.items() if key not in _UNUSED}
    if isinstance(entry.get("segmentation"), list):
        slim["segmentation"] = [_to_array(part) for part in entry["segmentation"]]
    return slim


def _to_array(part: Any) -> Any:
    """A polygon's numbers in a quarter of their memory; anything else as it is."""
    try:
        return array("d", part)
    except (TypeError, OverflowError):
        return part


def _put_in_order(content: dict[str, Any]) -> Annotations:
    categories = {category["id"]: category for category in content["categories"]}
    images = {image["id"]: image for image in content["images"]}
    if not images or not categories:
        raise ValueError("it names no images or no categories")
    excluded = {key for key, category in categories.items() if category["name"] in EXCLUDED_CATEGORIES}
    instances: dict[int, list[dict[str, Any]]] = {key: [] for key in images}
    dropped = set()
    for annotation in content["annotations"]:
        image, category = annotation["image_id"], annotation["category_id"]
        if image not in images or category not in categories:
            kind, unknown = ("image", image) if image not in images else ("category", category)
            raise ValueError(f"annotation {annotation.get('id')} is of {kind} {unknown}, which the file does not name")
        instances[image].append(annotation)
        if category in excluded:
            dropped.add(image)
    kept = [images[key] for key in sorted(images.keys() - dropped)]
    supercategories = {key: str(category["supercategory"]) for key, category in categories.items()}
    return Annotations(kept, {image["id"]: instances[image["id"]] for image in kept}, supercategories, len(images))


def _check_year(info: dict[str, Any], images: list[dict[str, Any]]) -> None:
    """ValueError for COCO of another year, which has other images, under other names, and other annotations."""
    if str(info.get("year", YEAR)) != str(YEAR):
        raise ValueError(f"its year is {info['year']}, expected {YEAR}")
    for image in images:
        name, expected = image["file_name"], f"{image['id']:012d}.jpg"
        if name != expected:
            year = re.search(r"(\d{4})_\d{12}", str(name))
            found = f"it is of the year {year[1]}, expected {YEAR}: " if year else ""
            raise ValueError(f"{found}the image {image['id']} is named {name!r}, expected {expected!r}")


def _row(image: dict[str, Any], annotations: Annotations, names: list[str]) -> list[Any]:
    """The table's row of an image: the mask of all its instances, and the pixels of each supercategory in ``names``."""
    height, width = image.get("height"), image.get("width")
    if not all(_is_whole(side) and 0 < side < 2**16 for side in (height, width)):  # what a JPEG can have
        raise ValueError(f"the image {image['id']} has the height {height!r} and the width {width!r}")
    masks: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for instance in annotations.instances[image["id"]]:
        masks[annotations.supercategories[instance["category_id"]]] += _encode(instance, height, width)
    nothing = rle.frPyObjects({"size": [height, width], "counts": [height * width]}, height, width)
    unions = [rle.merge([nothing, *masks[name]]) for name in names]
    whole = rle.merge(unions)
    shape = _shape(rle.decode(whole))
    return [image["id"], image["file_name"], height, width, *shape, whole["counts"], *map(int, rle.area(unions))]


def _shape(mask: np.ndarray) -> tuple[float, int, int]:
    """The ood_share, objects and boundary of a mask of 0 and 1, uint8 (H, W)."""
    objects = ndimage.label(mask, structure=np.ones((3, 3)))[1]
    boundary = (mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum()
    return float(mask.mean()), objects, int(boundary)


def _encode(instance: dict[str, Any], height: int, width: int) -> list[dict[str, Any]]:
    """Masks that make up an instance: its polygons, or the run lengths of a crowd. ValueError if it has neither."""
    outline = instance.get("segmentation")
    if isinstance(outline, dict):
        parts = [outline]
        is_valid = outline.get("size") == [height, width] and _are_run_lengths(outline.get("counts"), height * width)
    else:
        # Two points enclose no pixel, and pycocotools would take their four numbers for a box.
        parts = outline if isinstance(outline, list) else []
        parts = [part for part in parts if not isinstance(part, array) or len(part) > 4]
        is_valid = bool(parts) and all(_is_polygon(part, 2 * max(height, width)) for part in parts)
    if not is_valid:
        raise ValueError(
            f"annotation {instance.get('id')} of image {instance['image_id']}, {width} x {height} pixels, should be "
            f"outlined by polygons [x, y, x, y, x, y, ...] or by run lengths, but has {str(outline)[:60]}"
        )
    return rle.frPyObjects(parts, height, width)


def _is_polygon(part: Any, limit: int) -> bool:
    """Whether these are pairs of numbers; endless or very large ones would crash pycocotools."""
    return isinstance(part, array) and len(part) % 2 == 0 and np.abs(part).max() <= limit


def _are_run_lengths(counts: Any, pixels: int) -> bool:
    """Whether these are lengths of runs that cover so many pixels."""
    return isinstance(counts, list) and all(_is_whole(run) and run >= 0 for run in counts) and sum(counts) == pixels


def _is_whole(value: Any) -> bool:
    return type(value) is int  # True is an int too, but no number


def _damaged(path: Path, what: str) -> ValueError:
    return ValueError(f"{path} is not as COCO's annotations: {what}. Fetch annotations_trainval{YEAR}.zip again.")
