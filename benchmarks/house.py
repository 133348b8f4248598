"""How large and how readable the library is, beside the limits that it keeps.

    python benchmarks/house.py

Prints a table, and ends with 1 if a limit is broken. `make lint` runs it.
"""

import ast
import importlib
import json
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "ood_lib"
METHOD = (
    *("models/__init__.py", "models/deeplabv3plus.py", "models/logits.py", "models/checkpoint.py"),
    *("training", "inference.py", "scores/of_logits.py", "segments", "meta", "metrics"),
)
"""What the thesis is about: network, entropy maximization, entropy, segments, meta, measures."""
EXCHANGE = ("metrics/__main__.py", "metrics/protocols.py", "metrics/score_maps.py")
"""Of these what others are to read, and how others measure, which is not the method."""
SETTINGS = ("batch_size", "learning_rate", "proxy_fraction", "num_in_distribution")
"""A cell of a notebook that names two of these lists settings."""
WAYS = {
    "entropy": ("ood_lib.scores.entropy", []),
    "entropy maximization": ("ood_lib.training.entropy_maximization_loss", []),
    "segment metrics": ("ood_lib.segments.segment_metrics", []),
    "the thesis's meta network": ("ood_lib.meta.NeuralMetaClassifier", []),
    "AUROC, AUPRC, FPR95": ("ood_lib.metrics.PixelMetrics", ["ood_lib.metrics.curves.measures"]),
}
"""By method what is imported, and where it is computed if that is not the same file."""


class Figure(NamedTuple):
    """One line of the table."""

    what: str
    value: float
    limit: float
    aim: float | None = None  # where it should come to, if that is not reached yet

    @property
    def is_kept(self) -> bool:
        return self.value <= self.limit


def files_of(*places: str) -> list[Path]:
    """The Python files at these places of the library: files, or folders with all below."""
    found = []
    for place in places:
        path = LIBRARY / place
        found += [path] if path.is_file() else sorted(path.rglob("*.py"))
    return found


def lines_of(files: list[Path]) -> list[str]:
    """All lines of files."""
    return [line for file in files for line in file.read_text("utf-8").splitlines()]


def functions_of(files: list[Path]) -> Iterator[tuple[str, int]]:
    """Name and number of lines of each function."""
    for file in files:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{file.name}:{node.name}", node.end_lineno - node.lineno + 1


def lines_per_comment(files: list[Path]) -> float:
    """How many lines of code there are for each comment; docstrings and blanks are neither."""
    code = comments = 0
    for file in files:
        text = file.read_text("utf-8")
        silent = set()
        for node in ast.walk(ast.parse(text)):
            is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            if is_text and isinstance(node.value.value, str):
                silent |= set(range(node.lineno, node.end_lineno + 1))
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip() and number not in silent:
                has_comment = re.search(r"(^|\s)# (?!noqa|fmt)", line) is not None
                comments += has_comment
                code += not line.strip().startswith("#")
    return code / comments


def lists_of_settings() -> int:
    """Cells of notebooks that list settings, which `ood_lib.training` alone should do."""
    found = 0
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            code = "".join(cell["source"]) if cell["cell_type"] == "code" else ""
            found += sum(bool(re.search(rf"[\"']{name}[\"']", code)) for name in SETTINGS) > 1
    return found


def broken_contracts() -> int:
    """Imports against the flow of the data, by import-linter."""
    command = Path(sysconfig.get_path("scripts"), "lint-imports")
    done = subprocess.run([command], capture_output=True, text=True, cwd=ROOT)
    return len(re.findall(r"^- ood_lib", done.stdout, re.MULTILINE)) + (done.returncode != 0)


def files_to(imported: str, computed: list[str]) -> int:
    """How many files are read from the import to where the method is computed."""
    package = importlib.import_module(imported.rpartition(".")[0])
    things = [getattr(package, imported.rpartition(".")[2])]
    for name in computed:
        module, _, last = name.rpartition(".")
        things.append(getattr(importlib.import_module(module), last))
    return len({thing.__module__ for thing in things})


def figures() -> list[Figure]:
    """All of them."""
    library = [path for path in files_of("") if "miniature" not in path.parts]
    method = [path for path in files_of(*METHOD) if path not in files_of(*EXCHANGE)]
    longest = max(functions_of(library), key=lambda named: named[1])
    return [
        Figure("lines of the library without the painter", len(lines_of(library)), 9_960, 6900),
        Figure("lines of the method", len(lines_of(method)), 3055, 3000),
        Figure(f"lines of the longest function, {longest[0]}", longest[1], 40),
        Figure("columns of the longest line", max(map(len, lines_of(files_of("")))), 100),
        Figure("lines of code for each with a comment", lines_per_comment(library), 25),
        Figure("imports against the flow", broken_contracts(), 0),
        Figure("lists of settings in notebooks", lists_of_settings(), 0),
        *(Figure(f"files from import to {what}", files_to(*way), 2) for what, way in WAYS.items()),
    ]


def main() -> None:
    found = figures()
    width = max(len(figure.what) for figure in found)
    for figure in found:
        verdict = f"  (aim: {figure.aim:,g})" if figure.aim else ""
        verdict += "" if figure.is_kept else "  BROKEN"
        print(f"{figure.what:{width}}  {figure.value:8,.4g}  at most {figure.limit:,g}{verdict}")
    if not all(figure.is_kept for figure in found):
        sys.exit("A limit of the house is broken.")


if __name__ == "__main__":
    main()
