"""Build the pages from the staging tree; only what changed there is read again.

    python book/tools/pages.py _build/stage _build/sphinx

Every page is written each time, since what it shows of others (titles, numbers, definitions) may
have changed, and so every link is followed anew: no warning is lost, and each is an error. After an
error, or where the book's own extensions or the library's names changed, all pages are read again.
"""

import gc
import hashlib
import shutil
import sys
from pathlib import Path

from jupyter_book.sphinx import build_sphinx

READ_WITH = ("book/_extensions/*.py", "notebooks/*.ipynb")
"""What pages are read with that Sphinx does not watch. The library's pages say which notebooks use
a name; of notebooks only the lines count that import."""


def build_pages(stage: Path, work: Path) -> bool:
    """Write the pages of ``stage`` to ``work/html``; False, and warnings on the standard error, if
    there were any. ``work`` keeps what was read until the next time."""
    kept, key = work / "read", work / "key"
    if not key.is_file() or key.read_text() != _key(stage):
        shutil.rmtree(work, ignore_errors=True)
    shutil.rmtree(work / "html", ignore_errors=True)
    key.unlink(missing_ok=True)  # until the book is built
    gc.disable()  # what is read stays to the end: a third of the time went into looking for garbage
    toc = {"external_toc_path": str(stage / "_toc.yml"), "latex_individualpages": False}
    result = build_sphinx(
        stage, work / "html", doctreedir=kept, noconfig=True, path_config=stage / "_config.yml",
        confoverrides=toc, warningiserror=True, keep_going=True, quiet=True, force_all=True,
    )  # fmt: skip
    if result == 0:
        key.write_text(_key(stage))
    return result == 0


def _key(stage: Path) -> str:
    """A digest of what `READ_WITH` names."""
    whole = hashlib.sha256()
    for pattern in READ_WITH:
        for path in sorted(stage.glob(pattern)):
            lines = path.read_text("utf-8").splitlines()
            if path.suffix == ".ipynb":
                lines = [line for line in lines if "import " in line]
            whole.update("\n".join([path.name, *lines]).encode())
    return whole.hexdigest()


if __name__ == "__main__":
    stage, work = (Path(argument).absolute() for argument in sys.argv[1:])
    sys.exit(not build_pages(stage, work))
