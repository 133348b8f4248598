"""What the playground shows and computes with: streets, sprites, networks, classifiers, a picture.

Streets are kept as the painter has them before the sensor: reduced, with haze, but without blur,
light and noise. The page puts a thing in and then does what `ood_lib.miniature.painter.develop`
does, so that the thing goes through the same lens.
"""

import hashlib
from functools import cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from ood_lib.data.labels import CLASSES, IGNORE_INDEX, OOD_INDEX, TRAIN_ID_OF_LABEL_ID
from ood_lib.detection import Detection, detect
from ood_lib.figures import AFTER, HEAT
from ood_lib.files import atomic_path, cache_folder
from ood_lib.kept import digest
from ood_lib.meta import LogisticMetaClassifier, MetaClassifier, NeuralMetaClassifier
from ood_lib.miniature import painter, proxy, scenes, sprites, textures
from ood_lib.miniature.camera import Camera
from ood_lib.miniature.canvas import Canvas
from ood_lib.miniature.sprites import Sprite
from ood_lib.miniature.street import Street, Thing
from ood_lib.models.export import GraphNetwork, to_graph
from ood_lib.segments import metric_names, segment_table
from ood_lib.settings import Settings, load_settings
from ood_lib.training import closed_set_network, fine_tuned_network
from ood_lib.training.fine_tune import FINE_TUNING

WIDTH, HEIGHT = 256, 128
STREETS, SCENES, PROXIES = 12, 24, 12
LEAST_ROAD = 0.34  #: of a street's picture, so that there is room for a thing
MOST_UNKNOWN = 0.2  #: of a proxy image, as in the miniature profile
THINGS = {
    "📦": "parcel", "🛒": "shopping trolley", "🛞": "wheel", "🪣": "bucket", "🪵": "log",
    "🪨": "rock", "🛢": "oil drum", "🧱": "bricks", "🧺": "basket", "🥁": "drum",
    "🎸": "guitar", "🎃": "pumpkin", "🎁": "present", "🌍": "globe", "🦽": "wheelchair",
    "🪜": "ladder", "🚪": "door", "🗿": "stone head", "🐪": "camel", "🦘": "kangaroo",
}  # fmt: skip
"""Drawings of the test anomalies' group, which no training shows, and their names."""
CLASSIFIERS = {"logistic": LogisticMetaClassifier, "neural": NeuralMetaClassifier}
Pack = tuple[dict[str, np.ndarray], dict[str, object]]
"""Arrays by name, and what is said about them, as JSON."""


def packs_key() -> str:
    """Changes with whatever decides the packs: networks, painter, classifiers, this file."""
    settings = load_settings(paint=False)
    painting = (scenes.street_scene, painter.draw_street, painter.develop, proxy.paint_proxy)
    learned = (FINE_TUNING, segment_table, *CLASSIFIERS.values(), to_graph)
    here = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    numbers = (settings.recipe(), settings.threshold)
    return digest(numbers, closed_set_network(settings), *painting, *learned, here)


