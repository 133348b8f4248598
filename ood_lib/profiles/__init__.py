"""Profiles: all numbers of an experiment in one file, ``{profile}.yml`` beside this module."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ood_lib.data import SegmentationDataset, open_dataset

PROFILE_FOLDER = Path(__file__).parent

FOLDERS = {
    "cityscapes": "cityscapes",
    "coco_proxy": "coco",
    "lost_and_found": "lost_and_found",
    "fishyscapes_static": "fishyscapes",
}
"""Where each data set lies under the data root."""


@dataclass(frozen=True)
class Settings:
    """The numbers of one run: those of a profile, and what the caller chose otherwise."""

    profile: str
    data_root: Path
    """The folder that holds the data sets' own folders (`FOLDERS`)."""
    seed: int
    model: str
    checkpoint: Path | None
    """Closed-set weights to start from."""
    threshold: float
    """t of equation 3.8."""
    lambda_: float
    """Of equation 3.3."""
    crop: tuple[int, int]
    """Height and width."""
    batch_size: int
    epochs: int
    learning_rate: float
    num_in_distribution: int | None
    """How many street scenes fine-tuning uses; None for all."""
    proxy_fraction: float
    """Proxy images for each street scene."""
    min_ood_share: float
    max_ood_share: float
    """Of the pixels of a proxy image."""

    def open(self, name: str, split: str | None = None, **options: Any) -> SegmentationDataset:
        """`ood_lib.data.open_dataset` for the data set in its folder under the data root."""
        return open_dataset(name, self.data_root / FOLDERS.get(name, name), split, **options)


def profile_names() -> list[str]:
    """The profiles that exist."""
    return sorted(path.stem for path in PROFILE_FOLDER.glob("*.yml"))


def load_settings(
    profile: str = "miniature", data_root: Path | str | None = None, seed: int = 0, **overrides: Any
) -> Settings:
    """The settings of a profile, with other values for some of them by keyword.

    Without ``data_root`` the profile ``miniature`` uses the painted data, which is made on first use; any other
    profile needs one. Raises ValueError for a profile or setting that does not exist and for a value that cannot be,
    and FileNotFoundError if there is no such data folder.
    """
    if profile not in profile_names():
        raise ValueError(f"There is no profile {profile!r}; choose one of: {', '.join(profile_names())}.")
    path = PROFILE_FOLDER / f"{profile}.yml"
    numbers = yaml.safe_load(path.read_text(encoding="utf-8"))
    _check(numbers, f"the profile {path.name}")
    _check({"seed": seed} | overrides, "the arguments")
    missing = RULES.keys() - numbers.keys() - {"seed"}
    if missing:
        raise ValueError(f"The profile {path.name} lacks {', '.join(sorted(missing))}; add a line for each.")
    values = numbers | overrides
    if values["min_ood_share"] > values["max_ood_share"]:
        shares = f"min_ood_share={values['min_ood_share']}, max_ood_share={values['max_ood_share']}"
        raise ValueError(f"{shares}: the first must not exceed the second; change one of them.")
    if values["checkpoint"] is not None:
        values["checkpoint"] = PROFILE_FOLDER.parent / Path(values["checkpoint"]).expanduser()
    crop = values["crop"]
    values["crop"] = (crop, crop) if isinstance(crop, int) else tuple(crop)
    return Settings(profile=profile, data_root=_find_data(profile, data_root), seed=seed, **values)


def _find_data(profile: str, data_root: Path | str | None) -> Path:
    if data_root is not None:
        root = Path(data_root).expanduser()
        if not root.is_dir():
            raise FileNotFoundError(
                f"data_root={str(data_root)!r} is no folder. Give the one that holds {', '.join(FOLDERS.values())}."
            )
        return root
    if profile != "miniature":
        raise ValueError(
            f"The profile {profile!r} needs data_root, the folder that holds {', '.join(FOLDERS.values())}."
        )
    from ood_lib.miniature import ensure_miniature  # the painter is only loaded where it is needed

    return ensure_miniature()


def _is_whole(value: Any, least: int = 1) -> bool:
    return type(value) is int and value >= least  # True is an int too, but no number


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _is_crop(value: Any) -> bool:
    return _is_whole(value) or (isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_whole, value)))


RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "seed": ("a whole number from 0", lambda v: _is_whole(v, least=0)),
    "model": ("the name of a network", lambda v: isinstance(v, str)),
    "checkpoint": ("a path, or nothing", lambda v: v is None or isinstance(v, str | Path)),
    "threshold": ("a number from 0 to 1", _is_share),
    "lambda_": ("a number from 0 to 1", _is_share),
    "crop": ("a number of pixels, or height and width", _is_crop),
    "batch_size": ("a whole number from 1", _is_whole),
    "epochs": ("a whole number from 1", _is_whole),
    "learning_rate": ("a number above 0", lambda v: _is_number(v) and v > 0),
    "num_in_distribution": ("a whole number from 1, or nothing for all", lambda v: v is None or _is_whole(v)),
    "proxy_fraction": ("a number from 0", lambda v: _is_number(v) and v >= 0),
    "min_ood_share": ("a number from 0 to 1", _is_share),
    "max_ood_share": ("a number from 0 to 1", _is_share),
}
"""What each setting must be, in words and as a test."""


def _check(values: dict[str, Any], place: str) -> None:
    for name, value in values.items():
        if name not in RULES:
            raise ValueError(f"{place} set {name!r}, which is no setting; the settings are: {', '.join(RULES)}.")
        expected, is_valid = RULES[name]
        if not is_valid(value):
            raise ValueError(f"{name}={value!r} in {place} must be {expected}; change it there.")
