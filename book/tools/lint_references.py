"""What the text of the book points to: is it there?"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from answer_kinds import Choice, Numbers
from answers import read_answers
from chapter import Chapter, figure_of, prose, read_chapter
from myst import CITATION
from pybtex.database import parse_file

LINK = re.compile(r"(?<!\!)\[[^\]]*\]\((?P<page>[^)#\s]*)(?:#(?P<place>[^)\s]*))?\)")


@dataclass(frozen=True)
class Targets:
    """What the book's text can point to: works of the bibliography, figures, equations (with how
    often each stands), and the exercises in `book/answers`."""

    works: frozenset[str]
    figures: Counter[str]
    equations: Counter[str]
    answers: dict[str, Choice | Numbers] = field(default_factory=dict)


def read_targets(root: Path, chapters: list[Chapter]) -> Targets:
    """What can be pointed to in ``chapters`` and the repository's bibliography."""
    works = parse_file(str(root / "book/references.bib")).entries
    figures = Counter(figure_of(cell).get("name") for chapter in chapters for cell in chapter.code)
    equations = Counter(
        label for chapter in chapters for label in re.findall(r"\$\$ \((eq-[\w-]+)\)", chapter.text)
    )
    return Targets(frozenset(works), figures, equations, read_answers(root / "book/answers"))


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
