"""Slides: what of a cell is shown, how many there are, and a file that needs nothing else."""

import re
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from myst import without_references
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from playwright.sync_api import Browser
from slide_cells import MOST, slide_problems, slides_of
from slides import deck

ROOT = Path(__file__).parents[2]
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
FIGURE = {
    "figure": {"caption": "A [curve](#fig-b) rises [@key]. The $x < y$ is time.", "name": "fig-a"},
    "image": {"alt": 'A "curve".'},
}


def text(source: str, *tags: str) -> nbformat.NotebookNode:
    return new_markdown_cell(source, metadata={"tags": list(tags or ("slide",))})


def figure(*outputs: nbformat.NotebookNode) -> nbformat.NotebookNode:
    metadata = {"tags": ["hide-input", "slide"], "mystnb": FIGURE}
    return new_code_cell("plt.show()", metadata=metadata, outputs=list(outputs))


def drawing() -> nbformat.NotebookNode:
    return new_output("display_data", data={"image/svg+xml": "<svg/>"})


def picture() -> nbformat.NotebookNode:
    return new_output("display_data", data={"image/png": PNG + "\n", "text/plain": "<Figure>"})


OPENING = "# 1 A\n\n> **Goals.** You can.\n>\n> - See.\n\nWhat is *it*?\n\nMore."
FORMULA = "## Why\n\nSince [this](01_a.ipynb#x) holds [@key]:\n\n$$\na < b\n$$ (eq-a)\n\nMore."
ENDING = (
    "### Exercise 1.1\n\n*(Recall.)* What?\n\n"
    "<details><summary>Solution to exercise 1.1</summary>\n\nThat.\n\n</details>\n\n"
    "> **Summary.**\n>\n> - One.\n> - Two\n>   lines."
)


def cells() -> list[nbformat.NotebookNode]:
    """Of a chapter with five slides."""
    return [
        text(OPENING), figure(picture()), text("## Not shown\n\nNo.", "other"),
        text(FORMULA), text("Before.\n\n### List\n\n- `a`\n- b\n\nAfter."), text(ENDING),
    ]  # fmt: skip


def test_a_slide_shows_what_is_said_first() -> None:
    opening, shown, formula, listed, ending = slides_of(cells())
    assert opening[:2] == ("1 A", "What is *it*?")
    png, svg = f"image/png;base64,{PNG}", "image/svg+xml;base64,PHN2Zy8+"
    assert shown == ("A curve rises.", "The $x < y$ is time.", png, 'A "curve".')
    assert slides_of([figure(drawing())])[0].picture == svg
    board = figure(new_output("display_data", data={"text/html": "<table>"}))
    assert slides_of([board])[0] == ("A curve rises.", "The $x < y$ is time.", "", 'A "curve".')
    assert formula[:2] == ("Why", "Since this holds:\n\n$$\na < b\n$$")
    assert listed[:2] == ("List", "- `a`\n- b")
    assert ending[:2] == ("Summary", "- One.\n- Two\n  lines.")


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("One. Try:", "One."),
        ("One.\nRun:\n\n```sh\nrun\n```", "One.\nRun:\n\n```sh\nrun\n```"),
        ("One.\n\n- A.\n- If so, it is\n\n$$\nx\n$$", "One."),
        ("One. It is\n\n- A.\n- B.\n\nMore.", "One. It is\n\n- A.\n- B."),
    ],
)
def test_no_slide_ends_within_a_sentence(source: str, shown: str) -> None:
    assert slides_of([text(f"## A\n\n{source}")])[0].text == shown


