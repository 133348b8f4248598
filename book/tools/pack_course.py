"""What students work with, in one archive: the notebooks without outputs and solutions, and all
their questions; the same bytes from the same files.

    python book/tools/pack_course.py [_build/course.zip]
"""

import argparse
import re
from pathlib import Path

import nbformat
from exercises import without_solutions
from pack_offline import pack
from question_bank import question_bank
from repository import repository_url, with_address

README = """\
# The Thing on the Road: the course

1. `conda env create -f environment.yml` makes an environment with all that is needed, `conda
   activate ood-lib` enters it, `jupyter lab notebooks` opens the notebooks. No GPU is needed.
2. Run a notebook from the top. Its first cell installs the book's library where that is missing,
   its third paints the data, once. All others take a minute or two.
3. The exercises stand at the end of each notebook; `questions.md` has all of them in one file.
   Write your answers into cells of your own; a cell with `check(...)` says what it thinks of one.
4. Begin with `01_introduction.ipynb`. Links to figures and equations work in the built book only.
"""
OWN_PACKAGE = re.compile(r"^ *# this repository's own package\n *- --editable \.\n", re.M)


def course_files(root: Path) -> dict[str, bytes]:
    """What goes into the archive of the repository at ``root``, {name: content}."""
    url = repository_url(root)
    environment = OWN_PACKAGE.sub("", (root / "environment.yml").read_text("utf-8"))
    files = {
        "README.md": README,
        "environment.yml": environment,
        "questions.md": question_bank(root),
    }
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        notebook = without_solutions(without_outputs(nbformat.read(path, as_version=4)))
        files[f"notebooks/{path.name}"] = with_address(nbformat.writes(notebook), url)
    return {name: text.encode() for name, text in files.items()}


def without_outputs(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook as it is before its cells are run (changed in place)."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def main() -> None:
    """Pack the course of the repository in the current folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("archive", type=Path, nargs="?", default=Path("_build/course.zip"))
    archive = parser.parse_args().archive
    archive.parent.mkdir(parents=True, exist_ok=True)
    pack(course_files(Path()), archive, "course")
    print(f"For students: {archive} ({archive.stat().st_size / 1e3:.0f} kB)")


if __name__ == "__main__":
    main()
