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
import functools
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urldefrag

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Error, Page, sync_playwright

FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-sandbox",
]
REDIRECT = (
    '<meta http-equiv="Refresh"'  # the whole of the top index.html, which leads to the first page
)
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CONTENT, LOOK, SIZE = (
    (Path(__file__).parent / name).read_text("utf-8")
    for name in ("page_content.js", "page_look.js", "page_size.js")
)
WIDE = {"width": 1400, "height": 1000}  # the window in which pages are measured
HIGHEST, FIRST_PICTURE = 14_000, 900  # pixels
STOPS = 60  # of the keyboard, in a chapter's text


class Look(NamedTuple):
    """A window's width and height in pixels, and the mode that its owner prefers."""

    name: str
    width: int
    height: int
    theme: str


LOOKS = [  # in such an order that each differs from the one before in one thing
    Look("desktop-light", 1280, 900, "light"),
    Look("desktop-dark", 1280, 900, "dark"),
    Look("phone-dark", 390, 844, "dark"),
    Look("phone-light", 390, 844, "light"),
]
# How many of each page and look are kept: 60 MB for the whole book is too much for every run.
SCREENS = 4


@dataclass
class Findings:
    """What was seen, over all pages; ``anchors`` and ``links`` by the page's address."""

    problems: list[str] = field(default_factory=list)
    anchors: dict[str, set[str]] = field(default_factory=dict)
    links: dict[str, list[str]] = field(default_factory=dict)
    images: int = 0
    formulas: int = 0


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files and logs nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


class QuietServer(ThreadingHTTPServer):
    """Takes it calmly when the browser closes a page before everything has arrived."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Log nothing: what does not arrive and should have is seen in the browser."""


def find_chromium() -> str:
    """The program that draws the pages. FileNotFoundError where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise FileNotFoundError("No Chromium was found; install it, or name it with --chromium.")
    return found


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve ``folder`` on the loopback interface; gives the address."""
    server = QuietServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def check_page(page: Page, address: str, origin: str, findings: Findings) -> None:
    """Open ``address`` and add what is wrong with it to ``findings``."""
    problems: list[str] = []

    def requested(url: str) -> None:
        if not url.startswith((origin, "data:", "blob:")):
            problems.append(f"asks for {url}")

    page.on("request", lambda request: requested(request.url))
    page.on("requestfailed", lambda request: problems.append(f"cannot load {request.url}"))
    page.on(
        "console",
        lambda said: problems.append(f"console: {said.text}") if said.type == "error" else None,
    )
    page.on("pageerror", lambda error: problems.append(f"script error: {error}"))
    try:
        page.goto(address, wait_until="load", timeout=60_000)
        seen = page.evaluate(CONTENT)
    except Error as error:
        findings.problems.append(f"{address}: does not open: {error.message.splitlines()[0]}")
        return
    findings.problems += [f"{address}: {problem}" for problem in problems + seen["problems"]]
    findings.anchors[address] = set(seen["anchors"])
    findings.links[address] = seen["links"]
    findings.images += seen["images"]
    findings.formulas += seen["formulas"]


def check_links(origin: str, book: Path, findings: Findings) -> None:
    """Add to ``findings`` every link within the book whose page or place on the page does not
    exist."""
    for address, links in findings.links.items():
        for link in sorted({link for link in links if link.startswith(origin)}):
            target, fragment = urldefrag(link)
            if not (book / unquote(target.removeprefix(origin).split("?")[0])).exists():
                findings.problems.append(f"{address}: links to {link}, which does not exist")
            elif (
                fragment
                and target in findings.anchors
                and unquote(fragment) not in findings.anchors[target]
            ):
                findings.problems.append(
                    f"{address}: links to {link}, but that page has no such place"
                )


def check_look(page: Page, look: Look, picture: Path) -> list[str]:
    """What is wrong with the open page when it is looked at so; the first screens are kept as
    ``picture``."""
    page.set_viewport_size({"width": look.width, "height": look.height})
    page.emulate_media(color_scheme=look.theme)
    problems = page.evaluate(LOOK, look.theme)
    height = min(SCREENS * look.height, page.evaluate("document.documentElement.scrollHeight"))
    clip = {"x": 0, "y": 0, "width": look.width, "height": height}
    picture.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=picture, type="jpeg", quality=60, full_page=True, clip=clip)
    return [f"{page.url}: {look.name} {problem}" for problem in problems]


def check_access(page: Page) -> list[str]:
    """What axe finds: what a reader who does not see the page, or uses no mouse, would miss."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{page.url}: {each['help']} ({each['id']}): {each['nodes'][0]['html'][:120]}"
        for each in found
    ]


def check_size(page: Page, name: str) -> list[str]:
    """What of a chapter is too long, too low or cut off in a wide window."""
    page.set_viewport_size(WIDE)
    found = page.evaluate(SIZE)
    print(f"{name}: {found['height']} px, first picture at {found['first']:.0f} px, "
          f"{found['stops']} tab stops, {len(found['cut'])} blocks cut off")
    problems = [f"cuts off '{words}'" for words in found["cut"]]
    if found["height"] > HIGHEST:
        problems.append(f"is {found['height']} pixels long, more than {HIGHEST}")
    if found["stops"] > STOPS:
        problems.append(f"has {found['stops']} tab stops, more than {STOPS}")
    if found["first"] > FIRST_PICTURE:
        problems.append(f"shows its first picture at {found['first']:.0f}, below {FIRST_PICTURE}")
    return [f"{page.url}: {problem}" for problem in problems]


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


def check_book(book: Path, chromium: str, pictures: Path) -> list[str]:
    """Check every page of ``book``; prints what was seen and returns the problems."""
    found = [path for path in sorted(book.rglob("*.html")) if "_static" not in path.parts]
    pages = [
        path.relative_to(book).as_posix()
        for path in found
        if REDIRECT not in path.read_text("utf-8")
    ]
    problems = []
    with sync_playwright() as playwright, served(book) as server:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for origin, kept in ((server, pictures), (f"{book.resolve().as_uri()}/", None)):
            findings = check_pages(browser, origin, pages, kept)
            check_links(origin, book, findings)
            problems += findings.problems
            links = sum(map(len, findings.links.values()))
            seen = (
                f"{len(pages)} pages, {findings.formulas} formulas, "
                f"{findings.images} pictures, {links} links"
            )
            print(f"{origin}: {seen}, {len(findings.problems)} problems")
        browser.close()
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
