"""The book as one document, and as an archive to take along."""

import os
import zipfile
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from one_document import contents, whole_book
from pack_offline import files_of_the_book, pack
from print_book import MOST_PAGES, check_length, first_pages
from pypdf import PdfWriter

TOC = {
    "root": "book/index",
    "parts": [{"caption": "Chapters", "chapters": [{"file": "notebooks/01_a"}]}],
}
PAGE = """<html><head><link rel="stylesheet" href="../_static/book.css"/>
<script>window.MathJax = {{}}</script>
<script src="../_static/search.js"></script></head>
<body><nav>menu</nav><article>{}</article></body></html>"""
INDEX = """<h1>Title<a class="headerlink" href="#t">#</a></h1>
<img alt="p" src="../_images/p.png"/><p id="x">Words</p>"""
CHAPTER = """<h1>1. A</h1><p id="x">Here</p><a href="#x">up</a>
<a href="../book/index.html#x">over</a><a href="../book/index.html">start</a>
<a href="https://example.org/x">out</a><a href="../_sources/a.txt">source</a>
<div class="cell tag_hide-input"><details><pre>draw()</pre></details>
<img alt="p" src="../_images/q.png"/></div>
<div class="cell tag_hide-cell"><details><pre>solve()</pre></details></div>"""


@pytest.fixture
def html(tmp_path: Path) -> Path:
    for name, article in {"index": "", "book/index": INDEX, "notebooks/01_a": CHAPTER}.items():
        path = tmp_path / f"html/{name}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PAGE.format(article))
    return tmp_path / "html"


def test_pages_come_in_the_order_of_the_contents() -> None:
    nested = {"file": "b", "sections": [{"file": "b1"}, {"file": "b2"}]}
    toc = {"root": "a", "parts": [{"caption": "P", "chapters": [nested, {"file": "c"}]}]}
    assert list(contents(toc)) == [("", ["a"]), ("P", ["b", "b1", "b2", "c"])]


def test_links_lead_within_the_one_document(html: Path) -> None:
    book = BeautifulSoup(whole_book(html, TOC, "Title"), "html.parser")
    ids = [tag["id"] for tag in book.select("[id]")]
    assert len(ids) == len(set(ids))
    leads = {link.get_text(): link["href"] for link in book.select("article a")}
    assert leads == {
        "up": "#notebooks/01_a.html#x",
        "over": "#book/index.html#x",
        "start": "#book/index.html",
        "out": "https://example.org/x",
        "source": "_sources/a.txt",
    }
    assert {leads["up"][1:], leads["over"][1:], leads["start"][1:]} <= set(ids)
    assert [link["href"] for link in book.select(".contents a")] == ["#notebooks/01_a.html"]
    assert [image["src"] for image in book.select("img")] == ["_images/p.png", "_images/q.png"]


def test_contents_name_the_pages_on_which_chapters_begin(tmp_path: Path) -> None:
    document = PdfWriter()
    for _ in range(3):
        document.add_blank_page(100, 100)
    document.add_named_destination("/notebooks/01_a.html", 1)
    document.add_named_destination("/notebooks/01_a.html%23x", 2)
    document.write(tmp_path / "book.pdf")
    assert first_pages(tmp_path / "book.pdf") == {
        "notebooks/01_a.html": 2,
        "notebooks/01_a.html#x": 3,
    }


def test_paper_shows_solutions_but_no_drawing_code(html: Path) -> None:
    book = BeautifulSoup(whole_book(html, TOC, "Title"), "html.parser")
    text = book.body.get_text()
    assert "solve()" in text and "draw()" not in text and "menu" not in text and "#" not in text
    assert all(details.has_attr("open") for details in book.select("details"))
    assert [tag["href"] for tag in book.select("link")] == ["_static/book.css"]
    assert [script.get_text() for script in book.select("script")] == ["window.MathJax = {}"]
    assert book.html["data-theme"] == "light" and book.select_one(".cover h1").get_text() == "Title"


def test_same_files_give_the_same_archive(html: Path, tmp_path: Path) -> None:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks/01_a.ipynb").write_text("{}")
    archives = []
    for time in (10**9, 2 * 10**9):
        for path in html.rglob("*.html"):
            os.utime(path, (time, time))
        pack(files_of_the_book(html, tmp_path / "notebooks"), tmp_path / "book.zip")
        archives.append((tmp_path / "book.zip").read_bytes())
    assert archives[0] == archives[1]
    with zipfile.ZipFile(tmp_path / "book.zip") as archive:
        names = archive.namelist()
        assert (
            archive.read("book-offline/html/book/index.html")
            == (html / "book/index.html").read_bytes()
        )
    assert {
        "book-offline/README.txt",
        "book-offline/notebooks/01_a.ipynb",
        "book-offline/html/index.html",
    } <= set(names)


def test_nothing_is_packed_where_no_book_was_built(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="make book"):
        files_of_the_book(tmp_path, tmp_path)


def test_a_book_of_too_many_pages_is_refused_and_counted(tmp_path: Path) -> None:
    writer = PdfWriter()
    for _ in range(MOST_PAGES):
        writer.add_blank_page(10, 10)
    writer.write(tmp_path / "whole.pdf")
    assert check_length(tmp_path / "whole.pdf") == MOST_PAGES == 320
    writer.add_blank_page(10, 10)
    writer.write(tmp_path / "long.pdf")
    with pytest.raises(ValueError, match=r"has 321 pages, more than 320"):
        check_length(tmp_path / "long.pdf")
