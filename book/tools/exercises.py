"""The exercises of a notebook: what they ask, what solves them, and the notebook without that.

A solution is folded text, ``<details><summary>Solution ...``, and the code cells tagged
``hide-cell`` beneath an exercise. A cell tagged ``check`` is none: it takes an answer and says
whether it is right.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

import nbformat
from myst import without_references

SOLUTION = re.compile(r"<details>\s*<summary>Solution[^<]*</summary>\s*(.*?)\s*</details>\s*", re.S)
FOLDED_CODE = "<details><summary>Solution</summary>\n\n```python\n{}\n```\n\n</details>"
EXERCISE = re.compile(
    r"^### Exercise (?P<number>[\w.]+)\n+\*\((?P<kind>\w+)\.\)\* *(?P<body>.*?)"
    r"(?=^##|^> \*\*|\Z)",
    re.M | re.S,
)


class Exercise(NamedTuple):
    """One exercise in plain Markdown, without links; ``solution`` is empty where none is
    printed."""

    number: str
    kind: str
    question: str
    solution: str


def solution_code(cells: list[nbformat.NotebookNode]) -> Iterator[nbformat.NotebookNode]:
    """The code cells that belong to a solution."""
    inside = False
    for cell in cells:
        if cell.cell_type == "markdown":
            for heading in re.findall(r"^## .*", cell.source, re.M):
                inside = heading == "## Exercises"
        elif inside:
            tags = cell.metadata.get("tags", [])
            if "hide-cell" in tags and "check" not in tags:
                yield cell


def without_solutions(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with its exercises, but without what solves them (changed in place)."""
    solving = {cell.id for cell in solution_code(notebook.cells)}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = SOLUTION.sub("", cell.source).strip()
    notebook.cells = [
        cell
        for cell in notebook.cells
        if cell.id not in solving and (cell.source or cell.cell_type != "markdown")
    ]
    return notebook


def read_exercises(cells: list[nbformat.NotebookNode]) -> list[Exercise]:
    """The exercises in order, a solution with its code."""
    solving = {cell.id for cell in solution_code(cells)}
    parts = [
        FOLDED_CODE.format(cell.source) if cell.id in solving else cell.source
        for cell in cells
        if cell.cell_type == "markdown" or cell.id in solving
    ]
    return [
        Exercise(
            found["number"],
            found["kind"],
            without_references(SOLUTION.sub("", found["body"]).strip()),
            without_references("\n\n".join(SOLUTION.findall(found["body"]))),
        )
        for found in EXERCISE.finditer("\n\n".join(parts))
    ]
