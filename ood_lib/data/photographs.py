"""Pictures of one's own, without labels: found, looked at before anything is computed, opened."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from ood_lib.data.folders import Frame
from ood_lib.data.sample import SegmentationDataset, read_image
from ood_lib.files import user_path

LONGEST_SIDE = 2048  #: pixels, as in Cityscapes: what the networks know, and memory can hold
ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif"}
"""Of the files of a folder that are taken for pictures, in small letters."""
_HEIC = {b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypmif1", b"ftypmsf1"}  # bytes 4 to 12

Places = Path | str | Iterable[Path | str]
"""A picture or a folder of them, or several."""

with suppress(ImportError):  # needed for the pictures of some telephones alone
    from pillow_heif import register_heif_opener

    register_heif_opener()


class Photographs(SegmentationDataset):
    """Picture files, turned upright; larger ones shrunk until the longest side fits, None: not."""

    def __init__(self, paths: Sequence[Path], longest_side: int | None = LONGEST_SIDE) -> None:
        super().__init__([Frame(path.stem, path.stem, path, None) for path in paths])
        if longest_side is not None and longest_side < 32:
            raise ValueError(f"longest_side={longest_side} pixels show nothing; give 32 or more.")
        self.longest_side = longest_side

    def read_pixels(self, frame: Frame) -> np.ndarray:
        picture = super().read_pixels(frame)  # (H, W, 3)
        if self.longest_side is None or max(picture.shape) <= self.longest_side:
            return picture
        image = Image.fromarray(picture)
        image.thumbnail((self.longest_side, self.longest_side))  # keeps the proportions
        return np.array(image)


def find_pictures(places: Places, out: Path | None = None) -> list[Path]:
    """The files that are given, and in the order of their names all pictures in given folders.

    Of a folder other files, hidden ones and folders in it are left out, which is printed.
    FileNotFoundError where a folder has no picture, ValueError where nothing is given, or a folder
    that is ``out``, whose results would be taken for pictures.
    """
    given = [places] if isinstance(places, Path | str) else list(places)
    if not given:
        raise ValueError("No picture is given: name files, or a folder of them.")
    found: list[Path] = []
    for place in map(user_path, given):
        if out is not None and place.is_dir() and place.resolve() == out.resolve():
            raise ValueError(f"{out} holds the photographs. Choose another folder for the results.")
        found += _pictures_in(place) if place.is_dir() else [place]
    return found


def _pictures_in(folder: Path) -> list[Path]:
    files = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    pictures = [path for path in files if path.suffix.lower() in ENDINGS and path.is_file()]
    if not pictures:
        kinds = ", ".join(sorted(ENDINGS))
        raise FileNotFoundError(f"The folder {folder} holds no picture ({kinds}). Give another.")
    if others := [path.name for path in files if path not in pictures]:
        shown = ", ".join(others[:3]) + (", ..." if others[3:] else "")
        print(f"Left out in {folder}, as no pictures: {len(others)} ({shown}).")
    return pictures


def look_at(paths: Sequence[Path], longest_side: int | None = None,
            progress: bool = True) -> list[Path]:
    """Read all pictures, one at a time, and give those that are no painted streets.

    ValueError names all that cannot be read, and why; larger ones than ``longest_side`` are told.
    """
    problems, others, larger = [], [], []
    for path in tqdm(paths, "looking", unit="picture", leave=False, disable=not progress):
        try:
            picture = read_image(path)
        except (ValueError, OSError) as error:
            problems.append(_advice(path) or str(error))
            continue
        others += [] if is_painted_street(picture) else [path]
        larger += [path] if max(picture.shape) > (longest_side or np.inf) else []
    if problems:
        raise ValueError("\n".join(problems))
    if larger:
        print(f"{len(larger)} of {len(paths)} are shrunk, as {larger[0].name}, so that no side is "
              f"longer than {longest_side} pixels. Their results have that size.")
    return others


def _advice(path: Path) -> str | None:
    """What to do with an iPhone's picture that cannot be read for want of a package; else None."""
    if not path.is_file() or ".heic" in Image.registered_extensions():
        return None
    with path.open("rb") as file:
        is_heic = file.read(12)[4:] in _HEIC
    return (f"{path} is in Apple's format HEIC, which needs one package more: pip install "
            "pillow-heif. Or give a JPEG of it." if is_heic else None)


def is_painted_street(picture: np.ndarray) -> bool:
    """Whether a picture uint8 (H, W, 3) may be one of the painter's, with a grey road below."""
    height, width = picture.shape[:2]
    is_grey = np.ptp(picture[height // 2 :], axis=2) < 25  # (H / 2, W)
    # Of all painted streets 0.77 of the lower half or more are grey.
    return (width, height) == (256, 128) and is_grey.mean() > 0.7
