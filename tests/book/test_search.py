"""The search of the book finds sections and words, also from a disk, where there is a Chromium."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docutils import nodes
from docutils.utils import new_document
from playwright.sync_api import Browser
from section_search import places_of
from sphinx.application import Sphinx

STATIC = Path(__file__).parents[2] / "book" / "_static"
GLOSSARY = """# Glossary

```{glossary}
entropy
  How unsure a network is.

proxy
  Images in place of others.
```
"""
PAGE = """# How it learns

A network and its entropy.

## The price of entropy

What is *lost* costs mIoU, in the café too.

### Beneath

Nothing but <b>tags</b> & proxies.
"""


LIBRARY = "# Data\n\nDrives, and drives.\n"
CHAPTER = "# Chapter\n\nIt reads two drives, one after another, and says what lies on them.\n"


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("book") / "source"
    (source / "book/library").mkdir(parents=True)
    (source / "book/library/data.md").write_text(LIBRARY)
    (source / "book/chapter.md").write_text(CHAPTER)
    (source / "book/glossary.md").write_text(GLOSSARY)
    (source / "book/page.md").write_text(PAGE, "utf-8")
    (source / "index.md").write_text(
        "# Book\n\n```{toctree}\nbook/page\nbook/glossary\nbook/chapter\nbook/library/data\n```\n"
    )
    shutil.copy(STATIC / "search.js", source / "search.js")
    own = {"extensions": ["myst_parser", "section_search"], "html_static_path": ["search.js"]}
    out, trees = source.parent / "html", source.parent / "trees"
    Sphinx(source, None, out, trees, "html", own, status=None).build()
    return out


@pytest.fixture(scope="module")
def search(book: Path, chromium: Browser) -> Iterator[Callable[[str], list[list[str]]]]:
    page = chromium.new_page()

    def ask(query: str) -> list[list[str]]:
        page.goto(f"{(book / 'search.html').as_uri()}?q={query}")
        page.wait_for_selector("#search-results [role=status]")
        return page.eval_on_selector_all(
            "ol.search-places li",
            "rows => rows.map(row => [row, row.firstChild, row.lastChild])"
            ".map(([row, a, p]) => [a.textContent, a.getAttribute('href'), p.textContent])",
        )

    yield ask


def test_every_section_and_word_is_a_place_with_its_own_text(book: Path) -> None:
    script = (book / "_static/sections.js").read_text("utf-8")
    places = json.loads(script.removeprefix("const SECTIONS = ").rstrip().removesuffix(";"))
    texts = {(place["of"], place["title"]): place["text"] for place in places}
    assert texts[("Glossary", "entropy")] == "How unsure a network is."
    assert texts[("How it learns", "How it learns")] == "A network and its entropy."
    assert texts[("How it learns", "The price of entropy")].startswith("What is lost costs mIoU")
    assert texts[("Glossary", "Glossary")] == ""


def test_a_word_of_the_glossary_comes_first_and_sections_by_their_anchor(
    search: Callable[[str], list[list[str]]],
) -> None:
    first, second, *_ = search("entropy")
    assert first[:2] == ["Glossary › entropy", "./book/glossary.html#term-entropy"]
    assert second[0] == "How it learns › The price of entropy"
    assert second[1].endswith("page.html#the-price-of-entropy")


def test_all_words_must_stand_there_and_accents_and_endings_do_not_matter(
    search: Callable[[str], list[list[str]]],
) -> None:
    assert [row[0] for row in search("cafe miou")] == ["How it learns › The price of entropy"]
    assert [row[0] for row in search("prox tags")] == ["How it learns › Beneath"]
    assert search("camel") == []


def test_what_is_asked_is_shown_as_text(search: Callable[[str], list[list[str]]]) -> None:
    assert search("<b>x</b>") == []
    assert "tags" in search("nothing")[0][2]


def test_what_a_cell_prints_is_found_and_its_source_is_not() -> None:
    source = nodes.container("", nodes.literal_block(text="import numpy"), classes=["cell_input"])
    shown = nodes.container("", nodes.literal_block(text="mIoU 0.61"), classes=["cell_output"])
    section = nodes.section("", nodes.title(text="Run"), nodes.container("", source, shown))
    section["ids"] = ["run"]
    page = new_document("page")
    page += section
    assert list(places_of("page", page)) == [("page", "run", "Run", "mIoU 0.61")]


def test_the_library_comes_behind_the_chapters(
    search: Callable[[str], list[list[str]]],
) -> None:
    assert [row[0] for row in search("drives")] == ["Chapter", "Data"]
