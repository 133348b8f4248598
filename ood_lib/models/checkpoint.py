"""Weights of a network in a file: written as safetensors, read from safetensors or from NVIDIA's ``.pth``."""

from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ood_lib.files import atomic_path

Network = TypeVar("Network", bound=nn.Module)
_KEYS_SHOWN = 5

_scalar = np.float64().__reduce__()[0]
_NUMPY_NUMBER = [_scalar, (_scalar, "numpy.core.multiarray.scalar"), np.dtype, type(np.dtype(np.float64))]
"""What a pickled float64 needs, also one of a NumPy before 2: NVIDIA's files hold their mean IoU as such."""


def save_checkpoint(model: nn.Module, path: Path | str) -> None:
    """Write the model's state dict as safetensors; the file appears whole or not at all."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    with atomic_path(path) as aside:
        aside.write_bytes(save(tensors))


def load_checkpoint(model: Network, path: Path | str) -> Network:
    """Copy the weights in the file into the model, and return the model.

    Reads ``.safetensors``, and ``.pth`` / ``.pt`` without unpickling code; there a ``state_dict`` entry and the
    ``module.`` prefix of data-parallel training are seen through. Every tensor must find its place, or ValueError
    lists the keys that are missing or unknown and the shapes that differ. FileNotFoundError if there is no file.
    """
    path = Path(path)
    tensors = _read_tensors(path)
    _check_fit(model, tensors, path)
    model.load_state_dict(tensors)
    return model


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint at {path}. Give the path of a .safetensors or .pth file.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(_NUMPY_NUMBER):
            content = torch.load(path, map_location="cpu", weights_only=True)
        state_dict = content.get("state_dict", content)
        return {key.removeprefix("module."): value for key, value in state_dict.items()}
    except Exception as error:  # whatever the readers raise for bytes that make no sense
        raise ValueError(f"{path} cannot be read as a checkpoint; it may be cut short: fetch it again.") from error


def _check_fit(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    wanted = model.state_dict()
    shapes = {key: (tuple(tensors[key].shape), tuple(wanted[key].shape)) for key in wanted if key in tensors}
    wrong = [f"{key} {found} instead of {needed}" for key, (found, needed) in shapes.items() if found != needed]
    problems = [
        _listing("is missing", [key for key in wanted if key not in tensors]),
        _listing("is not part of the network", [key for key in tensors if key not in wanted]),
        _listing("has another shape", wrong),
    ]
    if not any(problems):
        return
    last_layer = list(wanted)[-1]
    found, needed = shapes.get(last_layer, ((), ()))
    classes = f"It was trained for {found[0]} classes, the network has {needed[0]}. " if found[:1] != needed[:1] else ""
    raise ValueError(
        f"The checkpoint {path} does not fit the network. {classes}{' '.join(filter(None, problems))} "
        "Build the network that the checkpoint was trained with (name and num_classes of build_model)."
    )


def _listing(problem: str, keys: list[str]) -> str:
    if not keys:
        return ""
    more = f" and {len(keys) - _KEYS_SHOWN} more" if len(keys) > _KEYS_SHOWN else ""
    return f"{len(keys)} x {problem}: {', '.join(keys[:_KEYS_SHOWN])}{more}."
