"""Where the data sets can be had: what the file ``sources.yml`` says, and what to tell of it."""

import datetime
from functools import cache
from pathlib import Path

import yaml

from ood_lib.checked import Checked

FILE = Path(__file__).with_name("sources.yml")
"""All addresses, with the day on which each was last seen; it explains itself at its top."""


class Address(Checked):
    """One place of a file."""

    url: str
    seen: datetime.date | None  #: the day on which it last answered; None: not certain
    told_by: str  #: who names it
    doubt: str | None  #: what speaks against it


class Archive(Checked):
    """A file to fetch, and what becomes of it."""

    name: str
    to: str  #: below the data root
    size: int | None  #: in bytes, exactly
    about: int | None  #: in bytes, roughly, where ``size`` is not known
    hash: str | None  #: ``sha256:...`` or ``md5:...``, as pooch takes it
    addresses: list[Address]  #: none where an account is needed

    @property
    def text(self) -> str:
        """Its name and size, for people."""
        return f"{self.name} ({size_text(self.size or self.about)})"


class Images(Checked):
    """Single images to fetch, ``{address}/{name}``."""

    count: int
    about: int  #: bytes of them all
    to: str
    addresses: list[Address]


class Source(Checked):
    """All that one name stands for."""

    page: str
    elsewhere: str | None = None  #: another page that has it
    licence: str
    archives: list[Archive]
    images: Images | None = None

    @property
    def is_by_hand(self) -> bool:
        """Whether no program can fetch it, since it needs an account or a browser."""
        return not any(archive.addresses for archive in self.archives)


@cache
def sources() -> dict[str, Source]:
    """All that ``sources.yml`` lists, by the name that ``get`` takes."""
    listed = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return {name: Source.checked(values, FILE.name) for name, values in listed.items()}


def size_text(size: int | None) -> str:
    """``252907541`` -> ``253 MB``."""
    if size is None:
        return "size unknown"
    if size >= 2e9:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:,.0f} MB" if size >= 1e6 else f"{size:,} bytes"


def advice(name: str, root: Path) -> str:
    """Where to get what has that name, a line or two: the page, and the command or the archives."""
    source, command = sources()[name], f"python -m ood_lib.data get {name} --root {root}"
    page = f"Get it from: {source.page}"
    if source.is_by_hand:
        archives = " and ".join(archive.text for archive in source.archives)
        return f"{page}\nIt needs an account: {archives}; {command} unpacks them"
    return f"{page}\nor by: {command}"
