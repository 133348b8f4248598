"""What stands where in a street: a random layout in metres, painted from any camera position."""

from dataclasses import dataclass, field

import numpy as np

from ..data.labels import CLASSES
from . import sprites
from .sprites import Sprite

# Cityscapes label ids of what the painter knows; parking bays are a class that Cityscapes labels
# but does not train
LABEL = {c.name: c.label_id for c in CLASSES} | {"parking": 9}
HEIGHT = {  # metres
    "car": 1.55,
    "truck": 3.2,
    "bus": 3.1,
    "train": 3.5,
    "motorcycle": 1.45,
    "bicycle": 1.3,
    "rider": 1.95,
    "person": 1.8,
}
LENGTH = 130.0  # metres of street


@dataclass
class Thing:
    """A sprite whose foot stands at (x, z) metres, y metres up on a pole, `height` metres tall; a
    lamp has none."""

    kind: str
    sprite: Sprite | None
    x: float
    z: float
    height: float
    y: float = 0.0
    pole: float = 0.0
    flip: bool = False
    label: int = 0
    pole_colour: tuple[float, float, float] = (0.4, 0.4, 0.42)


@dataclass
class Street:
    """One street, from its middle outwards: the road (|x - centre| < road), a parking bay, the
    pavement, and a verge of grass or paving up to the houses. Pairs are (left, right); lengths are
    in metres.
    """

    road: float
    centre: float
    bay: tuple[float, float]
    pavement: tuple[float, float]
    verge: tuple[float, float]
    green: tuple[bool, bool]
    surface: dict
    sky: dict
    houses: list[dict] = field(default_factory=list)
    borders: list[dict] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)

    def edge(self, side: int, part: str) -> float:
        """x of the outer edge of a strip on one side (-1 left, 1 right)."""
        i, x = (side + 1) // 2, self.road
        for name in ("bay", "pavement", "verge"):
            if part == "road":
                break
            x += getattr(self, name)[i]
            if part == name:
                break
        return self.centre + side * x


def random_street(rng: np.random.Generator) -> Street:
    """The empty street: surfaces, houses, walls, fences, hedges, trees, lamps and signs, but no
    traffic."""
    grey = rng.uniform(0.27, 0.42)
    surface = {
        "asphalt": np.clip(grey + rng.uniform(-0.02, 0.02, 3), 0, 1),
        "slabs": rng.uniform(0.5, 0.66) + rng.uniform(-0.03, 0.03, 3),
        "grass": np.array([0.32, 0.5, 0.22]) * rng.uniform(0.8, 1.3, 3),
        "solid_line": rng.random() < 0.35,
        "crossing": rng.uniform(10, 50) if rng.random() < 0.35 else None,
        "shade_side": rng.choice([-1, 0, 1]),
        "lane": rng.uniform(2.9, 3.4),
        "manhole": (rng.uniform(-1, 2), rng.uniform(8, 40)),
    }
    blue = rng.uniform(0.75, 1.0)
    sky = {
        "top": np.array([0.38, 0.6, 0.88]) * blue,
        "bottom": np.array([0.78, 0.87, 0.95]) * rng.uniform(0.9, 1.03),
        "cloud": rng.uniform(0.15, 0.65),
        "shift": rng.uniform(0, 99),
    }
    bays = tuple(2.2 if rng.random() < 0.25 else 0.0 for _ in range(2))
    street = Street(
        road=rng.uniform(4.0, 5.2),
        centre=rng.uniform(-1.6, -0.8),
        bay=bays,
        pavement=tuple(rng.uniform(2.0, 3.4, 2)),
        verge=tuple(rng.uniform(1.5, 5.5, 2)),
        green=(rng.random() < 0.6, rng.random() < 0.6),
        surface=surface,
        sky=sky,
    )
    for side in (-1, 1):
        _add_houses(street, side, rng)
        _add_borders(street, side, rng)
        _add_furniture(street, side, rng)
    return street


def _add_houses(street: Street, side: int, rng: np.random.Generator) -> None:
    z = rng.uniform(-12, 2)
    while z < LENGTH:
        length, gap = rng.uniform(9, 20), rng.choice([0.0, 0.0, rng.uniform(3, 14)])
        tint = rng.uniform(0.4, 0.8) + rng.uniform(-0.11, 0.11, 3)
        style = {
            "colour": np.clip(tint * [1.05, 0.98, 0.9], 0.15, 0.95),
            "window_step": rng.uniform(1.8, 3.0),
            "brick": rng.random() < 0.5,
            "has_shop": rng.random() < 0.5,
            "shop": rng.uniform(0.15, 0.75, 3),
        }
        street.houses.append(
            {
                "side": side,
                "x": street.edge(side, "verge") + side * rng.uniform(0, 1.5),
                "z0": z,
                "z1": z + length,
                "top": 3 * rng.integers(2, 6) + 0.6,
                "style": style,
                "depth": rng.uniform(8, 14),
            }
        )
        z += length + gap


