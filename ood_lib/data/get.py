"""`python -m ood_lib.data get NAME --root DIR`: what anybody may fetch, whole or not at all."""

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pooch
import requests
from filelock import FileLock, Timeout

from ood_lib.data.coco_images import get_images, image_names
from ood_lib.data.coco_proxy import image_folder
from ood_lib.data.download import AGENT, NotFetchedError, retrieve
from ood_lib.data.sources import Address, Archive, Images, Source, size_text, sources
from ood_lib.data.unpack import free_space, unpack


class Row(NamedTuple):
    """What is to be fetched, a line of the plan."""

    what: str
    becomes: str
    size: int | None  #: in bytes; None: unknown
    there: str
    source: str  #: its address
    last_seen: str  #: the day on which that last answered
    room: int  #: bytes that it still takes on the disk, with what is unpacked


def get(names: Sequence[str], root: Path, dry_run: bool = False) -> None:
    """Print the plan, and unless it is a ``dry_run`` fetch and unpack all that is not there yet.

    NotFetchedError if there is too little room, before anything is fetched; or at the end, if
    something could not be had. What is there by then stays, and the same call goes on from it.
    """
    rows = plan(names, root)
    free, needed = free_space(root), sum(row.room for row in rows)
    unknown = " and what is unknown" if any(row.size is None for row in rows) else ""
    table = pd.DataFrame(rows).assign(size=[size_text(row.size) for row in rows])
    print(table.drop(columns="room").to_string(index=False))
    print(f"\nNeeded with what is unpacked: {size_text(needed)}{unknown}; free: {size_text(free)}.")
    print("\n".join(_remarks(names)))
    if needed > free:
        raise NotFetchedError(f"{root} has too little room. Make some, or give another --root.")
    if dry_run:
        return
    root.mkdir(parents=True, exist_ok=True)
    problems = []
    try:
        with FileLock(root / ".get.lock", timeout=0):
            for name in names:
                problems += _get_one(sources()[name], root)
    except Timeout:
        raise NotFetchedError(f"Another call works in {root}. Let it end.") from None
    if problems:
        raise NotFetchedError("\n\n".join(problems))


def plan(names: Sequence[str], root: Path) -> list[Row]:
    """All that these names stand for. A server is asked for sizes that ``sources.yml`` lacks."""
    rows = []
    for name in names:
        source = sources()[name]
        rows += [_row_of_archive(archive, source, root) for archive in source.archives]
        if source.images:
            rows.append(_row_of_images(source.images, root))
    return rows


def _remarks(names: Sequence[str]) -> Iterator[str]:
    """The licences, and what speaks against addresses."""
    for name in names:
        yield f"Licence of {name}: {sources()[name].licence}."
        for archive in sources()[name].archives:
            doubts = [address.doubt for address in archive.addresses if address.doubt]
            yield from (f"Doubt about {archive.name}: {doubt}." for doubt in doubts[:1])


def _row_of_archive(archive: Archive, source: Source, root: Path) -> Row:
    urls = [address.url for address in archive.addresses]
    where = _where(archive.addresses) if urls else (f"{source.page} (by hand)", "-")
    target = root / archive.to
    if _is_there(target):
        return Row(archive.name, archive.to, archive.size or archive.about or 0, "yes", *where, 0)
    size = archive.size or (_asked_size(urls[0]) if urls else None) or archive.about
    packed = target.with_name(archive.name)
    part = packed.with_name(f"{packed.name}.part")
    held = next((file.stat().st_size for file in (packed, part) if file.is_file()), 0)
    # Pictures hardly shrink in an archive, so that unpacked they take as much again.
    room = max((size or 0) * (1 if packed == target else 2) - held, 0)
    if not urls and not held:
        room = 0  # nothing of it comes by this call
    there = size_text(held) if held else "no"
    return Row(archive.name, archive.to, size, there, *where, room)


def _row_of_images(images: Images, root: Path) -> Row:
    names, folder = image_names(root), image_folder((root / images.to).parent, "train")
    count = images.count if names is None else len(names)
    present = sum((folder / name).is_file() for name in names or ())
    size, left = (images.about * number // images.count for number in (count, count - present))
    where = _where(images.addresses)
    return Row(f"{count:,} images", images.to, size, f"{present:,}", *where, left)


def _where(addresses: Sequence[Address]) -> tuple[str, str]:
    return addresses[0].url, str(addresses[0].seen or "not certain")


def _get_one(source: Source, root: Path) -> list[str]:
    """Fetch and unpack; what could not be had and why."""
    problems = []
    for archive in source.archives:
        target = root / archive.to
        packed = target.with_name(archive.name)
        if _is_there(target):
            continue
        try:
            _fetch(archive, packed)
            if packed != target:
                unpack(packed, target)
                packed.unlink()
        except NotFetchedError as error:
            pages = " or ".join(filter(None, [source.page, source.elsewhere]))
            todo = f"Get {archive.text} from {pages}, put it there: {packed}, and call this again."
            problems.append(f"{error}\n{todo} It will be checked and unpacked.")
    if source.images and not problems:
        try:
            get_images(source.images, root)
        except NotFetchedError as error:
            problems.append(str(error))
    return problems


def _fetch(archive: Archive, packed: Path) -> None:
    """Have the archive, from the disk or the network. NotFetchedError if that cannot be."""
    if packed.is_file():
        if archive.hash is None or pooch.hashes.hash_matches(packed, archive.hash):
            return
        if not archive.addresses:
            raise NotFetchedError(f"{packed} has another checksum than {archive.hash}.")
    if not archive.addresses:
        raise NotFetchedError(f"No program can fetch {archive.name}.")
    urls = [address.url for address in archive.addresses]
    retrieve(urls, packed, archive.hash, _check_zip, archive.size)


def _check_zip(path: Path) -> None:
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            raise ValueError(f"no whole zip archive, it begins with {file.read(40)!r}")


def _is_there(target: Path) -> bool:
    return target.is_file() or (target.is_dir() and any(target.iterdir()))


def _asked_size(url: str) -> int | None:
    """What the server says, or None."""
    try:
        answer = requests.head(url, headers=AGENT, allow_redirects=True, timeout=20)
    except requests.RequestException:
        return None
    length = answer.headers.get("Content-Length", "")
    return int(length) if answer.ok and length.isdigit() else None
