"""The whole book as one PDF: the built pages one after the other, printed by Chromium.

    python book/tools/print_book.py [_build/html] [_build/book.pdf] [--chromium /usr/bin/chromium]

The pages come in the order of ``_toc.yml``, after a title and the contents. Solutions are unfolded;
code that only draws is left out, as its picture is there. A page's places get the page's name in
front: links lead where they did.
"""

import argparse
import posixpath
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urldefrag

import yaml
from browser import FLAGS, find_chromium
from bs4 import BeautifulSoup, Tag
from playwright.sync_api import Page, sync_playwright
from pypdf import PdfReader

PRINTED = "printed.html"  # beside the pages, so that what they load is found
STYLE = Path(__file__).with_name("print.css")
MOST_PAGES = 320  # what one binds as a single volume
DROPPED = ".headerlink, .tag_hide-input > details, script"
SCRIPTS = ("MathJax", "mathjax/", "fontawesome")
FOOTER = (
    '<div style="width: 100%; text-align: center; font: 8pt sans-serif">'
    '<span class="pageNumber"></span></div>'
)

# Formulas and tables that are wider than the paper are made as small as it takes.
FIT = """
async () => {
  await MathJax.startup.promise;
  await document.fonts.ready;
  for (const image of document.images) image.loading = "eager";
  await Promise.all([...document.images].map((image) => image.decode()));
  for (const wide of document.querySelectorAll("div.math, table")) {
    const share = wide.parentElement.clientWidth / wide.scrollWidth;
    if (share < 1)
      wide.style.fontSize =
        `${Math.max(0.5, share) * parseFloat(getComputedStyle(wide).fontSize)}px`;
  }
  return document.querySelectorAll("mjx-merror, .math:not(:has(mjx-container))").length;
}
"""


NUMBER = """
(pages) => {
  for (const line of document.querySelectorAll(".contents li"))
    line.querySelector("span").textContent =
      pages[line.querySelector("a").getAttribute("href").slice(1)] ?? "";
}
"""


def contents(toc: dict) -> Iterator[tuple[str, list[str]]]:
    """The parts of the book in order, each with its caption and its pages; the first page has a
    part of its own."""
    yield "", [toc["root"]]
    for part in toc["parts"]:
        yield part.get("caption", ""), list(_files(part["chapters"]))


def _files(chapters: list[dict]) -> Iterator[str]:
    for chapter in chapters:
        yield chapter["file"]
        yield from _files(chapter.get("sections", []))


def place(page: str, fragment: str = "") -> str:
    """The name, in the one document, of a place on a page, or of the page's beginning."""
    return f"{page}.html#{fragment}" if fragment else f"{page}.html"


def read_article(html: Path, page: str, pages: set[str]) -> Tag:
    """What a page says, with places, links and pictures as they are called in the one document."""
    soup = BeautifulSoup((html / f"{page}.html").read_text("utf-8"), "html.parser")
    article = soup.select_one("article")
    if article is None:
        raise ValueError(f"{html / page}.html has no article; build the book again: make book")
    for dropped in article.select(DROPPED):
        dropped.decompose()
    for tag in article.select("[id]"):
        tag["id"] = place(page, tag["id"])
    for details in article.select("details"):
        details["open"] = ""
    for key in ("href", "src"):
        for tag in article.select(f"[{key}]"):
            tag[key] = _moved(str(tag[key]), page, pages)
    article["id"] = place(page)
    return article


def _moved(address: str, page: str, pages: set[str]) -> str:
    """An address on ``page`` as seen from the one document, in the folder of all pages."""
    if ":" in address.partition("/")[0]:  # https, mailto, data
        return address
    path, fragment = urldefrag(address)
    target = (
        posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
        if path
        else f"{page}.html"
    )
    name = target.removesuffix(".html")
    return "#" + place(name, unquote(fragment)) if name in pages else target


def whole_book(html: Path, toc: dict, title: str) -> str:
    """One HTML document of all pages."""
    parts = list(contents(toc))
    pages = {page for _, files in parts for page in files}
    articles = {page: read_article(html, page, pages) for _, files in parts for page in files}
    first = BeautifulSoup((html / f"{toc['root']}.html").read_text("utf-8"), "html.parser")
    sheets = first.select("head link[rel=stylesheet]")
    scripts = [
        tag for tag in first.select("head script") if any(name in str(tag) for name in SCRIPTS)
    ]
    for tag in (*sheets, *scripts):
        for key in tag.attrs.keys() & {"href", "src"}:
            tag[key] = _moved(tag[key], toc["root"], pages)
    head = "\n".join(str(tag) for tag in (*sheets, *scripts))
    return (
        '<!DOCTYPE html><html lang="en" data-theme="light" data-mode="light">'
        '<head><meta charset="utf-8">'
        f"<title>{title}</title>{head}<style>{STYLE.read_text('utf-8')}</style></head>"
        "<body><main class='bd-content'>"
        f"{title_page(parts, articles)}{''.join(map(str, articles.values()))}</main></body></html>"
    )


