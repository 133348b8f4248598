"""Exercises of a chapter: enough, of all kinds, each with a solution or a check of the answer."""

import re
from collections.abc import Iterator

from answer_kinds import Choice, Numbers
from chapter import Chapter, tags
from check_form import check_source
from exercises import CHECK, EXERCISE, KIND, KINDS, SOLUTION, code_of_exercises
from lint_references import Targets

FEWEST = 4  # exercises of a chapter


def check_exercises(chapter: Chapter, targets: Targets) -> Iterator[str]:
    """Enough exercises, of all kinds, each with a folded solution or a check."""
    found = EXERCISE.findall(chapter.text)
    if len(found) < FEWEST:
        yield f"there are {len(found)} exercises ('### Exercise ...'), expected at least {FEWEST}"
    checked = {number for number, _ in found if number in targets.answers}
    kinds = set()
    for number, body in found:
        kind = KIND.match(body)
        if kind:
            kinds.add(kind["kind"])
        else:
            expected = ", ".join(f"'*({kind}.)*'" for kind in KINDS)
            yield f"Exercise {number} must open with its kind, one of {expected}"
        if number not in checked:
            yield from check_solution(number, body, kind["kind"] if kind and checked else "")
    if found and (lacking := [kind for kind in KINDS if kind not in kinds]):
        yield f"there is no exercise of the kind {' or '.join(lacking)}"


def check_solution(number: str, body: str, kind: str) -> Iterator[str]:
    """An exercise without a check: in a chapter that has checks, only an open one is that, and
    needs no solution; `kind` is empty in other chapters."""
    if kind in KINDS[:2]:
        yield f"Exercise {number} has no answer in book/answers, as each has that is '*({kind}.)*'"
    if not kind and not solution_in(body, number):
        yield (
            f"Exercise {number} lacks '<details><summary>Solution to exercise {number}</summary>' "
            "... '</details>'"
        )


def solution_in(body: str, number: str) -> str:
    """What `body` prints as the solution of an exercise; nothing where it prints none."""
    return "".join(each["body"] for each in SOLUTION.finditer(body) if each["number"] == number)


def check_checks(chapter: Chapter, targets: Targets) -> Iterator[str]:
    """Behind the text of each exercise in `book/answers`, before its solution, its check stands."""
    expected = None
    for cell in [*chapter.cells, None]:
        source = check_source(expected) if expected else None
        if source and not (cell and CHECK in tags(cell) and cell.source == source):
            yield (
                f"exercise {expected} must be followed, before its solution, by a code cell tagged "
                f"'{CHECK}' with exactly {source!r}"
            )
        elif cell and not source and cell.cell_type == "code" and CHECK in tags(cell):
            yield f"cell {cell.id} checks no exercise that stands right above it"
        found = EXERCISE.findall(cell.source) if cell and cell.cell_type == "markdown" else []
        numbers = [number for number, _ in found]
        yield from (
            f"exercise {number} must be followed by a cell that checks its answer"
            for number in numbers[:-1]
            if number in targets.answers
        )
        expected = numbers[-1] if numbers and numbers[-1] in targets.answers else None
        if expected:
            yield from check_question(expected, found[-1][1], targets.answers[expected])


def check_question(number: str, body: str, answer: Choice | Numbers) -> Iterator[str]:
    """A question lists its options, and its solution stands behind the check."""
    if solution_in(body, number):
        yield f"the solution to exercise {number} must stand in a cell behind its check"
    options = re.findall(r"^- \((\w)\) ", body, re.MULTILINE)
    if isinstance(answer, Choice) and options != list(answer.options):
        yield f"exercise {number} must list {len(answer.options)} options, '- (a) ...'"


def check_solution_code(chapter: Chapter) -> Iterator[str]:
    """The code of a solution is folded away like its text."""
    for cell in code_of_exercises(chapter.cells):
        if not {"hide-cell", CHECK}.intersection(tags(cell)):
            yield f"cell {cell.id} belongs to a solution and must be tagged 'hide-cell'"
