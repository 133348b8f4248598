"""The state of a training between two epochs, kept in one safetensors file."""

import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from ood_lib.data.sample import SegmentationDataset
from ood_lib.files import atomic_path, user_path
from ood_lib.kept import digest, weights_digest
from ood_lib.models.checkpoint import packed


@dataclass
class TrainingState:
    """What the next epoch starts from: the objects that learn, and what was done so far."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler  #: of float16: its scale follows the gradients
    losses: list[list[float]] = field(default_factory=list)  #: of each step, by epoch
    path: Path | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    def resume(self, checkpoint: Path | str | None, recipe: dict[str, Any], acting: Any,
               **datasets: SegmentationDataset) -> None:
        """Go on from what ``checkpoint`` holds, if it does, and let `save` write there.

        In a folder the file is named by recipe, images, weights, and the code that is ``acting``.
        ValueError for a file of another training, and for what cannot be kept there.
        """
        if checkpoint is None:
            return
        self.path = user_path(checkpoint)
        if self.path.is_dir():  # also the state of the image files counts, not only their ids
            key = digest(recipe, datasets, self.model, acting)
            self.path = self.path / f"training-{key}.safetensors"
        # In words, for whoever gives a file of another training.
        self.settings = dict(recipe)
        for name, dataset in datasets.items():
            key = digest(dataset.what_decides() | {"files": None})
            transform = re.sub(r" at 0x[0-9a-f]+", "", repr(dataset.transform))
            self.settings[name] = f"{len(dataset)} images ({key}), transform {transform}"
        self.settings["starting weights"] = weights_digest(self.model)
        if self.path.is_file():
            self._go_on(*_read(self.path))
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=self.path.parent).close()
        try:
            self._packed()
        except (AttributeError, TypeError, ValueError, SafetensorError) as error:
            kind = type(self.model).__name__
            wrong = f"{kind} holds what no file can keep. Leave checkpoint out."
            raise ValueError(wrong) from error

    def save(self) -> None:
        """Keep all that the next epoch depends on; the file appears whole or not at all."""
        if self.path is not None:
            with atomic_path(self.path) as aside:
                aside.write_bytes(self._packed())

    def _packed(self) -> bytes:
        tensors = {f"model/{name}": value for name, value in self.model.state_dict().items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"moments/{index}/{name}": value for name, value in moments.items()}
        kept = {"settings": self.settings, "losses": self.losses}
        kept |= {"scaler": self.scaler.state_dict(), "weights": weights_digest(self.model)}
        return packed(tensors, {"run": json.dumps(kept, default=lambda own: own.item())})

    def _go_on(self, kept: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        was, now = kept["settings"], self.settings
        if now["starting weights"] == kept["weights"]:
            # The same call on the network that it gave before: as if on the one it started from.
            now["starting weights"] = was["starting weights"]
        if different := [name for name in now if was.get(name) != now[name]]:
            listing = [f"{name} was {was.get(name)} and is now {now[name]}" for name in different]
            raise ValueError(f"The run kept in {self.path} had other settings: {'; '.join(listing)}"
                             ". Give another path, or delete the file to start anew.")
        moments: dict[int, dict[str, torch.Tensor]] = defaultdict(dict)
        for key in [key for key in tensors if key.startswith("moments/")]:
            _, index, name = key.split("/")
            moments[int(index)][name] = tensors.pop(key)
        weights = {key.removeprefix("model/"): value for key, value in tensors.items()}
        self.model.load_state_dict(weights)
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": moments})
        if kept["scaler"]:
            self.scaler.load_state_dict(kept["scaler"])
        self.losses = kept["losses"]


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            kept = json.loads((file.metadata() or {})["run"])
            return kept, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError) as error:
        wrong = f"{path} holds no state of a training. Give another path, or delete it."
        raise ValueError(wrong) from error
