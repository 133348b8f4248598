"""An executed notebook in the form that the book is built from."""

import ast
import re

import nbformat
from myst import to_myst

WIDGET = "application/vnd.jupyter.widget-view+json"
WARNING_PLACE = re.compile(
    r"^\S+:\d+: (?=\w*Warning: )", re.MULTILINE
)  # a path on the machine that built the book
PROGRESS = re.compile(r"\r[^\r\n]*\n?")  # each state of a bar that is no widget
NOTEBOOK = re.compile(r'(?<=href=")(\w+)\.ipynb(?=[#"])')  # to which an output's HTML leads
UNSEEN_TAGS = {"remove-cell", "remove-output", "remove_cell", "remove_output"}


def stage_notebook(notebook: nbformat.NotebookNode, name: str) -> nbformat.NotebookNode:
    """An executed notebook in the book's form (changed in place).

    Raises ValueError where a picture has no alternative text, or a line would be taken for a
    comment.
    """
    for key in ("papermill", "widgets"):
        notebook.metadata.pop(key, None)
    show_used_parameters(notebook)
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if cell.cell_type == "markdown":
            _check_comments(cell.source, name)
            cell.source = to_myst(cell.source)
        elif cell.cell_type == "code":
            _stage_outputs(cell)
            _caption_in_myst(cell)
            _panels_in_class(cell)
            _check_alternative_text(cell, name)
    first = notebook.cells[0]
    first.source = re.sub(
        r"\A# \d+\.? ", "# ", first.source
    )  # the book numbers the chapters itself
    return notebook


def _stage_outputs(cell: nbformat.NotebookNode) -> None:
    """What the cell shows: no widgets and no bars of progress, links to pages, heads of tables,
    warnings without places."""
    cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
    for output in cell.outputs:
        if html := output.get("data", {}).get("text/html"):
            linked = NOTEBOOK.sub(r"\1.html", "".join(html))
            output.data["text/html"] = heads_in_scope(linked)
        if output.get("name") == "stderr":
            output.text = WARNING_PLACE.sub("", PROGRESS.sub("", output.text))
    cell.outputs = [each for each in cell.outputs if each.get("text", "?").strip()]


def show_used_parameters(notebook: nbformat.NotebookNode) -> None:
    """Write the values that papermill injected into the parameters cell, and drop papermill's own
    cell."""
    tagged = {tag: cell for cell in notebook.cells for tag in cell.metadata.get("tags", [])}
    injected = tagged.get("injected-parameters")
    if injected is None:
        return
    parameters = tagged["parameters"]
    for node in ast.parse(injected.source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            line = re.compile(
                rf"^({node.targets[0].id}\s*(?::[^=\n]+)?=\s*)[^#\n]*?(\s*(?:#.*)?)$", re.MULTILINE
            )
            value = ast.unparse(node.value)
            parameters.source = line.sub(
                lambda match, value=value: match[1] + value + match[2], parameters.source
            )
    notebook.cells.remove(injected)


def _check_comments(text: str, name: str) -> None:
    """ValueError for a line that begins with a per cent sign, in MyST a comment: a wrapped "80 %"
    would vanish."""
    for line in text.splitlines():
        if line.startswith("%"):
            raise ValueError(
                f"{name}: the line {line!r} would be left out, as a comment; "
                "break the line elsewhere."
            )


def heads_in_scope(html: str) -> str:
    """The tables of ``html`` with heads that say what they head. Empty ones, in corners, become
    cells in the browser, with those of the pages' own tables (``access.js``)."""
    parts = re.split(r"(<thead.*?</thead>)", html, flags=re.DOTALL)
    scopes = ("row", "col")  # outside and inside of <thead>
    return "".join(
        re.sub(r"<th(?=[ >])(?![^>]*scope=)", f'<th scope="{scopes[k % 2]}"', part)
        for k, part in enumerate(parts)
    )


def _caption_in_myst(cell: nbformat.NotebookNode) -> None:
    figure = cell.metadata.get("mystnb", {}).get("figure", {})
    if "caption" in figure:
        figure["caption"] = to_myst(figure["caption"])


def _panels_in_class(cell: nbformat.NotebookNode) -> None:
    """Where the panels of the cell's figure lie, as `figure_output.py` left it, in a class of
    its picture, the one thing that a picture can take along: ``panels-``, its width in tenths of
    an inch, and for each panel left, top, right and bottom in thousandths."""
    for output in cell.get("outputs", []):
        for kind, data in output.get("metadata", {}).items():
            if kind.startswith("image/") and "boxes" in data:
                edges = [round(1000 * edge) for box in data["boxes"] for edge in box]
                numbers = "-".join(map(str, [round(10 * data["inches"]), *edges]))
                image = cell.metadata.setdefault("mystnb", {}).setdefault("image", {})
                image.setdefault("classes", f"panels-{numbers}")


def _check_alternative_text(cell: nbformat.NotebookNode, name: str) -> None:
    has_picture = any(
        kind.startswith("image/") for output in cell.outputs for kind in output.get("data", {})
    )
    alternative = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
    if (
        has_picture
        and not alternative.strip()
        and not UNSEEN_TAGS.intersection(cell.metadata.get("tags", []))
    ):
        raise ValueError(
            f"{name}: the cell that begins with {cell.source.splitlines()[0]!r} draws a picture "
            "without alternative text. Describe it in the cell's metadata: "
            '{"mystnb": {"image": {"alt": "..."}}}.'
        )
