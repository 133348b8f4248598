"""How fast the 75 metrics of every segment of an image are computed, beside plain loops over its
pixels.

    OMP_NUM_THREADS=1 python benchmarks/segments.py --out segments.json

Map and masks are synthetic: one mask of some 1,500 segments, as a threshold on a score gives, and
one that covers most of the image. The loops fill each segment pixel by pixel and add to a
dictionary of lists, as published implementations do; they run once and on the first mask only, for
they take a while on the second. Maps on a GPU are measured too where there is one. Of all repeats
the fastest counts; run it when little else runs.
"""

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from report import Row, parser, report
from scipy import ndimage
from torch import Tensor

from ood_lib.segments import metric_names, segment_metrics

SHARES = {"a usual mask": 0.07, "a mask of most of the image": 0.9}
HEAT_MAPS = ("E", "D", "V")


def draw_map(seed: int, classes: int, size: tuple[int, int]) -> Tensor:
    """Probabilities float32 (C, H, W): regions of one class with undecided borders, and noise."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(classes, *size)).astype(np.float32)
    for channel in logits:
        channel += 200 * ndimage.gaussian_filter(rng.normal(size=size).astype(np.float32), 16)
    return torch.from_numpy(logits).softmax(dim=0)


def draw_mask(seed: int, share: float, size: tuple[int, int]) -> np.ndarray:
    """bool (H, W) with this share of True in round patches of many sizes."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=size), 4.8)
    return field > np.quantile(field, 1 - share)


def around(row: int, column: int, size: tuple[int, int]) -> list[tuple[int, int]]:
    rows = range(max(row - 1, 0), min(row + 2, size[0]))
    columns = range(max(column - 1, 0), min(column + 2, size[1]))
    return [(r, c) for r in rows for c in columns]


def loops(probabilities: np.ndarray, mask: np.ndarray) -> pd.DataFrame:
    """The same table by loops over segments and their pixels."""
    p = np.ascontiguousarray(probabilities.transpose(1, 2, 0))
    entropy = -(p * np.log(p + np.finfo(np.float32).eps)).sum(axis=-1) / np.log(p.shape[-1])
    ranked = np.sort(p, axis=-1)
    heats = {"E": entropy, "D": 1 - ranked[..., -1] + ranked[..., -2], "V": 1 - ranked[..., -1]}
    prediction, done = p.argmax(axis=-1), np.zeros(mask.shape, dtype=bool)
    table: dict[str, list[float]] = {name: [] for name in metric_names(p.shape[-1])}
    for row in range(mask.shape[0]):
        for column in range(mask.shape[1]):
            if mask[row, column] and not done[row, column]:
                for values in table.values():
                    values.append(0.0)
                pairs = fill(row, column, mask, done, p, prediction, heats, table)
                finish(table, pairs, p.shape[-1])
    return pd.DataFrame(table)


def fill(
    row: int,
    column: int,
    mask: np.ndarray,
    done: np.ndarray,
    p: np.ndarray,
    prediction: np.ndarray,
    heats: dict[str, np.ndarray],
    table: dict[str, list[float]],
) -> int:
    """Add up one segment in the last entry of each list; gives the number of its neighbours
    outside."""
    todo, pairs = [(row, column)], 0
    done[row, column] = True
    while todo:
        row, column = todo.pop()
        part = "_in"
        for other in around(row, column, mask.shape):
            if not mask[other]:
                part = "_bd"
                pairs += 1
                table[f"ndist{prediction[other]}"][-1] += 1
            elif not done[other]:
                done[other] = True
                todo.append(other)
        table[f"S{part}"][-1] += 1
        table["mean_x"][-1] += row
        table["mean_y"][-1] += column
        for name, heat in heats.items():
            table[f"{name}{part}"][-1] += float(heat[row, column])
            table[f"{name}_var{part}"][-1] += float(heat[row, column]) ** 2
        for index in range(p.shape[-1]):
            table[f"cprob{index}"][-1] += float(p[row, column, index])
    return pairs


def finish(table: dict[str, list[float]], pairs: int, classes: int) -> None:
    """Make means and variances of the sums in the last entries."""
    last = {name: values[-1] for name, values in table.items()}
    inner, border = last["S_in"], max(last["S_bd"], 1)
    size = last["S_in"] + last["S_bd"]
    last |= {"S": size, "S_rel": size / border, "S_rel_in": inner / border}
    for name in ("mean_x", "mean_y", *(f"cprob{index}" for index in range(classes))):
        last[name] /= size
    for index in range(classes):
        last[f"ndist{index}"] /= max(pairs, 1)
    for heat in HEAT_MAPS:
        square = f"{heat}_var"
        last[heat], last[square] = (
            (last[f"{name}_in"] + last[f"{name}_bd"]) / size for name in (heat, square)
        )
        for part, number in (("_in", max(inner, 1)), ("_bd", border)):
            last[heat + part] /= number
            last[square + part] = last[square + part] / number - last[heat + part] ** 2
        last[square] -= last[heat] ** 2
        for name in (heat, square):
            last |= {
                f"{name}_rel": last[name] * last["S_rel"],
                f"{name}_rel_in": last[f"{name}_in"] * last["S_rel_in"],
            }
    for name, value in last.items():
        table[name][-1] = value


def milliseconds(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return 1000 * min(times)


def difference(table: pd.DataFrame, other: pd.DataFrame) -> float:
    """The largest, relative to the values but where these are below 1e-6, the rounding of float32
    maps."""
    return float(((table - other).abs() / other.abs().clip(lower=1e-6)).max(axis=None))


def compare(probabilities: Tensor, mask: np.ndarray, fast: float) -> list[Row]:
    started = time.perf_counter()
    table = loops(probabilities.numpy(), mask)
    taken = time.perf_counter() - started
    off = difference(segment_metrics(probabilities, mask)[0], table)
    return [
        ("cpu: loops over pixels, a usual mask", 1000 * taken, "ms"),
        (
            "cpu: loops over pixels, a usual mask, in times of segment_metrics",
            1000 * taken / fast,
            "",
        ),
        ("cpu: largest relative difference of these two", 1e6 * off, "x 1e-6"),
    ]


def main() -> None:
    command_line = parser(__doc__)
    add = command_line.add_argument
    add("--size", type=int, nargs=2, default=[1024, 2048], metavar=("H", "W"), help="of the image")
    add("--classes", type=int, default=19)
    add("--repeats", type=int, default=10, help="of each measurement; the best one counts")
    options = command_line.parse_args()
    size = tuple(options.size)
    probabilities = draw_map(0, options.classes, size)
    masks = {name: draw_mask(1, share, size) for name, share in SHARES.items()}
    rows: list[Row] = [
        (f"segments of {name}", len(segment_metrics(probabilities, masks[name])[0]), "")
        for name in masks
    ]
    for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
        given = probabilities.to(device)
        for name, mask in masks.items():
            taken = milliseconds(
                lambda given=given, mask=mask: segment_metrics(given, mask), options.repeats
            )
            rows.append((f"{device}: segment_metrics, {name}", taken, "ms"))
            if device == "cpu" and name == "a usual mask":
                rows += compare(probabilities, mask, taken)
    settings = {"size": size, "classes": options.classes, "repeats": options.repeats}
    device = (
        f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
        if torch.cuda.is_available()
        else "CPU"
    )
    packages = ["numpy", "scipy", "pandas", "torch"]
    report(rows, packages, settings | {"threads": torch.get_num_threads()}, options.out, device)


if __name__ == "__main__":
    main()
