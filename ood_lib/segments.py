"""Segments of unusual pixels, and the metrics of each: those of MetaSeg (Rottmann et al. 2020; thesis, section 3.3)."""

import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy import ndimage
from torch import Tensor

from ood_lib.data.labels import IGNORE_INDEX
from ood_lib.metrics.arrays import to_array, two_classes

SUM_TOLERANCE = 1e-2
"""How far from 1 the probabilities of a pixel may sum: rounded to bfloat16, up to 0.004; to float16, up to 0.0005."""

_PARTS = ("", "_in", "_bd", "_rel", "_rel_in")
_MEASURES = ("S", "E", "E_var", "D", "D_var", "V", "V_var")
_EPSILON = float(np.finfo(np.float32).eps)  # inside MetaSeg's logarithm
_NEIGHBOURS = np.ones((3, 3), dtype=bool)  # 8-connected
_AT_ONCE = 2**16  # pixels; what is computed for them stays in a processor's cache


def metric_names(num_classes: int = 19) -> list[str]:
    """The columns of `segment_metrics` for so many classes: 75 for the 19 of Cityscapes, in general 37 + 2 C."""
    measured = [f"{measure}{part}" for measure in _MEASURES for part in _PARTS]
    of_classes = [f"{measure}{index}" for measure in ("cprob", "ndist") for index in range(num_classes)]
    return ["mean_x", "mean_y", *measured, *of_classes]


def find_segments(mask: ArrayLike, target: ArrayLike | None = None) -> np.ndarray:
    """Numbers of the 8-connected segments of a mask, int32 (H, W): from 1 in raster order, 0 outside.

    ``mask`` (H, W) is True (or 1) where the score reaches the threshold, the set J-hat of the thesis's equation 3.8, so
    that a number k stands for one k-hat of equation 3.9. Ignored pixels, of target 255, are taken out first.
    ValueError for another shape, other values, or a target of other values than 0, 1 and 255.
    """
    mask = to_array(mask)
    if mask.ndim != 2 or (mask.dtype != bool and not np.isin(mask, (0, 1)).all()):
        raise ValueError(
            f"Expected a mask (H, W) of True and False, not {mask.dtype} {mask.shape} with values such as "
            f"{np.unique(mask)[:3].tolist()}. To get one, compare a score (H, W) with a threshold: score >= threshold."
        )
    if target is not None:
        target = to_array(target)
        if target.shape != mask.shape:
            raise ValueError(f"The target has the shape {target.shape}, but the mask {mask.shape}.")
        two_classes(mask, target)  # for its look at the values
        mask = (mask != 0) & (target != IGNORE_INDEX)
    return ndimage.label(mask, _NEIGHBOURS)[0]


def segment_metrics(
    probabilities: Any, mask: ArrayLike, target: ArrayLike | None = None
) -> tuple[pd.DataFrame, np.ndarray]:
    """The metrics of every segment of one image, the rows of the thesis's mu (section 3.4), and where the segments are.

    ``probabilities`` (C, H, W) is the softmax of the logits, NumPy or torch, float16 to float64; the sums over it are
    taken where it lies (on a GPU in any order, so that their last digits may change). ``mask`` (H, W) and ``target``
    (H, W) with 0, 1 and 255 are as in `find_segments`. Gives a table of float64 with the columns `metric_names` (C) and
    a row for each segment, and the segments' numbers (H, W), int32: row i is of the segment i + 1. The columns are:

    - mean_x, mean_y: mean row and mean column of the segment, in pixels from 0.
    - S, S_in, S_bd: number of its pixels, of the inner ones and of those on its boundary, which have a pixel of the
      image that is not of the segment among their 8 neighbours; S_rel = S / S_bd, S_rel_in = S_in / S_bd.
    - E, D, V: means of three maps: entropy over log C (the thesis's equation 3.1), 1 - p1 + p2 and 1 - p1, with p1 and
      p2 the two largest probabilities of a pixel. E_in and E_bd are the means over inner and over boundary pixels, 0 if
      there are none, E_rel = E * S_rel and E_rel_in = E_in * S_rel_in. E_var and so on are the same of the (population)
      variance. D and V likewise.
    - cprob0, ...: mean probability of each class. ndist0, ...: of all pairs of a pixel of the segment and one of its 8
      neighbours outside, the share whose neighbour's most likely class is this one.
    - iou, only with a target: anomalous pixels of the segment over these and all other pixels of the segment and of
      the anomalies that it touches, without what of these other segments cover (the IoU of equations 3.10 and 3.11).

    A segment that fills the image has no boundary: there S_rel = S, S_rel_in = S_in, and ndist is 0.
    ValueError for other shapes and types, other values in mask or target, and for probabilities that are negative, NaN
    or do not sum to 1, to within `SUM_TOLERANCE`.
    """
    probabilities = _as_probabilities(probabilities)
    labels = find_segments(mask, target)
    if labels.shape != probabilities.shape[1:]:
        raise ValueError(
            f"The mask has the shape {labels.shape}, but the probabilities, (C, H, W), {tuple(probabilities.shape)}."
        )
    maps, outline = probabilities.flatten(1), _trace(labels)
    sums, squares = _sums(maps, labels)
    ndist = _neighbour_classes(maps, outline, sums.shape[1])
    table = pd.DataFrame(_columns(sums, squares, ndist), columns=metric_names(len(maps)))
    if target is not None:
        table["iou"] = _iou(to_array(target) == 1, labels, outline, table["S"].to_numpy())
    return table, labels


