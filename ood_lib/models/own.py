"""A network of one's own by the place of its code: ``file.py:callable``."""

import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from ood_lib.kept import digest
from ood_lib.models.adapters import Adapter
from ood_lib.models.logits import image_logits
from ood_lib.settings import code_of_model, own_file


def own_network(name: str, num_classes: int) -> Adapter:
    """What the callable in a Python file gives when it is called without arguments.

    That is a network from images in [0, 1] to logits, or an `Adapter` around one that wants others.
    The file is run, with its folder on the path of imports, once for each content. The network is
    in evaluation mode; its ``made_by`` tells kept results from those of other code.
    FileNotFoundError if there is no such file; ValueError if it cannot be run, has no such
    callable, or that gives something else, such as another number of logits than num_classes.
    """
    path, wanted = own_file(name)
    place = f"{path.name}:{wanted}"
    maker = _callable(path, wanted)
    try:
        made = maker()
    except Exception as error:  # whatever goes wrong in code of others
        raise ValueError(f"{place}() failed: {type(error).__name__}: {error}.") from error
    if not isinstance(made, nn.Module):
        raise ValueError(f"{place}() gave a {type(made).__name__}, not a torch.nn.Module.")
    # Where none is needed, too: ESPNet has a list called modules, in the way of all who ask it.
    network = made if isinstance(made, Adapter) else Adapter(made, mean=(0,) * 3, std=(1,) * 3)
    network.made_by = code_of_model(name)
    image = next(network.parameters(), torch.empty(0)).new_zeros(1, 3, 128, 256)
    try:
        with torch.no_grad():
            found = image_logits(network.eval(), image).shape[1]
    except Exception as error:  # whatever a network says to an image that it cannot take
        raise ValueError(f"{place} cannot judge an image {[*image.shape]}: {error}") from error
    if found != num_classes:
        advice = "If some are of no class, return ood_lib.models.Adapter(network, void=[...])."
        raise ValueError(f"{place} gives {found} logits, but num_classes={num_classes}. {advice}")
    return network


def _callable(path: Path, wanted: str) -> Callable[[], Any]:
    """What the file calls so, if it can be called without arguments."""
    module = _load(path)
    makers = {name: value for name, value in vars(module).items()
              if callable(value) and not isinstance(value, nn.Module)}
    if wanted not in makers:
        own = [name for name, value in makers.items() if value.__module__ == module.__name__]
        known = ", ".join(own) or "nothing"
        raise ValueError(f"{path} has no function or class {wanted!r}, but {known}.")
    try:
        signature(makers[wanted]).bind()
    except TypeError as error:
        raise ValueError(f"{path.name}:{wanted} cannot be called without arguments ({error}). "
                         "Write a function without any that gives the network.") from error
    return makers[wanted]


def _load(path: Path) -> ModuleType:
    """The file as a module under a name that is no other's, and another one when it is edited."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}, from which the network is to come. "
                                "It is looked for beside the profile and in the working folder.")
    source = path.read_bytes()
    name = f"{path.stem}_{digest(str(path.resolve()), source)}"
    if name in sys.modules:
        return sys.modules[name]
    module = module_from_spec(spec_from_file_location(name, path))
    sys.modules[name] = module  # before it runs, since classes are looked up there
    sys.path.insert(0, str(path.parent))  # as for a script, which finds the files beside it
    try:
        # Not by the loader, whose kept bytecode misses an edit within the same second.
        exec(compile(source, path, "exec"), vars(module))
    except Exception as error:
        del sys.modules[name]
        raise ValueError(f"{path} cannot be run: {type(error).__name__}: {error}.") from error
    finally:
        sys.path.remove(str(path.parent))
    return module
