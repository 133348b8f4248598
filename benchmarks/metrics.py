"""How fast the pixel measures take frames of full size, beside scikit-learn and torchmetrics, and
how much memory.

    OMP_NUM_THREADS=1 python benchmarks/metrics.py --out metrics.json

The frames are synthetic: saturated scores of which nearly all differ, 1 % anomalous and 10 %
ignored pixels. scikit-learn sorts one frame as a whole; torchmetrics counts by ``--thresholds``
bins and is left out where it is missing (pip install torchmetrics). Tensors on a GPU are measured
too where there is one. The memory is what ``--frames`` updates, a few frames in turn, the measures
and their interval take in a fresh process beyond the frames themselves. Of all repeats the fastest
counts; run it when little else runs.
"""

import time
from collections.abc import Callable
from importlib.util import find_spec
from itertools import cycle, islice
from typing import Any

import numpy as np
import torch
from report import Row, in_new_process, parser, peak_memory, report
from sklearn.metrics import average_precision_score, roc_curve
from torch import Tensor

from ood_lib.metrics import MEASURES, PixelMetrics

DIFFERENT_FRAMES = 4
FRAMES_PER_SEQUENCE = 10
UPDATES_IN_A_ROW = 12
ROWS_AT_ONCE = 16  # so that drawing frames leaves no peak of memory behind
Frame = tuple[np.ndarray, np.ndarray]


def draw_frame(seed: int, size: tuple[int, int]) -> Frame:
    """Scores float32 (H, W) in (0, 1), most of them near 0, and target uint8 (H, W) of 0, 1 and
    255."""
    rng = np.random.default_rng(seed)
    score, target = np.empty(size, dtype=np.float32), np.zeros(size, dtype=np.uint8)
    for top in range(0, size[0], ROWS_AT_ONCE):
        rows = slice(top, top + ROWS_AT_ONCE)
        kind = rng.random(score[rows].shape, dtype=np.float32)
        target[rows] = (kind < 0.01) + 255 * (kind > 0.9).astype(np.uint8)
        logits = 3 * rng.standard_normal(kind.shape, dtype=np.float32) - 8 + 8 * (target[rows] == 1)
        score[rows] = 1 / (1 + np.exp(-logits))
    return score, target