class _Outline(NamedTuple):
    """Where segments end; a pair is a pixel of a segment and one of its 8 neighbours in the image that is in none."""

    outside: np.ndarray
    """int64 (pixels,): flat indices of the neighbours of all pairs, each once."""
    segments: np.ndarray
    """int64 (pairs,): the segment, from 0."""
    neighbours: np.ndarray
    """int64 (pairs,): the neighbour, as a place in ``outside``."""


def _trace(labels: np.ndarray) -> _Outline:
    inside = labels > 0
    outside = np.flatnonzero(_grow(inside) & ~inside)
    rows, columns = np.divmod(outside, labels.shape[1])
    padded = np.pad(labels, 1)
    around = np.stack([padded[rows + down, columns + right] for down in range(3) for right in range(3)])
    touching = around > 0
    return _Outline(outside, around[touching].astype(np.int64) - 1, np.nonzero(touching)[1])


def _grow(mask: np.ndarray) -> np.ndarray:
    """The mask and all 8 neighbours of its pixels; an order of magnitude faster than a general dilation."""
    wide = mask.copy()
    wide[:, 1:] |= mask[:, :-1]
    wide[:, :-1] |= mask[:, 1:]
    grown = wide.copy()
    grown[1:] |= wide[:-1]
    grown[:-1] |= wide[1:]
    return grown


