"""Profiles: all numbers of an experiment in one file, ``{profile}.yml`` beside this module or a file of one's own."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ood_lib.data import DATASETS, SegmentationDataset, open_dataset
from ood_lib.files import PAINTED_MARK

PROFILE_FOLDER = Path(__file__).parent
"""Where the profiles lie that come with the library."""

PRETRAINED = "pretrained"
"""As ``checkpoint``: the weights that are published under the model's own name."""


@dataclass(frozen=True)
class Settings:
    """The numbers of one run: those of a profile, and what the caller chose otherwise."""

    profile: str
    data_root: Path
    """The folder that holds the data sets' own folders."""
    is_painted: bool
    """Whether the data are this library's own, painted ones."""
    seed: int
    model: str
    checkpoint: Path | str | None
    """Closed-set weights to start from: a file, `PRETRAINED`, or None where ``closed_set`` says how to make them."""
    closed_set: dict[str, Any] | None
    """How `ood_lib.closed_set` trains the network where there are no weights for it."""
    threshold: float
    """t of equation 3.8."""
    lambda_: float
    """Of equation 3.3."""
    ood_share: float | None
    """Of `ood_lib.training.entropy_maximization_loss`: the share of its pixels by which an image's OoD part weighs,
    whatever it has; None for the thesis's sum."""
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
    proxy_query: str | None
    """What else must hold for a proxy image: the ``query`` of `ood_lib.data.CocoProxy`; None for nothing."""

    def open(self, name: str, split: str | None = None, **options: Any) -> SegmentationDataset:
        """`ood_lib.data.open_dataset` for the data set in its folder under the data root."""
        folder = DATASETS[name].folder if name in DATASETS else name
        return open_dataset(name, self.data_root / folder, split, **options)

    def open_proxy(self, **options: Any) -> SegmentationDataset:
        """The proxy images with which these settings fine-tune."""
        chosen = {"min_ood_share": self.min_ood_share, "max_ood_share": self.max_ood_share, "query": self.proxy_query}
        return self.open("coco_proxy", "train", **chosen, **options)


def profile_names() -> list[str]:
    """The profiles that the library brings."""
    return sorted(path.stem for path in PROFILE_FOLDER.glob("*.yml"))


def load_settings(
    profile: str | Path = "miniature", data_root: Path | str | None = None, seed: int = 0, **overrides: Any
) -> Settings:
    """The settings of a profile, a name or the path of a ``.yml`` file, with other values for some of them by keyword.

    Without ``data_root`` a profile with a section ``painted`` uses painted data of that size, made on first use; any
    other profile needs one. With ``data_root`` a section ``real_data`` takes the place of the settings that it names.
    A ``checkpoint`` that is a relative path is looked for beside the profile's file, in the data root and in this
    package.

    Raises ValueError for a profile or setting that does not exist and for a value that cannot be, and
    FileNotFoundError if there is no such data folder.
    """
    path = _find_profile(profile)
    numbers = _read_profile(path)
    painted, real_data = numbers.pop("painted", None), numbers.pop("real_data", None)
    root = _find_data(profile, data_root, painted)
    is_painted = (root / PAINTED_MARK).is_file()
    if real_data and not is_painted:
        numbers |= real_data
    _check({"seed": seed} | overrides, "the arguments")
    values = {"closed_set": None, "ood_share": None, "proxy_query": None} | numbers | overrides
    if values["min_ood_share"] > values["max_ood_share"]:
        shares = f"min_ood_share={values['min_ood_share']}, max_ood_share={values['max_ood_share']}"
        raise ValueError(f"{shares}: the first must not exceed the second; change one of them.")
    values["checkpoint"] = _find_checkpoint(values["checkpoint"], (path.parent, root, PROFILE_FOLDER.parent))
    crop = values["crop"]
    values["crop"] = (crop, crop) if isinstance(crop, int) else tuple(crop)
    return Settings(profile=path.stem, data_root=root, is_painted=is_painted, seed=seed, **values)


def _find_profile(profile: str | Path) -> Path:
    if str(profile) in profile_names():
        return PROFILE_FOLDER / f"{profile}.yml"
    path = Path(profile).expanduser()
    if path.suffix in (".yml", ".yaml") and path.is_file():
        return path
    raise ValueError(
        f"There is no profile {str(profile)!r}; choose one of: {', '.join(profile_names())}, "
        "or give the path of a .yml file."
    )


