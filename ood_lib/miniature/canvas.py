"""A canvas with colour, label and depth, and the ways to paint on it."""

from collections.abc import Callable

import numpy as np
from PIL import Image

from . import textures
from .camera import Camera
from .sprites import Sprite

Window = tuple[slice, slice]
Material = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""material(s, y, fade) -> colours (3, n): s metres along a wall, y metres up, fade in [0, 1] damps
far detail."""
Holes = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""holes(s, y) -> bool (n,): where there is material."""

NEAR = 1.2  # metres: nothing closer to the camera is drawn
FAR = 400.0  # metres: where nothing is painted yet, and the sky


class Canvas:
    """Colour (3, H, W) float32 in [0, 1], label (H, W) int16, depth (H, W) float32 in metres ahead
    of the camera."""

    def __init__(self, camera: Camera) -> None:
        shape = (camera.height, camera.width)
        self.camera = camera
        self.colour = np.zeros((3, *shape), dtype=np.float32)
        self.label = np.zeros(shape, dtype=np.int16)
        self.depth = np.full(shape, FAR, dtype=np.float32)

    def window(self, left: float, top: float, right: float, bottom: float) -> Window | None:
        """The pixels of a rectangle that lie in the picture, as slices; None if none do."""
        rows = slice(max(int(round(top)), 0), min(int(round(bottom)), self.camera.height))
        columns = slice(max(int(round(left)), 0), min(int(round(right)), self.camera.width))
        return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None

    def put(
        self,
        at: np.ndarray,
        colour: np.ndarray,
        label: np.ndarray | int,
        depth: np.ndarray | float,
    ) -> None:
        """Colours (3, n), labels and depths (n,) at the pixels `at` (n,), counted row by row."""
        for channel, values in zip(self.colour.reshape(3, -1), colour, strict=True):
            channel[at] = values
        self.label.reshape(-1)[at], self.depth.reshape(-1)[at] = label, depth

    def wall_along(
        self,
        x: float,
        z0: float,
        z1: float,
        top: float,
        label: int,
        material: Material,
        holes: Holes | None = None,
        behind: bool = False,
    ) -> None:
        """A vertical surface parallel to the street at `x`, from z0 to z1, `top` metres high.

        The label covers the holes too, as annotators do with fences. behind: only where nothing is
        painted yet.
        """
        camera = self.camera
        near, far = max(z0, camera.z + NEAR), z1
        if near >= far or abs(x - camera.x) < 0.2:
            return
        corners = [camera.project(x, y, z) for z in (near, far) for y in (0.0, top)]
        window = self.window(
            *(f(c[i] for c in corners) for f, i in ((min, 0), (min, 1), (max, 0), (max, 1)))
        )
        if window is None:
            return
        columns = np.arange(window[1].start, window[1].stop) + 0.5
        slope = (columns - camera.width / 2) / camera.focal
        ahead = (x - camera.x) / np.where(np.abs(slope) < 1e-6, 1e-6, slope)
        rows = np.arange(window[0].start, window[0].stop)[:, None] + 0.5
        y = (camera.eye - (rows - camera.horizon) * ahead / camera.focal).astype(np.float32)
        inside = (y >= 0) & (y <= top) & (ahead >= near - camera.z) & (ahead <= far - camera.z)
        if behind:
            inside &= self.depth[window] == FAR
        self._paint(window, inside, ahead + camera.z, y, ahead, label, material, holes)

    def wall_facing(
        self, z: float, x0: float, x1: float, top: float, label: int, material: Material
    ) -> None:
        """A vertical surface that faces the camera at `z`, from x0 to x1, `top` metres high, behind
        all that is painted."""
        camera = self.camera
        if z < camera.z + NEAR:
            return
        (left, up), (right, down) = camera.project(x0, top, z), camera.project(x1, 0.0, z)
        window = self.window(left, up, right, down)
        if window is None:
            return
        ahead = z - camera.z
        s = (
            np.arange(window[1].start, window[1].stop) + 0.5 - camera.width / 2
        ) * ahead / camera.focal + camera.x
        rows = np.arange(window[0].start, window[0].stop)[:, None] + 0.5
        y = camera.eye - (rows - camera.horizon) * ahead / camera.focal
        y = np.broadcast_to(y, (rows.size, s.size)).astype(np.float32)
        self._paint(
            window,
            self.depth[window] == FAR,
            s,
            y,
            np.full(s.shape, ahead),
            label,
            material,
            None,
        )

    def _paint(
        self,
        window: Window,
        inside: np.ndarray,
        s: np.ndarray,
        y: np.ndarray,
        ahead: np.ndarray,
        label: int,
        material: Material,
        holes: Holes | None,
    ) -> None:
        """Paints the points `inside` (m, n) of a wall: s and ahead are (n,), y is (m, n)."""
        s = s.astype(np.float32)
        if holes is not None:
            self.label[window][inside] = label
            inside = inside & holes(s, y)
        fade = np.clip(22.0 / np.maximum(ahead, 1), 0, 1).astype(np.float32)
        at = np.flatnonzero(inside)
        rows, columns = np.divmod(at, s.size)
        colour = material(s[columns], y.ravel()[at], fade[columns])
        at = (rows + window[0].start) * self.camera.width + columns + window[1].start
        self.put(at, colour, label, ahead[columns])

    def shadow(self, x: float, z: float, width: float, strength: float = 0.5) -> None:
        """A soft contact shadow on the ground below a thing `width` metres wide."""
        camera = self.camera
        ahead = z - camera.z
        if ahead < NEAR:
            return
        column, row = camera.project(x, 0.0, z)
        half = 0.58 * width * camera.focal / ahead
        depth = min(
            max(half * 0.22, 1.0), camera.height * 0.05
        )  # capped: close by it would cover the picture
        window = self.window(column - half, row - depth, column + half, row + depth)
        if window is None:
            return
        rows = (np.arange(window[0].start, window[0].stop)[:, None] + 0.5 - row) / depth
        columns = (np.arange(window[1].start, window[1].stop) + 0.5 - column) / half
        dark = strength * np.clip(1.25 * (1 - rows**2 - columns**2), 0, 1)
        self.colour[:, *window] *= (1 - dark).astype(np.float32)

    def sprite(
        self,
        sprite: Sprite,
        column: float,
        bottom: float,
        height: float,
        depth: float,
        label: int,
        rider_label: int | None = None,
        flip: bool = False,
        light: float = 0.0,
    ) -> None:
        """A drawing with its foot at (column, bottom), `height` pixels tall, at `depth` metres."""
        width = height * sprite.aspect
        left, top = int(round(column - width / 2)), int(round(bottom - height))
        size = max(int(round(width)), 1), max(int(round(height)), 1)
        window = self.window(left, top, left + size[0], top + size[1])
        if window is None or min(size) < 2:
            return
        rgba, mask, rider = (
            a[..., ::-1] if flip else a for a in (sprite.rgba, sprite.mask, sprite.rider)
        )
        box = _source_box(window, left, top, size, mask.shape)
        target = (window[1].stop - window[1].start, window[0].stop - window[0].start)
        *shown, alpha = _resize(rgba, box, target)
        where = _resize(mask, box, target) > 0.5
        v = (np.arange(window[0].start, window[0].stop)[:, None] - top) / size[1]
        u = (np.arange(window[1].start, window[1].stop)[None, :] - left) / size[0]
        shade = (
            1.06
            - 0.26 * v
            + light * (u - 0.5)
            + 0.10 * (textures.noise(u * 3 + bottom, v * 3, 1.2) - 0.5)
        )
        for behind, own in zip(self.colour[:, *window], shown, strict=True):
            behind[:] = behind * (1 - alpha) + np.clip(own * shade, 0, 1) * alpha
        self.label[window][where] = label
        self.depth[window][where] = depth
        if rider_label is not None:
            self.label[window][(_resize(rider, box, target) > 0.5) & where] = rider_label

    def pole(
        self,
        x: float,
        z: float,
        top: float,
        width: float,
        label: int,
        colour: tuple[float, float, float],
    ) -> None:
        """An upright post with a highlight down its middle."""
        camera = self.camera
        ahead = z - camera.z
        if ahead < NEAR:
            return
        (column, up), (_, down) = camera.project(x, top, z), camera.project(x, 0.0, z)
        half = max(0.5 * width * camera.focal / ahead, 1.0)
        window = self.window(column - half, up, column + half, down)
        if window is None:
            return
        across = (np.arange(window[1].start, window[1].stop) + 0.5 - column) / half
        round_shade = (1.15 - 0.5 * np.abs(across)).astype(np.float32)
        self.colour[:, *window] = np.float32(colour)[:, None, None] * round_shade
        self.label[window], self.depth[window] = label, ahead


