"""Pictures of everyday objects with instance annotations: the miniature's COCO."""

from dataclasses import dataclass

import contourpy
import numpy as np
from pycocotools import mask as coco_mask

from . import sprites, textures
from .camera import Camera
from .canvas import Canvas
from .coco_categories import CATEGORY_ID
from .painter import develop, enlarge, paint_background
from .sprites import Sprite
from .street import random_street

FIRST_INSTANCE = 1000  # labels from here on number the objects of a picture


@dataclass(frozen=True)
class Placed:
    """An object in the picture: its COCO category and whether it belongs to a group annotated as
    one crowd."""

    category: str
    crowd: bool = False


def paint_proxy(
    rng: np.random.Generator, width: int, height: int, excluded: bool
) -> tuple[np.ndarray, list[dict]]:
    """One picture (H, W, 3) uint8 and its COCO annotations; `excluded` adds a thing that Cityscapes
    knows."""
    canvas = Canvas(enlarge(Camera.random(rng, width, height)))
    _paint_backdrop(canvas, rng)
    placed = _place_objects(canvas, rng)
    if excluded:
        placed.append(_place_known(canvas, rng, len(placed)))
    image, label = develop(canvas, rng, haze=0.3)
    return image, _annotations(label, placed)


def _paint_backdrop(canvas: Canvas, rng: np.random.Generator) -> None:
    """A street without traffic in half of the pictures (streets are not odd), else a room or a
    field."""
    kind = rng.choice(["street", "room", "open"], p=[0.5, 0.25, 0.25])
    if kind == "street":
        paint_background(canvas, random_street(rng))
        return
    scale = 0.25 if kind == "room" else 1.0  # a table or a floor is close by, so its grain is fine
    first, *ground = canvas.camera.ground()
    x, z, ahead = (a.ravel() for a in np.broadcast_arrays(*ground))
    base = rng.uniform(0.25, 0.8, 3)
    floor = (
        textures.paving(x * scale, z * scale, base, np.clip(6 / ahead, 0, 1))
        if rng.random() < 0.5
        else textures.foliage(x * scale, z * scale, base)
    )
    shape = first + 1, canvas.camera.width
    rows, columns = np.indices(shape, dtype=np.float32).reshape(2, -1)
    v, u = (rows + 0.5) / shape[0], (columns + 0.5) / shape[1]
    if kind == "room":
        wall = np.float32(rng.uniform(0.35, 0.9, 3))[:, None]
        stripes = np.where(np.floor(u * rng.integers(8, 40)) % 2 == 0, 1.0, rng.uniform(0.8, 1.0))
        back = wall * (stripes * (0.9 + 0.15 * textures.noise(u * 6, v * 3, 2.0)))
    else:
        back = textures.sky(
            u,
            v,
            rng.uniform(0.3, 0.7, 3) * [0.8, 1, 1.3],
            np.float32([0.8, 0.88, 0.95]),
            rng.uniform(0.1, 0.7),
            rng.uniform(0, 99),
        )
    canvas.colour[:, : first + 1] = back.reshape(3, *shape)
    canvas.colour[:, first:] = floor.reshape(3, -1, shape[1])
    canvas.depth[:] = 20.0


def _target_share(rng: np.random.Generator) -> float:
    """How much of the picture the objects should cover: from close to nothing to nearly all."""
    low, high = [(0.01, 0.2), (0.2, 0.8), (0.84, 1.0)][rng.choice(3, p=[0.46, 0.24, 0.30])]
    return rng.uniform(low, high)


def _object_size(rng: np.random.Generator, share: float) -> tuple[float, float]:
    """Range of object heights as a share of the picture's: objects in full-up pictures are
    close-ups."""
    if share < 0.2:
        return 0.08, 0.36
    return (0.2, 0.6) if share < 0.8 else (0.55, 1.5)


