"""Which cells of a notebook are slides, and what of them is shown.

A cell tagged ``slide`` is one. Of Markdown it shows the heading and the first paragraph, with the
list, formula or command that follows it, or the summary; of code the figure, beneath the first
sentence of its caption. A sentence that leads to what is not shown is left out. What is no picture,
as the scoreboard, stays on its page, and its caption is shown.
"""

import base64
import re
from collections.abc import Iterator
from typing import NamedTuple

import nbformat
from exercises import SOLUTION
from myst import without_references

FEWEST, MOST = 5, 12  # slides of a chapter
SUMMARY = re.compile(r"^> \*\*Summary\.\*\*(.*(?:\n>.*)*)", re.M)
HEADING = re.compile(r"^#{1,6} (.*)$", re.M)
CONTINUED = re.compile(r"- |\d+\. |\$\$|```")  # belongs to the sentence before it
ENDED = re.compile(r"(?:[.?!][*)]*|\$\$(?: \(eq-[\w-]+\))?|```)\Z")
SENTENCE = re.compile(r"(?<=[.?!])\s+(?=[A-Z\d$])")


class Slide(NamedTuple):
    """What one slide shows: Markdown, and for a figure its picture, as what follows ``data:`` in an
    address, with what it shows in words."""

    heading: str
    text: str
    picture: str = ""
    alt: str = ""


def slides_of(cells: list[nbformat.NotebookNode]) -> list[Slide]:
    """The slides of a notebook in order. ValueError where a tagged cell shows nothing."""
    tagged = [cell for cell in cells if "slide" in cell.metadata.get("tags", [])]
    return [
        text_slide(cell) if cell.cell_type == "markdown" else figure_slide(cell) for cell in tagged
    ]


def text_slide(cell: nbformat.NotebookNode) -> Slide:
    """A cell's summary, or its first heading and what is said first beneath it."""
    if summary := SUMMARY.search(cell.source):
        text = re.sub(r"^> ?", "", summary[1], flags=re.M).strip()
        return Slide("Summary", without_references(text))
    heading = HEADING.search(cell.source)
    if not heading:
        raise ValueError(f"cell {cell.id} is tagged 'slide', but has no heading")
    rest = SOLUTION.sub("", cell.source[heading.end() :])
    blocks = [block for block in re.split(r"\n\s*\n", rest.strip()) if block[:1] not in "><#"]
    shown = said_first(blocks)
    if not shown and not cell.source.startswith("# "):  # a title may stand alone
        raise ValueError(f"cell {cell.id} is tagged 'slide', but says nothing beneath its heading")
    return Slide(heading[1], without_references("\n\n".join(shown)))


def said_first(blocks: list[str]) -> list[str]:
    """The first paragraph, with what follows it; or without the sentence that leads further."""
    if any(CONTINUED.match(block) and ENDED.search(block) for block in blocks[1:2]):
        return blocks[:2]
    if not blocks or CONTINUED.match(blocks[0]) or ENDED.search(blocks[0]):
        return blocks[:1]
    sentences = SENTENCE.split(blocks[0])[:-1]
    return [" ".join(sentences)] if sentences else []


def figure_slide(cell: nbformat.NotebookNode) -> Slide:
    """A cell's figure; what its caption says first is the heading."""
    shown = cell.metadata.get("mystnb", {})
    caption = without_references(shown.get("figure", {}).get("caption", ""))
    pictures = [picture for output in cell.outputs for picture in pictures_of(output)]
    drawn = pictures or any("text/html" in output.get("data", {}) for output in cell.outputs)
    if not caption or not drawn:
        raise ValueError(f"cell {cell.id} is tagged 'slide', but shows no figure with a caption")
    heading, *rest = SENTENCE.split(caption, maxsplit=1)
    alt = shown.get("image", {}).get("alt", "")
    return Slide(heading, "".join(rest), pictures[-1] if pictures else "", alt)


def pictures_of(output: nbformat.NotebookNode) -> Iterator[str]:
    """The pictures of an output, each as what follows ``data:`` in an address."""
    for kind, content in output.get("data", {}).items():
        if kind == "image/svg+xml":
            yield f"{kind};base64," + base64.b64encode("".join(content).encode()).decode()
        elif kind.startswith("image/"):
            yield f"{kind};base64," + "".join("".join(content).split())


def slide_problems(cells: list[nbformat.NotebookNode]) -> Iterator[str]:
    """What is wrong with the tags of a notebook that has not been executed."""
    tagged = [cell for cell in cells if "slide" in cell.metadata.get("tags", [])]
    if not FEWEST <= len(tagged) <= MOST:
        yield f"{len(tagged)} cells are tagged 'slide', expected {FEWEST} to {MOST}"
    for cell in tagged:
        if cell.cell_type == "code" and "figure" not in cell.metadata.get("mystnb", {}):
            yield f"cell {cell.id} is tagged 'slide', but draws no figure"
        elif cell.cell_type == "markdown":
            try:
                text_slide(cell)
            except ValueError as error:
                yield str(error)