def _source_box(
    window, left: int, top: int, size: tuple[int, int], shape: tuple[int, int]
) -> tuple[float, ...]:
    """The part of the drawing that falls into the window, in the drawing's own pixels (left, top,
    right, bottom)."""
    fx, fy = shape[1] / size[0], shape[0] / size[1]
    rows, columns = window
    box = (
        (columns.start - left) * fx,
        (rows.start - top) * fy,
        (columns.stop - left) * fx,
        (rows.stop - top) * fy,
    )
    return max(box[0], 0), max(box[1], 0), min(box[2], shape[1]), min(box[3], shape[0])


def _resize(array: np.ndarray, box: tuple[float, ...], size: tuple[int, int]) -> np.ndarray:
    """Part `box` of an (h, w) or (4, h, w) array at another size; colours are averaged with their
    opacity."""
    if array.ndim == 2:
        picture = Image.fromarray(np.ascontiguousarray(array).astype(np.uint8) * 255)
        return np.asarray(picture.resize(size, Image.Resampling.BILINEAR, box=box)) / 255
    planes = np.ascontiguousarray(array * 255).astype(np.uint8)
    picture = Image.merge("RGBA", [Image.fromarray(plane) for plane in planes])
    resized = picture.resize(size, Image.Resampling.BILINEAR, box=box)
    return np.asarray(resized).transpose(2, 0, 1).astype(np.float32, order="C") / 255
