"""Settings: all numbers of an experiment, from a profile, ``profiles/{name}.yml`` or one's own."""

from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import yaml
from pydantic import Field, ValidationInfo, create_model, field_validator

from ood_lib import miniature
from ood_lib.checked import Checked, Count, Number, Positive, Seed, Share
from ood_lib.data import DATASETS, SegmentationDataset, data_folder, open_dataset
from ood_lib.data.sample import Transform
from ood_lib.data.transforms import training_transform
from ood_lib.files import PAINTED_MARK, user_path
from ood_lib.kept import code_digest

PROFILE_FOLDER = Path(__file__).parent / "profiles"
"""Where the profiles lie that come with the library."""
PRETRAINED = "pretrained"
"""As ``checkpoint``: the weights that are published under the model's own name, or made by it."""
SHORT_NAMES = {"segformer": "transformers:nvidia/segformer-b1-finetuned-cityscapes-1024-1024"}
"""Networks of other libraries, with weights for the 19 classes, that have a name of their own."""

_sizes = {size.name: (Count, size.default) for size in fields(miniature.Size)}
_Size = create_model("_Size", __base__=Checked, **_sizes)


class ClosedSetRecipe(Checked):
    """How a network learns street scenes from nothing: one cycle of the learning rate, AdamW."""

    epochs: Count = 14
    crop: Count = 128
    batch_size: Count = 16
    learning_rate: Positive = 3e-3  #: the largest of the cycle
    weight_decay: Number = Field(1e-3, ge=0)
    warm_up: Number = Field(0.15, gt=0, lt=1)  #: share of the training in which the rate rises
    average_decay: Number = Field(0.998, ge=0, lt=1)  #: of the weights' moving average, the result
    seed: Seed = 0  #: not that of the experiment: all its runs start from the same network


class FineTuneRecipe(Checked):
    """How `ood_lib.training.fine_tune` trains. Every draw follows from the seed."""

    lambda_: Share  #: of equation 3.3
    ood_share: Share | None = None  #: of `entropy_maximization_loss`; None for the thesis's sum
    epochs: Count
    proxy_fraction: Number = Field(ge=0)  #: proxy images for each street scene
    batch_size: Count  #: images computed at once
    accumulate: Count = 1  #: batches to a step; half of batch_size with twice of this trains alike
    learning_rate: Positive
    batch_norm: Literal["frozen", "live"] = "frozen"  #: live: its statistics follow the crops
    fresh_adam: bool = False  #: Adam forgets at the beginning of each epoch
    seed: Seed = 0


class TrainingSettings(FineTuneRecipe):
    """What decides a fine-tuned network, given the data and the weights from which it starts."""

    model: str  #: as `ood_lib.models.build_model` takes it
    crop: tuple[Count, ...] = Field(min_length=2, max_length=2)  #: height, width; one number: both
    num_in_distribution: Count | None  #: street scenes used; None for all
    min_ood_share: Share  #: of the pixels of a proxy image
    max_ood_share: Share
    proxy_query: str | None = None  #: what else must hold: `ood_lib.data.coco_proxy`'s ``query``
    proxy_background: Literal["ignored", "road"] = "ignored"  #: what pixels of no object are
    small_images: Literal["enlarged", "warped"] = "enlarged"  #: those with a side below the crop's

    @field_validator("crop", mode="before")
    @classmethod
    def _sides(cls, crop: Any) -> tuple[Any, ...]:
        sides = crop.tolist() if isinstance(crop, np.ndarray) else crop
        return tuple(sides) if isinstance(sides, list | tuple) else (sides, sides)

    @field_validator("max_ood_share")
    @classmethod
    def _in_order(cls, most: float, others: ValidationInfo) -> float:
        if most < (least := others.data.get("min_ood_share", 0)):
            raise ValueError(f"be at least min_ood_share={least}, or that less")
        return most