def milliseconds(work: Callable[[], object], repeats: int) -> float:
    """Of the fastest of all repeats, with what a GPU still has to do."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return 1000 * min(times)


def sklearn_measures(score: np.ndarray, target: np.ndarray) -> dict[str, float]:
    valid = target != 255
    score, target = score[valid], target[valid]
    fpr, tpr, _ = roc_curve(target, score)
    measures = {"auroc": np.trapezoid(tpr, fpr), "auprc": average_precision_score(target, score)}
    return measures | {"fpr95": fpr[(tpr >= 0.95).argmax()]}


def errors(name: str, measures: dict[str, float], expected: dict[str, float]) -> list[Row]:
    off = {each: float(abs(measures[each] - expected[each])) for each in MEASURES}
    return [(f"{name}, error of {each}", 1e6 * error, "x 1e-6") for each, error in off.items()]


def time_updates(frame: tuple, repeats: int) -> dict[str, float]:
    """Milliseconds of an update, of many in a row, since some wait and are counted with others."""
    score, target = frame
    few = score.astype(np.float16) if isinstance(score, np.ndarray) else score.half()
    times = {}
    for case, scores in {"few different scores": few, "as many as pixels": score}.items():
        metrics = PixelMetrics()
        metrics.update(scores, target)

        def update(metrics: PixelMetrics = metrics, scores: Any = scores) -> None:
            for _ in range(UPDATES_IN_A_ROW):
                metrics.update(scores, target)

        times[case] = milliseconds(update, repeats) / UPDATES_IN_A_ROW
    return times


def torchmetrics_binned(thresholds: int, device: str) -> tuple[Callable, Callable]:
    """A function that updates the two curves with a frame, and one that gives the measures."""
    from torchmetrics.classification import BinaryPrecisionRecallCurve, BinaryROC

    options = {"thresholds": thresholds, "ignore_index": 255, "validate_args": False}
    roc = BinaryROC(**options).to(device)
    precision_recall = BinaryPrecisionRecallCurve(**options).to(device)

    def update(score: Tensor, target: Tensor) -> None:
        roc.update(score, target)
        precision_recall.update(score, target)

    def measures() -> dict[str, float]:
        fpr, tpr, _ = (values.cpu().numpy() for values in roc.compute())
        precision, recall, _ = (values.cpu().numpy() for values in precision_recall.compute())
        auroc, auprc = np.trapezoid(tpr, fpr), -np.nansum(np.diff(recall) * precision[:-1])
        return {"auroc": auroc, "auprc": auprc, "fpr95": fpr[(tpr >= 0.95).argmax()]}

    return update, measures


def compare(frame: Frame, device: str, thresholds: int, repeats: int) -> list[Row]:
    """Milliseconds a frame of all that can be measured on the device, and how far off the measures
    are."""
    expected = sklearn_measures(*frame)
    tensors = tuple(torch.from_numpy(part).to(device) for part in frame)
    given = frame if device == "cpu" else tensors
    times = time_updates(given, repeats)
    rows: list[Row] = [
        (f"{device}: PixelMetrics.update, {case}", ms, "ms") for case, ms in times.items()
    ]
    metrics = PixelMetrics()
    metrics.update(*given)
    rows += errors(f"{device}: PixelMetrics", metrics.compute(), expected)
    rows.append(
        (
            f"{device}: PixelMetrics, largest bound",
            1e6 * max(metrics.error_bound().values()),
            "x 1e-6",
        )
    )
    if device == "cpu":
        rows.append(
            (
                "cpu: scikit-learn, both curves",
                milliseconds(lambda: sklearn_measures(*frame), repeats),
                "ms",
            )
        )
    if find_spec("torchmetrics") is not None:
        name = f"{device}: torchmetrics, both curves, {thresholds} thresholds"
        target = tensors[1].long()
        update, _ = torchmetrics_binned(thresholds, device)
        rows.append((name, milliseconds(lambda: update(tensors[0], target), repeats), "ms"))
        update, measures = torchmetrics_binned(thresholds, device)
        update(tensors[0], target)
        rows += errors(name, measures(), expected)
    return rows


def stream(frames: int, size: tuple[int, int]) -> list[Row]:
    """Memory and time of a whole data set; in a fresh process."""
    drawn = [draw_frame(seed, size) for seed in range(DIFFERENT_FRAMES)]
    metrics, before = PixelMetrics(), peak_memory()
    started = time.perf_counter()
    for number, (score, target) in enumerate(islice(cycle(drawn), frames)):
        metrics.update(score, target, group=number // FRAMES_PER_SEQUENCE)
    taken, updated = time.perf_counter() - started, peak_memory()
    rows: list[Row] = [
        (f"{frames} frames: each", 1000 * taken / frames, "ms"),
        (f"{frames} frames: memory above the start", 1000 * (updated - before), "MB"),
        (f"{frames} frames: compute()", milliseconds(metrics.compute, 1), "ms"),
    ]
    if frames > FRAMES_PER_SEQUENCE:
        rows.append((f"{frames} frames: interval()", milliseconds(metrics.interval, 1), "ms"))
    rows.append(
        (
            f"{frames} frames: memory above the start, with these",
            1000 * (peak_memory() - before),
            "MB",
        )
    )
    return rows


def main() -> None:
    command_line = parser(__doc__)
    add = command_line.add_argument
    add("--frames", type=int, default=1203, help="updates of the stream")
    add("--size", type=int, nargs=2, default=[1024, 2048], metavar=("H", "W"), help="of a frame")
    add("--thresholds", type=int, default=100, help="of torchmetrics")
    add("--repeats", type=int, default=5, help="of each measurement; the best one counts")
    options = command_line.parse_args()
    # First of all: on Linux, the peak memory of a new process starts from that of the one which
    # starts it.
    of_stream = in_new_process(stream, options.frames, tuple(options.size))
    frame = draw_frame(0, tuple(options.size))
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    rows = [
        row
        for device in devices
        for row in compare(frame, device, options.thresholds, options.repeats)
    ]
    rows += of_stream
    settings = {
        name: getattr(options, name) for name in ("frames", "size", "thresholds", "repeats")
    }
    device = (
        f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
        if torch.cuda.is_available()
        else "CPU"
    )
    packages = [
        "numpy",
        "torch",
        "scikit-learn",
        *(["torchmetrics"] if find_spec("torchmetrics") is not None else []),
    ]
    report(rows, packages, settings | {"threads": torch.get_num_threads()}, options.out, device)


if __name__ == "__main__":
    main()
