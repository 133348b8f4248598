"""Small random files in the folders of the real data sets."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def noise(seed: int, height: int = 24, width: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_frame(root: Path, annotation: str, split: str, name: str, ids: np.ndarray, image: np.ndarray) -> None:
    """One image and its label ids as in Cityscapes (annotation gtFine) and LostAndFound (gtCoarse)."""
    folder = name.rsplit("_", 2)[0]
    save(root / "leftImg8bit" / split / folder / f"{name}_leftImg8bit.png", image)
    save(root / annotation / split / folder / f"{name}_{annotation}_labelIds.png", ids)


def write_cityscapes(root: Path, split: str = "train", count: int = 6) -> Path:
    """Scenes ``{city}_{sequence}_000019`` in two cities with the ids 0-33 at random."""
    for i in range(count):
        ids = np.random.default_rng(100 + i).integers(0, 34, (24, 40))
        write_frame(root, "gtFine", split, f"{('ulm', 'aachen')[i % 2]}_{i:06d}_000019", ids, noise(i))
    return root


def write_lost_and_found(root: Path, split: str = "test", count: int = 4) -> Path:
    """Drives of two frames each, an obstacle of eight rows on free space."""
    for i in range(count):
        ids = np.ones((24, 40))
        ids[8:16, 10:20] = 17
        ids[:4] = 0
        name = f"02_Hanns_Klemm_Str_44_{i // 2:06d}_{10 * (i % 2):06d}"
        write_frame(root, "gtCoarse", split, name, ids, noise(i))
    return root


def write_fishyscapes(root: Path, count: int = 2) -> Path:
    for i in range(count):
        target = np.zeros((24, 40))
        target[4:12, 5:15] = 1
        target[20:] = 255
        save(root / "Static" / "original" / f"{i:04d}.png", noise(i))
        save(root / "Static" / "labels" / f"{i:04d}.png", target)
    return root


CATEGORIES = {1: "person", 16: "bird", 7: "train"}


def write_coco(root: Path, annotations: list[dict[str, Any]], sizes: list[tuple[int, int]]) -> Path:
    """Images 1, 2, ... of the given (height, width), and the annotations (image_id, category_id, segmentation, ...)."""
    images = []
    for key, (height, width) in enumerate(sizes, start=1):
        name = f"{key:012d}.jpg"
        images.append({"id": key, "file_name": name, "height": height, "width": width})
        save(root / "train2017" / name, noise(key, height, width))
    complete = [{"id": i, "iscrowd": 0} | annotation for i, annotation in enumerate(annotations, start=1)]
    categories = [{"id": key, "name": name, "supercategory": "thing"} for key, name in CATEGORIES.items()]
    path = root / "annotations" / "instances_train2017.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": complete, "categories": categories}))
    return root


def box(left: int, top: int, width: int, height: int) -> list[list[int]]:
    """A rectangle as a COCO polygon: exactly the pixels from (left, top), width x height of them."""
    right, bottom = left + width, top + height
    return [[left, top, right, top, right, bottom, left, bottom]]


def bird(image_id: int, *rectangle: int) -> dict[str, Any]:
    return {"image_id": image_id, "category_id": 16, "segmentation": box(*rectangle)}
