"""How fast street scenes of full size are loaded, compared with the bare decoding of their PNG
files.

    OMP_NUM_THREADS=1 python benchmarks/loaders.py --out loaders.json

Writes random frames of 1024 x 2048 pixels in the layout of Cityscapes, images of about 2.3 MB as
the real ones, and reads them through `open_dataset` and a DataLoader without and with worker
processes. It takes a few minutes; run it when little else runs.
"""

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from report import Row, parser, report
from torch.utils.data import ConcatDataset, DataLoader

from ood_lib.data import SegmentationDataset, collate, open_dataset, training_transform

CITYSCAPES_IDS = 34
NOISE = 1.1  # standard deviation, of 256 grey values: it decides how large the PNG files are
WORKERS = (0, 2)


def write_cityscapes(root: Path, frames: int) -> float:
    """Frames of one city; the images' mean size in MB."""
    rng = np.random.default_rng(0)
    sizes = []
    for i in range(frames):
        image = root / "leftImg8bit" / "train" / "ulm" / f"ulm_{i:06d}_000019_leftImg8bit.png"
        label = root / "gtFine" / "train" / "ulm" / f"ulm_{i:06d}_000019_gtFine_labelIds.png"
        for path in (image, label):
            path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (16, 32, 3), dtype=np.uint8)).resize(
            (2048, 1024)
        )
        pixels = np.asarray(coarse, dtype=float) + rng.normal(0, NOISE, (1024, 2048, 1))
        Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8)).save(image)
        ids = Image.fromarray(rng.integers(0, CITYSCAPES_IDS, (32, 64), dtype=np.uint8))
        ids.resize((2048, 1024), Image.Resampling.NEAREST).save(label)
        sizes.append(image.stat().st_size / 1e6)
    return float(np.mean(sizes))


def rate(work: Callable[[], Iterable[int]], repeats: int) -> float:
    """Images a second, at best of all repeats; ``work`` gives how many images each of its steps has
    read."""
    rates = []
    for _ in range(repeats + 1):  # the first starts the workers and fills the caches
        started = time.perf_counter()
        images = sum(work())
        rates.append(images / (time.perf_counter() - started))
    return max(rates[1:])


def decode(paths: list[Path]) -> int:
    """Nothing but what the PNG decoder does; how many files it were."""
    for path in paths:
        with Image.open(path) as image:
            image.load()
    return len(paths)


def loading_rate(dataset: SegmentationDataset, workers: int, passes: int, repeats: int) -> float:
    """Through a DataLoader, each repeat reading the data set several times, so that filling the
    queue counts less."""
    options = {"batch_size": 4, "num_workers": workers, "persistent_workers": workers > 0}
    loader = DataLoader(ConcatDataset([dataset] * passes), collate_fn=collate, **options)
    return rate(lambda: (len(images) for images, _ in loader), repeats)


def measure(root: Path, passes: int, repeats: int) -> list[Row]:
    whole = open_dataset("cityscapes", root, "train")
    cropped = open_dataset("cityscapes", root, "train", transform=training_transform(480))
    images = [frame.image for frame in whole.frames]
    with_labels = [path for frame in whole.frames for path in (frame.image, frame.label)]
    bare = rate(lambda: map(decode, [images] * passes), repeats)
    both = rate(lambda: map(decode, [with_labels] * passes), repeats) / 2
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        at_once = rate(lambda: pool.map(decode, [images] * 2 * passes), repeats)
    rows: list[Row] = [
        ("decoding, images only", bare, "images/s"),
        ("decoding, images only, by 2 processes at once", at_once, "images/s"),
        ("decoding, images and labels", both, "images/s"),
    ]
    for name, dataset in (("whole", whole), ("crops of 480", cropped)):
        for workers in WORKERS:
            found = loading_rate(dataset, workers, passes, repeats)
            rows.append((f"loader, {name}, by {workers} workers", found, "images/s"))
        rows.append(("  of twice the decoding of images", 100 * found / (2 * bare), "%"))
        rows.append(("  of twice that of images and labels", 100 * found / (2 * both), "%"))
    return rows


def main() -> None:
    command_line = parser(__doc__)
    command_line.add_argument("--frames", type=int, default=16, help="how many to write")
    command_line.add_argument(
        "--passes", type=int, default=4, help="how often a measurement reads each of them"
    )
    command_line.add_argument(
        "--repeats", type=int, default=3, help="of each measurement; the best one counts"
    )
    options = command_line.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        size = write_cityscapes(Path(folder), options.frames)
        rows = [
            ("size of an image file", size, "MB"),
            *measure(Path(folder), options.passes, options.repeats),
        ]
    settings = {name: getattr(options, name) for name in ("frames", "passes", "repeats")}
    report(rows, ["torch", "torchvision", "pillow", "numpy"], settings, options.out)


if __name__ == "__main__":
    main()
