"""What the benchmarks share: the table they print, the JSON file they write, and how they measure
memory."""

import argparse
import json
import multiprocessing
import os
import platform
import resource
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar("Result")
Row = tuple[str, float, str]
"""What was measured, the number and its unit."""


def parser(description: str | None) -> argparse.ArgumentParser:
    """A command line with ``--out``; ``description`` is the benchmark's docstring."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write the numbers as JSON, with machine and versions",
    )
    return made


def report(
    rows: list[Row],
    packages: list[str],
    settings: dict[str, Any],
    out: Path | None,
    device: str | None = None,
    limits: dict[str, float] | None = None,
) -> None:
    """Print the rows and where they were measured; write all of it as JSON if ``out`` is given,
    each row with what it may be at most if ``limits`` has it under the row's name."""
    measured_on = (
        ({"device": device} if device else {})
        | _machine()
        | {name: version(name) for name in packages}
    )
    wide = max(len(what) for what, _, _ in rows)
    for what, number, unit in rows:
        print(f"{what:{wide}}  {number:12,.{2 if number >= 1 else 4}f} {unit}".rstrip())
    print(", ".join(f"{name} {value}" for name, value in (settings | measured_on).items()))
    if out is not None:
        results = [
            {"what": what, "number": number, "unit": unit}
            | ({"limit": limits[what]} if limits and what in limits else {})
            for what, number, unit in rows
        ]
        content = {"settings": settings, "measured_on": measured_on, "results": results}
        out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def peak_memory() -> float:
    """Of this process since it started, in GB."""
    return (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        * (1 if sys.platform == "darwin" else 1024)
        / 1e9
    )


def in_new_process(function: Callable[..., Result], *arguments: Any) -> Result:
    """What ``function`` gives, in a process without anything that was read or kept before."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _machine() -> dict[str, str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.0f} GiB",
        "system": platform.system(),
        "python": platform.python_version(),
        "load": " ".join(f"{mean:.1f}" for mean in os.getloadavg()),
        "date": datetime.now(UTC).date().isoformat(),
    }


def _processor() -> str:
    """The model where Linux tells it, else the architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
