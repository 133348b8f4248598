"""The state of a training run between two epochs, kept in one safetensors file."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ood_lib.data.sample import SegmentationDataset
from ood_lib.deciding_code import code_digest
from ood_lib.files import atomic_path


@dataclass
class TrainingState:
    """What has been done so far; the weights and the optimizer's moments live in the objects themselves."""

    losses: list[list[float]] = field(default_factory=list)
    """Loss of each step, by epoch."""
    proxy_ids: list[list[str]] = field(default_factory=list)

    @property
    def epochs_done(self) -> int:
        return len(self.losses)

    def finish_epoch(self, losses: list[float], proxy_ids: list[str]) -> None:
        self.losses.append(losses)
        self.proxy_ids.append(proxy_ids)

    def loss_table(self) -> pd.DataFrame:
        """Columns epoch, step (from 0 over all epochs) and loss."""
        rows = [(epoch, loss) for epoch, losses in enumerate(self.losses) for loss in losses]
        table = pd.DataFrame(rows, columns=["epoch", "loss"])
        table.insert(1, "step", range(len(table)))
        return table

    def save(
        self,
        path: Path | str | None,
        settings: dict[str, Any],
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        """Write everything that the next epoch depends on; the file appears whole or not at all. Nothing if no path.

        ``scaler`` is needed in float16, where it adapts its scale to the gradients that it saw.
        """
        if path is None:
            return
        tensors = {f"model/{key}": value for key, value in model.state_dict().items()}
        for index, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{name}": value for name, value in moments.items()}
        run = {"settings": settings, "losses": self.losses, "proxy_ids": self.proxy_ids}
        run["scaler"] = scaler.state_dict() if scaler is not None else {}
        with atomic_path(path) as aside:
            stored = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
            aside.write_bytes(save(stored, metadata={"run": json.dumps(run)}))

    @classmethod
    def resume(
        cls,
        path: Path | str | None,
        settings: dict[str, Any],
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler | None = None,
    ) -> Self:
        """The state in the file, put into model, optimizer and scaler; a fresh state if there is no path or file yet.

        Raises ValueError if the file was written with other settings.
        """
        if path is None or not Path(path).is_file():
            return cls()
        run, tensors = _read(Path(path))
        weights = _part(tensors, "model/")
        if settings["starting weights"] == weights_digest(weights):  # the same call again, on what it gave before
            settings = settings | {"starting weights": run["settings"]["starting weights"]}
        _require_same(run["settings"], settings, Path(path))
        model.load_state_dict(weights)
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in _part(tensors, "optimizer/").items():
            index, name = key.split("/")
            moments.setdefault(int(index), {})[name] = value
        optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})
        if scaler is not None and run.get("scaler"):
            scaler.load_state_dict(run["scaler"])
        return cls(run["losses"], run["proxy_ids"])


def checkpoint_file(
    checkpoint: Path | str | None, settings: dict[str, Any], datasets: Sequence[SegmentationDataset]
) -> Path | None:
    """The file that is meant: ``checkpoint`` itself, or, in a folder that exists, one named by what decides the result.

    That is the settings, where the images lie (another folder may hold other images of the same ids), and this
    library's code: what was trained before an edit of it is not taken for current.
    """
    if checkpoint is None or not Path(checkpoint).is_dir():
        return None if checkpoint is None else Path(checkpoint)
    return Path(checkpoint) / f"training-{fingerprint(settings, datasets)}.safetensors"


def fingerprint(settings: dict[str, Any], datasets: Sequence[SegmentationDataset]) -> str:
    """A name for what follows from settings (JSON), the place of the images and this library's code.

    Of the code, what decides trained networks and tables of segments counts, so that an edit elsewhere keeps them.
    """
    places = [str(dataset.frames[0].image.resolve()) for dataset in datasets]
    digest = hashlib.sha256(json.dumps([settings, places], sort_keys=True).encode())
    digest.update(code_digest(("closed_set.py", "segments.py", "segment_table.py")).encode())
    return digest.hexdigest()[:16]


def describe_dataset(dataset: SegmentationDataset) -> str:
    """How many images of which ids, and the transform: equal for data sets that train alike."""
    digest = hashlib.sha256("\n".join(dataset.ids).encode()).hexdigest()[:8]
    transform = re.sub(r" at 0x[0-9a-f]+", "", repr(dataset.transform))
    return f"{len(dataset)} images (ids {digest}), transform {transform}"


def weights_digest(state_dict: dict[str, Tensor]) -> str:
    """A short fingerprint of all weights."""
    digest = hashlib.sha256()
    for key, value in sorted(state_dict.items()):
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            keys = file.keys()
            return json.loads((file.metadata() or {})["run"]), {key: file.get_tensor(key) for key in keys}
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{path} holds no state of a training. Give another path, or delete the file.") from error


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _require_same(found: dict[str, Any], wanted: dict[str, Any], path: Path) -> None:
    different = [key for key in wanted if found.get(key) != wanted[key]]
    if different:
        listing = "; ".join(f"{key} was {found.get(key)!r} and is now {wanted[key]!r}" for key in different)
        raise ValueError(
            f"The run kept in {path} had other settings: {listing}. "
            "Use the same settings and starting weights, give another path, or delete the file to start anew."
        )
