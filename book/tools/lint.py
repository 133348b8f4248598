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
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from answers import Choice, Numbers, read_answers
from check_form import TAG, check_source
from myst import CITATION, KEPT
from pybtex.database import parse_file
from slide_cells import slide_problems
from typed_numbers import find_typed_numbers

LONGEST_CELL = 40  # lines; more is a second cell, or belongs into the library
FIRST_FIGURE = 6  # by this code cell at the latest
EXERCISES = 4
TOOLS = ("your_photographs",)  # pages to use, on which nothing is to be worked out
KINDS = ("Recall", "Compute", "Explore")
# Drawn by a program; nbformat draws one in the place of an id that is missing or another cell's.
DRAWN_ID = re.compile(r"[0-9a-f]{8}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
LINK = re.compile(r"(?<!\!)\[[^\]]*\]\((?P<page>[^)#\s]*)(?:#(?P<place>[^)\s]*))?\)")
EXERCISE = re.compile(r"^### (Exercise [\w.]+)\n(.*?)(?=^###? |\Z)", re.MULTILINE | re.DOTALL)
KIND = re.compile(rf"\n\*\(({'|'.join(KINDS)})\.\)\* ")
SOLUTION = r"<details><summary>Solution to {}</summary>\n\n(?P<body>.*?)</details>"


@dataclass(frozen=True)
class Chapter:
    """One notebook's source, with the cells by kind."""

    path: Path
    cells: list[nbformat.NotebookNode]

    @property
    def code(self) -> list[nbformat.NotebookNode]:
        """The code cells in order, without the one that installs the library if it is missing."""
        return [
            cell for cell in self.cells if cell.cell_type == "code" and "install" not in tags(cell)
        ]

    @property
    def markdown(self) -> list[nbformat.NotebookNode]:
        """The Markdown cells in order."""
        return [cell for cell in self.cells if cell.cell_type == "markdown"]

    @property
    def text(self) -> str:
        """All Markdown, cells separated by an empty line."""
        return "\n\n".join(cell.source for cell in self.markdown)


@dataclass(frozen=True)
class Targets:
    """What the book's text can point to: works of the bibliography, figures, equations (with how
    often each stands), and the exercises in `book/answers`."""

    works: frozenset[str]
    figures: Counter[str]
    equations: Counter[str]
    answers: dict[str, Choice | Numbers] = field(default_factory=dict)


def tags(cell: nbformat.NotebookNode) -> list[str]:
    """The cell's tags."""
    return cell.metadata.get("tags", [])


def figure_of(cell: nbformat.NotebookNode) -> dict[str, str]:
    """What the cell's metadata say of its figure: some of caption, name and alt; empty for a cell
    without one."""
    shown = cell.metadata.get("mystnb", {})
    figure = shown.get("figure", {}) | shown.get("image", {})
    return {key: figure[key] for key in ("caption", "name", "alt") if figure.get(key, "").strip()}


def prose(text: str) -> str:
    """``text`` without its code and formulas."""
    return re.sub(KEPT, " ", text, flags=re.MULTILINE | re.DOTALL)


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


def check_exercises(chapter: Chapter, targets: Targets) -> Iterator[str]:
    """Enough exercises, of all kinds, each with a folded solution or a check."""
    found = EXERCISE.findall(chapter.text)
    if len(found) < EXERCISES:
        yield (
            f"there are {len(found)} exercises ('### Exercise ...'), expected at least {EXERCISES}"
        )
    checked = {title for title, _ in found if title.split()[1] in targets.answers}
    kinds = set()
    for title, body in found:
        kind = KIND.match(body)
        if kind:
            kinds.add(kind[1])
        else:
            yield f"{title} must open with its kind, one of " + ", ".join(
                f"'*({kind}.)*'" for kind in KINDS
            )
        if title not in checked:
            yield from check_solution(title, body, kind[1] if kind and checked else "")
    if found and (lacking := [kind for kind in KINDS if kind not in kinds]):
        yield f"there is no exercise of the kind {' or '.join(lacking)}"


def check_solution(title: str, body: str, kind: str) -> Iterator[str]:
    """An exercise without a check: in a chapter that has checks, only an open one is that, and
    needs no solution; `kind` is empty in other chapters."""
    if kind in KINDS[:2]:
        yield f"{title} has no answer in book/answers, as each has that is '*({kind}.)*'"
    solution = re.search(SOLUTION.format(re.escape(title.lower())), body, re.DOTALL)
    if not kind and not (solution and solution["body"].strip()):
        yield (
            f"{title} lacks '<details><summary>Solution to {title.lower()}</summary>' "
            "... '</details>'"
        )


def check_checks(chapter: Chapter, targets: Targets) -> Iterator[str]:
    """Behind the text of each exercise in `book/answers`, before its solution, its check stands."""
    expected = None
    for cell in [*chapter.cells, None]:
        source = check_source(expected) if expected else None
        if source and not (cell and TAG in tags(cell) and cell.source == source):
            yield (
                f"exercise {expected} must be followed, before its solution, by a code cell tagged "
                f"'{TAG}' with exactly {source!r}"
            )
        elif cell and not source and cell.cell_type == "code" and TAG in tags(cell):
            yield f"cell {cell.id} checks no exercise that stands right above it"
        titles = EXERCISE.findall(cell.source) if cell and cell.cell_type == "markdown" else []
        numbers = [title.split()[1] for title, _ in titles]
        yield from (
            f"exercise {number} must be followed by a cell that checks its answer"
            for number in numbers[:-1]
            if number in targets.answers
        )
        expected = numbers[-1] if numbers and numbers[-1] in targets.answers else None
        if expected:
            yield from check_question(expected, titles[-1][1], targets.answers[expected])


def check_question(number: str, body: str, answer: Choice | Numbers) -> Iterator[str]:
    """A question lists its options, and its solution stands behind the check."""
    if re.search(SOLUTION.format(f"exercise {re.escape(number)}"), body, re.DOTALL):
        yield f"the solution to exercise {number} must stand in a cell behind its check"
    options = re.findall(r"^- \((\w)\) ", body, re.MULTILINE)
    if isinstance(answer, Choice) and options != list(answer.options):
        yield f"exercise {number} must list {len(answer.options)} options, '- (a) ...'"


def check_solution_code(chapter: Chapter) -> Iterator[str]:
    """The code of a solution is folded away like its text."""
    inside = False
    for cell in chapter.cells:
        if cell.cell_type == "markdown":
            for heading in re.findall(r"^## .*", cell.source, re.MULTILINE):
                inside = heading == "## Exercises"
        elif inside and not {"hide-cell", TAG}.intersection(tags(cell)):
            yield f"cell {cell.id} belongs to a solution and must be tagged 'hide-cell'"


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


def check_references(chapter: Chapter, targets: Targets) -> Iterator[str]:
    """Works, figures, equations, pages and places on pages that exist."""
    for cell in chapter.cells:
        text = (
            prose(cell.source)
            if cell.cell_type == "markdown"
            else prose(figure_of(cell).get("caption", ""))
        )
        where = f"cell {cell.id}"
        for match in re.finditer(CITATION, text):
            for key in re.findall(r"@([\w:-]+)", match["keys"]):
                if key not in targets.works:
                    yield f"{where} cites [@{key}], which is not in book/references.bib"
        for link in LINK.finditer(text):
            yield from (f"{where} {problem}" for problem in check_link(link, chapter, targets))


def check_link(link: re.Match[str], chapter: Chapter, targets: Targets) -> Iterator[str]:
    """What is wrong with one link, if anything."""
    page, place = link["page"], link["place"]
    if page.startswith(("http:", "https:")):
        return
    if not page and place and place.startswith(("fig-", "eq-")):
        if not targets.figures[place] + targets.equations[place]:
            yield f"points to #{place}, which no notebook has"
        return
    target = (chapter.path.parent / page).resolve() if page else chapter.path
    if not target.is_file():
        yield f"links to {page}, which does not exist"
    elif place and place not in places_on(target):
        yield f"links to {page}#{place}, but that page has no such heading"


def places_on(page: Path) -> set[str]:
    """The headings of a page or notebook, as links name them."""
    text = read_chapter(page).text if page.suffix == ".ipynb" else page.read_text("utf-8")
    headings = re.findall(r"^#{1,6} (.*)", text, re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings
    }


def read_chapter(path: Path) -> Chapter:
    """The notebook at ``path``."""
    return Chapter(path, nbformat.read(path, as_version=4).cells)


def read_targets(root: Path, chapters: list[Chapter]) -> Targets:
    """What can be pointed to in ``chapters`` and the repository's bibliography."""
    works = parse_file(str(root / "book/references.bib")).entries
    figures = Counter(figure_of(cell).get("name") for chapter in chapters for cell in chapter.code)
    equations = Counter(
        label for chapter in chapters for label in re.findall(r"\$\$ \((eq-[\w-]+)\)", chapter.text)
    )
    return Targets(frozenset(works), figures, equations, read_answers(root / "book/answers"))


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
    titles = {title for chapter in chapters for title, _ in EXERCISE.findall(chapter.text)}
    problems += [
        f"book/answers has exercise {name}, which no notebook has."
        for name in targets.answers
        if f"Exercise {name}" not in titles
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
