"""What notebooks call first, and what they keep for the last chapter: their findings."""

import difflib
import inspect
import math
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ood_lib.data.doctor import require
from ood_lib.data.sample import Sample, last_with_anomaly
from ood_lib.figures import use_style
from ood_lib.files import cache_folder
from ood_lib.kept import digest, write_table
from ood_lib.settings import Settings, load_settings

_BEGUN = "_ood_lib_begun"
_INTERVAL = ["value", "low", "high"]


def begin(
    namespace: dict[str, Any], *, profile: str = "miniature", seed: int = 0,
    data_root: Path | str | None = None, own: Collection[str] = (), **overrides: Any,
) -> Settings:
    """Check the parameters, set threads and figure style, say what runs, return the settings.

    Called as ``settings = begin(globals(), profile=profile, seed=seed, data_root=data_root, ...)``
    with every parameter of the notebook that is a setting; ``own`` names those that only this
    notebook has. Any other variable in ``namespace`` is taken for a misspelt parameter, which
    papermill would add: ValueError names it and the nearest parameter. Not those in capitals, nor
    what was there before the first cell; and a second call does not look.

    On data that are not painted, `ood_lib.data.doctor.require` first looks whether all can be read:
    FileNotFoundError if not, before hours are lost.
    """
    if not namespace.get(_BEGUN):  # later there are the variables of all cells
        _refuse_unknown(namespace, {"profile", "seed", "data_root", *own, *overrides})
    settings = load_settings(profile, data_root, seed, **overrides)
    if not (settings.is_painted or namespace.get(_BEGUN)):
        require(settings)
    namespace[_BEGUN] = True
    if not re.match("[1-9]", os.environ.get("OMP_NUM_THREADS", "")):
        torch.set_num_threads(min(torch.get_num_threads(), 4))  # more have too little to do
    use_style()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    print(f"profile {profile} · seed {seed} · {device} · data in {settings.data_root.name}")
    return settings


def followed_frame(settings: Settings) -> Sample:
    """The frame that the book follows: the third drive of LostAndFound test that shows an obstacle,
    its last frame with one; in the miniature city the door and the camel."""
    drives = settings.open("lost_and_found", "test")
    last = list(last_with_anomaly(drives).values())
    return drives[last[2 % len(last)]]


def _refuse_unknown(namespace: dict[str, Any], parameters: set[str]) -> None:
    hints = []
    # IPython itself notes what the user's start-up files and its own options put there.
    before = getattr(namespace.get("get_ipython", dict)(), "user_ns_hidden", {})
    for name, value in namespace.items():
        was_there = name in before and before[name] is value
        # A plain value, by a cell or by papermill; what begins with _ is IPython's.
        is_plain = not (name.isupper() or inspect.ismodule(value) or callable(value))
        is_given = is_plain and not name.startswith("_") and name not in ("In", "Out")
        if name not in parameters and not was_there and is_given:
            near = difflib.get_close_matches(name, parameters, n=1)
            hints.append(f"{name!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
    if hints:
        known = ", ".join(sorted(parameters))
        raise ValueError(f"There is no parameter {', '.join(hints)}. Its parameters are: {known}.")


def keep_findings(settings: Settings, chapter: str,
                  findings: dict[str, tuple[float, float, float]],
                  n: str | dict[str, str] = "") -> None:
    """Keep what a chapter found: by name a number and the bounds of its 95 % interval.

    ``n`` says over how many of what an interval is taken, as in "50 runs", for all findings or by
    name. They replace what the chapter found before with the same profile, data and seed.
    ValueError for a number that is not finite, or lies outside of its own interval.
    """
    for name, (value, low, high) in findings.items():
        if not -math.inf < low <= value <= high < math.inf:
            found = f"{value} between {low} and {high}; it must be a number within its interval"
            raise ValueError(f"The finding {name!r} is {found}.")
    table = pd.DataFrame.from_dict(findings, orient="index", columns=_INTERVAL, dtype=float)
    table["n"] = n if isinstance(n, str) else [n.get(name, "") for name in findings]
    kept = table.assign(chapter=chapter, lambda_=settings.lambda_).rename_axis("name")
    write_table(kept.reset_index(), _folder(settings) / f"{chapter}.parquet")


def read_findings(settings: Settings) -> pd.DataFrame:
    """All findings kept with this profile, data and seed: by name value, low, high, n (or ""),
    chapter and lambda_. ValueError if two chapters keep findings of one name."""
    kept = [pd.read_parquet(path) for path in sorted(_folder(settings).glob("*.parquet"))]
    none = pd.DataFrame(columns=["name", *_INTERVAL, "n", "chapter", "lambda_"])
    table = pd.concat(kept or [none], ignore_index=True).set_index("name")
    if not table.index.is_unique:
        twice = table.loc[table.index.duplicated(keep=False), "chapter"].to_dict()
        raise ValueError(f"Two chapters keep one finding: {twice}. Name one of them otherwise.")
    return table


def _folder(settings: Settings) -> Path:
    # Findings on other data do not mix with these.
    place = digest(str(settings.data_root.resolve()))[:8]
    return cache_folder() / "findings" / f"{settings.profile}-{place}-seed-{settings.seed}"
