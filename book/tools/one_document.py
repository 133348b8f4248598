"""All pages of the built book as one HTML document, with a title and the contents in front."""

import posixpath
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urldefrag

from bs4 import BeautifulSoup, Tag

STYLE = Path(__file__).with_name("print.css")
DROPPED = ".headerlink, .tag_hide-input > details, script"
SCRIPTS = ("MathJax", "mathjax/", "fontawesome")


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
