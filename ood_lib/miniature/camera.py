"""A pinhole camera in metres: x to the right, y up from the ground, z along the street."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """Where the camera stands (metres) and how it sees (pixels).

    width, height: image size. focal: focal length. horizon: row at which the ground vanishes.
    x, z: position on the street; eye: height above the ground.
    """

    width: int
    height: int
    focal: float
    horizon: float
    x: float = 0.0
    z: float = 0.0
    eye: float = 1.5

    @classmethod
    def random(cls, rng: np.random.Generator, width: int, height: int, z: float = 0.0) -> "Camera":
        """A camera of a slightly different car each time; the field of view is about 55 degrees."""
        focal = width * rng.uniform(0.92, 1.05)
        horizon = height * rng.uniform(0.40, 0.48)
        return cls(
            width,
            height,
            focal,
            horizon,
            x=rng.uniform(-0.3, 0.6),
            z=z,
            eye=rng.uniform(1.35, 1.65),
        )

    def project(self, x: float, y: float, z: float) -> tuple[float, float]:
        """World point (metres, z ahead of the camera) -> column and row in pixels."""
        ahead = z - self.z
        column = self.width / 2 + self.focal * (x - self.x) / ahead
        row = self.horizon + self.focal * (self.eye - y) / ahead
        return column, row

    def ground(self) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
        """The ground under every pixel below the horizon.

        Returns the first row, and x (rows, W), z (rows, 1) in the world and the distance ahead
        (rows, 1), in metres.
        """
        first = int(np.ceil(self.horizon + 0.5))
        rows = np.arange(first, self.height, dtype=np.float32)[:, None] + 0.5
        ahead = self.focal * self.eye / (rows - self.horizon)
        slope = (np.arange(self.width, dtype=np.float32) + 0.5 - self.width / 2) / self.focal
        return first, slope * ahead + self.x, ahead + self.z, ahead