def _read_profile(path: Path) -> dict[str, Any]:
    """The file's lines, each checked, none missing."""
    place = f"the profile {path.name}"
    try:
        numbers = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{place} is no YAML: {error}. Compare it with {PROFILE_FOLDER / 'miniature.yml'}.") from error
    if not isinstance(numbers, dict):
        raise ValueError(f"{place} must hold lines `name: value`; compare it with {PROFILE_FOLDER / 'miniature.yml'}.")
    _check(numbers, place, RULES | SECTIONS)
    _check(numbers.get("real_data") or {}, f"real_data of {place}")
    missing = RULES.keys() - numbers.keys() - OPTIONAL
    if missing:
        raise ValueError(f"{place} lacks {', '.join(sorted(missing))}; add a line for each.")
    return numbers


def _find_data(profile: str | Path, data_root: Path | str | None, painted: dict[str, Any] | None) -> Path:
    folders = ", ".join(dict.fromkeys(dataset.folder for dataset in DATASETS.values()))
    if data_root is not None:
        root = Path(data_root).expanduser()
        if not root.is_dir():
            raise FileNotFoundError(f"data_root={str(data_root)!r} is no folder. Give the one that holds {folders}.")
        return root
    if painted is None:
        raise ValueError(f"The profile {str(profile)!r} needs data_root, the folder that holds {folders}.")
    from ood_lib.miniature import Size, ensure_miniature  # the painter is only loaded where it is needed

    try:
        size = Size(**painted)
    except TypeError as error:
        raise ValueError(
            f"painted={painted} in the profile {str(profile)!r} is no ood_lib.miniature.Size: {error}"
        ) from error
    return ensure_miniature(size=size)


def _find_checkpoint(checkpoint: Path | str | None, folders: tuple[Path, ...]) -> Path | str | None:
    """The first that exists; if none does, where the user is expected to put it: in the data root, the second."""
    if checkpoint in (None, PRETRAINED):
        return checkpoint
    candidates = [folder / Path(checkpoint).expanduser() for folder in folders]
    return next((path for path in candidates if path.is_file()), candidates[1])


def _is_whole(value: Any, least: int = 1) -> bool:
    return type(value) is int and value >= least  # True is an int too, but no number


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _is_crop(value: Any) -> bool:
    return _is_whole(value) or (isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_whole, value)))


def _is_section(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and all(isinstance(key, str) for key in value))


RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "seed": ("a whole number from 0", lambda v: _is_whole(v, least=0)),
    "model": ("the name of a network", lambda v: isinstance(v, str)),
    "checkpoint": (f"a path, {PRETRAINED}, or nothing", lambda v: v is None or isinstance(v, str | Path)),
    "closed_set": ("numbers for ood_lib.closed_set.Recipe, or nothing", _is_section),
    "threshold": ("a number from 0 to 1", _is_share),
    "lambda_": ("a number from 0 to 1", _is_share),
    "ood_share": ("a number from 0 to 1, or nothing for the thesis's sum", lambda v: v is None or _is_share(v)),
    "crop": ("a number of pixels, or height and width", _is_crop),
    "batch_size": ("a whole number from 1", _is_whole),
    "epochs": ("a whole number from 1", _is_whole),
    "learning_rate": ("a number above 0", lambda v: _is_number(v) and v > 0),
    "num_in_distribution": ("a whole number from 1, or nothing for all", lambda v: v is None or _is_whole(v)),
    "proxy_fraction": ("a number from 0", lambda v: _is_number(v) and v >= 0),
    "min_ood_share": ("a number from 0 to 1", _is_share),
    "max_ood_share": ("a number from 0 to 1", _is_share),
    "proxy_query": ("a condition on proxy images, or nothing", lambda v: v is None or isinstance(v, str)),
}
"""What each setting must be, in words and as a test."""

OPTIONAL = frozenset({"seed", "closed_set", "ood_share", "proxy_query"})
"""Settings that a profile need not name."""

SECTIONS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "painted": ("numbers for ood_lib.miniature.Size, or nothing", _is_section),
    "real_data": ("settings that hold on data which are not painted, or nothing", _is_section),
}
"""What a profile may hold besides settings."""


def _check(values: dict[str, Any], place: str, rules: dict[str, tuple[str, Callable[[Any], bool]]] = RULES) -> None:
    for name, value in values.items():
        if name not in rules:
            raise ValueError(f"{place} set {name!r}, which is no setting; the settings are: {', '.join(rules)}.")
        expected, is_valid = rules[name]
        if not is_valid(value):
            raise ValueError(f"{name}={value!r} in {place} must be {expected}; change it there.")
