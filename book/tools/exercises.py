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

CHECK = "check"  # the tag of a cell that takes an answer
KINDS = ("Recall", "Compute", "Explore")
KIND = re.compile(rf"\*\((?P<kind>{'|'.join(KINDS)})\.\)\* ")
EXERCISE = re.compile(
    r"^### Exercise (?P<number>[\w.]+)\n+(?P<body>.*?)(?=^##|^> \*\*|\Z)", re.M | re.S
)
SOLUTION = re.compile(
    r"<details>\s*<summary>Solution(?: to exercise (?P<number>[\w.]+))?[^<]*</summary>"
    r"\s*(?P<body>.*?)\s*</details>\s*",
    re.S,
)
FOLDED_CODE = "<details><summary>Solution</summary>\n\n```python\n{}\n```\n\n</details>"


class Exercise(NamedTuple):
    """One exercise in plain Markdown, without links; ``solution`` is empty where none is
    printed."""

    number: str
    kind: str
    question: str
    solution: str


def code_of_exercises(cells: list[nbformat.NotebookNode]) -> Iterator[nbformat.NotebookNode]:
    """The code cells beneath the heading of the exercises."""
    inside = False
    for cell in cells:
        if cell.cell_type == "markdown":
            for heading in re.findall(r"^## .*", cell.source, re.M):
                inside = heading == "## Exercises"
        elif inside:
            yield cell


def solution_code(cells: list[nbformat.NotebookNode]) -> Iterator[nbformat.NotebookNode]:
    """The code cells that belong to a solution."""
    for cell in code_of_exercises(cells):
        tags = cell.metadata.get("tags", [])
        if "hide-cell" in tags and CHECK not in tags:
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
    found = EXERCISE.finditer("\n\n".join(parts))
    return [_exercise(each["number"], each["body"]) for each in found]


def _exercise(number: str, body: str) -> Exercise:
    """ValueError where the kind is missing."""
    kind = KIND.match(body)
    if not kind:
        raise ValueError(f"exercise {number} must open with its kind, as '*({KINDS[0]}.)*'")
    question = SOLUTION.sub("", body[kind.end() :]).strip()
    solution = "\n\n".join(printed["body"] for printed in SOLUTION.finditer(body))
    return Exercise(
        number, kind["kind"], without_references(question), without_references(solution)
    )
