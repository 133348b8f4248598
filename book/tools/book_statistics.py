"""Count what every page of the book holds, and how long its notebook took.

    python book/tools/book_statistics.py

Prints one table and writes the same, with the size of the site, to ``_build/statistics.json``.
Words are those of running text, without code and formulas; lines of code are those of all code
cells, without empty lines; a cell is shown if a reader sees its code without a click; the first
figure is told by the number of its code cell. Ends with 1 if a limit is broken: of a notebook, of
the chapters in `FIRST` together, or of the whole book.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from statistics import median
from typing import Any

import nbformat
import pandas as pd
from chapter import figure_of, prose, read_chapter, tags
from exercises import EXERCISE, KINDS

FOLDED = {"hide-input", "hide-cell", "remove-input", "remove-cell", "check"}  # a check is a form
LONG_CELL = 25  # lines; longer ones are counted
FIRST = ("01", "02", "03", "03a", "03b", "04", "05", "06")
"""The chapters of the first half."""
MOST = {"shown": 20, "exercises": 6}  # in each notebook
MOST_OF_FIRST = {"words": 19_000, "figures": 45}
MOST_OF_ALL = {"words": 40_000, "figures": 80, "exercises": 65}  # words of the pages, too
FEWEST_UNSOLVED = 20  # exercises to work out, and none to look up
SECONDS = 60  # that a notebook should take; told, but no limit, as it depends on the machine


def page_statistics(path: Path) -> dict[str, Any]:
    """What a page in Markdown holds."""
    return {"page": path.stem, "words": count_words(path.read_text("utf-8"))}


def notebook_statistics(path: Path, executed: Path) -> dict[str, Any]:
    """What a notebook holds; ``seconds`` is None where it has not been executed."""
    chapter = read_chapter(path)
    lines = [len(cell.source.splitlines()) for cell in chapter.code]
    drawing = [k for k, cell in enumerate(chapter.code, start=1) if figure_of(cell)]
    exercises = [body for _, body in EXERCISE.findall(chapter.text)]
    return {
        "page": path.stem,
        "words": count_words(chapter.text),
        "code_lines": sum(
            bool(line.strip()) for cell in chapter.code for line in cell.source.splitlines()
        ),
        "cells": len(lines),
        "shown": sum(not FOLDED.intersection(tags(cell)) for cell in chapter.code),
        "median": median(lines),
        "longest": max(lines),
        f"over_{LONG_CELL}": sum(length > LONG_CELL for length in lines),
        "first_figure": min(drawing, default=None),
        "figures": len(drawing),
        **{kind.lower(): sum(f"({kind}.)" in body for body in exercises) for kind in KINDS},
        "exercises": len(exercises),
        "unsolved": sum("<summary>Solution" not in body for body in exercises),
        "seconds": seconds_taken(executed),
    }


def count_words(text: str) -> int:
    """The number of words in ``text``, without code, formulas, tags and addresses."""
    return len(re.findall(r"[^\W\d_][\w'’-]*", re.sub(r"<[^>]*>|\]\([^)]*\)", " ", prose(text))))


def seconds_taken(executed: Path) -> float | None:
    """How long papermill took for the notebook; None where it is not there."""
    if not executed.is_file():
        return None
    return nbformat.read(executed, as_version=4).metadata.get("papermill", {}).get("duration")


def site_size(site: Path) -> dict[str, float]:
    """Files of the built site, and their size in megabytes."""
    sizes = [path.stat().st_size for path in site.rglob("*") if path.is_file()]
    return {"files": len(sizes), "megabytes": round(sum(sizes) / 1e6, 1)}


def book_statistics(root: Path, build: Path) -> dict[str, Any]:
    """All pages, and the site."""
    pages = [page_statistics(path) for path in sorted(root.glob("book/*.md"))]
    for path in sorted(root.glob("notebooks/*.ipynb")):
        pages.append(notebook_statistics(path, build / "executed" / path.name))
    return {"pages": pages, "site": site_size(build / "html")}


def broken_limits(pages: list[dict[str, Any]]) -> list[str]:
    """What is longer than it may be."""
    notebooks = [page for page in pages if "cells" in page]
    first = [page for page in notebooks if page["page"].split("_")[0] in FIRST]
    problems = [
        f"{page['page']}: {page[name]} {name}, more than {most}"
        for page in notebooks
        for name, most in MOST.items()
        if page[name] > most
    ]
    for what, those, limits in (
        (f"chapters {FIRST[0]} to {FIRST[-1]}", first, MOST_OF_FIRST),
        ("the book", pages, MOST_OF_ALL),
    ):
        for name, most in limits.items():
            count = sum(page.get(name, 0) for page in those)
            print(f"{what}: {count:,} {name}, at most {most:,}")
            if count > most:
                problems.append(f"{what}: {count:,} {name}, over {most:,}")
    unsolved = sum(page["unsolved"] for page in notebooks)
    print(f"the book: {unsolved} exercises without a printed solution, at least {FEWEST_UNSOLVED}")
    if unsolved < FEWEST_UNSOLVED:
        problems.append(f"the book: {unsolved} exercises without a printed solution")
    return problems


def as_table(counted: dict[str, Any]) -> str:
    """The statistics as a table with a row of sums, and a line about the site."""
    table = pd.DataFrame(counted["pages"]).set_index("page")
    table.loc["all"] = table.drop(columns=["median", "longest", "first_figure"]).sum()
    text = table.to_string(na_rep="", float_format="{:.0f}".format)
    return f"{text}\nThe site: {counted['site']['files']} files, {counted['site']['megabytes']} MB"


def main() -> None:
    """Count, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path())
    parser.add_argument("--build", type=Path, default=Path("_build"))
    options = parser.parse_args()
    counted = book_statistics(options.root, options.build)
    (options.build / "statistics.json").write_text(json.dumps(counted, indent=1) + "\n")
    print(as_table(counted))
    slow = [page["page"] for page in counted["pages"] if (page.get("seconds") or 0) > SECONDS]
    print(f"notebooks that took over {SECONDS} seconds: {', '.join(slow) or 'none'}")
    if problems := broken_limits(counted["pages"]):
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
