"""Weights in a file: written as safetensors, read from safetensors or from NVIDIA's ``.pth``."""

import re
import zipfile
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ood_lib.files import atomic_path, user_path
from ood_lib.models.adapters import Adapter

Network = TypeVar("Network", bound=nn.Module)

_scalar = np.float64().__reduce__()[0]
_float64 = type(np.dtype(np.float64))
_NUMPY_NUMBER = [_scalar, (_scalar, "numpy.core.multiarray.scalar"), np.dtype, _float64]
"""What a pickled float64 needs, also of NumPy 1: NVIDIA's files hold their mean IoU as such."""
_OF_TORCH = (b"PK", b"\x80\x02\x8a\nl\xfc\x9cF")
"""How a ``.pth`` begins, since PyTorch 1.6 and before."""


def save_checkpoint(model: nn.Module, path: Path | str) -> None:
    """Write the model's state dict as safetensors; the file appears whole or not at all."""
    with atomic_path(path) as aside:
        aside.write_bytes(packed(model.state_dict()))


def packed(tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> bytes:
    """The bytes of a safetensors file that holds them."""
    # Copies, since safetensors refuses tensors that share their memory, such as tied weights.
    copies = {name: own.detach().to("cpu", copy=True).contiguous() for name, own in tensors.items()}
    return save(copies, metadata)


def load_checkpoint(model: Network, path: Path | str) -> Network:
    """Copy the weights in the file into the model, and return the model.

    Reads safetensors, and PyTorch's ``.pth`` without unpickling code. There an entry ``state_dict``
    is seen through; everywhere, what data-parallel training and `torch.compile` put before names.
    It may hold an `Adapter`'s network alone, and lack counts of batches, which PyTorch before 0.4.1
    did not keep. ValueError for other tensors that are missing, for unknown ones or of another
    shape, and for a file that makes no sense; the model is as before. FileNotFoundError for none.
    """
    tensors = {_plain(name): value for name, value in _read_tensors(user_path(path)).items()}
    meant = model.network if isinstance(model, Adapter) and "mean" not in tensors else model
    state = meant.state_dict()
    own_name = {_plain(name): name for name in state}
    in_file = {key: tuple(value.shape) for key, value in tensors.items()}
    wanted = {key: tuple(state[own].shape) for key, own in own_name.items()}
    # Compared here, since torch copies what fits before it complains about the rest.
    differing = [key for key in wanted | in_file if in_file.get(key) != wanted.get(key)
                 and (key in in_file or not key.endswith("num_batches_tracked"))]
    if differing:
        first = [f"{key} is {in_file.get(key, 'missing')} instead of {wanted.get(key, 'unknown')}"
                 for key in differing[:5]]
        raise ValueError(
            f"The checkpoint {path} does not fit the network in {len(differing)} tensors: "
            f"{', '.join(first)}. Choose name and num_classes of build_model as for it."
        )
    meant.load_state_dict({own: tensors.get(key, state[own]) for key, own in own_name.items()})
    return model


def _plain(name: str) -> str:
    """The name of a tensor without what `torch.compile` and data-parallel training put before."""
    return re.sub(r"(^|\.)((module|_orig_mod)\.)+", r"\1", name)


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint at {path}: give a .safetensors or .pth.")
    with path.open("rb") as file:
        head = file.read(9)
    try:
        if head[8:] == b"{":  # the header of a safetensors file, whatever its suffix
            return load_file(path)
        with torch.serialization.safe_globals(_NUMPY_NUMBER):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the readers raise for bytes that make no sense
        obstacle = _obstacle(path, head, str(error))
        raise ValueError(f"{path} cannot be read as a checkpoint: {obstacle}.") from error
    state_dict = content.get("state_dict", content) if isinstance(content, dict) else content
    entries = state_dict if isinstance(state_dict, dict) else {"everything": state_dict}
    others = [f"{key} is a {type(value).__name__}"
              for key, value in entries.items() if not isinstance(value, Tensor)]
    if others:
        raise ValueError(f"{path} cannot be read as a checkpoint: {', '.join(others[:5])} and no "
                         "tensor. Save tensors by their names, alone or as entry 'state_dict'.")
    return entries


def _obstacle(path: Path, head: bytes, words: str) -> str:
    """What stands in the way, by the first bytes of a file and what its reader says."""
    more = re.search(r"(?<=GLOBAL )\S+|TorchScript", words)
    if more or zipfile.is_zipfile(path):  # which says at its end what it holds, so that it is whole
        what = more[0] if more else "what PyTorch refuses to unpack"
        return (f"beside tensors it holds {what}, and to unpack that could run any code. If you "
                "trust it, read it by PyTorch's own means and save its state_dict() alone")
    if not head or head[8:] == b"{" or head.startswith(_OF_TORCH):
        return "it is cut short or damaged; fetch it again"
    return f"it begins with {head!r}, as no .safetensors or .pth does; look what it is"
