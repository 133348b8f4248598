"""Make the staging tree, of the repository's own shape, from which Jupyter Book builds.

    python book/tools/stage.py

It holds the executed notebooks and the book's pages in MyST, the pictures, the configuration with
the repository's address, and the table of contents. Only files that changed are written, and the
digest of the whole tree is written last, to ``_build/stage.digest``, if it changed: ``make`` builds
the book again when that file is newer.
"""

import argparse
import hashlib
import os
import sys
from pathlib import Path

import nbformat
import yaml
from answers import read_answers
from chapter_strip import open_chapter
from check_form import replace_checks
from exercises import without_solutions
from how_fast import fill_benchmarks
from myst import to_myst
from repository import repository_url, stage_config, with_address
from scoreboard import fill, take_scoreboard
from served_files import mathjax_files
from staged_notebook import stage_notebook


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
    tree |= mathjax_files()
    notebooks, board = read_notebooks(root, executed)
    for name, notebook in notebooks.items():
        # The address stands in its first cell.
        tree[f"notebooks/{name}"] = with_address(nbformat.writes(notebook), url).encode()
    for path in sorted((root / "book").rglob("*.md")):
        text = with_address(fill(path.read_text("utf-8"), board, path.name), url)
        text = fill_benchmarks(text, root)
        tree[path.relative_to(root).as_posix()] = to_myst(text).encode()
    return tree


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
