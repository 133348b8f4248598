"""What the set-up cell of every notebook calls."""

import difflib
import inspect
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from ood_lib.profiles import Settings, load_settings

_MAX_THREADS = 4
_BEGUN = "_ood_lib_begun"


def begin(
    namespace: dict[str, Any],
    *,
    profile: str = "miniature",
    seed: int = 0,
    data_root: Path | str | None = None,
    own: Collection[str] = (),
    **overrides: Any,
) -> Settings:
    """Check the parameters, set threads and figure style, say in one line what runs, and return the settings.

    Called as ``settings = begin(globals(), profile=profile, seed=seed, data_root=data_root, ...)`` with every
    parameter of the notebook that is a setting; ``own`` names the parameters that only this notebook has. Any other
    variable in ``namespace`` is taken for a misspelt parameter (papermill adds what it is given): ValueError names it
    and the nearest parameter. Values in capitals, imported constants, are no parameters; and a second call in
    the same notebook, which finds the variables of all cells, does not look.

    On data that are not painted, `ood_lib.data.doctor.require` first looks whether all of the book's data sets are
    there and can be read; it raises FileNotFoundError if not, before hours are lost.
    """
    if not namespace.get(_BEGUN):
        _refuse_unknown(namespace, {"profile", "seed", "data_root", *own, *overrides})
    settings = load_settings(profile, data_root, seed, **overrides)
    if not (settings.is_painted or namespace.get(_BEGUN)):
        from ood_lib.data.doctor import require

        require(settings)
    namespace[_BEGUN] = True
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(torch.get_num_threads(), _MAX_THREADS))
    from ood_lib.figures import use_style  # matplotlib takes a while

    use_style()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    print(f"profile {profile} · seed {seed} · {device} · data in {settings.data_root.name}")
    return settings


def _refuse_unknown(namespace: dict[str, Any], parameters: set[str]) -> None:
    unknown = [name for name, value in namespace.items() if _is_variable(name, value) and name not in parameters]
    if not unknown:
        return
    hints = []
    for name in unknown:
        near = difflib.get_close_matches(name, parameters, n=1)
        hints.append(f"{name!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
    raise ValueError(
        f"This notebook has no parameter {', '.join(hints)}. Its parameters are: {', '.join(sorted(parameters))}."
    )


def _is_variable(name: str, value: Any) -> bool:
    """Whether a name of a notebook's namespace was given a plain value, by a cell or by papermill."""
    of_python_or_ipython = name.startswith("_") or name in ("In", "Out")
    return not (of_python_or_ipython or name.isupper() or inspect.ismodule(value) or callable(value))
