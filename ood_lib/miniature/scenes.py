"""The pictures of each data set: which street, which camera, which anomalies, all from a seed and a
number."""

import zlib
from dataclasses import replace

import numpy as np

from . import sprites
from .camera import Camera
from .canvas import Canvas
from .painter import OVERSAMPLING, develop, draw_street, paint_street
from .sprites import Sprite
from .street import LABEL, Street, Thing, add_traffic, random_street

HAZARD_IDS = (
    *range(2, 23),
    26,
    27,
    28,
    29,
    30,
    32,
    35,
)  # LostAndFound ids of things, without bicycles, dogs and children
NON_HAZARD_IDS = (31, 33, 34, 36, 37, 38, 39)
FREE_SPACE = 1
FIRST_OBSTACLE = 1000  # labels on the canvas from here on are 1000 + LostAndFound id
NEAREST, FARTHEST = (
    7.0,
    24.0,
)  # metres to the obstacle in the last and in the first frame of a sequence


def generator(seed: int, kind: str, index: int) -> np.random.Generator:
    """The random numbers of one picture, independent of how many others there are and of their
    order."""
    return np.random.default_rng([seed, zlib.crc32(kind.encode()), index])


def street_scene(
    seed: int, kind: str, index: int, width: int, height: int
) -> tuple[Street, Camera, np.random.Generator]:
    """An everyday street with traffic, the camera in it and the generator for what follows."""
    rng = generator(seed, kind, index)
    street = random_street(rng)
    add_traffic(street, rng)
    return street, Camera.random(rng, width, height), rng


def everyday(
    seed: int, kind: str, index: int, width: int, height: int
) -> tuple[np.ndarray, np.ndarray]:
    """A Cityscapes-like picture (H, W, 3) uint8 and its label ids (H, W) uint8."""
    street, camera, rng = street_scene(seed, kind, index, width, height)
    image, label = paint_street(street, camera, rng)
    return image, label.astype(np.uint8)


def approach(
    seed: int, split: str, index: int, frame: int, frames: int, width: int, height: int
) -> tuple[np.ndarray, np.ndarray]:
    """Frame `frame` of a LostAndFound-like sequence: the camera drives towards something on the
    road.

    Returns the picture (H, W, 3) uint8 and LostAndFound ids (H, W) uint8: 1 free road, things on
    it, 0 the rest.
    """
    rng = generator(seed, f"lost_and_found/{split}", index)
    street, camera = random_street(rng), Camera.random(rng, width, height)
    obstacles = _obstacles(street, split, rng)
    add_traffic(street, rng, clear=tuple(obstacles))
    street.things.extend(obstacles)
    driven = (FARTHEST - NEAREST) * frame / max(frames - 1, 1)
    sensor = np.random.default_rng([*rng.integers(0, 2**31, 2), frame])
    image, label = paint_street(street, replace(camera, z=driven), sensor)
    ids = np.where(
        label >= FIRST_OBSTACLE,
        label - FIRST_OBSTACLE,
        np.where(label == LABEL["road"], FREE_SPACE, 0),
    )
    return image, ids.astype(np.uint8)


def _obstacles(street: Street, split: str, rng: np.random.Generator) -> list[Thing]:
    """One or two hazards in the own lane, sometimes litter beside them."""
    drawings = list(
        sprites.TUNING_ANOMALIES
        if split == "train"
        else sprites.TEST_OBSTACLES + sprites.TEST_ANIMALS[:8]
    )
    lane = street.centre + street.road / 2
    things = [
        _anomaly(
            rng.choice(drawings),
            lane + rng.uniform(-1.3, 0.9),
            FARTHEST + rng.uniform(0, 2),
            rng,
            HAZARD_IDS,
        )
    ]
    if rng.random() < 0.4:
        things.append(
            _anomaly(
                rng.choice(drawings),
                lane + rng.uniform(-2.4, 1.6),
                FARTHEST + rng.uniform(2.5, 8),
                rng,
                HAZARD_IDS,
            )
        )
    if rng.random() < 0.3:
        litter = _anomaly(
            rng.choice(list(sprites.NON_HAZARDS)),
            lane + rng.uniform(-2.4, 1.8),
            FARTHEST + rng.uniform(-4, 6),
            rng,
            NON_HAZARD_IDS,
        )
        things.append(replace(litter, height=0.35 * litter.height))
    return things


def _anomaly(
    emoji: str, x: float, z: float, rng: np.random.Generator, ids: tuple[int, ...]
) -> Thing:
    sprite = sprites.load_sprite(emoji)
    coloured = Sprite(sprites.recolour(sprite.rgba, rng, 0.25), sprite.mask, sprite.rider)
    label = FIRST_OBSTACLE + int(
        ids[ord(emoji) % len(ids)]
    )  # the same thing always has the same id
    height = rng.uniform(0.75, 1.35) / max(sprite.aspect / 1.4, 1.0)
    return Thing("obstacle", coloured, x, z, height, flip=rng.random() < 0.5, label=label)


def pasted(seed: int, index: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """A Fishyscapes-Static-like picture: val scene `index` with animals or objects blended in
    anywhere.

    Returns the picture (H, W, 3) uint8 and its label (H, W) uint8: 1 anomaly, 0 a Cityscapes class,
    255 void.
    """
    street, camera, _ = street_scene(seed, "val", index, width, height)
    rng = generator(seed, "fishyscapes", index)
    canvas = draw_street(street, camera)
    for _ in range(rng.choice([1, 1, 2])):
        _paste(canvas, rng)
    image, label = develop(canvas, rng)
    target = np.where(label >= FIRST_OBSTACLE, 1, np.where(label == LABEL["parking"], 255, 0))
    return image, target.astype(np.uint8)


def _paste(canvas: Canvas, rng: np.random.Generator) -> None:
    """An overlay does not obey the scene: no shadow, any place, any size, slightly faded into the
    picture."""
    emoji = rng.choice(list(sprites.TEST_ANIMALS * 2 + sprites.TEST_OBSTACLES))
    sprite = sprites.load_sprite(emoji)
    rgba = sprites.recolour(sprite.rgba, rng, 0.15)
    rgba[3] *= 0.94
    size = canvas.camera.height * rng.uniform(0.14, 0.42)
    column, bottom = (
        canvas.camera.width * rng.uniform(0.08, 0.92),
        canvas.camera.height * rng.uniform(0.45, 0.98),
    )
    canvas.sprite(
        Sprite(rgba, sprite.mask, sprite.rider),
        column,
        bottom,
        size,
        8.0 * OVERSAMPLING,
        FIRST_OBSTACLE + 1,
        flip=rng.random() < 0.5,
    )
