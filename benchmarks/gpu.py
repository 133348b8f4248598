"""What a machine with an NVIDIA card is asked, in parts of at most eight minutes.

    python benchmarks/gpu.py                    # all parts that are missing
    python benchmarks/gpu.py network meta       # these
    python benchmarks/gpu.py --small --results _build/gpu/small    # tries it on a CPU

Each part runs in processes of its own, which are ended after 480 seconds, and writes
``CARD-PART.json`` whole or not at all; a part that has one of the same commit and sizes is skipped.
"""

import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import torch

from ood_lib.files import atomic_path

ROOT = Path(__file__).parents[1]
LIMIT = 480
"""Seconds of a part."""
PARTS = ("tests", "network", "segments", "meta", "training", "chapters", "study")
Steps = dict[str, list[str]]


def benchmark(name: str, arguments: str) -> Steps:
    """A benchmark that writes its rows where ``{out}`` will stand."""
    return {name: [f"benchmarks/{name}.py", *arguments.split(), "--out", "{out}"]}


def chapters(small: bool, work: Path) -> Steps:
    """Painting, and the chapters to the sixth; with ``small`` the first only, on the small city."""
    profile = "miniature" if small else "colab"
    paint = f"from ood_lib.settings import load_settings; load_settings({profile!r})"
    steps = {"painting": ["-c", paint]}
    names = sorted(path.name for path in (ROOT / "notebooks").glob("0[1-6]*.ipynb"))
    for name in names[:1] if small else names:
        to = str(work / name)
        execute = ["book/tools/execute.py", f"notebooks/{name}", to, "-p", "profile", profile]
        steps[name.removesuffix(".ipynb")] = execute
    return steps


def steps_of(part: str, small: bool, work: Path) -> Steps:
    """The arguments of Python of each step of a part, by the step's name."""
    tiny = "--networks deeplabv3plus_miniature --size 128 256 --crop 64 --batch 2 --seconds 1"
    network = tiny if small else "--networks deeplabv3plus_wrn38 --seconds 5"
    segments = "--size 128 256 --repeats 1" if small else ""
    meta = "--sizes 60 --loop-folds 1 --stack-folds 2 --repeats 1" if small else "--sizes 3000"
    folder = str(work / "runs")
    study = ["-m", "ood_lib.studies", "run", "repetitions", "--seeds", "0", "--out", folder]
    return {
        "tests": {"tests": ["-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"]},
        "network": benchmark("network", network),
        "segments": benchmark("segments", segments),
        "meta": benchmark("meta", meta),
        "training": benchmark("fine_tuning", "--small" if small else ""),
        "chapters": chapters(small, work),
        "study": {"one run of repetitions": study},
    }[part]


def run(command: list[str], limit: float) -> float:
    """Seconds that Python took for it. Raises TimeoutError past the limit, having ended all that it
    started, and RuntimeError if it failed."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, start_new_session=True)
    try:
        code = process.wait(max(limit, 0))
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"{' '.join(command)}: stopped at the part's limit") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code:
        raise RuntimeError(f"{' '.join(command)}: ended with exit code {code}")
    return time.perf_counter() - started


def measure(part: str, small: bool, work: Path, limit: float) -> dict:
    """What the benchmark of a part wrote, or the seconds of each of its steps.

    A step of several is kept in ``work``, so that the next call goes on behind it.
    """
    work.mkdir(parents=True, exist_ok=True)
    out = work / "rows.json"
    out.unlink(missing_ok=True)
    kept, wanted, ends = work / "steps.json", origin(small), time.monotonic() + limit
    steps = steps_of(part, small, work)
    seconds = json.loads(kept.read_text("utf-8"))["seconds"] if is_current(kept, wanted) else {}
    for name, command in steps.items():
        if name in seconds and len(steps) > 1:
            continue
        given = [word.replace("{out}", str(out)) for word in command]
        seconds[name] = run(given, ends - time.monotonic())
        with atomic_path(kept) as aside:
            aside.write_text(json.dumps({"origin": wanted, "seconds": seconds}), encoding="utf-8")
    rows = [{"what": name, "number": seconds[name], "unit": "s"} for name in steps]
    if out.is_file():
        return json.loads(out.read_text("utf-8"))
    return {"settings": {}, "measured_on": {}, "results": rows}


def card() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"


def commit() -> str | None:
    """None where git knows none."""
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return found.stdout.strip() or None


def origin(small: bool) -> dict:
    """By what a result is known to be today's."""
    return {"card": card(), "commit": commit(), "small": small, "torch": torch.__version__,
            "python": platform.python_version()}  # fmt: skip


def is_current(path: Path, wanted: dict) -> bool:
    if not path.is_file() or wanted["commit"] is None:
        return False
    kept = json.loads(path.read_text("utf-8")).get("origin", {})
    return all(kept.get(name) == value for name, value in wanted.items())


def do_part(part: str, options: argparse.Namespace) -> bool:
    """Whether the part has its result now."""
    wanted = origin(options.small)
    name = re.sub(r"[^a-z0-9]+", "-", card().lower()).strip("-")
    path = options.results / f"{name}-{part}.json"
    if is_current(path, wanted):
        print(f"{part}: there already, {path}", flush=True)
        return True
    try:
        found = measure(part, options.small, ROOT / "_build/gpu" / name / part, options.limit)
    except (TimeoutError, RuntimeError) as error:
        print(f"{part}: {error}", file=sys.stderr, flush=True)
        return False
    found["origin"] = wanted | {"part": part, "date": datetime.now(UTC).date().isoformat()}
    with atomic_path(path) as aside:
        aside.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(f"{part}: {path}", flush=True)
    return True


def main() -> None:
    command_line = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = command_line.add_argument
    add("parts", nargs="*", metavar="PART", help=", ".join(PARTS) + "; by default all")
    add("--small", action="store_true", help="small sizes, also without a card")
    add("--results", type=Path, default=ROOT / "benchmarks/results", metavar="FOLDER")
    add("--limit", type=float, default=LIMIT, help="seconds of a part")
    options = command_line.parse_args()
    unknown = sorted(set(options.parts) - set(PARTS))
    if unknown:
        command_line.error(f"no part {', '.join(unknown)}; there are: {', '.join(PARTS)}")
    if not options.small and not torch.cuda.is_available():
        command_line.error("PyTorch finds no NVIDIA card here; --small tries the parts on a CPU")
    done = [do_part(part, options) for part in options.parts or PARTS]
    sys.exit(not all(done))


if __name__ == "__main__":
    main()
