"""The bibliography holds the thesis's references, each once, and nothing that the book does not
use."""

import re
from pathlib import Path

from chapter import figure_of, prose, read_chapter
from myst import CITATION
from pybtex.database import parse_file

ROOT = Path(__file__).parents[2]
WORKS = parse_file(str(ROOT / "book/references.bib")).entries
OF_THESIS = {
    key: work.fields["keywords"] for key, work in WORKS.items() if "keywords" in work.fields
}
NUM_OF_THESIS = 42


def cited() -> set[str]:
    """The keys that a page, a notebook's text or a figure's caption cites."""
    texts = [path.read_text("utf-8") for path in ROOT.glob("book/*.md")]
    for chapter in map(read_chapter, ROOT.glob("notebooks/*.ipynb")):
        texts += [chapter.text, *(figure_of(cell).get("caption", "") for cell in chapter.code)]
    groups = [match["keys"] for text in texts for match in re.finditer(CITATION, prose(text))]
    return {key for group in groups for key in re.findall(r"@([\w:-]+)", group)}


def test_each_reference_of_the_thesis_is_there_once_and_in_its_order() -> None:
    assert list(OF_THESIS.values()) == [
        f"thesis-{number}" for number in range(1, NUM_OF_THESIS + 1)
    ]


def test_every_other_work_is_cited() -> None:
    assert sorted(WORKS.keys() - OF_THESIS.keys() - cited()) == []


def test_every_work_says_who_what_where_and_when() -> None:
    places = {"journal", "booktitle", "publisher", "howpublished", "url"}
    incomplete = [
        key
        for key, work in WORKS.items()
        if not (
            work.persons.get("author")
            and {"title", "year"} <= work.fields.keys()
            and places & set(work.fields)
        )
    ]
    assert incomplete == []