class ProfileSettings(TrainingSettings):
    """All that a profile says, and a caller may say instead."""

    checkpoint: Path | str | None  #: weights to start from: a file, `PRETRAINED`, or None
    closed_set: ClosedSetRecipe | None = None  #: how to make the weights where there are none
    threshold: Share  #: t of equation 3.8
    nonhazards: Literal["ignore", "road"] = "ignore"  #: of LostAndFound, where segments are judged
    bins: Count | None = None  #: in which pixels' measures count scores; None: exactly

    @field_validator("checkpoint", mode="before")
    @classmethod
    def _as_path(cls, value: Any) -> Path | str | None:
        if value in (None, PRETRAINED):
            return value
        if isinstance(value, bool) or not isinstance(value, Path | str | int | float):
            raise ValueError(f"be a path, {PRETRAINED}, or nothing")
        return user_path(value)


class Profile(ProfileSettings):
    """A profile as it is written."""

    painted: _Size | None = None  #: of the data that are painted where there are none
    real_data: dict[str, Any] | None = None  #: what is otherwise on data that are not painted
    published: dict[str, Any] | None = None  #: what the published code does otherwise than the text


class Settings(ProfileSettings):
    """The numbers of one run, and where its data are."""

    profile: str
    data_root: Path  #: the folder that holds the data sets' own folders
    is_painted: bool  #: whether the data are this library's own
    to_paint: miniature.Size | None = None  #: of data that `open` paints where they are missing
    published: dict[str, Any] | None = None  #: for `as_published`

    @field_validator("data_root", "checkpoint", "model")
    @classmethod
    def _absolute(cls, path: Any) -> Any:  # a study's workers may stand in other folders
        if isinstance(path, str):
            return _find_model(path, Path.cwd())
        return path.absolute() if isinstance(path, Path) else path

    def recipe(self) -> dict[str, Any]:
        """The `TrainingSettings` by name: what decides a fine-tuned network. Of a model in a file
        that is its code, wherever it lies."""
        named = {name: getattr(self, name) for name in TrainingSettings.model_fields}
        return named | {"model": code_of_model(self.model)}

    def open(self, name: str, split: str | None = None, **options: Any) -> SegmentationDataset:
        """`ood_lib.data.open_dataset` for the data set in its folder under the data root."""
        if self.to_paint is not None:
            miniature.ensure_miniature(self.data_root, size=self.to_paint)
        return open_dataset(name, data_folder(name, self.data_root), split, **options)

    def open_for_segments(self, name: str, split: str | None = None) -> SegmentationDataset:
        """`open`, with targets as segments are judged by."""
        options = {"nonhazards": self.nonhazards} if name == "lost_and_found" else {}
        return self.open(name, split, **options)

    def as_published(self) -> Self:
        """As the code does it that is published with the thesis, where that departs from the text:
        what the profile says in its section ``published``. ValueError where it has none."""
        if self.published is None:
            raise ValueError(f"The profile {self.profile} has no section published; add one.")
        return self.changed(**self.published)

    def random_crops(self) -> Transform:
        """What is done to the images with which these settings train."""
        return training_transform(self.crop, small=self.small_images)

    def open_proxy(self, **options: Any) -> SegmentationDataset:
        """The proxy images with which these settings fine-tune."""
        options |= {"min_ood_share": self.min_ood_share, "max_ood_share": self.max_ood_share}
        options |= {"query": self.proxy_query, "background": self.proxy_background}
        return self.open("coco_proxy", "train", **options)


def profile_names() -> list[str]:
    """The profiles that the library brings."""
    return sorted(path.stem for path in PROFILE_FOLDER.glob("*.yml"))


