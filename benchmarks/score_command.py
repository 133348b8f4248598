"""How much memory `python -m ood_lib.score` takes for one, two and eight photographs, and how soon
its first heat map is there.

    OMP_NUM_THREADS=1 python benchmarks/score_command.py --out score.json

Each call is a process of its own; its memory is the most that it had at once. The photographs are
made up, of 4000 x 3000 pixels, and memory is the least of two calls; the first heat map is that of
a street of 256 x 128, the least seconds of three. Ten photographs of 2048 x 1024 have a threshold
in common, so that their first sheet waits for all. Ends with 1 if a limit is broken.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from report import Row, parser, report

ROOT = Path(__file__).resolve().parents[1]
NUMBERS = (1, 2, 8)  # of photographs
STREET, FURTHER = "start to the first heat map of a street", "memory for each further one"
TEN = "start to the first heat map of ten of 2048 x 1024"
LIMITS = {STREET: 8, TEN: 60, FURTHER: 60}  # seconds, seconds, MB
KIB = 1 if sys.platform == "darwin" else 1024  # the unit of ru_maxrss in bytes


def draw(path: Path, width: int, height: int, seed: int) -> Path:
    """Write a JPEG of soft patches of colour with some noise, and give its path."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    picture = np.array(Image.fromarray(patches).resize((width, height), Image.Resampling.BICUBIC))
    noise = rng.integers(0, 20, (height, width, 1), dtype=np.uint8)
    Image.fromarray(picture // 2 + 50 + noise).save(path)
    return path


def call(pictures: list[Path], out: Path) -> tuple[float, float]:
    """Score pictures; the command's memory in MB, and the seconds until the first heat map."""
    # Compiled files are kept, as they are from the second call on wherever the library is used.
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "PYTHONPYCACHEPREFIX": str(out.parent / "compiled"),
        "OOD_LIB_CACHE": str(out.parent / "cache"),  # in which nothing was painted
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-m", "ood_lib.score", *map(str, pictures), "--out", str(out)]
    started, seconds = time.perf_counter(), 0.0
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env=environment, cwd=out.parent, **quiet)
    while not seconds and process.poll() is None:
        time.sleep(0.01)
        if any(out.glob("[!.]*_score.png")):
            seconds = time.perf_counter() - started
    _, status, usage = os.wait4(process.pid, 0)
    if status or not seconds:
        sys.exit(f"The command failed: {' '.join(command)}")
    return usage.ru_maxrss * KIB / 1e6, seconds


def measure(folder: Path) -> list[Row]:
    """All numbers."""
    street = draw(folder / "street.jpg", 256, 128, seed=0)
    seconds = min(call([street], folder / f"street-{i}")[1] for i in range(4))  # the first compiles
    ten = [draw(folder / f"wide-{i}.jpg", 2048, 1024, seed=i) for i in range(10)]
    photographs = [draw(folder / f"{i}.jpg", 4000, 3000, seed=i) for i in range(max(NUMBERS))]
    memory = {}
    rows: list[Row] = [(STREET, seconds, "s"), (TEN, call(ten, folder / "ten")[1], "s")]
    for number in NUMBERS:
        calls = [call(photographs[:number], folder / f"out-{number}-{i}") for i in range(2)]
        memory[number], needed = map(min, zip(*calls, strict=True))
        rows.append((f"memory for {number} of 12 megapixels", memory[number], "MB"))
        rows.append((f"start to the first heat map of {number}", needed, "s"))
    further = (memory[NUMBERS[-1]] - memory[1]) / (NUMBERS[-1] - 1)  # on average
    rows.append((FURTHER, further, "MB"))
    return rows


def main() -> None:
    options = parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder))
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    packages = ["torch", "numpy", "pillow", "matplotlib"]
    report(rows, packages, {"threads": threads}, options.out, limits=LIMITS)
    broken = [what for what, number, _ in rows if number > LIMITS.get(what, number)]
    if broken:
        sys.exit(f"Over its limit: {', '.join(broken)}.")


if __name__ == "__main__":
    main()
