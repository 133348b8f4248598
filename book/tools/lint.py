"""Check the sources of the notebooks: the form of a chapter, its figures, its references, its typed
numbers.

    python book/tools/lint.py [notebooks/03_x.ipynb ...]

A chapter opens with its goals and the time they take, shows a picture early, and ends with
exercises of three kinds, each with its solution folded away or a cell that checks the reader's
answer, a summary and further reading. What a run computes is never typed into the text
(`typed_numbers.py`). Whether a cell that draws has a description is seen later, when its notebook
is staged.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from chapter import Chapter, figure_of, read_chapter, tags
from exercises import EXERCISE
from lint_exercises import check_checks, check_exercises, check_solution_code
from lint_references import Targets, check_references, read_targets
from myst import CITATION
from slide_cells import slide_problems
from typed_numbers import find_typed_numbers

LONGEST_CELL = 40  # lines; more is a second cell, or belongs into the library
FIRST_FIGURE = 6  # by this code cell at the latest
TOOLS = ("your_photographs",)  # pages to use, on which nothing is to be worked out
# Drawn by a program; nbformat draws one in the place of an id that is missing or another cell's.
DRAWN_ID = re.compile(r"[0-9a-f]{8}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def check_opening(chapter: Chapter) -> Iterator[str]:
    """Title, goals with a time, parameters first, an early picture."""
    first = chapter.cells[0].source
    if not re.match(r"# \S", first):
        yield "the first cell must open with the title, '# ...'"
    goals = re.search(r"^> \*\*Goals\.\*\*.*(?:\n>.*)*", first, re.MULTILINE)
    if not goals:
        yield "the first cell lacks the goals, a blockquote that opens with '**Goals.**'"
    elif not re.search(r"about \d+ minutes", goals[0], re.IGNORECASE):
        yield "the goals lack the time that the chapter takes, 'About 60 minutes'"
    if not chapter.code or "parameters" not in tags(chapter.code[0]):
        yield "the first code cell must be tagged 'parameters'"
    if not any(map(figure_of, chapter.code[:FIRST_FIGURE])):
        yield (
            f"none of the first {FIRST_FIGURE} code cells shows a figure; "
            "a chapter begins with something to look at"
        )


def check_ending(chapter: Chapter) -> Iterator[str]:
    """Summary and further reading, with works to read."""
    if not re.search(r"^> \*\*Summary\.\*\*", chapter.text, re.MULTILINE):
        yield "there is no summary, a blockquote that opens with '**Summary.**'"
    reading = re.search(r"^> \*\*Further reading\.\*\*.*(?:\n>.*)*", chapter.text, re.MULTILINE)
    if not reading or not re.search(CITATION, reading[0]):
        yield (
            "there is no further reading, "
            "a blockquote that opens with '**Further reading.**' and cites works"
        )


def check_cells(chapter: Chapter) -> Iterator[str]:
    """Lasting ids, cells that can be read at one look, figures with all they need."""
    for cell in chapter.cells:
        if DRAWN_ID.fullmatch(cell.id):
            yield (
                f"cell {cell.id} ({cell.source[:20]!r}...) has no lasting id of its own; "
                "give it one"
            )
    for cell in chapter.code:
        lines = len(cell.source.splitlines())
        if lines > LONGEST_CELL:
            yield f"cell {cell.id} has {lines} lines, more than {LONGEST_CELL}; divide it"
        figure = figure_of(cell)
        if figure and (lacking := [key for key in ("caption", "name", "alt") if key not in figure]):
            yield f"the figure of cell {cell.id} lacks {', '.join(lacking)} in the cell's metadata"


def check_numbers(chapter: Chapter) -> Iterator[str]:
    """No result is typed."""
    code = "\n".join(cell.source for cell in chapter.code)
    for cell in chapter.markdown:
        yield from (
            f"cell {cell.id} {problem}" for problem in find_typed_numbers(cell.source, code)
        )


def lint(chapter: Chapter, targets: Targets) -> list[str]:
    """All problems of one chapter, each a sentence that begins with the notebook's name."""
    checks = (
        check_opening,
        check_solution_code,
        check_ending,
        check_cells,
        check_numbers,
    )
    problems = [problem for check in checks for problem in check(chapter)]
    exercises = () if chapter.path.stem in TOOLS else (check_exercises,)
    for check in (*exercises, check_checks, check_references):
        problems += check(chapter, targets)
    problems += slide_problems(chapter.cells)
    return [f"{chapter.path.name}: {problem}." for problem in problems]


def main() -> None:
    """Check the notebooks that are named, or all; each must be in the repository's ``notebooks``
    folder."""
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("notebooks", type=Path, nargs="*")
    named = [path.resolve() for path in parser.parse_args().notebooks]
    chapters = [read_chapter(path) for path in sorted((root / "notebooks").glob("*.ipynb"))]
    targets = read_targets(root, chapters)
    problems = [
        f"{name} names {n} figures" for name, n in targets.figures.items() if name and n > 1
    ]
    for chapter in chapters:
        if not named or chapter.path in named:
            problems += lint(chapter, targets)
    numbers = {number for chapter in chapters for number, _ in EXERCISE.findall(chapter.text)}
    problems += [
        f"book/answers has exercise {name}, which no notebook has."
        for name in targets.answers
        if name not in numbers
    ]
    if problems:
        sys.exit(
            "\n".join(
                [*problems, f"{len(problems)} problems; CONTRIBUTING.md says what a chapter has."]
            )
        )
    print(f"{len(chapters)} notebooks are in order.")


if __name__ == "__main__":
    main()
