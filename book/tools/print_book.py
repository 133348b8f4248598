"""The whole book as one PDF: the built pages one after the other, printed by Chromium.

    python book/tools/print_book.py [_build/html] [_build/book.pdf] [--chromium /usr/bin/chromium]

The pages come in the order of ``_toc.yml``, after a title and the contents. Solutions are unfolded;
code that only draws is left out, as its picture is there. A page's places get the page's name in
front: links lead where they did.
"""

import argparse
import sys
from pathlib import Path
from urllib.parse import unquote

import yaml
from browser import FLAGS, find_chromium
from one_document import whole_book
from playwright.sync_api import Page, sync_playwright
from pypdf import PdfReader

PRINTED = "printed.html"  # beside the pages, so that what they load is found
MOST_PAGES = 320  # what one binds as a single volume
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
