"""Make the staging tree, of the repository's own shape, from which Jupyter Book builds.

    python book/tools/stage.py

It holds the executed notebooks and the book's pages in MyST, the pictures, the configuration with
the repository's address, and the table of contents. Only files that changed are written, and the
digest of the whole tree is written last, to ``_build/stage.digest``, if it changed: ``make`` builds
the book again when that file is newer.
"""

import argparse
import ast
import hashlib
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import nbformat
import yaml
from answers import read_answers
from check_form import replace_checks
from exercises import without_solutions
from myst import to_myst
from scoreboard import fill, take_scoreboard

MATHJAX = "sphinx-mathjax-offline"
PLACEHOLDER = "https://github.com/OWNER/REPOSITORY"
WIDGET = "application/vnd.jupyter.widget-view+json"
WARNING_PLACE = re.compile(
    r"^\S+:\d+: (?=\w*Warning: )", re.MULTILINE
)  # a path on the machine that built the book
THREAD = {
    "camera": ("01", "the camera's picture"),
    "classes": ("02", "a class for every pixel"),
    "before": ("03", "how unsure it is"),
    "after": ("04", "after learning to be unsure"),
    "segments": ("05", "segments"),
    "kept": ("06", "what is believed"),
}
"""The pictures of the frame that the book follows, in ``book/_static/thread``: the chapter that
makes each of them, and its words."""
STAGE_OF = {"03a": "before", "03b": "before", "08": "after", "09": "after"}
"""What a chapter is about that makes none; the last is for all later ones."""
NOTEBOOK = re.compile(r'(?<=href=")(\w+)\.ipynb(?=[#"])')  # to which an output's HTML leads
UNSEEN_TAGS = {"remove-cell", "remove-output", "remove_cell", "remove_output"}


def repository_url(root: Path) -> str | None:
    """Address of the repository on GitHub, from the git remote ``origin``; None where it has none
    there."""
    command = ["git", "-C", str(root), "remote", "get-url", "origin"]
    remote = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    match = re.search(r"github\.com[:/]([\w.-]+)/([\w.-]+?)(?:\.git)?/?$", remote)
    return f"https://github.com/{match[1]}/{match[2]}" if match else None


def stage_config(config: dict, url: str | None) -> dict:
    """``_config.yml`` with the repository's address, or without launch buttons if there is none."""
    if url:
        return config | {"repository": config.get("repository", {}) | {"url": url}}
    without = {key: value for key, value in config.items() if key != "repository"}
    buttons = dict.fromkeys(("binderhub_url", "colab_url"), "")
    options = {"use_repository_button": False, "use_issues_button": False}
    return without | {"launch_buttons": buttons, "html": config.get("html", {}) | options}


def with_address(text: str, url: str | None) -> str:
    """``text`` with the repository's real address where it is known."""
    return text.replace(PLACEHOLDER, url) if url else text


def open_chapter(text: str, chapter: str, chapters: dict[str, str]) -> str:
    """A chapter's opening with the strip of the one frame beneath its title, what the chapter
    treats marked. ``chapters`` has the notebooks' names by chapter."""
    by_chapter = {made_in: name for name, (made_in, _) in THREAD.items()}
    here = (by_chapter | STAGE_OF).get(chapter, "kept")
    links = []
    for name, (made_in, words) in THREAD.items():
        if made_in not in chapters:
            continue
        page = chapters[made_in].replace(".ipynb", ".html")
        current = ' aria-current="step"' if name == here else ""
        picture = f'<img src="../_static/thread/{name}.png" alt="{words}">'
        shown = f'<span aria-hidden="true">{words}</span>'
        links.append(f'<a href="{page}"{current}>{picture}{shown}</a>')
    label = "The frame that the book follows, and the chapters"
    strip = f'<nav class="thread" aria-label="{label}">' + "".join(links) + "</nav>"
    title, _, rest = text.partition("\n")
    return f"{title}\n\n```{{raw}} html\n{strip}\n```\n{rest}"


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
            cell.outputs = [
                output for output in cell.outputs if WIDGET not in output.get("data", {})
            ]
            for output in cell.outputs:
                data = output.get("data", {})
                if "text/html" in data:
                    data["text/html"] = NOTEBOOK.sub(r"\1.html", data["text/html"])
                if output.get("name") == "stderr":
                    output.text = WARNING_PLACE.sub("", output.text)
            _caption_in_myst(cell)
            _panels_in_class(cell)
            for output in cell.outputs:
                if html := output.get("data", {}).get("text/html"):
                    output.data["text/html"] = heads_in_scope("".join(html))
            _check_alternative_text(cell, name)
    first = notebook.cells[0]
    first.source = re.sub(
        r"\A# \d+\.? ", "# ", first.source
    )  # the book numbers the chapters itself
    return notebook


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
    """The tables of ``html`` with heads that say what they head, and no head that is empty, which
    is how pandas fills corners."""
    html = re.sub(r"<th([^>]*)>(\s*(?:&nbsp;)?\s*)</th>", r"<td\1>\2</td>", html)
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


