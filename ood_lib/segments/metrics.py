"""Segments of unusual pixels, and the 75 metrics of each, those of MetaSeg (Rottmann et al. 2020).

Nothing loops over segments: each pixel is added to the sums to which its segment's number points.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy import ndimage
from torch import Tensor

from ood_lib.data.arrays import to_array, two_classes
from ood_lib.models.logits import at_least_float32

SUM_TOLERANCE = 1e-2  #: how far from 1 a pixel may sum; bfloat16 rounds by 0.004, float16 less
_EPSILON = float(np.finfo(np.float32).eps)  # inside MetaSeg's logarithm
_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)
_PIXELS_AT_ONCE = 2**16  # what is computed for them stays in a processor's cache


def metric_names(num_classes: int = 19) -> list[str]:
    """The columns of `segment_metrics`, 37 + 2 C: 75 for the 19 classes of Cityscapes."""
    names = ["mean_x", "mean_y"]
    for measure in ("S", "E", "E_var", "D", "D_var", "V", "V_var"):
        names += [f"{measure}{part}" for part in ("", "_in", "_bd", "_rel", "_rel_in")]
    names += [f"cprob{index}" for index in range(num_classes)]
    return names + [f"ndist{index}" for index in range(num_classes)]


def find_segments(mask: ArrayLike, target: ArrayLike | None = None) -> np.ndarray:
    """Numbers of the 8-connected segments of a mask, int32 (H, W): from 1 in raster order, else 0.

    ``mask`` (H, W) is True (or 1) where the score reaches the threshold (equation 3.8), so that a
    number stands for a k-hat of equation 3.9. Pixels of target 255, ignored ones, are taken out.
    ValueError for other shapes, and for other targets than 0, 1 and 255.
    """
    mask = to_array(mask)
    if mask.ndim != 2 or (mask.dtype != bool and not np.isin(mask, (0, 1)).all()):
        raise ValueError(
            "Expected a mask (H, W) of True and False, such as score >= threshold, not "
            f"{mask.dtype} {mask.shape} with values such as {np.unique(mask)[:3].tolist()}.")
    if target is not None:
        target = to_array(target)
        if target.shape != mask.shape:
            raise ValueError(f"The target has the shape {target.shape}, but the mask {mask.shape}.")
        mask = (mask != 0) & np.logical_or(*two_classes(mask, target))
    return ndimage.label(mask, _EIGHT_NEIGHBOURS)[0]


def segment_metrics(probabilities: Any, mask: ArrayLike,
                    target: ArrayLike | None = None) -> tuple[pd.DataFrame, np.ndarray]:
    """The metrics of every segment of an image, rows of the thesis's mu (section 3.4).

    ``probabilities`` (C, H, W) is the softmax of the logits, NumPy or torch, float16 to float64.
    Sums over it are taken where it lies (on a GPU in any order, so that last digits may change).
    ``mask`` and ``target`` are as in `find_segments`. Gives a table of float64, and the segments'
    numbers (H, W), int32: row i is of the segment i + 1. The columns, `metric_names` (C), are:

    - mean_x, mean_y: mean row and mean column of the segment, in pixels from 0.
    - S, S_in, S_bd: number of its pixels, of the inner ones and of those on its boundary, beside a
      pixel (one of 8) that is not of the segment. S_rel = S / S_bd, S_rel_in = S_in / S_bd.
    - E, D, V: means of three maps: entropy over log C (the thesis's equation 3.1), 1 - p1 + p2 and
      1 - p1, with p1 and p2 the two largest probabilities of a pixel. E_in and E_bd are means over
      inner and boundary pixels, 0 if there are none, E_rel = E * S_rel, E_rel_in = E_in * S_rel_in.
      E_var and so on are the same of the (population) variance.
    - cprob0, ...: mean probability of each class. ndist0, ...: share of each most likely class in
      all pairs of a pixel of the segment and one of its 8 neighbours outside (the neighbour's).
    - iou, only with a target: its anomalous pixels over all its pixels and those of anomalies that
      it touches, without what of these other segments cover (the IoU of equations 3.10 and 3.11).

    A segment that fills the image has no boundary: S_rel = S, S_rel_in = S_in, and ndist is 0.
    ValueError for other shapes, types and values, and for probabilities that are negative, NaN or
    do not sum to 1, to within `SUM_TOLERANCE`.
    """
    probabilities = _as_probabilities(probabilities)                                 # (C, H, W)
    labels = find_segments(mask, target)                                             # (H, W)
    if labels.shape != probabilities.shape[1:]:
        shape = tuple(probabilities.shape)
        raise ValueError(f"The mask {labels.shape} does not fit the probabilities {shape}.")
    maps, outline = probabilities.flatten(1), _trace(labels)                         # (C, H * W)
    sums, squares = _sums(maps, labels)
    table = _table(sums, squares, _neighbour_classes(maps, outline, segments=sums.shape[1]))
    if target is not None:
        table["iou"] = _iou(to_array(target) == 1, labels, outline, table["S"].to_numpy())
    return table, labels


class _Outline(NamedTuple):
    """Where segments end: all pairs of a pixel of a segment and one of its 8 neighbours in none."""

    outside: np.ndarray  # (pixels,): flat indices of these neighbours, each once
    segments: np.ndarray  # (pairs,): the segment of each pair, from 0
    neighbours: np.ndarray  # (pairs,): its neighbour, as a place in `outside`


def _trace(labels: np.ndarray) -> _Outline:
    outside = np.flatnonzero(_grow(labels > 0) & (labels == 0))                      # (pixels,)
    rows, columns = np.divmod(outside, labels.shape[1])
    padded = np.pad(labels, 1)  # in which the upper left neighbour has the pixel's own indices
    steps = [(down, right) for down in range(3) for right in range(3)]
    near = np.stack([padded[rows + down, columns + right] for down, right in steps])  # (9, pixels)
    return _Outline(outside, near[near > 0].astype(np.int64) - 1, np.nonzero(near > 0)[1])


def _grow(mask: np.ndarray) -> np.ndarray:
    """The mask and all 8 neighbours of its pixels; ten times as fast as a general dilation."""
    wide = mask.copy()
    wide[:, 1:] |= mask[:, :-1]
    wide[:, :-1] |= mask[:, 1:]
    grown = wide.copy()
    grown[1:] |= wide[:-1]
    grown[:-1] |= wide[1:]
    return grown


def _sums(maps: Tensor, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums over the inner and over the boundary pixels of each segment, from maps (C, H * W).

    float64 (6 + C, segments, 2): of 1, row, column, E, D, V and the probabilities; and
    (3, segments, 2): of the squared differences of E, D and V from their mean over these pixels.
    """
    pixels, places, copies = _partial_sums(labels)
    pixels = torch.from_numpy(pixels).to(maps.device).split(_PIXELS_AT_ONCE)
    places = torch.from_numpy(places).to(maps.device).split(_PIXELS_AT_ONCE)
    sums = maps.new_zeros(6 + len(maps), 2 * int(labels.max()) * copies, dtype=torch.float64)
    heat_maps = []
    for pixel, place in zip(pixels, places, strict=True):
        row, column = pixel // labels.shape[1], pixel % labels.shape[1]
        p = _at_pixels(maps, pixel)                                                  # (C, pixels)
        heat_maps.append(_heat_maps(p))                                              # (3, pixels)
        positions = torch.stack([torch.ones_like(pixel), row, column])               # (3, pixels)
        sums[:3].index_add_(1, place, positions.double())
        sums[3:6].index_add_(1, place, heat_maps[-1].double())
        sums[6:].index_add_(1, place, p.double())
    sums = sums.unflatten(1, (-1, copies)).sum(2)                          # (6 + C, segments * 2)
    # A second pass: E[x^2] - E[x]^2 would be noise where a map is nearly constant.
    means = (sums[3:6] / sums[0].clamp(min=1)).repeat_interleave(copies, dim=1)
    squares = torch.zeros_like(means)
    for heat_map, place in zip(heat_maps, places, strict=True):
        difference = heat_map.double() - means.index_select(1, place)                # (3, pixels)
        squares.index_add_(1, place, difference.square_())
    squares = squares.unflatten(1, (-1, copies)).sum(2)                        # (3, segments * 2)
    return tuple(each.unflatten(1, (-1, 2)).cpu().numpy() for each in (sums, squares))


def _partial_sums(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Flat indices of the segments' pixels, the partial sum each adds to, and how many a sum has.

    A processor that adds to one sum again and again waits each time until it is written, and
    neighbouring pixels are mostly of one segment. So where segments are few, pixels take turns at
    up to 8 partial sums of each sum: this is three times as fast.
    """
    pixels = np.flatnonzero(labels)
    on_boundary = _grow(labels == 0).ravel()[pixels]  # beside a pixel that is in no segment
    # Two sums for each segment: of its inner pixels and, next to it, of those on the boundary.
    sums = 2 * (labels.ravel()[pixels].astype(np.int64) - 1) + on_boundary
    copies = int(np.clip(2**13 // max(1, labels.max()), 1, 8))
    return pixels, sums * copies + np.arange(len(pixels)) % copies, copies


def _at_pixels(maps: Tensor, pixels: Tensor) -> Tensor:
    """(C, pixels) of maps (C, H * W), float32 at least, class by class in memory."""
    if maps.stride(0) == 1:  # channels last, as networks on a GPU compute
        return at_least_float32(maps.T.index_select(0, pixels).T.contiguous())
    return at_least_float32(maps.index_select(1, pixels))


def _heat_maps(p: Tensor) -> Tensor:
    """E, D and V, (3, pixels), of probabilities (C, pixels)."""
    entropy = (p + _EPSILON).log_().mul_(p).sum(0) / -math.log(len(p))
    # The two largest, by one look at each class: an order of magnitude faster than topk.
    first, second = p[0], torch.zeros_like(p[0])
    for other in p[1:]:
        second = torch.maximum(second, torch.minimum(first, other))
        first = torch.maximum(first, other)
    return torch.stack([entropy, 1 - first + second, 1 - first])


def _neighbour_classes(maps: Tensor, outline: _Outline, segments: int) -> np.ndarray:
    """Share of each most likely class among the neighbours of each segment, (segments, C)."""
    outside = torch.from_numpy(outline.outside).to(maps.device)
    classes = _at_pixels(maps, outside).max(dim=0).indices.cpu().numpy()  # argmax is slower
    which = outline.segments * len(maps) + classes[outline.neighbours]               # (pairs,)
    pairs = np.bincount(which, minlength=segments * len(maps)).reshape(segments, len(maps))
    return pairs / np.maximum(pairs.sum(axis=1, keepdims=True), 1)


def _table(sums: np.ndarray, squares: np.ndarray, neighbour_classes: np.ndarray) -> pd.DataFrame:
    """The metrics of what `_sums` and `_neighbour_classes` give, in the order of their names."""
    sizes = sums[0]                                                               # (segments, 2)
    size, (inner, boundary) = sizes.sum(axis=1), sizes.T
    relative, relative_inner = size / np.maximum(boundary, 1), inner / np.maximum(boundary, 1)
    mean = sums.sum(axis=2) / size                                            # (6 + C, segments)
    means, variances = sums[3:6] / np.maximum(sizes, 1), squares / np.maximum(sizes, 1)
    # The law of total variance: both parts vary in themselves, and their means from each other.
    between = inner * boundary / size**2 * (means[..., 0] - means[..., 1]) ** 2
    variance = squares.sum(axis=2) / size + between                               # (3, segments)
    columns = [mean[1], mean[2], size, inner, boundary, relative, relative_inner]
    for heat in range(3):
        of_mean, of_variance = (mean[3 + heat], means[heat]), (variance[heat], variances[heat])
        for whole, parts in (of_mean, of_variance):  # (segments,) and (segments, 2)
            columns += [whole, *parts.T, whole * relative, parts[:, 0] * relative_inner]
    columns += [*mean[6:], *neighbour_classes.T]
    return pd.DataFrame(np.stack(columns).T, columns=metric_names(len(mean) - 6))


def _iou(anomalous: np.ndarray, labels: np.ndarray, outline: _Outline,
         sizes: np.ndarray) -> np.ndarray:
    """(segments,): the anomalous pixels of each over its pixels and the missed ones it touches."""
    found = np.bincount(labels[anomalous], minlength=len(sizes) + 1)[1:]
    # Missed are pieces: components of the anomalous pixels that no segment covers.
    pieces, _ = ndimage.label(anomalous & (labels == 0), _EIGHT_NEIGHBOURS)          # (H, W)
    piece_sizes = np.bincount(pieces.ravel())
    touched = pieces.ravel()[outline.outside][outline.neighbours]  # (pairs,): a piece, or 0
    # A piece counts once for each segment, however many pairs there are: by segment and piece.
    contacts = np.unique((outline.segments * len(piece_sizes) + touched)[touched > 0])
    segment, piece = np.divmod(contacts, len(piece_sizes))
    missed = np.bincount(segment, weights=piece_sizes[piece], minlength=len(sizes))
    return found / (sizes + missed)


def _as_probabilities(values: Any) -> Tensor:
    """A tensor (C, H, W), which shares memory with what was given where torch can do so."""
    if not isinstance(values, Tensor):
        values = np.asarray(values)
        if not values.flags.writeable or min(values.strides, default=0) < 0:  # torch takes neither
            values = values.copy()
        values = torch.from_numpy(values)
    values = values.detach()
    if values.ndim != 3 or len(values) < 2 or 0 in values.shape or not values.is_floating_point():
        raise ValueError(
            "Expected the probabilities (C, H, W) of two classes or more in one image, as "
            f"floating-point numbers, not {values.dtype} {tuple(values.shape)}.")
    total = values.sum(0, dtype=torch.promote_types(values.dtype, torch.float32))    # (H, W)
    valid = (total - 1).abs() <= SUM_TOLERANCE
    if values.amin(0).min() < 0:
        valid &= (values >= 0).all(0)
    if valid.all():
        return values
    row, column = (~valid).nonzero()[0].tolist()
    pixel = values[:, row, column].double()                                          # (C,)
    hint = "Was the softmax forgotten? Of logits (C, H, W) it is logits.softmax(dim=0)."
    if not pixel.isfinite().all():
        hint = "Look at the logits for NaN and infinity."
    raise ValueError(
        f"{(~valid).sum()} of {valid.numel()} pixels hold no probabilities. The first is row "
        f"{row}, column {column}: from {pixel.min():.4g} to {pixel.max():.4g}, with the sum "
        f"{pixel.sum():.4g} (expected 1). {hint}")
