"""Weights in a file: written as safetensors, read from safetensors or from NVIDIA's ``.pth``."""

from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ood_lib.files import atomic_path

Network = TypeVar("Network", bound=nn.Module)

_scalar = np.float64().__reduce__()[0]
_float64 = type(np.dtype(np.float64))
_NUMPY_NUMBER = [_scalar, (_scalar, "numpy.core.multiarray.scalar"), np.dtype, _float64]
"""What a pickled float64 needs, also of NumPy 1: NVIDIA's files hold their mean IoU as such."""


def save_checkpoint(model: nn.Module, path: Path | str) -> None:
    """Write the model's state dict as safetensors; the file appears whole or not at all."""
    # Copies, since safetensors refuses tensors that share their memory, such as tied weights.
    state = model.state_dict().items()
    tensors = {key: value.detach().to("cpu", copy=True).contiguous() for key, value in state}
    with atomic_path(path) as aside:
        aside.write_bytes(save(tensors))


def load_checkpoint(model: Network, path: Path | str) -> Network:
    """Copy the weights in the file into the model, and return the model.

    Reads ``.safetensors``, and ``.pth`` / ``.pt`` without unpickling code; there a ``state_dict``
    entry and the ``module.`` prefix of data-parallel training are seen through. ValueError for
    tensors that are missing, unknown or of another shape, and a file that makes no sense: then the
    model is as before. FileNotFoundError if there is none.
    """
    tensors = _read_tensors(Path(path))
    in_file = {key: tuple(value.shape) for key, value in tensors.items()}
    wanted = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    # Compared here, since torch copies what fits before it complains about the rest.
    differing = [f"{key} is {in_file.get(key, 'missing')} instead of {wanted.get(key, 'unknown')}"
                 for key in wanted | in_file if in_file.get(key) != wanted.get(key)]
    if differing:
        raise ValueError(
            f"The checkpoint {path} does not fit the network in {len(differing)} tensors: "
            f"{', '.join(differing[:5])}. Choose name and num_classes of build_model as for it."
        )
    model.load_state_dict(tensors)
    return model


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint at {path}: give a .safetensors or .pth.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(_NUMPY_NUMBER):
            content = torch.load(path, map_location="cpu", weights_only=True)
        state_dict = content.get("state_dict", content)
        return {key.removeprefix("module."): value for key, value in state_dict.items()}
    except Exception as error:  # whatever the readers raise for bytes that make no sense
        raise ValueError(f"{path} cannot be read as a checkpoint; fetch it again.") from error
