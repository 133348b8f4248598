"""Open every page of the built book in headless Chromium and check what a reader would meet.

    python book/tools/browser_check.py [_build/html] [--chromium /usr/bin/chromium]

Each page is opened twice, from a server on this machine and as a plain file. It must log no error,
ask nothing of any other host, show its formulas as formulas, its pictures with alternative text and
the definitions of its words, and lead nowhere that is not there (``page_content.js``). The served
page is also looked at in a window as wide as a desk's and as a telephone's screen, in light and in
dark mode: it must not scroll sideways, its text must stand out, its pictures must keep their
colours, and the keyboard's focus must be seen (``page_look.js``). The first screens of every look
are kept as pictures.
"""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from browser import FLAGS, find_chromium, served
from page_contents import Findings, check_links, check_page
from page_looks import LOOKS, check_access, check_look, check_size
from playwright.sync_api import Browser, sync_playwright

BROWSERS = 2  # side by side
REDIRECT = (
    '<meta http-equiv="Refresh"'  # the whole of the top index.html, which leads to the first page
)


def check_pages(browser: Browser, origin: str, names: list[str], pictures: Path | None) -> Findings:
    """Open the pages ``names`` from ``origin``; where ``pictures`` is a folder, look at each in
    every way."""
    findings = Findings()
    for name in names:
        page = browser.new_page(
            viewport={"width": LOOKS[0].width, "height": LOOKS[0].height}, color_scheme="light"
        )
        check_page(page, origin + name, origin, findings)
        if pictures and origin + name in findings.anchors:
            if name.startswith("notebooks/"):  # first, for on a phone what scrolls becomes a stop
                findings.problems += check_size(page, Path(name).stem)
            findings.problems += check_access(page)
            for look in LOOKS:
                findings.problems += check_look(
                    page, look, pictures / look.name / f"{Path(name).stem}.jpg"
                )
        page.close()
    return findings


def check_some(names: list[str], origin: str, pictures: Path | None, chromium: str) -> Findings:
    """`check_pages` with a browser of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        return check_pages(browser, origin, names, pictures)


def check_book(book: Path, chromium: str, pictures: Path) -> list[str]:
    """Check every page of ``book``; prints what was seen and returns the problems."""
    found = [path for path in sorted(book.rglob("*.html")) if "_static" not in path.parts]
    pages = [
        path.relative_to(book).as_posix()
        for path in found
        if REDIRECT not in path.read_text("utf-8")
    ]
    problems = []
    spawned = get_context("spawn")  # a fork would copy the server's threads
    with served(book) as server, ProcessPoolExecutor(BROWSERS, spawned) as browsers:
        for origin, kept in ((server, pictures), (f"{book.resolve().as_uri()}/", None)):
            check = partial(check_some, origin=origin, pictures=kept, chromium=chromium)
            shares = [pages[k::BROWSERS] for k in range(BROWSERS)]
            findings = Findings()
            for found_there in browsers.map(check, shares):
                findings.add(found_there)
            check_links(origin, book, findings)
            problems += findings.problems
            links = sum(map(len, findings.links.values()))
            seen = (
                f"{len(pages)} pages, {findings.formulas} formulas, "
                f"{findings.images} pictures, {links} links"
            )
            print(f"{origin}: {seen}, {len(findings.problems)} problems")
    return problems if pages else [f"{book} holds no page; build the book first: make book"]


def main() -> None:
    """Check the book named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("book", type=Path, nargs="?", default=Path("_build/html"))
    parser.add_argument("--screenshots", type=Path, default=Path("_build/screenshots"))
    parser.add_argument("--chromium", default=None)
    options = parser.parse_args()
    try:
        problems = check_book(
            options.book, options.chromium or find_chromium(), options.screenshots
        )
    except FileNotFoundError as error:
        sys.exit(f"browser_check.py: {error}")
    if problems:
        sys.exit("\n".join([*problems, f"The browser check found {len(problems)} problems."]))
    print("The browser check found nothing wrong.")


if __name__ == "__main__":
    main()