# ---- pictures before the sensor ----
def before_sensor(canvas: Canvas, rng: np.random.Generator, haze: float = 1.0) -> Pack:
    """The first half of `painter.develop`, and the numbers that its second half draws.

    ``picture`` uint8 (H, W, 3), ``foot`` uint8 (H, W), the row in which the ground is as far away
    as what is seen; and the camera, haze, blur, light, gamma and noise.
    """
    k, camera = painter.OVERSAMPLING, canvas.camera
    range_ = rng.uniform(130, 400)
    air = haze * (1 - np.exp(-np.clip(canvas.depth, 0, 130) / range_)) * (canvas.depth < 399)
    colour = np.ascontiguousarray(canvas.colour.transpose(1, 2, 0))  # (H, W, 3)
    colour = colour * (1 - air[..., None]) + np.float32([0.80, 0.84, 0.88]) * air[..., None]
    height, width = camera.height // k, camera.width // k
    colour = colour.reshape(height, k, width, k, 3).mean(axis=(1, 3))
    row = (camera.horizon + camera.focal * camera.eye / canvas.depth[k // 2 :: k, k // 2 :: k]) / k
    about = {
        "focal": camera.focal / k, "horizon": camera.horizon / k, "eye": camera.eye,
        "haze": range_, "blur": rng.uniform(0.2, 0.5),
        "light": list(rng.uniform(0.82, 1.1) * (1 + rng.uniform(-0.05, 0.05, 3))),
        "gamma": rng.uniform(0.85, 1.15), "noise": rng.uniform(0.008, 0.022),
    }  # fmt: skip
    picture = (np.clip(colour, 0, 1) * 255 + 0.5).astype(np.uint8)
    return {"picture": picture, "foot": np.clip(row, 0, 255).astype(np.uint8)}, about


def labels_of(canvas: Canvas) -> np.ndarray:
    """Label ids (H, W) as `painter.develop` gives them."""
    k = painter.OVERSAMPLING
    return canvas.label[k // 2 :: k, k // 2 :: k]


def street_of(split: str, index: int) -> tuple[Street, Camera, np.random.Generator]:
    return scenes.street_scene(0, split, index, WIDTH, HEIGHT)


@cache
def scene_arrays(split: str, index: int) -> Pack:
    """A street before the sensor, with ``labels`` uint8 (H, W): its classes, 255 for none."""
    street, camera, rng = street_of(split, index)
    canvas = painter.draw_street(street, camera)
    arrays, about = before_sensor(canvas, rng)
    return arrays | {"labels": TRAIN_ID_OF_LABEL_ID[labels_of(canvas)]}, about


@cache
def street_numbers() -> tuple[int, ...]:
    """Which validation streets are shown: the first that have room on the road."""
    found, index = [], 0
    while len(found) < STREETS:
        labels = scene_arrays("val", index)[0]["labels"]
        if (labels == 0).mean() >= LEAST_ROAD:
            found.append(index)
        index += 1
    return tuple(found)


def proxy_arrays(index: int) -> Pack:
    """A proxy image before the sensor, with ``labels`` uint8 (H, W): objects unknown, else ignored.

    Drawn as `proxy.paint_proxy` draws it.
    """
    rng = scenes.generator(0, "proxy", index)
    size = (192, 144) if rng.random() < 0.75 else (144, 192)
    canvas = Canvas(painter.enlarge(Camera.random(rng, *size)))
    proxy._paint_backdrop(canvas, rng)
    proxy._place_objects(canvas, rng)
    arrays, about = before_sensor(canvas, rng, haze=0.3)
    unknown = labels_of(canvas) >= proxy.FIRST_INSTANCE
    labels = np.where(unknown, OOD_INDEX, IGNORE_INDEX).astype(np.uint8)
    return arrays | {"labels": labels}, about


# ---- things ----
@cache
def thing(number: int) -> tuple[Sprite, float]:
    """A thing's drawing, recoloured as anomalies are, and its height in metres."""
    emoji = list(THINGS)[number]
    sprite = sprites.load_sprite(emoji)
    rgba = sprites.recolour(sprite.rgba, np.random.default_rng(ord(emoji)), 0.25)
    return Sprite(rgba, sprite.mask, sprite.rider), 1.05 / max(sprite.aspect / 1.4, 1.0)


def paint(street: int, sprite: int, x: float, y: float, seed: int = 0) -> tuple[np.ndarray, ...]:
    """The painter's own picture with a thing on the pixel (x, y): what the page imitates.

    uint8 (H, W, 3), and where the thing is seen, bool (H, W). ``seed`` is of the sensor's noise.
    """
    here, camera, rng = street_of("val", street_numbers()[street])
    drawing, height = thing(sprite)
    ahead = camera.focal * camera.eye / (y - camera.horizon)
    place = {"x": (x - WIDTH / 2) * ahead / camera.focal + camera.x, "z": ahead}
    label = scenes.FIRST_OBSTACLE
    here.things.append(Thing("obstacle", drawing, **place, height=height, label=label))
    canvas = painter.draw_street(here, camera)
    image, labels = painter.develop(canvas, _OtherNoise(rng, seed))
    return image, labels == label


class _OtherNoise:
    """The street's generator, but for the noise, which is another with each seed."""

    def __init__(self, rng: np.random.Generator, seed: int) -> None:
        self.uniform, self.normal = rng.uniform, np.random.default_rng(seed).normal


# ---- networks and classifiers ----
@cache
def networks() -> dict[str, GraphNetwork]:
    """The network before and after entropy maximization, as the page computes it."""
    settings = load_settings()
    before = closed_set_network(settings)
    after = fine_tuned_network(settings, progress=False)
    return {"before": to_graph(before).eval(), "after": to_graph(after).eval()}


@cache
def classifiers() -> dict[str, dict[str, MetaClassifier]]:
    """By network and kind, fitted on LostAndFound train, which shows other things."""
    return {name: _fit(network, load_settings()) for name, network in networks().items()}


def _fit(network: GraphNetwork, settings: Settings) -> dict[str, MetaClassifier]:
    frames = settings.open("lost_and_found", "train")
    table = segment_table(
        network, frames, settings.threshold, checkpoint=cache_folder(), progress=False
    )
    return {kind: make().fit(table, table.iou == 0) for kind, make in CLASSIFIERS.items()}


# ---- packs ----
def network_pack() -> Pack:
    """Both networks, the classifiers of each, and a picture with its score, to check a browser by.

    Weights are float16 in two planes, of the lower and of the upper bytes; those of the second
    network as the bits that differ from the first, of which many are 0: both compress better.
    """
    before, after = (weights_as_planes(network) for network in networks().values())
    arrays = {"before": before, "after": before ^ after}
    for network, kinds in classifiers().items():
        for kind, fitted in kinds.items():
            parts = fitted.standardisation_._asdict() | {"parameters": fitted.parameters_}
            arrays |= {f"{network}.{kind}.{part}": values for part, values in parts.items()}
    picture = scene_arrays("val", street_numbers()[0])[0]["picture"]
    score = detection("after", picture).score
    arrays |= {"check.picture": picture, "check.score": np.round(score * 255).astype(np.uint8)}
    shapes = {name: list(weight.shape) for name, weight in networks()["before"].weights.items()}
    nodes, threshold = networks()["before"].nodes, load_settings().threshold
    about = {"nodes": nodes, "shapes": shapes, "metrics": metric_names(), "threshold": threshold}
    return arrays, about


def weights_as_planes(network: GraphNetwork) -> np.ndarray:
    """All weights in order, float16, as uint8 (2, numbers): lower and upper bytes."""
    flat = torch.cat([weight.detach().flatten() for weight in network.weights.values()])
    return flat.half().numpy().view(np.uint8).reshape(-1, 2).T


def scenes_pack() -> Pack:
    """The streets and the things."""
    arrays, streets, things = {}, [], []
    for number, index in enumerate(street_numbers()):
        found, about = scene_arrays("val", index)
        arrays |= {f"street{number}.{name}": values for name, values in found.items()}
        streets.append(about)
    for number, name in enumerate(THINGS.values()):
        drawing, height = thing(number)
        arrays[f"thing{number}.rgba"] = (drawing.rgba * 255).astype(np.uint8).transpose(1, 2, 0)
        arrays[f"thing{number}.mask"] = drawing.mask.astype(np.uint8)
        things.append({"name": name, "height": height})
    # A piece of the noise that shades things; its 40 cells across a thing are the painter's.
    arrays["shade"] = (textures._noise_tile()[:64, :64] * 255).astype(np.uint8)
    arrays["heat"] = np.round(plt.get_cmap(HEAT)(range(256))[:, :3] * 255).astype(np.uint8)
    classes = [known.name for known in CLASSES]
    return arrays, {"streets": streets, "things": things, "classes": classes}


def learn_pack() -> Pack:
    """Street scenes of the training set and proxy images, for learning in the page."""
    pictures = [scene_arrays("train", 600 * index // SCENES) for index in range(SCENES)]
    index = 1  # every twelfth from 0 shows what Cityscapes knows
    while len(pictures) < SCENES + PROXIES:
        arrays, about = proxy_arrays(index)
        if 0 < (arrays["labels"] == OOD_INDEX).mean() <= MOST_UNKNOWN and index % 12:
            pictures.append((arrays, about))
        index += 1
    named = {}
    for number, (arrays, _) in enumerate(pictures):
        kept = {"picture": arrays["picture"], "labels": arrays["labels"]}  # nothing hides anything
        named |= {f"picture{number}.{name}": values for name, values in kept.items()}
    return named, {"pictures": [about for _, about in pictures]}


# ---- the still picture ----
def detection(network: str, image: np.ndarray, ignored: np.ndarray | None = None,
              kind: str = "neural") -> Detection:
    """What a network and its classifier make of an image uint8 (H, W, 3)."""
    target = None if ignored is None else np.where(ignored, IGNORE_INDEX, 0).astype(np.uint8)
    pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    fitted, threshold = classifiers()[network][kind], load_settings().threshold
    return detect(networks()[network], pixels, fitted, threshold, target)


def fate(found: Detection, seen: np.ndarray) -> str:
    """What became of the thing that is seen at these pixels, bool (H, W), as the page says it."""
    if not found.labels[seen].any():
        return "not found"
    share = found.mask[seen].mean()
    if share == 0:
        return "found, but taken for a false alarm"
    return "found and kept" if share >= 1 / 4 else "only a scrap of it found and kept"


def write_still(path: Path, street: int = 0, sprite: int = 1) -> None:
    """A thing at three places: the picture, both score maps, and what is kept of their segments."""
    places = ((140, 118), (120, 96), (97, 74))  # near, further away, far; nothing is before it
    labels = scene_arrays("val", street_numbers()[street])[0]["labels"]
    figure, axes = plt.subplots(3, 3, figsize=(10.2, 5.6), layout="constrained")
    for row, place in zip(axes, places, strict=True):
        image, seen = paint(street, sprite, *place)
        row[0].imshow(image)
        for axis, network in zip(row[1:], ("before", "after"), strict=True):
            found = detection(network, image, ignored=(labels != 0) & ~seen)
            axis.imshow(found.score, cmap=HEAT, vmin=0, vmax=1)
            if found.mask.any():
                axis.contour(found.mask, [0.5], colors=AFTER, linewidths=1.2)
            axis.set_xlabel(fate(found, seen), fontsize=9)
    titles = ("picture", "before", "after entropy maximization")
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=10)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    with atomic_path(path) as aside:
        figure.savefig(aside, dpi=90)
    plt.close(figure)
