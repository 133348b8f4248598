"""Where a data set's files lie: each image with its label, and nothing lost on the way."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Frame(NamedTuple):
    """Where a sample lies on disk."""

    id: str
    sequence: str
    image: Path
    label: Path | None  #: None where the publishers keep the labels to themselves


@dataclass(frozen=True)
class Layout:
    """How images and labels lie in a data set's own folder: two patterns as in `Path.glob`.

    What the wildcards of ``gtFine/{split}/*/*_labelIds.png`` and all between them stand for is the
    name of the frame, ``ulm/ulm_000003_000019``, by which image and label find together.
    """

    image: str
    label: str
    #: From a frame's name to its sequence; without it, every frame stands alone.
    sequence: Callable[[str], str] | None = None
    #: From a frame's name to its split, where one folder holds all; None if it is of no split.
    split_of: Callable[[str], str | None] | None = None
    unlabelled: str | None = None  #: the split whose labels are not public
    endings: tuple[str, str] = ("", "")  #: of the names of images and labels, which do not count
    sign: str | None = None  #: by what such a folder is known, if not by the pattern of the labels

    def is_in(self, root: Path) -> bool:
        """Whether the folder holds anything that lies so."""
        return any(root.glob((self.sign or self.label).format(split="*")))

    def files(self, root: Path, split: str, kind: str) -> dict[str, Path]:
        """All of the kind "image" or "label", by the frame's name."""
        fixed, below, ending = self._parts(split, kind)
        folder = require_folder(root / fixed)
        length = len(re.sub(r"\[.+?\]", "?", ending))  # [jJ] is one letter
        files = {}
        for path in folder.glob(below):
            name = path.relative_to(folder).as_posix()
            name = name[: len(name) - length].removesuffix(self.endings[kind == "label"])
            is_of_split = self.split_of is None or self.split_of(name) == split
            if is_of_split and not path.name.startswith("._"):  # as Macs leave beside every file
                files[name] = path
        return files

    def frames(self, root: Path, split: str = "") -> list[Frame]:
        """One frame for each image, in the order of their names. FileNotFoundError if there is no
        image, an image has no label (allowed where they are not public) or a label no image: half
        a download must not pass for a smaller data set."""
        images, labels = (self.files(root, split, kind) for kind in ("image", "label"))
        if not images:
            place = root / self.image.format(split=split)
            raise FileNotFoundError(f"There is no file {place}. Unpack the archive there.")
        # Nothing is left out in silence: it would give a number that looks like any other.
        for kind, files, others in (("label", labels, images), ("image", images, labels)):
            missing = sorted(others.keys() - files.keys())
            if missing and (kind, split) != ("label", self.unlabelled):
                folder, _, ending = self._parts(split, kind)
                raise FileNotFoundError(
                    f"{others[missing[0]]} has no {kind}: "
                    f"{root / folder / missing[0]}{_shown(ending)} is missing "
                    f"({len(missing)} in all). Unpack the archive of the {kind}s again."
                )
        frames = []
        for name, path in sorted(images.items()):
            sequence = self.sequence(name) if self.sequence else path.stem
            frames.append(Frame(path.stem, sequence, path, labels.get(name)))
        return frames

    def _parts(self, split: str, kind: str) -> tuple[str, str, str]:
        """The folders before a pattern's first wildcard, the rest, the ending after its last."""
        pattern = getattr(self, kind).format(split=split)
        fixed, below = re.fullmatch(r"((?:[^*?[/]+/)*)(.+)", pattern).groups()
        return fixed, below, below.rpartition("*")[2]


def _shown(ending: str) -> str:
    """An ending as a person writes it: ``.[jJ][pP][gG]`` is .jpg."""
    return re.sub(r"\[(.).*?\]", r"\1", ending)


def require_folder(folder: Path) -> Path:
    """The folder, if it is there. FileNotFoundError says what lies beside it instead."""
    if folder.is_dir():
        return folder
    parent = next(p for p in folder.parents if p.is_dir())
    present = ", ".join(sorted(p.name for p in parent.iterdir())[:10]) or "nothing"
    raise FileNotFoundError(f"There is no folder {folder}. The folder {parent} holds: {present}.")
