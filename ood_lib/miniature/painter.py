"""From a street and a camera to a picture: surfaces, houses, things, then what the air and the
sensor do."""

from functools import partial

import numpy as np

from . import textures
from .camera import Camera
from .canvas import FAR, Canvas
from .street import LABEL, LENGTH, Street, Thing

OVERSAMPLING = 2  # drawn at twice the size and reduced: smooth edges
GROUND = np.array([LABEL[k] for k in ("road", "parking", "sidewalk", "terrain", "sidewalk")])
"""Of a street's parts, from its middle outwards: road, parking bay, kerb, grass or pavement."""


def paint_street(
    street: Street, camera: Camera, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """What `camera` sees: the picture (H, W, 3) uint8 and Cityscapes label ids (H, W) int16.

    `rng` decides about air and sensor alone; what stands in the street is in `street`.
    """
    return develop(draw_street(street, camera), rng)


def draw_street(street: Street, camera: Camera) -> Canvas:
    """The street on a canvas of OVERSAMPLING times the size, before air and sensor."""
    canvas = Canvas(enlarge(camera))
    paint_background(canvas, street)
    for thing in sorted((t for t in street.things if t.kind != "vegetation"), key=lambda t: -t.z):
        paint_thing(canvas, thing)
    return canvas


def enlarge(camera: Camera) -> Camera:
    """The same camera with OVERSAMPLING times as many pixels each way."""
    k = OVERSAMPLING
    return Camera(
        camera.width * k,
        camera.height * k,
        camera.focal * k,
        camera.horizon * k,
        camera.x,
        camera.z,
        camera.eye,
    )


def paint_background(canvas: Canvas, street: Street) -> None:
    """Everything that is not a thing: what nothing shines through from near to far, so that each
    pixel is painted once, and then borders and trees from far to near."""
    for house in sorted(street.houses, key=lambda h: h["z1"]):
        _paint_house(canvas, house)
    canvas.wall_facing(
        LENGTH - 2,
        street.centre - 30,
        street.centre + 30,
        5,
        LABEL["vegetation"],
        lambda s, y, fade: textures.foliage(s, y, np.float32([0.3, 0.48, 0.3])),
    )
    far = np.float32(street.houses[0]["style"]["colour"])[:, None] * 0.85
    canvas.wall_facing(
        LENGTH, street.centre - 45, street.centre + 45, 11, LABEL["building"], lambda *at: far
    )
    _paint_ground(canvas, street)
    _paint_sky(canvas, street)
    behind = [t for t in street.things if t.kind == "vegetation"]
    for item in sorted(
        [*street.borders, *behind], key=lambda i: -(i.z if isinstance(i, Thing) else i["z1"])
    ):
        if isinstance(item, Thing):
            paint_thing(canvas, item)
        else:
            _paint_border(canvas, item)


def _paint_sky(canvas: Canvas, street: Street) -> None:
    """Sky wherever nothing is painted yet."""
    height = int(canvas.camera.horizon) + 2
    at = np.flatnonzero(canvas.depth == FAR)
    rows, columns = np.divmod(at, canvas.camera.width)
    down = (np.float32(rows) + 0.5) / height
    along = (np.float32(columns) + 0.5) / canvas.camera.width
    canvas.put(at, textures.sky(along, down, **street.sky), LABEL["sky"], FAR)


def _paint_ground(canvas: Canvas, street: Street) -> None:
    """The ground below the horizon where nothing is painted yet."""
    first, x, z, ahead = canvas.camera.ground()
    at = np.flatnonzero(canvas.depth[first:] == FAR)
    rows = at // canvas.camera.width
    x, z, ahead = x.ravel()[at], z[rows, 0], ahead[rows, 0]
    fade = np.clip(16.0 / ahead, 0, 1)
    offset, side = np.abs(x - street.centre), (x > street.centre).astype(int)
    bay = street.road + np.take(street.bay, side)
    green = np.take(street.green, side) & (offset >= bay + np.take(street.pavement, side))
    parts = [offset < street.road, offset < bay, offset < bay + 0.18, green]
    part = np.select(parts, range(4), 4)
    colour, shady = _ground_colour(street, part, x, z, fade), street.surface["shade_side"]
    if shady:
        edge = street.centre + shady * (1.5 + 2.5 * textures.noise(np.floor(z / 9), z * 0, 0.7))
        colour = colour * np.where((x - edge) * shady > 0, 0.68, 1.0)
    canvas.put(at + first * canvas.camera.width, colour, GROUND[part], ahead)


def _ground_colour(
    street: Street, part: np.ndarray, x: np.ndarray, z: np.ndarray, fade: np.ndarray
) -> np.ndarray:
    """Colours (3, n) of positions (n,), each of the material of its part of the street."""
    surface = street.surface
    materials = (
        lambda x, z, fade: _mark_road(textures.asphalt(x, z, surface["asphalt"]), street, x, z),
        lambda x, z, fade: textures.paving(x * 2, z * 2, surface["asphalt"] * 1.2, fade),
        lambda x, z, fade: textures.paving(x, z, surface["slabs"], fade) * 1.2,
        lambda x, z, fade: textures.foliage(x, z, surface["grass"]),
        lambda x, z, fade: textures.paving(x, z, surface["slabs"], fade),
    )
    colour = np.empty((3, part.size), dtype=np.float32)
    for number, material in enumerate(materials):
        here = np.flatnonzero(part == number)
        colour[:, here] = material(x[here], z[here], fade[here])
    return colour


def _mark_road(colour: np.ndarray, street: Street, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """White lines, a pedestrian crossing and a manhole on the asphalt."""
    from_centre, surface = np.abs(x - street.centre), street.surface
    dash = (np.floor(z / 3) % 2 == 0) | surface["solid_line"]
    paint = (from_centre < 0.09) & dash | (np.abs(from_centre - street.road + 0.35) < 0.06)
    if surface["crossing"] is not None:
        paint |= (np.abs(z - surface["crossing"]) < 1.6) & (np.floor(x * 1.1) % 2 == 0)
    at = np.flatnonzero(paint)
    worn = 0.72 + 0.3 * textures.noise(x[at], z[at], 0.8)
    colour[:, at] = np.float32([[0.86], [0.86], [0.84]]) * worn
    mx, mz = surface["manhole"]
    radius = np.hypot(x - mx, z - mz)
    at = np.flatnonzero((radius < 0.38) & (radius > 0.3) | (radius < 0.24))
    colour[:, at] *= 0.62
    return colour


def _paint_house(canvas: Canvas, house: dict) -> None:
    """Its long side, and its front where that shows."""
    material = partial(textures.facade, style=house["style"])
    canvas.wall_along(
        house["x"], house["z0"], house["z1"], house["top"], LABEL["building"], material, behind=True
    )
    x0, x1 = sorted((house["x"], house["x"] + house["side"] * house["depth"]))
    if house["z0"] > canvas.camera.z:
        canvas.wall_facing(
            house["z0"], x0, x1, house["top"], LABEL["building"], lambda *at: 0.78 * material(*at)
        )


def _paint_border(canvas: Canvas, border: dict) -> None:
    colour, top = border["colour"], border["top"]
    span = border["x"], border["z0"], border["z1"], top
    if border["kind"] == "wall":
        canvas.wall_along(*span, LABEL["wall"], partial(textures.masonry, colour=colour))
    elif border["kind"] == "hedge":
        canvas.wall_along(
            *span, LABEL["vegetation"], lambda s, y, fade: textures.foliage(s, y, colour)
        )
    else:
        wood = partial(textures.planks, colour=colour, top=top)
        canvas.wall_along(*span, LABEL["fence"], wood, holes=partial(textures.pickets, top=top))


def paint_thing(canvas: Canvas, thing: Thing) -> None:
    """A sprite on its shadow, or on its pole."""
    camera = canvas.camera
    ahead = thing.z - camera.z
    if ahead < 1.5:
        return
    if thing.pole:
        canvas.shadow(thing.x, thing.z, 0.6)
        canvas.pole(thing.x, thing.z, thing.pole, 0.2, LABEL["pole"], thing.pole_colour)
        if thing.kind == "lamp":
            _paint_lamp(canvas, thing)
            return
    else:
        canvas.shadow(thing.x, thing.z, thing.height * thing.sprite.aspect)
    column, bottom = camera.project(thing.x, thing.y, thing.z)
    rider = LABEL["rider"] if thing.kind == "rider" else None
    canvas.sprite(
        thing.sprite,
        column,
        bottom,
        thing.height * camera.focal / ahead,
        ahead,
        thing.label,
        rider,
        thing.flip,
        light=0.12,
    )


def _paint_lamp(canvas: Canvas, thing: Thing) -> None:
    """The arm of a street lamp, reaching over the road."""
    towards = -1.3 if thing.x > 0 else 1.3
    x0, x1 = sorted((thing.x, thing.x + towards))
    (left, top), (right, bottom) = (
        canvas.camera.project(x, y, thing.z)
        for x, y in ((x0, thing.pole + 0.12), (x1, thing.pole - 0.12))
    )
    window = canvas.window(left, top, right, max(bottom, top + 2))
    if window is not None:
        canvas.colour[:, *window] = np.float32(thing.pole_colour)[:, None, None]
        canvas.label[window], canvas.depth[window] = LABEL["pole"], thing.z - canvas.camera.z


def develop(
    canvas: Canvas, rng: np.random.Generator, haze: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Haze by distance, reduction to the final size, blur, light, sensor noise -> image uint8,
    label int16."""
    from scipy import ndimage

    distance = np.clip(canvas.depth, 0, 130)
    air = haze * (1 - np.exp(-distance / rng.uniform(130, 400))) * (canvas.depth < 399)
    colour = canvas.colour * (1 - air) + np.float32([0.80, 0.84, 0.88])[:, None, None] * air
    k = OVERSAMPLING
    corners = [colour[:, i::k, j::k] for i in range(k) for j in range(k)]
    colour = sum(corners[1:], corners[0]) / k**2  # (3, H, W)
    colour = ndimage.gaussian_filter(colour, (0,) + (rng.uniform(0.2, 0.5),) * 2)
    light = rng.uniform(0.82, 1.1) * (1 + rng.uniform(-0.05, 0.05, 3))
    v, u = np.ogrid[-1 : 1 : colour.shape[1] * 1j, -1 : 1 : colour.shape[2] * 1j]
    colour = colour * light[:, None, None] * (1 - 0.10 * (u**2 + v**2))
    colour = np.clip(colour, 0, 1).transpose(1, 2, 0) ** rng.uniform(0.85, 1.15)  # (H, W, 3)
    colour = colour + rng.normal(0, rng.uniform(0.008, 0.022), colour.shape)
    image = (np.clip(colour, 0, 1) * 255 + 0.5).astype(np.uint8)
    return np.ascontiguousarray(image), canvas.label[k // 2 :: k, k // 2 :: k].copy()