def make_tree(root: Path, executed: Path) -> dict[str, bytes]:
    """The staging tree as {path: content}."""
    url = repository_url(root)
    config = yaml.safe_dump(
        stage_config(yaml.safe_load((root / "_config.yml").read_text("utf-8")), url)
    )
    tree = {"_config.yml": config.encode(), "_toc.yml": (root / "_toc.yml").read_bytes()}
    for pattern in ("*.bib", "_static/**/*", "_extensions/*.py"):
        for path in sorted((root / "book").glob(pattern)):
            if path.is_file():
                tree[path.relative_to(root).as_posix()] = path.read_bytes()
    tree |= mathjax_files() | playground_files(executed.parent / "playground")
    notebooks, board = read_notebooks(root, executed)
    for name, notebook in notebooks.items():
        # The address stands in its first cell.
        tree[f"notebooks/{name}"] = with_address(nbformat.writes(notebook), url).encode()
    for path in sorted((root / "book").rglob("*.md")):
        text = with_address(fill(path.read_text("utf-8"), board, path.name), url)
        tree[path.relative_to(root).as_posix()] = to_myst(text).encode()
    return tree


def mathjax_files() -> dict[str, bytes]:
    """What draws the formulas, {path: content}: the pages' script, and the fonts that it asks for.

    They come from an installed package, which holds many more. FileNotFoundError if they are not
    there.
    """
    found = {}
    for file in metadata.files(MATHJAX) or ():
        name = file.as_posix().partition("static/mathjax/")[2]
        if name == "tex-chtml-full.js" or name.endswith(".woff"):
            found[f"book/_static/mathjax/{name}"] = file.locate().read_bytes()
    if len(found) < 2:
        raise FileNotFoundError(f"the package {MATHJAX} holds no MathJax; install it again")
    return found


def playground_files(built: Path) -> dict[str, bytes]:
    """What the playground's pages load, {path: content}, as `playground.py` has made it."""
    paths = sorted(path for path in built.glob("*") if path.is_file())
    return {f"book/_static/playground/{path.name}": path.read_bytes() for path in paths}


def read_notebooks(
    root: Path, executed: Path
) -> tuple[dict[str, nbformat.NotebookNode], list[dict]]:
    """The executed notebooks in the book's form, by file name, and the scoreboard that the last
    chapter keeps."""
    names = sorted(path.name for path in (root / "notebooks").glob("*.ipynb"))
    notebooks = {name: nbformat.read(executed / name, as_version=4) for name in names}
    if not solutions_wanted():
        notebooks = {name: without_solutions(notebook) for name, notebook in notebooks.items()}
    notebooks = {name: stage_notebook(notebook, name) for name, notebook in notebooks.items()}
    answers = read_answers(root / "book/answers")
    for name, notebook in notebooks.items():
        replace_checks(notebook, answers, name)
    board = [claim for notebook in notebooks.values() for claim in take_scoreboard(notebook)]
    chapters = {name.split("_")[0]: name for name in names if name[0].isdigit()}
    for chapter, name in chapters.items():
        opening = notebooks[name].cells[0]
        opening.source = open_chapter(opening.source, chapter, chapters)
    return notebooks, board


def solutions_wanted() -> bool:
    """Whether the pages have the exercises' solutions: ``SOLUTIONS``, ``on`` or ``off``, of the
    environment."""
    said = os.environ.get("SOLUTIONS", "on")
    if said not in ("on", "off"):
        raise ValueError(f"SOLUTIONS={said} is not known; it is 'on' or 'off'")
    return said == "on"


def write_tree(tree: dict[str, bytes], stage: Path) -> bool:
    """Make ``stage`` hold ``tree`` and nothing else. True if the tree is not the one that was last
    written whole."""
    if stage.is_dir():
        for path in stage.rglob("*"):
            if path.is_file() and path.relative_to(stage).as_posix() not in tree:
                path.unlink()
    whole = hashlib.sha256()
    for name, content in sorted(tree.items()):
        path = stage / name
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        whole.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    digest = stage.with_suffix(".digest")
    if digest.is_file() and digest.read_text() == whole.hexdigest():
        return False
    digest.write_text(whole.hexdigest())
    return True


def main() -> None:
    """Stage the repository in the current folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path())
    parser.add_argument("--build", type=Path, default=Path("_build"))
    options = parser.parse_args()
    try:
        changed = write_tree(
            make_tree(options.root, options.build / "executed"), options.build / "stage"
        )
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"stage.py: {error}")
    print("staged the book" if changed else "the staged book is unchanged")


if __name__ == "__main__":
    main()