def load_settings(profile: str | Path = "miniature", data_root: Path | str | None = None,
                  seed: int = 0, *, paint: bool = True, **overrides: Any) -> Settings:
    """The settings of a profile, a name or the path of a ``.yml`` file; some otherwise by keyword.

    Without ``data_root`` a profile with a section ``painted`` uses painted data of that size, made
    on first use (with ``paint`` False only when `Settings.open` is called). On other data a section
    ``real_data`` takes the place of what it names. A relative ``checkpoint`` is looked for beside
    the profile, in the data root and in this package, the file of a ``model`` beside the profile
    and in the working folder. Another ``model`` that brings weights takes those, not the profile's.

    ValueError for a profile or setting that does not exist and for a value that cannot be;
    FileNotFoundError if there is no such data folder.
    """
    path, numbers = _read_profile(str(profile))
    place = f"the profile {path.name}"
    written = Profile.checked(numbers, place)
    if "seed" in numbers | (written.real_data or {}):  # the caller's would always count instead
        raise ValueError(f"{place} sets seed, which is no setting of a profile but a parameter.")
    usual = {name: getattr(written, name) for name in ProfileSettings.model_fields}
    real = usual | (written.real_data or {})
    on_real_data = ProfileSettings.checked(real, f"real_data of {place}")  # used or not
    ProfileSettings.checked(usual | (written.published or {}), f"published of {place}")
    root = _find_data(data_root, place, written.painted)
    is_painted = root is None or (root / PAINTED_MARK).is_file()
    chosen = ProfileSettings.checked(usual) if is_painted else on_real_data
    numbers = dict(_overridden(chosen, {"seed": seed, **overrides}))
    numbers["model"] = _find_model(numbers["model"], path.parent, Path.cwd())
    if root is None:  # painting takes minutes, so that all else is checked before
        size = miniature.Size(**dict(written.painted))
        numbers["to_paint"] = None if paint else size
        root = (miniature.ensure_miniature if paint else miniature.painted_folder)(size=size)
    if isinstance(numbers["checkpoint"], Path):
        # The first that exists; else where it is expected, in the data root.
        places = [f / numbers["checkpoint"] for f in (path.parent, root, PROFILE_FOLDER.parent)]
        numbers["checkpoint"] = next((p for p in places if p.is_file()), places[1])
    numbers |= {"profile": path.stem, "data_root": root, "is_painted": is_painted}
    numbers["published"] = written.published
    return Settings.checked(numbers)


def own_file(model: str) -> tuple[Path, str] | None:
    """Of a network in a file, ``file.py:callable``, that file and the name; None of any other."""
    file, is_own, name = model.partition(".py:")
    return (user_path(f"{file}.py"), name) if is_own else None


def code_of_model(model: str) -> str:
    """A model's name; of one in a file what its code does, wherever it lies."""
    own = own_file(model)
    return f"{code_digest(own[0])}:{own[1]}" if own else model


def _find_model(model: str, *folders: Path) -> str:
    """By its long name; a file in the first of the folders that has it, or else in the last."""
    if not (own := own_file(model)):
        return SHORT_NAMES.get(model, model)
    places = [folder / own[0] for folder in folders]
    return f"{next((place for place in places if place.is_file()), places[-1])}:{own[1]}"


def _overridden(written: ProfileSettings, values: dict[str, Any]) -> ProfileSettings:
    """With these values. Another network with weights of its own takes them."""
    asked = written.changed(**values)
    has_own = asked.model != written.model and ":" in _find_model(asked.model, Path())
    return asked.changed(checkpoint=values.get("checkpoint", PRETRAINED)) if has_own else asked


def _read_profile(profile: str) -> tuple[Path, dict[str, Any]]:
    """Its file, and what that says."""
    is_own = profile not in profile_names()
    path = user_path(profile) if is_own else PROFILE_FOLDER / f"{profile}.yml"
    if path.suffix not in (".yml", ".yaml") or not path.is_file():
        choice = f"choose one of: {', '.join(profile_names())}, or give the path of a .yml file."
        raise ValueError(f"There is no profile {profile!r}; {choice}")
    advice = f"Compare it with {PROFILE_FOLDER / 'miniature.yml'}."
    try:
        numbers = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"The profile {path.name} is no YAML: {error}. {advice}") from error
    if not isinstance(numbers, dict):
        raise ValueError(f"{path.name} must hold lines `name: value`. {advice}")
    return path, numbers


def _find_data(data_root: Path | str | None, place: str, painted: _Size | None) -> Path | None:
    """The folder of the data; None where they are to be painted."""
    folders = ", ".join(dict.fromkeys(dataset.folder for dataset in DATASETS.values()))
    if data_root is None and painted is None:
        raise ValueError(f"data_root is needed for {place}: the folder of {folders}.")
    root = None if data_root is None else user_path(data_root)
    if root is not None and not root.is_dir():
        raise FileNotFoundError(f"data_root={str(root)!r} is no folder. Give that of {folders}.")
    return root