def _place_objects(canvas: Canvas, rng: np.random.Generator) -> list[Placed]:
    """Objects from a few categories until the picture is covered as far as was drawn."""
    share, names = _target_share(rng), list(sprites.PROXY)
    few = rng.choice(names, size=rng.integers(1, 5), replace=False)
    low, high = _object_size(rng, share)
    crowd = few[0] if rng.random() < 0.06 else None
    placed: list[Placed] = []
    for _ in range(70):
        covered = np.count_nonzero(canvas.label >= FIRST_INSTANCE) / canvas.label.size
        if placed and covered >= share:
            break
        category = str(rng.choice(few))
        sprite = sprites.load_sprite(rng.choice(list(sprites.PROXY[category])))
        height = rng.uniform(low, high)
        wanted = (
            height**2
            * sprite.aspect
            * sprite.mask.mean()
            * canvas.camera.height
            / canvas.camera.width
        )
        if placed and share < 0.8 and covered + wanted > share + 0.06:
            high = max(0.8 * high, low)  # too large for the room that is left
            continue
        _place(canvas, rng, sprite, canvas.camera.height * height, len(placed))
        placed.append(Placed(category, crowd=category == crowd))
    return placed


def _place(
    canvas: Canvas, rng: np.random.Generator, sprite: Sprite, height: float, index: int
) -> None:
    camera = canvas.camera
    sprite = Sprite(sprites.recolour(sprite.rgba, rng, 0.6), sprite.mask, sprite.rider)
    height = min(height, 1.2 * camera.width / sprite.aspect)
    column = rng.uniform(0.02, 0.98) * camera.width
    bottom = (
        camera.height * rng.uniform(0.55, 1.02)
        if rng.random() < 0.75
        else rng.uniform(0.3, 1.3) * camera.height
    )
    ahead = camera.focal * camera.eye / max(bottom - camera.horizon, 4.0)
    x = (column - camera.width / 2) * ahead / camera.focal + camera.x
    if bottom < camera.height:
        canvas.shadow(x, camera.z + ahead, height * sprite.aspect * ahead / camera.focal)
    canvas.sprite(
        sprite,
        column,
        bottom,
        height,
        min(ahead, 30.0),
        FIRST_INSTANCE + index,
        flip=rng.random() < 0.5,
        light=0.12,
    )


def _place_known(canvas: Canvas, rng: np.random.Generator, index: int) -> Placed:
    category = str(rng.choice(list(sprites.EXCLUDED)))
    sprite = sprites.load_sprite(rng.choice(list(sprites.EXCLUDED[category])))
    _place(canvas, rng, sprite, canvas.camera.height * rng.uniform(0.2, 0.5), index)
    return Placed(category)


def _annotations(label: np.ndarray, placed: list[Placed]) -> list[dict]:
    """COCO annotations of what can be seen of each object: polygons, and one run-length mask for a
    crowd."""
    crowds = {p.category for p in placed if p.crowd}
    annotations = [
        _annotation(label == FIRST_INSTANCE + i, p.category, crowd=False)
        for i, p in enumerate(placed)
        if not p.crowd
    ]
    for category in sorted(crowds):
        members = [
            FIRST_INSTANCE + i for i, p in enumerate(placed) if p.crowd and p.category == category
        ]
        annotations.append(_annotation(np.isin(label, members), category, crowd=True))
    return [a for a in annotations if a is not None]


def _annotation(mask: np.ndarray, category: str, crowd: bool) -> dict | None:
    if mask.sum() < 6:
        return None
    segmentation = _run_lengths(mask) if crowd else _polygons(mask)
    if not segmentation:
        return None
    encoded = coco_mask.frPyObjects(segmentation, *mask.shape)
    encoded = encoded if crowd else coco_mask.merge(encoded)
    area, box = float(coco_mask.area(encoded)), [float(v) for v in coco_mask.toBbox(encoded)]
    return {
        "category_id": CATEGORY_ID[category],
        "segmentation": segmentation,
        "area": area,
        "bbox": box,
        "iscrowd": int(crowd),
    }


def _polygons(mask: np.ndarray) -> list[list[float]]:
    """Outlines in COCO's pixel coordinates (x, y of pixel corners), without slivers of fewer than
    three corners."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    cut = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    lines = contourpy.contour_generator(z=np.pad(cut.astype(np.float64), 1)).lines(0.5)
    corner = np.array([columns[0], rows[0]]) - 0.5
    outlines = [(line + corner).round(1).ravel().tolist() for line in lines if len(line) >= 4]
    return [outline for outline in outlines if len(outline) >= 8]


def _run_lengths(mask: np.ndarray) -> dict:
    """Run lengths down the columns, beginning with the zeros, as COCO writes crowds."""
    flat = mask.ravel(order="F").astype(np.int8)
    changes = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return {"counts": [0, *runs] if flat[0] else runs, "size": list(mask.shape)}
