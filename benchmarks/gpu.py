"""What a machine with an NVIDIA card is asked, in parts of at most eight minutes.

    python benchmarks/gpu.py                    # all parts that are missing
    python benchmarks/gpu.py network meta       # these
    python benchmarks/gpu.py --small            # tries it on a CPU, into _build/gpu/small

Each part is a process of its own, which is ended after 480 seconds, and writes ``CARD-PART.json``
whole or not at all; a part that has one of the same card, code and sizes is skipped. Painting
begins with nothing painted, and no network trained, which the chapters behind it make.
"""

import argparse
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

try:
    import torch
except ModuleNotFoundError:
    sys.exit(f"{sys.executable} has no PyTorch. Name a Python that has: make gpu GPU_PYTHON=...")

from ood_lib.files import atomic_path
from ood_lib.kept import code_digest, digest

ROOT = Path(__file__).parents[1]
LIMIT = 480
"""Seconds of a part."""
CHAPTERS = {
    f"chapter-{path.name.split('_')[0]}": path
    for path in sorted((ROOT / "notebooks").glob("0[1-6]*.ipynb"))
}
PARTS = ("tests", "network", "segments", "meta", "training", "painting", *CHAPTERS, "study")
NOT_SMALL = tuple(CHAPTERS)[1:]
"""Chapters that a trial leaves out unless they are named: some take a CPU longer than a part."""
PAINT = "from ood_lib.settings import load_settings; load_settings({!r})"
TRIED = {
    "tests": "what needs a card is only collected, and skipped",
    **dict.fromkeys(["network", "training"], "in float32 only, and a miniature network"),
}
"""What a trial without a card cannot do."""


def command_of(part: str, small: bool, work: Path) -> list[str]:
    """The arguments of Python for a part; a benchmark writes its rows to ``work/rows.json``."""
    profile = "miniature" if small else "colab"
    if part in CHAPTERS:
        named = [str(CHAPTERS[part]), str(work / CHAPTERS[part].name)]
        return ["book/tools/execute.py", *named, "-p", "profile", profile]
    tiny = "--networks deeplabv3plus_miniature --size 128 256 --crop 64 --batch 2 --seconds 1"
    network = tiny if small else "--networks deeplabv3plus_wrn38 --seconds 5"
    segments = "--size 128 256 --repeats 1" if small else ""
    folds = "--sizes 60 --loop-folds 1 --stack-folds 2 --repeats 1"
    meta = folds if small else "--sizes 3000 --stack-folds 500"
    run = f"-m ood_lib.studies run repetitions --seeds 0 --profile {profile} --out {work / 'runs'}"
    words = {
        "tests": f"-m pytest -q -rs -m gpu -p no:cacheprovider --noconftest {' '.join(tests())}",
        "network": f"benchmarks/network.py {network}",
        "segments": f"benchmarks/segments.py {segments}",
        "meta": f"benchmarks/meta.py {meta}",
        "training": f"benchmarks/fine_tuning.py {'--small' if small else ''}",
        "painting": "-c",
        "study": run,
    }[part].split()
    if part == "painting":
        return [*words, PAINT.format(profile)]
    return [*words, "--out", str(work / "rows.json")] if words[0].startswith("bench") else words


def tests() -> list[str]:
    """The files with tests that need a card: others import what is not carried there."""
    paths = sorted((ROOT / "tests").rglob("test_*.py"))
    return [str(path) for path in paths if "mark.gpu" in path.read_text("utf-8")]


def title_of(part: str, small: bool) -> str:
    """What the seconds of a part are called that has no rows of its own."""
    profile = "miniature" if small else "colab"
    if part == "tests":
        return "tests that need a card, all passed"
    what = {"painting": "painting its city", "study": "one run of a study"}
    return f"profile {profile}: {what.get(part, part.replace('-', ' '))}"


def run(command: list[str], limit: float, cache: Path) -> float:
    """Seconds that Python took for it. Raises TimeoutError past the limit, having ended all that it
    started, and RuntimeError if it failed."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        start_new_session=True,
        env=os.environ | {"OOD_LIB_CACHE": str(cache)},
    )
    try:
        code = process.wait(limit)
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"stopped after {limit:g} seconds, the limit of a part") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code:
        raise RuntimeError(f"ended with exit code {code}: {' '.join(command)}")
    return time.perf_counter() - started


def measure(part: str, small: bool, work: Path, limit: float) -> dict:
    """What the benchmark of a part wrote, or its seconds; ``work`` is emptied for it."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    # What painting paints stays for the other parts, and what chapters train.
    taken = run(command_of(part, small, work), limit, cache=work.parent / "painting")
    if (work / "rows.json").is_file():
        return json.loads((work / "rows.json").read_text("utf-8"))
    row = {"what": title_of(part, small), "number": taken, "unit": "s"}
    return {"settings": {}, "measured_on": {}, "results": [row]}


def card() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"


def code() -> str:
    """The digest of what is measured, and of what measures; known without git, too."""
    folders = ("ood_lib", "benchmarks")
    paths = [path for name in folders for path in sorted((ROOT / name).rglob("*.py"))]
    chapters = [path.read_text("utf-8") for path in CHAPTERS.values()]
    return digest([code_digest(path) for path in paths], chapters)


def origin(small: bool) -> dict:
    """By what a result is known to be today's."""
    return {"card": card(), "code": code(), "small": small, "torch": torch.__version__,
            "python": platform.python_version()}  # fmt: skip


def is_current(path: Path, wanted: dict) -> bool:
    if not path.is_file():
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
    if part in TRIED and card() == "CPU":
        print(f"{part}: {TRIED[part]}", flush=True)
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
    add("--results", type=Path, metavar="FOLDER", help="by default benchmarks/results")
    add("--limit", type=float, default=LIMIT, help="seconds of a part")
    options = command_line.parse_args()
    usual = "_build/gpu/small" if options.small else "benchmarks/results"
    options.results = options.results or ROOT / usual
    unknown = sorted(set(options.parts) - set(PARTS))
    if unknown:
        command_line.error(f"no part {', '.join(unknown)}; there are: {', '.join(PARTS)}")
    if not options.small and not torch.cuda.is_available():
        command_line.error("PyTorch finds no NVIDIA card here; --small tries the parts on a CPU")
    parts = options.parts or [part for part in PARTS if not (options.small and part in NOT_SMALL)]
    if options.small and not options.parts:
        print(f"A trial leaves out {', '.join(NOT_SMALL)}: they take a CPU too long.", flush=True)
    done = {part: do_part(part, options) for part in parts}
    if missing := [part for part, is_done in done.items() if not is_done]:
        sys.exit(f"Without a result: {', '.join(missing)}. The same command tries them again.")


if __name__ == "__main__":
    main()
