"""What decides the numbers of a run, and the key that is made of it."""

import json
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from ood_lib.data import DATASETS
from ood_lib.files import PAINTED_MARK
from ood_lib.kept import digest, weights_digest
from ood_lib.miniature import painted_folder
from ood_lib.settings import Settings
from ood_lib.studies.definitions import Study
from ood_lib.studies.measure import MEASURED, MEASURING
from ood_lib.studies.verdicts import JUDGING, drives_of
from ood_lib.training import closed_set_network
from ood_lib.training.fine_tune import FINE_TUNING

PACKAGES = ("numpy", "pillow", "torch", "torchvision")
_CODE_ALIKE = {"789c1b33bcaac8c9": "12801e2c266bd29e"}
"""The key of this code, and of a slower one by which each p^FP of the study of verdicts was the
same to the last bit, where both were asked. Records name the older; other code has other keys."""
# By what stands before the colon of a network's name.
PACKAGES_OF_NETWORKS = {"smp": ["segmentation-models-pytorch"], "transformers": ["transformers"]}


@dataclass(frozen=True)
class Run:
    """One fine-tuning and its measures: still to be done, or done."""

    settings: Settings
    inputs: dict[str, Any]  #: what `run_inputs` gives
    verdicts: bool = False  #: as in `Study`

    @property
    def key(self) -> str:
        """16 hexadecimal digits, of the inputs."""
        return digest(self.inputs)


def plan(study: Study, settings: Settings, seeds: list[int]) -> list[Run]:
    """All arms with the first seed, then with the next, on these data and with this network."""
    arms = [of_arm(settings, arm) for arm in study.arms]
    inputs = [run_inputs(arm, study.verdicts) for arm in arms]
    runs = []
    for seed in seeds:
        for arm, known in zip(arms, inputs, strict=True):
            own = arm.changed(seed=seed)
            runs.append(Run(own, known | {"settings": own.recipe()}, study.verdicts))
    return runs


def of_arm(settings: Settings, arm: dict[str, Any]) -> Settings:
    """The settings with those of the arm in their place."""
    others = {name: value for name, value in arm.items() if name != "published"}
    return (settings.as_published() if arm.get("published") else settings).changed(**others)


def run_inputs(settings: Settings, verdicts: bool = False) -> dict[str, Any]:
    """All that decides the numbers of a run: settings, data, starting weights, packages, code.

    Not the device, which changes last digits, with half precision some more: a record names it.
    """
    packages = [*PACKAGES, *PACKAGES_OF_NETWORKS.get(settings.model.partition(":")[0], ())]
    packages += ["scikit-learn", "scipy"] if verdicts else []
    network = closed_set_network(settings)
    layers = dict.fromkeys(type(part) for part in network.modules())
    datasets = [DATASETS[name] for name in sorted({"coco_proxy", *dict(MEASURED.values())})]
    measured: dict[str, Any] = {name: list(place) for name, place in MEASURED.items()}
    if verdicts:
        measured = {"drives": painted_folder(size=drives_of(settings)).name}
    # Not the functions that call these: how a state or a record is kept decides no number.
    measuring = JUDGING if verdicts else MEASURING
    code = digest(FINE_TUNING, measuring, Settings.open_proxy, list(layers), datasets)
    return {
        "settings": settings.recipe(),
        "data": data_fingerprint(settings),
        "measured": measured,
        "starting_weights": weights_digest(network),
        "versions": {name: version(name).partition("+")[0] for name in packages},
        "code": _CODE_ALIKE.get(code, code),
    }


def data_fingerprint(settings: Settings) -> str:
    """Of names and file sizes, alike on any machine; of painted images the painter's own key."""
    if settings.is_painted:
        return json.loads((settings.data_root / PAINTED_MARK).read_text(encoding="utf-8"))["key"]
    files = []
    for name, split in [("cityscapes", "train"), ("coco_proxy", "train"), *MEASURED.values()]:
        for frame in settings.open(name, split).frames:
            sizes = [path.stat().st_size for path in (frame.image, frame.label)]
            files.append((name, split, frame.id, frame.sequence, sizes))
    return digest(files)
