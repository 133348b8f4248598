"""What a page of the book holds: no errors, nothing of another host, links that lead somewhere."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urldefrag

from playwright.sync_api import Error, Page

CONTENT = Path(__file__).with_name("page_content.js").read_text("utf-8")


@dataclass
class Findings:
    """What was seen, over all pages; ``anchors`` and ``links`` by the page's address."""

    problems: list[str] = field(default_factory=list)
    anchors: dict[str, set[str]] = field(default_factory=dict)
    links: dict[str, list[str]] = field(default_factory=dict)
    images: int = 0
    formulas: int = 0

    def add(self, others: "Findings") -> None:
        """Take in those of other pages."""
        self.problems += others.problems
        self.anchors |= others.anchors
        self.links |= others.links
        self.images += others.images
        self.formulas += others.formulas


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