def _sums(maps: Tensor, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of ``maps`` (C, H * W) over the inner and over the boundary pixels of each segment, float64.

    (6 + C, segments, 2) of 1, row, column, E, D, V and the probabilities, and (3, segments, 2) of the squared
    differences of E, D and V from their mean over these same pixels.
    """
    at, slot, turns = _slots(labels)
    pixels, slots = (torch.from_numpy(part).to(maps.device).split(_AT_ONCE) for part in (at, slot))
    sums = maps.new_zeros(6 + len(maps), 2 * int(labels.max()) * turns, dtype=torch.float64)
    heats = []
    for pixel, slot in zip(pixels, slots, strict=True):
        p = _at_pixels(maps, pixel)
        heats.append(_heat_maps(p))
        place = torch.stack([torch.ones_like(pixel), pixel // labels.shape[1], pixel % labels.shape[1]])
        for part, values in zip(sums.split([3, 3, len(p)]), (place, heats[-1], p), strict=True):
            part.index_add_(1, slot, values.double())
    sums = sums.unflatten(1, (-1, turns)).sum(2)
    means = (sums[3:6] / sums[0].clamp(min=1)).repeat_interleave(turns, dim=1)
    squares = torch.zeros_like(means)
    for heat, slot in zip(heats, slots, strict=True):
        squares.index_add_(1, slot, (heat.double() - means.index_select(1, slot)).square_())
    squares = squares.unflatten(1, (-1, turns)).sum(2)
    return tuple(each.unflatten(1, (-1, 2)).cpu().numpy() for each in (sums, squares))


def _slots(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Flat indices of the segments' pixels, the place of the sum that each is added to, and how many sums take turns.

    A processor that adds to one sum again and again waits each time until it is written. Neighbouring pixels are mostly
    of one segment; so they take turns at several sums of it, if segments are few. This is three times as fast.
    """
    at, near_outside = np.flatnonzero(labels), _grow(labels == 0)
    group = 2 * (labels.ravel()[at].astype(np.int64) - 1) + near_outside.ravel()[at]
    turns = int(np.clip(2**13 // max(1, labels.max()), 1, 8))
    return at, group * turns + np.arange(len(at)) % turns, turns


def _at_pixels(maps: Tensor, pixels: Tensor) -> Tensor:
    """(C, pixels) of maps (C, H * W), float32 at least, class by class in memory."""
    dtype = torch.promote_types(maps.dtype, torch.float32)
    if maps.stride(0) == 1:  # channels last, as networks on a GPU compute
        return maps.T.index_select(0, pixels).T.contiguous().to(dtype)
    return maps.index_select(1, pixels).to(dtype)


def _heat_maps(p: Tensor) -> Tensor:
    """E, D and V, (3, pixels), of probabilities (C, pixels)."""
    entropy = (p + _EPSILON).log_().mul_(p).sum(0) / -math.log(len(p))
    first, second = p[0], torch.zeros_like(p[0])
    for other in p[1:]:  # an order of magnitude faster than topk
        second = torch.maximum(second, torch.minimum(first, other))
        first = torch.maximum(first, other)
    return torch.stack([entropy, 1 - first + second, 1 - first])


def _neighbour_classes(maps: Tensor, outline: _Outline, number: int) -> np.ndarray:
    """Share of each most likely class among the neighbours of each segment, (segments, C)."""
    outside = torch.from_numpy(outline.outside).to(maps.device)
    classes = _at_pixels(maps, outside).max(dim=0).indices.cpu().numpy()  # argmax takes twice as long
    which = outline.segments * len(maps) + classes[outline.neighbours]
    pairs = np.bincount(which, minlength=number * len(maps)).reshape(number, len(maps))
    return pairs / np.maximum(pairs.sum(axis=1, keepdims=True), 1)


def _columns(sums: np.ndarray, squares: np.ndarray, ndist: np.ndarray) -> np.ndarray:
    """The table (segments, 37 + 2 C) of what `_sums` and `_neighbour_classes` give."""
    sizes = sums[0]
    size, (inner, border) = sizes.sum(axis=1), sizes.T
    relative = np.stack([size, inner]) / np.maximum(border, 1)
    mean = sums.sum(axis=2) / size
    means, variances = (each / np.maximum(sizes, 1) for each in (sums[3:6], squares))
    # The law of total variance: what the parts vary in themselves, and their means from each other.
    apart = inner * border / size**2 * (means[..., 0] - means[..., 1]) ** 2
    variance = squares.sum(axis=2) / size + apart
    columns = [*mean[1:3], size, inner, border, *relative]
    for heat in range(3):
        for whole, parts in ((mean[3 + heat], means[heat].T), (variance[heat], variances[heat].T)):
            columns += [whole, *parts, whole * relative[0], parts[0] * relative[1]]
    return np.stack([*columns, *mean[6:], *ndist.T]).T


def _iou(anomalous: np.ndarray, labels: np.ndarray, outline: _Outline, sizes: np.ndarray) -> np.ndarray:
    """(segments,): the anomalous pixels of each over its pixels and those of the pieces of anomalies it touches.

    A piece is an 8-connected component of the anomalous pixels that no segment covers.
    """
    found = np.bincount(labels[anomalous], minlength=len(sizes) + 1)[1:]
    pieces, _ = ndimage.label(anomalous & (labels == 0), _NEIGHBOURS)
    piece_sizes = np.bincount(pieces.ravel())
    touched = pieces.ravel()[outline.outside][outline.neighbours]
    contacts = np.unique((outline.segments * len(piece_sizes) + touched)[touched > 0])
    segment, piece = np.divmod(contacts, len(piece_sizes))
    return found / (sizes + np.bincount(segment, weights=piece_sizes[piece], minlength=len(sizes)))


def _as_probabilities(values: Any) -> Tensor:
    """A tensor (C, H, W); it shares memory with what was given where torch can do so."""
    if not isinstance(values, Tensor):
        values = np.asarray(values)
        if not values.flags.writeable or min(values.strides, default=0) < 0:  # torch takes neither
            values = values.copy()
        values = torch.from_numpy(values)
    values = values.detach()
    if values.ndim != 3 or len(values) < 2 or 0 in values.shape or not values.is_floating_point():
        raise ValueError(
            "Expected the probabilities (C, H, W) of two classes or more in one image, as floating-point numbers, not "
            f"{str(values.dtype).removeprefix('torch.')} {tuple(values.shape)}."
        )
    total = values.sum(0, dtype=torch.promote_types(values.dtype, torch.float32))
    valid = (total - 1).abs() <= SUM_TOLERANCE
    if values.amin(0).min() < 0:
        valid &= (values >= 0).all(0)
    if not valid.all():
        _refuse(values, valid)
    return values


def _refuse(values: Tensor, valid: Tensor) -> None:
    """Raise ValueError for the first pixel (H, W) whose values are no probabilities."""
    row, column = (~valid).nonzero()[0].tolist()
    pixel = values[:, row, column].double()
    hint = "Was the softmax over the classes forgotten? Of logits (C, H, W) it is logits.softmax(dim=0)."
    if not pixel.isfinite().all():
        hint = "Look at the logits for NaN and infinity."
    raise ValueError(
        f"{(~valid).sum()} of {valid.numel()} pixels hold no probabilities. The first is row {row}, column {column}: "
        f"from {pixel.min():.4g} to {pixel.max():.4g}, with the sum {pixel.sum():.4g} (expected 1). {hint}"
    )
