"""Random files in the folders of the real data sets: small ones, or as large as the real ones."""

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


SIZE = (24, 40)
"""Height and width of what is written without a size."""


def enlarged(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The same picture in blocks, of this height and width: large, but quickly compressed."""
    return np.array(
        Image.fromarray(pixels.astype(np.uint8)).resize(size[::-1], Image.Resampling.NEAREST)
    )


def write_frame(
    root: Path, annotation: str, split: str, name: str, ids: np.ndarray, image: np.ndarray
) -> None:
    """An image and its label ids as in Cityscapes (annotation gtFine), LostAndFound (gtCoarse)."""
    folder = name.rsplit("_", 2)[0]
    save(root / "leftImg8bit" / split / folder / f"{name}_leftImg8bit.png", image)
    save(root / annotation / split / folder / f"{name}_{annotation}_labelIds.png", ids)


def write_cityscapes(
    root: Path, split: str = "train", count: int = 6, size: tuple[int, int] = SIZE
) -> Path:
    """Scenes ``{city}_{sequence}_000019`` in two cities with the ids 0-33 at random."""
    for i in range(count):
        ids = enlarged(np.random.default_rng(100 + i).integers(0, 34, SIZE), size)
        name = f"{('ulm', 'aachen')[i % 2]}_{i:06d}_000019"
        write_frame(root, "gtFine", split, name, ids, enlarged(noise(i), size))
    return root


def write_lost_and_found(
    root: Path, split: str = "test", count: int = 4, size: tuple[int, int] = SIZE
) -> Path:
    """Drives of two frames each, an obstacle of a third of the height on free space."""
    for i in range(count):
        ids = np.ones(SIZE)
        ids[8:16, 10:20] = 17
        ids[:4] = 0
        name = f"02_Hanns_Klemm_Str_44_{i // 2:06d}_{10 * (i % 2):06d}"
        write_frame(root, "gtCoarse", split, name, enlarged(ids, size), enlarged(noise(i), size))
    return root


def anomaly(size: tuple[int, int] = SIZE) -> np.ndarray:
    """Labels with an anomaly of a third of the height on 0, and 255 at the bottom."""
    target = np.zeros(SIZE)
    target[4:12, 5:15] = 1
    target[20:] = 255
    return enlarged(target, size)


def write_fishyscapes(root: Path, count: int = 2, size: tuple[int, int] = SIZE) -> Path:
    for i in range(count):
        save(root / "Static" / "original" / f"{i:04d}.png", enlarged(noise(i), size))
        save(root / "Static" / "labels" / f"{i:04d}.png", anomaly(size))
    return root


def write_overlays(
    root: Path, version: str = "v3", count: int = 2, size: tuple[int, int] = SIZE
) -> Path:
    """Fishyscapes Static as downloaded, its differences from -300 to 300; the scenes in
    ``cityscapes`` beside it."""
    write_cityscapes(root.parent / "cityscapes", "val", count, size)
    for i, scene in enumerate(
        sorted((root.parent / "cityscapes" / "leftImg8bit" / "val").glob("*/*.png"))[:count]
    ):
        name = f"{i:04d}_{scene.stem.removesuffix('_leftImg8bit')}"
        target = anomaly(size)
        save(root / f"fs_val_{version}" / f"{name}_labels.png", target)
        write_overlay(root / f"fs_val_{version}" / f"{name}_rgb.npz", difference(i, target))
    return root


def difference(seed: int, target: np.ndarray) -> np.ndarray:
    """An overlay, int32 (H, W, 3): 0 wherever there is no anomaly."""
    values = np.random.default_rng(seed).integers(-300, 301, 3)
    return ((target == 1)[..., None] * values).astype(np.int32)


def write_overlay(path: Path, values: np.ndarray) -> Path:
    np.savez_compressed(path, rgb=values)
    return path


def write_fishyscapes_lost_and_found(
    root: Path, count: int = 4, size: tuple[int, int] = SIZE
) -> Path:
    """The labels as downloaded; the images in ``lost_and_found`` beside it, in its test split."""
    write_lost_and_found(root.parent / "lost_and_found", "test", count, size)
    images = sorted((root.parent / "lost_and_found" / "leftImg8bit" / "test").glob("*/*.png"))[
        :count
    ]
    for i, image in enumerate(images):
        name = f"{i:04d}_{image.stem.removesuffix('_leftImg8bit')}_labels.png"
        save(root / "fishyscapes_lostandfound" / name, anomaly(size))
    return root


def write_original_road_anomaly(root: Path, count: int = 2, size: tuple[int, int] = SIZE) -> Path:
    """RoadAnomaly as published: frames, each beside a folder with its labels, of which 2 is one."""
    for i in range(count):
        save(root / "frames" / f"animals0{i}.jpg", enlarged(noise(i), size))
        ids = 2 * (anomaly(size) == 1)
        save(root / "frames" / f"animals0{i}.labels" / "labels_semantic.png", ids)
    return root


def write_course_copy(root: Path, suffix: str, count: int = 2, mark: int = 1) -> Path:
    """A test set as courses hand it around: images of that suffix, and masks of the same names."""
    for i in range(count):
        save(root / "images" / f"{i}{suffix}", noise(i))
        save(root / "labels_masks" / f"{i}.png", np.where(anomaly() == 1, mark, anomaly()))
    return root


def write_road_anomaly(
    root: Path, split: str = "val", count: int = 2, size: tuple[int, int] = SIZE
) -> Path:
    """JPEGs ``validation0000``, with labels, or ``zebra0000``, without."""
    for i in range(count):
        name = f"{'validation' if split == 'val' else 'zebra'}{i:04d}"
        write_segment_me(
            root, name, ".jpg", enlarged(noise(i), size), anomaly(size) if split == "val" else None
        )
    return root


def write_road_obstacle(
    root: Path, split: str = "val", count: int = 2, size: tuple[int, int] = SIZE
) -> Path:
    """WebP files ``validation_0``, with labels, or ``gravel_axe_0``, without."""
    for i in range(count):
        name = f"{'validation' if split == 'val' else 'gravel_axe'}_{i}"
        write_segment_me(
            root, name, ".webp", enlarged(noise(i), size), anomaly(size) if split == "val" else None
        )
    return root


def write_segment_me(
    root: Path, name: str, suffix: str, image: np.ndarray, target: np.ndarray | None
) -> None:
    """One image, and its labels if they are public, as in SegmentMeIfYouCan."""
    save(root / "images" / f"{name}{suffix}", image)
    (root / "labels_masks").mkdir(exist_ok=True)
    if target is not None:
        save(root / "labels_masks" / f"{name}_labels_semantic.png", target)


CATEGORIES = {1: "person", 16: "bird", 7: "train"}


def write_coco(root: Path, annotations: list[dict[str, Any]], sizes: list[tuple[int, int]]) -> Path:
    """Images 1, 2, ... of the given (height, width), and the annotations (image_id, category_id,
    segmentation, ...)."""
    images = []
    for key, (height, width) in enumerate(sizes, start=1):
        name = f"{key:012d}.jpg"
        images.append({"id": key, "file_name": name, "height": height, "width": width})
        save(root / "train2017" / name, noise(key, height, width))
    complete = [
        {"id": i, "iscrowd": 0} | annotation for i, annotation in enumerate(annotations, start=1)
    ]
    categories = [
        {"id": key, "name": name, "supercategory": "thing"} for key, name in CATEGORIES.items()
    ]
    path = root / "annotations" / "instances_train2017.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"images": images, "annotations": complete, "categories": categories})
    )
    return root


def box(left: int, top: int, width: int, height: int) -> list[list[int]]:
    """A rectangle as a COCO polygon: exactly width x height pixels from (left, top)."""
    right, bottom = left + width, top + height
    return [[left, top, right, top, right, bottom, left, bottom]]


def bird(image_id: int, *rectangle: int) -> dict[str, Any]:
    return {"image_id": image_id, "category_id": 16, "segmentation": box(*rectangle)}
