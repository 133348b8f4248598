"""Files that appear whole or not at all, and the folder in which the library keeps what it made."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PAINTED_MARK = "miniature.json"
"""The file by which a painted data root is known; the painter writes it."""


def user_path(path: Path | str) -> Path:
    """What a user gave: ``~`` is the home, and 2025, which papermill takes for a number, a name.

    ``~nobody``, of whose home nothing is known, stays a name, so that it is missed like any other.
    """
    return Path(os.path.expanduser(str(path)))


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Give a hidden path beside ``path`` to write a file or a folder at; rename it at the end.

    Whoever looks at ``path`` meanwhile sees what was there before. If the block raises, what it
    wrote is removed. A file takes the place of an older file; a folder takes the place of nothing
    or of an empty folder (else OSError).
    """
    path = user_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # It keeps the suffix, since many writers choose the format by it.
    aside = path.with_name(f".{secrets.token_hex(4)}-{path.name}")
    try:
        yield aside
        os.replace(aside, path)
    finally:
        if aside.is_dir():
            shutil.rmtree(aside)
        else:
            aside.unlink(missing_ok=True)


def cache_folder() -> Path:
    """Where results are kept, ``$OOD_LIB_CACHE`` or ``~/.cache/ood_lib``; made if absent.

    ValueError for a relative path, OSError for a folder that cannot be made or written to.
    """
    folder = user_path(os.environ.get("OOD_LIB_CACHE") or "~/.cache/ood_lib")
    advice = "Set OOD_LIB_CACHE to the whole path of a folder to which you may write."
    if not folder.is_absolute():  # also if nobody knows the home
        raise ValueError(f"{folder} is another folder wherever a program starts. {advice}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError("not writable")
    except OSError as error:
        raise OSError(f"Results cannot be kept in {folder} ({error}). {advice}") from error
    return folder
