"""The contents, and the page that leads from the thesis's sections to the book's chapters."""

import re
from pathlib import Path

import nbformat
import yaml
from mdit_py_plugins.anchors.index import slugify

ROOT = Path(__file__).parents[2]
SECTIONS = [
    ("1", "Introduction"),
    ("2", "Semantic Segmentation"),
    ("3", "Anomaly Segmentation"),
    ("3.1", "Methods for Anomaly Segmentation"),
    ("3.2", "Anomaly Segmentation via Entropy Maximization"),
    ("3.3", "Meta Classification"),
    ("3.4", "Neural Network Meta Classifier"),
    ("4", "Experiments"),
    ("4.1", "Experimental Setup"),
    ("4.2", "Metrics"),
    ("4.3", "Evaluation of the Entropy Maximization Training"),
    ("4.4", "Evaluation of Neural Network Meta Classifier"),
    ("4.5", "Neural Network Meta Classifier Architectures"),
    ("5", "Discussion"),
    ("5.1", "Variability of the Entropy Maximization Training"),
    ("5.2", "Neural Network vs. Logistic Regression"),
    ("5.3", "Interpretability of Neural Network Meta Classifier"),
    ("6", "Conclusion"),
]
LINK = re.compile(r"\[([^\]]+)\]\(([^)#]+)#?([^)]*)\)")
PAGE = ROOT / "book/thesis.md"


def pages_of(entries: list[dict]) -> list[str]:
    """The pages of some entries of _toc.yml in reading order, those nested below them included."""
    return [
        page for entry in entries for page in (entry["file"], *pages_of(entry.get("sections", [])))
    ]


def parts() -> list[dict]:
    """The parts of _toc.yml."""
    return yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))["parts"]


def chapters() -> list[str]:
    """The pages of the numbered parts, in order."""
    return [page for part in parts() if part.get("numbered") for page in pages_of(part["chapters"])]


def table() -> list[tuple[str, str, str]]:
    """The page's rows: number and title of the thesis's section, and where the book treats it."""
    rows = re.findall(
        r"^\| *(\d[\d.]*) *\| *(.*?) *\| *(.*?) *\|$", PAGE.read_text("utf-8"), flags=re.MULTILINE
    )
    assert rows, "book/thesis.md has no table of sections"
    return rows


def anchors(page: str) -> set[str]:
    """The places on a notebook to which a link can lead: its headings as the book's links spell
    them."""
    cells = nbformat.read(ROOT / f"{page}.ipynb", as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return {
        slugify(re.sub(r"\$.*?\$|[*`]", "", title))
        for title in re.findall(r"^##+ (.*)$", text, flags=re.MULTILINE)
    }


def links(text: str) -> list[tuple[str, str, str]]:
    """Words, page as _toc.yml names it, and anchor of each link to a notebook."""
    found = [
        (words, (PAGE.parent / file).resolve(), anchor)
        for words, file, anchor in LINK.findall(text)
    ]
    return [
        (words, file.relative_to(ROOT.resolve()).with_suffix("").as_posix(), anchor)
        for words, file, anchor in found
        if file.suffix == ".ipynb"
    ]


def test_table_of_contents_names_every_page_and_notebook() -> None:
    listed = ["book/index", *(page for part in parts() for page in pages_of(part["chapters"]))]
    pages = [*ROOT.glob("book/**/*.md"), *ROOT.glob("notebooks/*.ipynb")]
    assert sorted(listed) == sorted(
        path.relative_to(ROOT).with_suffix("").as_posix() for path in pages
    )


def test_every_section_of_the_thesis_has_its_row() -> None:
    assert [(number, title) for number, title, _ in table()] == SECTIONS
    assert [number for number, _, where in table() if not links(where)] == []


def test_links_lead_to_headings_of_pages_in_the_contents() -> None:
    listed = [page for part in parts() for page in pages_of(part["chapters"])]
    for words, page, anchor in links(PAGE.read_text("utf-8")):
        assert page in listed, f"[{words}] leads to {page}, which is not in _toc.yml"
        assert not anchor or anchor in anchors(page), (
            f"[{words}] leads to #{anchor}, which is no heading of {page}"
        )


def test_a_number_before_a_links_words_is_the_chapters() -> None:
    numbers = {page: str(int(Path(page).name[:2])) for page in chapters()}
    for words, page, _ in links("".join(where for *_, where in table())):
        number = re.match(r"\d+", words)
        assert not number or number[0] == numbers[page], (
            f"[{words}] leads to chapter {numbers[page]}"
        )


def test_every_chapter_is_reached_from_the_thesis_or_listed_as_an_addition() -> None:
    reached = {page for _, page, _ in links(PAGE.read_text("utf-8"))}
    assert [page for page in chapters() if page not in reached] == []


def test_chapters_come_in_the_order_of_their_numbers() -> None:
    files = [Path(page).name for page in chapters()]
    assert files == sorted(files) and len(files) >= 13
    assert {re.match(r"\d+", name)[0] for name in files} == {
        f"{number:02}" for number in range(1, 14)
    }


def test_chapters_are_numbered_one_level_deep() -> None:
    """So that a page below a chapter takes no chapter's number."""
    numbered = [part["numbered"] for part in parts() if "numbered" in part]
    assert len(numbered) == 5 and set(numbered) == {1}
