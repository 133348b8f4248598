"""The one style of all figures: colour-blind safe, on a white card in light and dark mode."""

import math
from collections.abc import Collection, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import ArrayLike
from scipy import ndimage

from ood_lib.data.labels import CLASSES, IGNORE_INDEX, OOD_INDEX

HEAT = "inferno"
"""Colour map of every score map: dark where the network is sure, bright where it is not."""

_BLUE = sns.color_palette("colorblind")[0]
IN_DISTRIBUTION, ANOMALY, BEFORE, AFTER = _BLUE, "#cc3377", "#777777", "#d55e00"
"""Colours that mean the same in every figure."""

_MAGENTA = np.array([255, 60, 255])


def use_style() -> None:
    """Set matplotlib's defaults for every figure; a white card keeps colours true in dark mode."""
    sns.set_theme(style="ticks", palette="colorblind", font_scale=0.9)
    plt.rcParams.update({
        "figure.facecolor": "white", "savefig.facecolor": "white", "figure.dpi": 220,
        "savefig.bbox": "tight", "axes.spines.top": False, "axes.spines.right": False,
        "axes.titlesize": "medium", "legend.frameon": False, "image.interpolation": "nearest",
    })


def to_picture(image: ArrayLike) -> np.ndarray:
    """uint8 (H, W, 3), for matplotlib, of (3, H, W) or (H, W, 3), uint8 or float in [0, 1]."""
    pixels = np.asarray(image)
    if pixels.ndim == 3 and pixels.shape[0] == 3 and pixels.shape[-1] != 3:
        pixels = pixels.transpose(1, 2, 0)  # (H, W, 3)
    if pixels.dtype == np.uint8:
        return pixels
    return (np.clip(pixels, 0, 1) * 255).round().astype(np.uint8)


def color_classes(train_ids: ArrayLike) -> np.ndarray:
    """Train ids (H, W) in Cityscapes' colours, uint8 (H, W, 3); ignored black, OoD magenta."""
    palette = np.zeros((256, 3), dtype=np.uint8)
    for entry in CLASSES:
        palette[entry.train_id] = entry.color
    palette[OOD_INDEX] = _MAGENTA
    return palette[np.asarray(train_ids)]


def mark_anomalies(image: ArrayLike, target: ArrayLike) -> np.ndarray:
    """The image, anomalies (1 or 254) in magenta, ignored pixels (255) dark, uint8 (H, W, 3)."""
    target = np.asarray(target)
    marked = to_picture(image).astype(float)
    marked[target == IGNORE_INDEX] *= 0.35
    anomalous = (target == 1) | (target == OOD_INDEX)
    marked[anomalous] = 0.3 * marked[anomalous] + 0.7 * _MAGENTA
    return marked.astype(np.uint8)


def mark_segments(image: ArrayLike, kept: ArrayLike, removed: ArrayLike | None = None,
                  target: ArrayLike | None = None) -> np.ndarray:
    """The image with kept segments (H, W), bool, in orange, removed ones in blue, uint8 (H, W, 3).

    Of ``target`` ignored pixels (255) are darkened, and anomalies get a magenta outline on top.
    """
    marked = to_picture(image).astype(float)
    if target is not None:
        marked[np.asarray(target) == IGNORE_INDEX] *= 0.35
    for mask, color in ((kept, AFTER), (removed, IN_DISTRIBUTION)):
        if mask is not None:
            mask = np.asarray(mask, dtype=bool)
            marked[mask] = 0.25 * marked[mask] + 0.75 * 255 * np.array(to_rgb(color))
    if target is not None:
        anomalous = np.asarray(target) == 1  # what is inside stays to be seen
        marked[ndimage.binary_dilation(anomalous, np.ones((3, 3))) & ~anomalous] = _MAGENTA
    return marked.round().astype(np.uint8)


def panels(rows: Sequence[Sequence[ArrayLike]], titles: Sequence[str] = (), scale: str = "",
           width: float = 10.0) -> Figure:
    """Pictures side by side: RGB images as they are, score maps (H, W) in [0, 1] as heat maps.

    ``titles`` head the columns; ``scale`` names what the heat maps show, beside their colour bar.
    """
    (down, across), columns = to_picture(rows[0][0]).shape[:2], len(rows[0])
    size = width, len(rows) * (width / columns) * down / across + 0.3  # inches, 0.3 for titles
    grid = {"figsize": size, "squeeze": False, "layout": "constrained"}
    figure, axes = plt.subplots(len(rows), columns, **grid)
    heat = None
    for row, pictures in zip(axes, rows, strict=True):
        for axis, picture in zip(row, map(np.asarray, pictures), strict=True):
            axis.set_axis_off()
            if picture.ndim == 2:
                heat = axis.imshow(picture, cmap=HEAT, vmin=0, vmax=1)  # one scale for all
            else:
                axis.imshow(to_picture(picture))
    for axis, title in zip(axes[0], titles, strict=False):
        axis.set_title(title)
    if heat is not None and scale:
        figure.colorbar(heat, ax=axes, label=scale, shrink=0.9, pad=0.01, aspect=30)
    return figure


def class_legend(figure: Figure, train_ids: Collection[int] | None = None) -> None:
    """Below the figure, colours and names of the classes; of all 19 if ``train_ids`` is None."""
    shown = [each for each in CLASSES if train_ids is None or each.train_id in train_ids]
    patches = [Patch(color=np.array(each.color) / 255, label=each.name) for each in shown]
    room = 0.2 * math.ceil(len(patches) / 7) + 0.1  # inches for the legend
    figure.set_figheight(figure.get_figheight() + room)
    figure.legend(handles=patches, loc="outside lower center", ncols=7, fontsize="small")
