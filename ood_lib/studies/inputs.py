"""What decides the numbers of a run, and the key that is made of it."""

import ast
import hashlib
import json
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ood_lib.closed_set import closed_set_network
from ood_lib.files import PAINTED_MARK
from ood_lib.profiles import Settings
from ood_lib.studies.definitions import Study
from ood_lib.studies.measure import IMAGES
from ood_lib.training_state import weights_digest

SETTINGS = (
    *("model", "lambda_", "ood_share", "crop", "batch_size", "epochs", "learning_rate", "num_in_distribution"),
    *("proxy_fraction", "min_ood_share", "max_ood_share", "seed"),
)
PACKAGES = ("numpy", "pillow", "torch", "torchvision")
PACKAGES_OF_NETWORKS = {"smp": ("segmentation-models-pytorch",), "transformers": ("transformers",)}
"""By what stands before the colon of a network's name."""
CODE = (
    *("training.py", "epoch.py", "inference.py", "evaluation.py", "scores.py", "device.py", "studies/measure.py"),
    *("data/*.py", "metrics/*.py", "models/*.py"),
)
NOT_CODE = frozenset({"__main__.py", "classifiers.py", "doctor.py", "segment_me.py", "segments.py"})
"""Of these modules, those that decide nothing."""


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
    return json.loads(json.dumps({"settings": chosen, **(around or surroundings(settings))}))


def key_of(inputs: dict[str, Any]) -> str:
    """16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]


def surroundings(settings: Settings) -> dict[str, Any]:
    """What decides the numbers beside the settings: data, images measured, starting weights, packages and code.

    Not the device: it changes the last digits, on a GPU with half precision somewhat more. A record names it.
    """
    packages = [*PACKAGES, *PACKAGES_OF_NETWORKS.get(settings.model.partition(":")[0], ())]
    return {
        "data": data_fingerprint(settings),
        "images": IMAGES,
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


@cache
def code_digest() -> str:
    """Changes with what the modules do that decide numbers, not with their comments, docstrings and layout.

    Read once in a process, which runs what it has loaded.
    """
    folder = Path(__file__).parents[1]
    files = sorted({path for pattern in CODE for path in folder.glob(pattern) if path.name not in NOT_CODE})
    digest = hashlib.sha256()
    for path in files:
        said = _meaning(ast.parse(path.read_bytes()))
        digest.update(repr((path.relative_to(folder).as_posix(), said)).encode())
    return digest.hexdigest()[:16]


def _meaning(node: Any) -> Any:
    """A parsed piece of code without its docstrings, alike in all versions of Python."""
    if isinstance(node, list):
        return [_meaning(part) for part in node if not _is_docstring(part)]
    if isinstance(node, ast.AST):
        fields = [(name, _meaning(value)) for name, value in ast.iter_fields(node)]
        return type(node).__name__, [field for field in fields if field[1] not in ("None", [])]
    return repr(node)


def _is_docstring(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
