"""A notebook's source as the checks and statistics of the book see it."""

import re
from dataclasses import dataclass
from pathlib import Path

import nbformat
from myst import KEPT


@dataclass(frozen=True)
class Chapter:
    """One notebook's source, with the cells by kind."""

    path: Path
    cells: list[nbformat.NotebookNode]

    @property
    def code(self) -> list[nbformat.NotebookNode]:
        """The code cells in order, without the one that installs the library if it is missing."""
        return [
            cell for cell in self.cells if cell.cell_type == "code" and "install" not in tags(cell)
        ]

    @property
    def markdown(self) -> list[nbformat.NotebookNode]:
        """The Markdown cells in order."""
        return [cell for cell in self.cells if cell.cell_type == "markdown"]

    @property
    def text(self) -> str:
        """All Markdown, cells separated by an empty line."""
        return "\n\n".join(cell.source for cell in self.markdown)


def read_chapter(path: Path) -> Chapter:
    """The notebook at ``path``."""
    return Chapter(path, nbformat.read(path, as_version=4).cells)


def tags(cell: nbformat.NotebookNode) -> list[str]:
    """The cell's tags."""
    return cell.metadata.get("tags", [])


def figure_of(cell: nbformat.NotebookNode) -> dict[str, str]:
    """What the cell's metadata say of its figure: some of caption, name and alt; empty for a cell
    without one."""
    shown = cell.metadata.get("mystnb", {})
    figure = shown.get("figure", {}) | shown.get("image", {})
    return {key: figure[key] for key in ("caption", "name", "alt") if figure.get(key, "").strip()}


def prose(text: str) -> str:
    """``text`` without its code and formulas."""
    return re.sub(KEPT, " ", text, flags=re.MULTILINE | re.DOTALL)
