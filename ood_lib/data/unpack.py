"""Archives, unpacked whole or not at all."""

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tqdm.auto import tqdm

from ood_lib.data.download import NotFetchedError
from ood_lib.data.sources import size_text
from ood_lib.files import atomic_path

_PIECE = 1 << 20


def unpack(packed: Path, target: Path) -> None:
    """Unpack a zip archive beside ``target`` and rename it at the end: of the archive what lies at
    the name of ``target``, or all of it. NotFetchedError if that is broken or would lie elsewhere.
    """
    for left in target.parent.glob(f".????????-{target.name}"):  # by a call that was killed
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    try:
        with zipfile.ZipFile(packed) as archive:
            members = list(_members(archive, target.name))
            if (needed := sum(member.file_size for member, _ in members)) > free_space(target):
                room = f"{target.parent} has no room for {size_text(needed)}"
                raise NotFetchedError(f"{packed} was not unpacked: {room}.")
            with atomic_path(target) as aside:
                for member, below in tqdm(members, f"unpacking {packed.name}", unit="file"):
                    file = aside.joinpath(*below)
                    file.parent.mkdir(parents=True, exist_ok=True)
                    with archive.open(member) as source, file.open("wb") as copy:
                        shutil.copyfileobj(source, copy, _PIECE)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise NotFetchedError(f"{packed} is broken ({error}). Remove it.") from error


def _members(archive: zipfile.ZipFile, name: str) -> Iterator[tuple[zipfile.ZipInfo, list[str]]]:
    """The files to unpack, each with the names of its place below the target."""
    files = []
    for member in archive.infolist():
        path = PurePosixPath(member.filename.replace("\\", "/"))
        first = "".join(path.parts[:1])
        if path.is_absolute() or ".." in path.parts or ":" in first:
            outside = f"{member.filename!r} would lie outside of the data"
            raise NotFetchedError(f"{archive.filename} was not unpacked: {outside}.")
        if not member.is_dir() and first != "__MACOSX":  # what Macs add
            files.append((member, list(path.parts)))
    named = [(file, parts[parts.index(name) + 1 :]) for file, parts in files if name in parts]
    if not files:
        raise NotFetchedError(f"{archive.filename} holds no file.")
    yield from named or files


def free_space(place: Path) -> int:
    """The free bytes of the disk of a place that need not be there yet."""
    places = (place, *place.absolute().parents)
    return shutil.disk_usage(next(path for path in places if path.exists())).free