def test_no_text_of_the_book_ends_within_a_sentence() -> None:
    for path in sorted(ROOT.glob("notebooks/*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        shown = slides_of([cell for cell in cells if cell.cell_type == "markdown"])
        cut = [
            slide
            for slide in shown
            if not slide.text.endswith((".", "?", "!", ")", "**", "$$", "```"))
        ]
        assert cut == [], path.name
        assert all(len(slide.text.split()) < 150 for slide in shown), path.name


@pytest.mark.parametrize(
    ("plain", "words"),
    [
        ("Figure: [the curves](#fig-a) show", "The curves show"),
        ("so [Chapter 2](02_b.ipynb#why), by Lin [@lin; @chan]", "so Chapter 2, by Lin"),
        ("in `[a](b)` and $[@b]$", "in `[a](b)` and $[@b]$"),
    ],
)
def test_outside_the_book_links_are_words(plain: str, words: str) -> None:
    assert without_references(plain) == words


def test_tags_that_make_no_slide_are_named() -> None:
    assert list(slide_problems(cells())) == []
    code = new_code_cell("1", metadata={"tags": ["slide"]})
    lone = [text("No heading."), text("## A\n\n### B"), code]
    few, no_heading, nothing, no_figure = slide_problems(lone)
    assert few == "3 cells are tagged 'slide', expected 5 to 12"
    assert "no heading" in no_heading and "says nothing" in nothing and "no figure" in no_figure
    many = list(slide_problems([text("# A")] * (MOST + 1)))
    assert many == ["13 cells are tagged 'slide', expected 5 to 12"]


def test_a_figure_that_was_not_drawn_is_an_error(tmp_path: Path) -> None:
    nbformat.write(new_notebook(cells=[text("# 1 A"), figure()]), tmp_path / "01_a.ipynb")
    with pytest.raises(ValueError, match=r"01_a\.ipynb: cell .* shows no figure"):
        deck([tmp_path / "01_a.ipynb"], "Title", b"")
    nbformat.write(new_notebook(cells=[text("# 1 A", "other")]), tmp_path / "01_a.ipynb")
    with pytest.raises(ValueError, match="make book"):
        deck([tmp_path / "01_a.ipynb"], "Title", b"")


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    """The file with the slides of two chapters."""
    chapters = []
    for number in (1, 2):
        own = cells()
        own[0].source = own[0].source.replace("1 A", f"{number} A & B")
        chapters.append(tmp_path / f"0{number}_a.ipynb")
        nbformat.write(new_notebook(cells=own), chapters[-1])
    (tmp_path / "slides.html").write_text(deck(chapters, "Title", b"png"), "utf-8")
    return tmp_path / "slides.html"


def test_one_file_has_all_chapters_and_loads_nothing(slides: Path) -> None:
    page = BeautifulSoup(slides.read_text("utf-8"), "html.parser")
    names = [f"0{chapter}-{n}" for chapter in (1, 2) for n in range(1, 6)]
    assert [slide["id"] for slide in page.select(".slide")] == ["cover-1", "contents", *names]
    assert [link["href"] for link in page.select("[href]")] == ["#01-1", "#02-1"]
    assert all(tag["src"].startswith("data:image/png;base64,") for tag in page.select("[src]"))
    assert page.select_one("meta[http-equiv]")["content"].startswith("default-src 'none';")
    styles = " ".join(style.get_text() for style in page.select("style"))
    assert not re.search(r"url\(|@import", styles) and not page.select("link, iframe, object")
    assert page.select_one("#02-1".replace("#0", "#\\30 ")).h2.get_text() == "2 A & B"


def test_it_is_shown_without_a_network_one_after_the_other(slides: Path, chromium: Browser) -> None:
    asked, errors = [], []
    page = chromium.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: errors.append(message.text))
    page.goto(slides.as_uri())
    page.wait_for_selector("body.one")

    def seen() -> list[str]:
        return page.eval_on_selector_all(
            ".slide", "all => all.filter((one) => one.clientHeight).map((one) => one.id)"
        )

    before = seen()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
    assert (before, seen()) == (["cover-1"], ["01-5"])
    page.keyboard.press("o")
    assert len(seen()) == 12
    drawn, failed = (page.locator(f"mjx-{name}").count() for name in ("container", "merror"))
    assert (drawn, failed) == (4, 0)
    page.emulate_media(media="print")
    assert len(seen()) == 12
    assert [url for url in asked if not url.startswith("data:")] == [slides.as_uri()]
    assert errors == []