def title_page(parts: list[tuple[str, list[str]]], articles: dict[str, Tag]) -> str:
    """The title with the book's picture, taken from its first page, and the contents."""
    (_, (root,)), *others = parts
    heading, picture = articles[root].select_one("h1"), articles[root].select_one("img")
    about = articles[root].select_one("p")  # the question, whose thesis it is, the licences
    cover = (
        f'<section class="cover"><h1>{heading.get_text()}</h1>{picture or ""}'
        f"{about or ''}<p>A book that runs</p></section>"
    )
    lines = []
    for caption, files in others:
        links = [
            f'<li><a href="#{place(page)}">{articles[page].select_one("h1").get_text()}</a> '
            "<span></span></li>"
            for page in files
        ]
        lines.append(f"<h3>{caption}</h3><ul>{''.join(links)}</ul>")
    for tag in filter(None, (heading, picture, about)):
        tag.decompose()
    return f'{cover}<section class="contents"><h2>Contents</h2>{"".join(lines)}</section>'


def print_pdf(page: Path, pdf: Path, chromium: str) -> None:
    """Print ``page`` to ``pdf``, A4. Raises ValueError where a formula does not show as one.

    It is printed twice: only on paper does a chapter have a page number, which the contents then
    name.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        tab = browser.new_page(
            viewport={"width": 673, "height": 950}, color_scheme="light"
        )  # the paper's, less margins
        tab.emulate_media(media="print")
        tab.goto(page.resolve().as_uri(), timeout=300_000)
        tab.set_default_timeout(300_000)
        if failed := tab.evaluate(FIT):
            raise ValueError(f"{failed} formulas do not show; look at {page} in a browser.")
        _print(tab, pdf)
        tab.evaluate(NUMBER, first_pages(pdf))
        _print(tab, pdf)
        browser.close()


def _print(tab: Page, pdf: Path) -> None:
    tab.pdf(
        path=pdf, prefer_css_page_size=True, print_background=True, outline=True, tagged=True,
        display_header_footer=True, header_template="<span></span>", footer_template=FOOTER,
    )  # fmt: skip


def first_pages(pdf: Path) -> dict[str, int]:
    """For each place of the one document to which a link leads the page, from 1, where it lies."""
    reader = PdfReader(pdf)
    found = {
        name.lstrip("/"): reader.get_destination_page_number(to)
        for name, to in reader.named_destinations.items()
    }
    return {unquote(name): number + 1 for name, number in found.items() if number is not None}


def check_length(pdf: Path) -> int:
    """How many pages ``pdf`` has. Raises ValueError where they are more than ``MOST_PAGES``."""
    pages = len(PdfReader(pdf).pages)
    if pages > MOST_PAGES:
        raise ValueError(
            f"the printed book has {pages} pages, more than {MOST_PAGES}; "
            "set it closer in book/tools/print.css, or shorten a chapter."
        )
    return pages


def main() -> None:
    """Print the book named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("book", type=Path, nargs="?", default=Path("_build/html"))
    parser.add_argument("pdf", type=Path, nargs="?", default=Path("_build/book.pdf"))
    parser.add_argument("--chromium", default=None)
    options = parser.parse_args()
    toc = yaml.safe_load(Path("_toc.yml").read_text("utf-8"))
    title = yaml.safe_load(Path("_config.yml").read_text("utf-8"))["title"]
    printed, unfinished = options.book / PRINTED, options.pdf.with_suffix(".unfinished.pdf")
    try:
        printed.write_text(whole_book(options.book, toc, title), "utf-8")
        print_pdf(printed, unfinished, options.chromium or find_chromium())
        pages = check_length(unfinished)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"print_book.py: {error}")
    finally:
        printed.unlink(missing_ok=True)
    unfinished.replace(options.pdf)
    size = options.pdf.stat().st_size / 1e6
    print(f"The book as one document: {options.pdf} ({pages} pages, {size:.0f} MB)")


if __name__ == "__main__":
    main()