def _add_borders(street: Street, side: int, rng: np.random.Generator) -> None:
    """Stretches of wall, fence or hedge at the back of the pavement."""
    z = rng.uniform(0, 10)
    while z < 70:
        kind, length = (
            rng.choice(["wall", "fence", "hedge", "none"], p=[0.26, 0.30, 0.12, 0.32]),
            rng.uniform(8, 22),
        )
        if kind != "none":
            colour = {
                "wall": rng.uniform(0.45, 0.75)
                * np.array([1.0, 0.95, 0.88])
                * rng.uniform(0.85, 1.1, 3),
                "fence": rng.choice([0.2, 0.75])
                * np.array([1, 0.85, 0.6])
                * rng.uniform(0.7, 1.2, 3),
                "hedge": np.array([0.25, 0.48, 0.2]) * rng.uniform(0.8, 1.2, 3),
            }[kind]
            street.borders.append(
                {
                    "kind": kind,
                    "side": side,
                    "x": street.edge(side, "pavement") + side * 0.1,
                    "z0": z,
                    "z1": z + length,
                    "top": rng.uniform(1.1, 2.1),
                    "colour": np.clip(colour, 0.05, 0.95),
                }
            )
        z += length + rng.choice([0.0, rng.uniform(1, 8)])


def _add_furniture(street: Street, side: int, rng: np.random.Generator) -> None:
    """Trees behind the pavement; lamps, lights and signs on poles at the kerb."""
    for z in np.cumsum(rng.uniform(5, 20, 7)) + rng.uniform(0, 6):
        tree = sprites.load_sprite(rng.choice(list(sprites.KNOWN["vegetation"])))
        tree = Sprite(sprites.recolour(tree.rgba, rng, 0.07), tree.mask, tree.rider)
        x = street.edge(side, "pavement") + side * rng.uniform(
            0.8, 1.5 + street.verge[(side + 1) // 2]
        )
        street.things.append(
            Thing("vegetation", tree, x, z, rng.uniform(3.5, 7.5), label=LABEL["vegetation"])
        )
    kerb = street.edge(side, "bay") + side * 0.35
    for z in np.cumsum(rng.uniform(5, 17, 5)) + rng.uniform(2, 8):
        kind = rng.choice(["traffic light", "traffic sign", "lamp"], p=[0.36, 0.42, 0.22])
        shade = rng.uniform(0.25, 0.6)
        pole = {"pole_colour": (shade, shade, shade * 1.04), "x": kerb, "z": z}
        if kind == "lamp":
            street.things.append(Thing("lamp", None, pole=rng.uniform(5, 7), height=0.0, **pole))
            continue
        emoji = rng.choice(list(sprites.KNOWN[kind]))
        top, height = (3.4, 1.3) if kind == "traffic light" else (2.7, 1.0)
        street.things.append(
            Thing(
                kind,
                sprites.load_sprite(emoji),
                y=top - 0.3,
                pole=top,
                height=height * rng.uniform(0.9, 1.25),
                label=LABEL[kind],
                **pole,
            )
        )


def known_thing(kind: str, x: float, z: float, rng: np.random.Generator) -> Thing:
    """A thing with a Cityscapes class, in colours and clothes of its own."""
    sprite = sprites.load_sprite(rng.choice(list(sprites.KNOWN[kind])))
    if kind in ("person", "rider"):
        rgba = sprites.dress(sprite.rgba, rng)
    elif kind in ("traffic light", "traffic sign"):
        rgba = sprite.rgba
    else:
        rgba = sprites.recolour(sprite.rgba, rng, 0.9)
    height = HEIGHT[kind] * rng.uniform(0.92, 1.12)
    label = LABEL["bicycle"] if kind == "rider" else LABEL[kind]
    return Thing(
        kind,
        Sprite(rgba, sprite.mask, sprite.rider),
        x,
        z,
        height,
        flip=rng.random() < 0.5,
        label=label,
    )


def add_traffic(street: Street, rng: np.random.Generator, clear: tuple[Thing, ...] = ()) -> None:
    """Vehicles, riders and people; the line of sight from the camera to the obstacles in `clear`
    stays free."""
    lanes = {"oncoming": street.centre - street.road / 2, "own": street.centre + street.road / 2}
    kinds = ["car", "truck", "bus", "train", "motorcycle", "bicycle", "rider"]
    for _ in range(rng.integers(4, 9)):
        kind = rng.choice(kinds, p=[0.32, 0.14, 0.12, 0.12, 0.10, 0.08, 0.12])
        lane = rng.choice(list(lanes))
        x, z = lanes[lane] + rng.uniform(-0.7, 0.7), 6 + 44 * rng.beta(1.2, 1.7)
        if kind in ("bicycle", "motorcycle", "rider"):
            side = rng.choice([-1, 1])
            x, z = (
                street.edge(side, "road") - side * rng.uniform(-0.8, 1.3),
                5 + 26 * rng.beta(1.1, 1.6),
            )
        elif kind in ("truck", "bus", "train"):
            z += 10
        _place(street, known_thing(kind, x, z, rng), clear)
    for _ in range(rng.integers(2, 8)):
        side = rng.choice([-1, 1])
        pavement = sorted((street.edge(side, "bay"), street.edge(side, "pavement")))
        _place(
            street,
            known_thing("person", rng.uniform(*pavement), 5 + 25 * rng.beta(1.1, 1.6), rng),
            clear,
        )


def _place(street: Street, thing: Thing, clear: tuple[Thing, ...]) -> None:
    """Adds the thing unless it hides an obstacle or stands on top of another thing."""
    half = 0.5 * thing.height * thing.sprite.aspect
    if any(
        thing.z < obstacle.z + 6 and abs(thing.x - obstacle.x) < half + 1.6 for obstacle in clear
    ):
        return
    for other in street.things:
        if (
            abs(other.z - thing.z) < 2.0
            and other.pole == 0
            and other.kind != "vegetation"
            and abs(other.x - thing.x) < half + 0.8
        ):
            return
    street.things.append(thing)
