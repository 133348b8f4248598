"""Procedural materials in world coordinates (metres): every function maps positions (n,) to colours
(3, n) in [0, 1]."""

from functools import lru_cache

import numpy as np

NOISE_SIZE = 512  # a power of two: positions wrap around with a bit mask


@lru_cache(maxsize=1)
def _noise_tile() -> np.ndarray:
    """A tile (512, 512) of smooth noise over several octaves, periodic, equalised to [0, 1]."""
    from scipy import ndimage

    rng = np.random.default_rng(
        20240614
    )  # part of the materials, not of a scene: always the same tile
    tile = np.zeros((NOISE_SIZE, NOISE_SIZE))
    for sigma, weight in ((1, 0.35), (3, 0.5), (9, 0.8), (27, 1.0)):
        octave = ndimage.gaussian_filter(rng.standard_normal(tile.shape), sigma, mode="wrap")
        tile += weight * octave / octave.std()
    ranks = tile.ravel().argsort().argsort().reshape(tile.shape)
    return (ranks / ranks.size).astype(np.float32)


def noise(a: np.ndarray, b: np.ndarray, scale: float) -> np.ndarray:
    """Noise in [0, 1] at positions (a, b); features are about `scale` metres large. Broadcasts."""
    step = 16.0 / scale
    i, j = (np.floor(v * step).astype(np.int32) & (NOISE_SIZE - 1) for v in (a, b))
    return _noise_tile().ravel()[i * NOISE_SIZE + j]


def smooth_noise(a: np.ndarray, b: np.ndarray, scale: float) -> np.ndarray:
    """Noise as above without visible cells, for what is much larger in the picture than its
    features."""
    from scipy import ndimage

    step = 16.0 / scale
    return ndimage.map_coordinates(
        _noise_tile(), np.broadcast_arrays(a * step, b * step), order=1, mode="grid-wrap"
    )


def _hash(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A fixed pseudo-random number in [0, 1) for each pair of integers."""
    value = np.sin(a * 127.1 + b * 311.7) * 43758.5453
    return (value - np.floor(value)).astype(np.float32)


def _column(colour: np.ndarray) -> np.ndarray:
    """One colour (3,) as (3, 1), for many positions."""
    return np.asarray(colour, dtype=np.float32)[:, None]


def mix(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """first where share is 0, second where it is 1: colours (3, n) or (3, 1), share (n,)."""
    return first * (1 - share) + second * share


def facade(s: np.ndarray, y: np.ndarray, fade: np.ndarray, style: dict) -> np.ndarray:
    """A house front: s metres along the street, y metres up, fade in [0, 1] damps far detail; (n,)
    -> (3, n)."""
    base = _column(style["colour"])
    column, floor = np.floor(s / style["window_step"]), np.floor(y / 3.0)
    across, up = s / style["window_step"] - column, y / 3.0 - floor
    grain = (0.88 + 0.2 * noise(s, y, 1.5)) * np.where(
        (np.floor(y * 4) % 2 == 0) & style["brick"], 0.94, 1.0
    )
    frame = (np.abs(across - 0.5) < 0.31) & (np.abs(up - 0.52) < 0.34)
    glass = (np.abs(across - 0.5) < 0.24) & (np.abs(up - 0.52) < 0.28)
    lit = _hash(column, floor)
    pane = np.where(
        lit > 0.8,
        _column([0.95, 0.85, 0.55]),
        _column([0.25, 0.33, 0.42]) * (0.7 + 0.6 * lit),
    )
    painted = np.where(glass, pane, np.where(frame, base * 0.7 + 0.25, base * grain))
    if style["has_shop"]:
        painted = np.where(y < 3.0, _shop_front(s, y, style), painted)
    return mix(base * 0.85, painted, fade)


def _shop_front(s: np.ndarray, y: np.ndarray, style: dict) -> np.ndarray:
    """Windows under a striped awning: positions as in `facade`."""
    shop = _column(style["shop"])
    stripe = (np.floor(s * 2.5) % 2 == 0).astype(np.float32)
    awning = mix(shop, _column([0.92, 0.92, 0.92]), stripe)
    window = (np.abs(s / 3.2 - np.floor(s / 3.2) - 0.5) < 0.38) & (y > 0.5)
    ground = np.where(window, _column([0.16, 0.2, 0.25]), shop * 0.75)
    return np.where(y > 2.3, awning, ground)


def masonry(s: np.ndarray, y: np.ndarray, fade: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """A wall of staggered stones: positions as in `facade`."""
    course = np.floor(y / 0.3)
    along = s / 0.6 + 0.5 * (course % 2)
    joint = (along - np.floor(along) < 0.10) | (y / 0.3 - course < 0.16)
    shade = 0.72 + 0.4 * _hash(np.floor(along), course)
    shade = np.where(joint, 0.6, shade)
    shade = 0.85 + (shade - 0.85) * fade
    return _column(colour) * shade


def planks(
    s: np.ndarray, y: np.ndarray, fade: np.ndarray, colour: np.ndarray, top: float
) -> np.ndarray:
    """The wood of a fence, darker towards the ground: positions as in `facade`."""
    return _column(colour) * (0.8 + 0.2 * y / top)


def pickets(s: np.ndarray, y: np.ndarray, top: float) -> np.ndarray:
    """Where a fence has material: positions as in `facade` -> bool (n,)."""
    post = s / 0.45 - np.floor(s / 0.45) < 0.5
    rail = (np.abs(y - 0.25 * top) < 0.07) | (np.abs(y - 0.8 * top) < 0.07)
    return post | rail


def foliage(a: np.ndarray, b: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Leaves or grass."""
    shade = 0.55 + 0.5 * noise(a, b, 0.9) + 0.25 * noise(b, a, 0.25)
    return _column(colour) * shade


def asphalt(x: np.ndarray, z: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Road surface with grain, stains and cracks."""
    stains = noise(x, z, 6.0)
    shade = 0.85 + 0.22 * noise(x, z, 0.5) * 0.8 + 0.18 * stains
    cracks = np.abs(noise(x, z * 0.6, 11.0) - 0.43) < 0.006
    return _column(colour) * np.where(cracks, shade * 0.72, shade)


def paving(x: np.ndarray, z: np.ndarray, colour: np.ndarray, fade: np.ndarray) -> np.ndarray:
    """Pavement of square slabs."""
    i, j = np.floor(x / 0.7), np.floor(z / 0.7)
    joint = (x / 0.7 - i < 0.09) | (z / 0.7 - j < 0.09)
    shade = np.where(joint, 0.78, 0.94 + 0.14 * _hash(i, j))
    shade = 0.95 + (shade - 0.95) * fade
    return _column(colour) * (shade + 0.08 * noise(x, z, 2.0) - 0.04)


def sky(
    columns: np.ndarray,
    rows: np.ndarray,
    top: np.ndarray,
    bottom: np.ndarray,
    cloud: float,
    shift: float,
) -> np.ndarray:
    """Sky with clouds: columns (n,) in picture widths, rows (n,) from 0 on top to 1 at the
    horizon."""
    colour = mix(_column(top), _column(bottom), rows**1.3)
    billow = smooth_noise(columns * 9 + shift, 1.5 / (1.25 - rows) * 6, 6.0)
    return mix(colour, _column([0.97, 0.97, 0.98]), np.clip((billow - (1 - cloud)) * 2.2, 0, 0.85))
