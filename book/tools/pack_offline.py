"""The book for reading without a network: pages and notebooks in one archive, the same bytes from
the same files.

python book/tools/pack_offline.py [_build/html] [_build/book-offline.zip]
"""

import argparse
import sys
import zipfile
from pathlib import Path

FOLDER = "book-offline"
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the archive tells nothing of when it was made
HOW_TO_OPEN = """\
The Thing on the Road: how a network learns to say that it does not know

To read: open html/index.html in a browser. Nothing is loaded from elsewhere; formulas and search
work offline.

To run: the notebooks need the library of the book. The page "How to use this book"
(html/book/how-to-use.html) says how to install it; then open notebooks/ with Jupyter.

Licences: code BSD-3-Clause, text and pictures CC BY-SA 4.0; see the page "About"
(html/book/about.html).
"""


def files_of_the_book(html: Path, notebooks: Path) -> dict[str, bytes]:
    """What goes into the archive, {name: content}. FileNotFoundError where the book has not been
    built."""
    if not (html / "index.html").is_file():
        raise FileNotFoundError(f"{html} holds no book; build it first: make book")
    files = {"README.txt": HOW_TO_OPEN.encode()}
    for folder, name, pattern in ((html, "html", "**/*"), (notebooks, "notebooks", "*.ipynb")):
        paths = sorted(path for path in folder.glob(pattern) if path.is_file())
        files |= {
            f"{name}/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in paths
        }
    return files


def pack(files: dict[str, bytes], archive: Path, folder: str = FOLDER) -> None:
    """Write ``files`` into a folder in order of their names, with one time and one mode for all."""
    unfinished = archive.with_suffix(".unfinished.zip")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(f"{folder}/{name}", LONG_AGO)
            entry.compress_type, entry.create_system, entry.external_attr = (
                zipfile.ZIP_DEFLATED,
                3,
                0o644 << 16,
            )
            target.writestr(entry, content)
    unfinished.replace(archive)


def main() -> None:
    """Pack the book named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("book", type=Path, nargs="?", default=Path("_build/html"))
    parser.add_argument("archive", type=Path, nargs="?", default=Path("_build/book-offline.zip"))
    options = parser.parse_args()
    try:
        pack(files_of_the_book(options.book, Path("notebooks")), options.archive)
    except FileNotFoundError as error:
        sys.exit(f"pack_offline.py: {error}")
    print(
        f"The book to take along: {options.archive} ({options.archive.stat().st_size / 1e6:.0f} MB)"
    )


if __name__ == "__main__":
    main()
