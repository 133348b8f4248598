"""One file from the network: gone on with where it broke off, whole or not at all."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

import pooch
import requests
from tqdm.auto import tqdm

from ood_lib import __version__

TRIES = 5
"""How often an address is asked in a row without anything new coming."""
LONGEST_WAIT = 120.0
"""Seconds: a server that asks for more is asked again after this."""
AGENT = {"User-Agent": f"ood_lib/{__version__} pooch/{pooch.__version__}"}
"""Zenodo, for one, puts off all who do not say what they are."""
_TIMEOUT = (20, 60)  # seconds to connect, and from one piece to the next
_LATER = {429, 500, 502, 503, 504}  # answers that may be others in a while
_PIECE = 1 << 15  # what is lost where it breaks off

pooch.get_logger().setLevel("WARNING")  # else it prints the checksum of every image


class NotFetchedError(OSError):
    """What could not be fetched or unpacked, from where, and what to do."""


class _LaterError(Exception):
    """What may be otherwise after ``pause`` seconds."""

    def __init__(self, reason: str, pause: float | None = None) -> None:
        super().__init__(reason)
        self.pause = pause


def retrieve(urls: Sequence[str], file: Path, known_hash: str | None,
             check: Callable[[Path], object], size: int | None = None,
             session: requests.Session | None = None, progress: bool = True) -> str:
    """Fetch the file from the first address that has it, and say which that is.

    NotFetchedError says what each address did. Where the checksum is known, pooch compares it, and
    it takes a file that is there already; ``check`` and ``size`` are those of `Download`.
    """
    problems = []
    for url in urls:
        part = file.with_name(f"{file.name}.part")
        download = Download(part, check, size, session or requests.Session(), progress)
        try:
            pooch.retrieve(url, known_hash, file.name, file.parent, downloader=download)
            return url
        except NotFetchedError as error:
            problems.append(str(error))
        except ValueError as error:  # of another checksum
            problems.append(f"{url}: {error}")
    raise NotFetchedError("\n".join(problems))


@dataclass
class Download:
    """A downloader for `pooch.retrieve` that goes on where an earlier one broke off.

    What has come lies in ``part``, and beside it what the server calls this state of the file; if
    that is called otherwise now, or the server cannot begin in the middle, all is fetched anew.
    ``check`` raises an error for a file that is not of the right kind.
    """

    part: Path
    check: Callable[[Path], object]
    size: int | None  #: in bytes, if it is known
    session: requests.Session
    progress: bool = True

    def __call__(self, url: str, output_file: str, _: object = None) -> None:
        failed = 0
        while True:
            before = _bytes_of(self.part)
            try:
                self._go_on(url)
                break
            except (_LaterError, requests.RequestException) as error:
                reason = error if isinstance(error, _LaterError) else type(error).__name__
                failed = 0 if _bytes_of(self.part) > before else failed + 1
                if failed >= TRIES:
                    raise NotFetchedError(f"{url}: {reason}; asked {TRIES} times") from error
                pause = getattr(error, "pause", None)
            time.sleep(min(2.0**failed if pause is None else pause, LONGEST_WAIT))
        try:
            self.check(self.part)
        except Exception as error:  # of whatever kind: Pillow alone has several
            self._forget()
            raise NotFetchedError(f"{url} gave another kind of file: {error}") from error
        os.replace(self.part, output_file)
        self._forget()

    def _go_on(self, url: str) -> None:
        """Ask for what is missing, and write it."""
        held = _bytes_of(self.part) if self._tag.is_file() else 0
        if held == self.size:
            return  # whole, but for its checksum
        headers = AGENT | {"Accept-Encoding": "identity"}  # else sizes are of something else
        if held:
            headers |= {"Range": f"bytes={held}-", "If-Range": self._tag.read_text("utf-8")}
        with closing(self.session.get(url, headers=headers, stream=True, timeout=_TIMEOUT)) as got:
            if got.status_code == 416 and got.headers.get("Content-Range") == f"bytes */{held}":
                return  # nothing was left
            if got.status_code == 416:  # the file is a shorter one now
                self._forget()
                raise _LaterError("the file has changed", pause=0)
            _refuse(got)
            goes_on = got.headers.get("Content-Range", "").startswith(f"bytes {held}-")
            self._write(got, held if got.status_code == 206 and goes_on else 0)

    def _write(self, got: requests.Response, begin: int) -> None:
        """Put what comes behind the first ``begin`` bytes."""
        length = got.headers.get("Content-Length", "")
        total = begin + int(length) if length.isdigit() else self.size
        if self.size not in (None, total):
            raise NotFetchedError(f"{got.url} has {total:,} bytes, expected {self.size:,}")
        self._forget(but=begin)
        if tag := _name_of_state(got):
            self._tag.write_text(tag, "utf-8")
        about = {"desc": self.part.stem, "unit": "B", "unit_scale": True}
        bar = tqdm(initial=begin, total=total, disable=not self.progress, **about)
        with bar, self.part.open("ab") as file:
            for piece in got.iter_content(_PIECE):
                bar.update(file.write(piece))
        held = _bytes_of(self.part)
        if total not in (None, held):
            raise _LaterError(f"it broke off after {held:,} of {total:,} bytes")

    @property
    def _tag(self) -> Path:
        return self.part.with_name(f"{self.part.name}.tag")

    def _forget(self, but: int = 0) -> None:
        """Remove what has come, ``but`` for its first bytes, and what the server called it."""
        self._tag.unlink(missing_ok=True)
        if but:
            os.truncate(self.part, but)
        else:
            self.part.unlink(missing_ok=True)


def _bytes_of(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _name_of_state(got: requests.Response) -> str:
    """By which the server can tell whether the file is still the same; a weak ETag cannot."""
    tag = got.headers.get("ETag", "")
    return tag if tag.startswith('"') else got.headers.get("Last-Modified", "")


def _refuse(got: requests.Response) -> None:
    """An error unless this is what was asked for."""
    reason = f"{got.status_code} {got.reason}".strip()
    if got.status_code in _LATER:
        raise _LaterError(reason, _retry_after(got.headers.get("Retry-After", "")))
    if got.status_code not in (200, 206):
        raise NotFetchedError(f"{got.url}: {reason}")


def _retry_after(text: str) -> float | None:
    """Seconds, of ``120`` or of ``Wed, 21 Oct 2026 07:28:00 GMT``; None if it is neither."""
    if text.strip().isdigit():
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0)
    except ValueError:
        return None
