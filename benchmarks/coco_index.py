"""How long the index of COCO's annotations takes to make and to open again, and how much memory.

    OMP_NUM_THREADS=1 python benchmarks/coco_index.py --out coco_index.json

The annotations are random, but as many and as long as those of instances_train2017.json: 118,287
images, 860,001 annotations, 450 MB. It takes a few minutes, with --images 5000 less than one.
"""

import json
import os
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from report import Row, in_new_process, parser, peak_memory, report

from ood_lib.data import open_dataset
from ood_lib.data.coco_index import (
    EXCLUDED_CATEGORIES,
    index_path,
    make_table,
    read_annotations,
)
from ood_lib.kept import write_table
from ood_lib.miniature.coco_categories import CATEGORIES

IMAGES, ANNOTATIONS = 118_287, 860_001
SIZES = ((480, 640), (640, 480), (427, 640))  # height, width; the images take turns
EXCLUDED_SHARE = 0.6  # of the images


def write_coco(root: Path, images: int, annotations: int) -> Path:
    """The annotation file, in the layout of COCO, and empty files for the images."""
    (root / "train2017").mkdir(parents=True)
    for number in range(images):
        (root / "train2017" / f"{number:012d}.jpg").touch()
    path = root / "annotations" / "instances_train2017.json"
    path.parent.mkdir()
    with path.open("w", encoding="utf-8") as file:
        file.write(
            '{"info": {"year": 2017},"images": [' + ",".join(map(image_entry, range(images)))
        )
        file.write('],"annotations": [')
        file.writelines(annotation_entries(images, annotations))
        file.write('],"categories": ' + json.dumps(CATEGORIES) + "}")
    return path


def image_entry(number: int) -> str:
    height, width = SIZES[number % len(SIZES)]
    others = {
        "license": 3,
        "coco_url": "u" * 56,
        "flickr_url": "u" * 64,
        "date_captured": "2013-11-14 11:18:45",
    }
    return json.dumps(
        {"id": number, "file_name": f"{number:012d}.jpg", "height": height, "width": width} | others
    )


def annotation_entries(images: int, annotations: int) -> Iterator[str]:
    """In turn for each image; 3000 outlines for each size take turns too. Some images' first one
    shows a person."""
    rng = np.random.default_rng(0)
    outlines = [
        cycle([json.dumps(outline(rng, *size), separators=(",", ":"))[1:] for _ in range(3000)])
        for size in SIZES
    ]
    allowed = [
        category["id"] for category in CATEGORIES if category["name"] not in EXCLUDED_CATEGORIES
    ]
    categories = rng.choice(allowed, annotations)
    categories[:images][rng.random(images) < EXCLUDED_SHARE] = 1
    for i, category in enumerate(categories):
        image = i % images
        shape = next(outlines[image % len(SIZES)])
        yield f'{"," * (i > 0)}{{"id": {i},"image_id": {image},"category_id": {category},{shape}'


def outline(rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
    """One in a hundred is a crowd's run lengths; the others are a polygon, a tenth of them two."""
    if is_crowd := rng.random() < 0.01:
        runs = rng.integers(0, 300, 500).tolist()
        segmentation = {"counts": [*runs, height * width - sum(runs)], "size": [height, width]}
    else:
        segmentation = [polygon(rng, height, width) for _ in range(1 + (rng.random() < 0.1))]
    box = [199.84, 200.46, 77.71, 70.88]
    return {
        "segmentation": segmentation,
        "area": 2765.1486500000005,
        "bbox": box,
        "iscrowd": int(is_crowd),
    }


def polygon(rng: np.random.Generator, height: int, width: int) -> list[float]:
    """Around a random point; half of all have more than 20 corners."""
    corners = max(4, round(20 * rng.lognormal(0, 0.4)))
    angles, away = (
        np.arange(corners) * 2 * np.pi / corners,
        30 * rng.lognormal() * rng.uniform(0.7, 1, corners),
    )
    x, y = (
        rng.uniform(0, width) + away * np.cos(angles),
        rng.uniform(0, height) + away * np.sin(angles),
    )
    return np.stack([x.clip(0, width), y.clip(0, height)], axis=1).round(2).ravel().tolist()


def make(path: Path) -> list[Row]:
    started = time.perf_counter()
    annotations = read_annotations(path)
    read = time.perf_counter()
    write_table(make_table(*annotations, progress=False), index_path(path))
    indexed = time.perf_counter()
    rows = [
        ("annotation file", path.stat().st_size / 1e6, "MB"),
        ("reading it", read - started, "s"),
    ]
    rows += [("indexing it", indexed - read, "s"), ("peak memory of both", peak_memory(), "GB")]
    return [*rows, ("index file", index_path(path).stat().st_size / 1e6, "MB")]


def open_again(path: Path) -> list[Row]:
    started = time.perf_counter()
    dataset = open_dataset("coco_proxy", path.parent.parent, "train")
    opened = time.perf_counter() - started
    return [
        ("images of the proxy", len(dataset), ""),
        ("opening again", opened, "s"),
        ("its memory", peak_memory(), "GB"),
    ]


def main() -> None:
    command_line = parser(__doc__)
    command_line.add_argument(
        "--images", type=int, default=IMAGES, help=f"how many, by default {IMAGES}"
    )
    options = command_line.parse_args()
    settings = {"images": options.images, "annotations": ANNOTATIONS * options.images // IMAGES}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["OOD_LIB_CACHE"] = str(Path(folder) / "cache")
        path = write_coco(Path(folder) / "coco", **settings)
        rows = in_new_process(make, path) + in_new_process(open_again, path)
    report(rows, ["pycocotools", "pyarrow", "pandas"], settings, options.out)


if __name__ == "__main__":
    main()
