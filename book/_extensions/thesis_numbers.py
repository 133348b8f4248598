"""A Sphinx extension: equations of the thesis carry its numbers, "T 3.2"; the book's own a letter.

So there is one numbering of what both have. Behind a chapter's number the letters run on through
its sections: "3.a".
"""

from string import ascii_lowercase
from typing import Any

from sphinx.application import Sphinx
from sphinx.builders import Builder

EQUATIONS = {
    "2.1": "eq-2-train-set",
    "3.1": "eq-3-entropy",
    "3.2": "eq-3-proxy",
    "3.3": "eq-3-objective",
    "3.4": "eq-3-in",
    "3.5": "eq-3-out",
    "3.6": "eq-3-jensen",
    "3.7": "eq-3-score",
    "3.8": "eq-5-pixels",
    "3.9": "eq-5-segments",
    "3.10": "eq-5-tp",
    "3.11": "eq-5-fp",
    "3.12": "eq-6-khat",
    "3.13": "eq-6-bce",
}
"""The thesis's equations, by the labels of the book's."""


def number_equations(numbers: dict[str, dict[str, dict[str, tuple]]]) -> None:
    """Change Sphinx's numbers, by page, kind and anchor, in place."""
    pages = [kinds["displaymath"] for kinds in numbers.values() if "displaymath" in kinds]
    places = [(number, page, anchor) for page in pages for anchor, number in page.items()]
    thesis = {f"equation-{label}": number for number, label in EQUATIONS.items()}
    own: dict[Any, int] = {}  # how many of a chapter's equations are the book's own so far
    for number, page, anchor in sorted(places, key=lambda place: place[0]):
        if anchor in thesis:
            page[anchor] = (f"T {thesis[anchor]}",)
            continue
        chapter, count = number[0], own.get(number[0], 0)
        rounds, letter = divmod(count, len(ascii_lowercase))
        page[anchor] = (chapter, ascii_lowercase[letter] * (rounds + 1))
        own[chapter] = count + 1


def renumber(app: Sphinx, builder: Builder) -> None:
    """After Sphinx has kept its own numbers for the next time, and before pages are written."""
    number_equations(app.env.toc_fignumbers)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("write-started", renumber)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
