"""Execute the chapters with other parameters, and say in a table which of them fail.

    python book/tools/sweep.py             every rerun of `SWEEP`
    python book/tools/sweep.py --seed 7    all chapters with this seed

Each rerun is a book of its own in ``_build/sweep``, made by the rules of the Makefile: what ran
with today's code and data is not executed again. Where it holds all chapters, its pages are filled
too, since a text may name what another seed does not find. Ends with 1 if something failed.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from ood_lib import miniature

ROOT = Path(__file__).resolve().parents[2]
USUAL = {
    "seed": 1, "frames": 20, "left_out": 16, "live_runs": 0, "network_seeds": 1, "folds": 2,
    "parts": 2,
}  # fmt: skip
"""Of every rerun. What takes long is small; seed 0 would replace what the book itself found."""


class Rerun(NamedTuple):
    """Some chapters with one parameter varied."""

    name: str
    value: Any
    chapters: str = "*"  #: a pattern of their names
    others: tuple[tuple[str, Any], ...] = ()  #: what it needs beside, pairs of name and value

    @property
    def folder(self) -> str:
        """Where it is made, from the root."""
        words = f"{self.name} {self.value} {self.chapters}".split()
        return "_build/sweep/" + re.sub(r"[^\w.]+", "-", "-".join(words)).strip("-")


PHOTOGRAPHS, OWN = "your_photographs*", "deeplabv3plus_miniature"  # which needs no download
SWEEP = (
    *(Rerun("seed", seed) for seed in range(1, 6)),
    *(Rerun("lambda_", value) for value in (0.3, 0.6)),
    *(Rerun("threshold", value, "01*") for value in (0.1, 0.7)),
    *(Rerun("frames", count, "03[ab]*") for count in (2, 40)),
    *(Rerun("left_out", count, "06*") for count in (4, None)),
    *(Rerun("folds", count, "07*") for count in (5, 10)),
    *(Rerun("live_runs", count, "08*") for count in (1, 2)),
    Rerun("records", "book/records", "0[89]*"),
    *(Rerun("network_seeds", count, "11*") for count in (3, 5)),
    *(Rerun("parts", count, "12*") for count in (5, 8)),
    Rerun("data_root", miniature.painted_folder(), "01*"),
    Rerun("data_root", miniature.painted_folder(), "your_data*"),
    Rerun("known", miniature.painted_folder() / "cityscapes/leftImg8bit/val/neudorf", PHOTOGRAPHS),
    Rerun("model", OWN, PHOTOGRAPHS),
    Rerun("photographs", miniature.painted_folder() / "lost_and_found/leftImg8bit/test/05_Am_Hang",
          PHOTOGRAPHS, (("model", OWN),)),
)


def main() -> None:
    """Execute them, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, help="execute all chapters with this seed alone")
    parser.add_argument("--jobs", type=int, default=2, help="notebooks at once")
    options = parser.parse_args()
    miniature.ensure_miniature()
    reruns = SWEEP if options.seed is None else [Rerun("seed", options.seed)]
    failed = {rerun: failures(rerun, options.jobs) for rerun in reruns}
    print("\nparameter                 chapters  failed")
    for rerun, names in failed.items():
        what = f"{rerun.name} {rerun.value}"
        print(f"{what[-24:]:24}  {rerun.chapters:8}  {', '.join(names) or 'none'}")
    sys.exit(any(failed.values()))


def failures(rerun: Rerun, jobs: int) -> list[str]:
    """The notebooks that do not run with these parameters, "pages" if those cannot be filled."""
    notebooks = sorted((ROOT / "notebooks").glob(f"{rerun.chapters}.ipynb"))
    results = [f"{rerun.folder}/executed/{notebook.name}" for notebook in notebooks]
    parameters = USUAL | dict(rerun.others) | {rerun.name: rerun.value}
    given = " ".join(f"-p {name} {value}" for name, value in parameters.items())
    choice = [f"BUILD={rerun.folder}", f"PARAMETERS={given}", f"CHAPTERS={rerun.chapters}"]
    if make(*choice, "key"):  # without it, results of other code would pass for today's
        sys.exit(f"The key of {rerun.folder} could not be made; make says above why.")
    make(*choice, "--keep-going", f"JOBS={jobs}", "executed")
    missing = [Path(result).stem for result in results if make(*choice, "--question", result)]
    if rerun.chapters == "*" and not missing:
        stage = [sys.executable, "book/tools/stage.py", "--build", rerun.folder]
        missing += ["pages"] * (subprocess.run(stage, cwd=ROOT).returncode != 0)
    return missing


def make(*arguments: str) -> int:
    """The exit status of make, as if no other make had called it."""
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=ROOT, env=alone).returncode


if __name__ == "__main__":
    main()
