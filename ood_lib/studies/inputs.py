"""What decides the numbers of a run, and the key that is made of it."""

import hashlib
import json
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

from ood_lib.closed_set import closed_set_network
from ood_lib.deciding_code import code_digest
from ood_lib.files import PAINTED_MARK
from ood_lib.profiles import Settings
from ood_lib.studies.definitions import Study
from ood_lib.studies.measure import MEASURED
from ood_lib.training_state import weights_digest

SETTINGS = (
    *("model", "lambda_", "ood_share", "crop", "batch_size", "epochs", "learning_rate", "num_in_distribution"),
    *("proxy_fraction", "min_ood_share", "max_ood_share", "proxy_query", "seed"),
)
PACKAGES = ("numpy", "pillow", "torch", "torchvision")
PACKAGES_OF_NETWORKS = {"smp": ("segmentation-models-pytorch",), "transformers": ("transformers",)}
"""By what stands before the colon of a network's name."""


@dataclass(frozen=True)
class Run:
    """One fine-tuning and its measures: still to be done, or done."""

    settings: Settings
    inputs: dict[str, Any]
    """As JSON gives it back: ``settings``, and what `surroundings` says."""

    @property
    def key(self) -> str:
        return key_of(self.inputs)


def plan(study: Study, settings: Settings, seeds: list[int]) -> list[Run]:
    """The runs of a study on these data and with this network: all arms with the first seed, then with the next."""
    arms = [replace(settings, **arm) for arm in study.arms]
    around = [surroundings(arm) for arm in arms]
    return [
        Run(own := replace(arm, seed=seed), inputs_of(own, what))
        for seed in seeds
        for arm, what in zip(arms, around, strict=True)
    ]


def inputs_of(settings: Settings, around: dict[str, Any] | None = None) -> dict[str, Any]:
    """All that decides the numbers of a run with these settings; ``around`` is what `surroundings` gives for them."""
    chosen = {name: getattr(settings, name) for name in SETTINGS}
    return json.loads(json.dumps({"settings": chosen, **(surroundings(settings) if around is None else around)}))


def key_of(inputs: dict[str, Any]) -> str:
    """16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]


def surroundings(settings: Settings) -> dict[str, Any]:
    """What decides the numbers beside the settings: data, what is measured, starting weights, packages and code.

    Not the device: it changes the last digits, on a GPU with half precision somewhat more. A record names it.
    """
    packages = [*PACKAGES, *PACKAGES_OF_NETWORKS.get(settings.model.partition(":")[0], ())]
    return {
        "data": data_fingerprint(settings),
        "measured": MEASURED,
        "starting_weights": weights_digest(closed_set_network(settings).state_dict()),
        "versions": {name: version(name).partition("+")[0] for name in packages},
        "code": code_digest(),
    }


def data_fingerprint(settings: Settings) -> str:
    """Changes with the images: the painter's own key where they are painted, else made of all names and file sizes."""
    if settings.is_painted:
        return json.loads((settings.data_root / PAINTED_MARK).read_text(encoding="utf-8"))["key"]
    digest = hashlib.sha256()
    splits = {"cityscapes": ("train", "val"), "coco_proxy": ("train",), "lost_and_found": ("test",)}
    for name, own in (splits | {"fishyscapes_static": ("val",)}).items():
        for split in own:
            for frame in settings.open(name, split).frames:
                sizes = [path.stat().st_size for path in (frame.image, frame.label)]
                digest.update(repr((name, split, frame.id, frame.sequence, sizes)).encode())
    return digest.hexdigest()[:16]
