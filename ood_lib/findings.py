"""What the chapters found, kept for the one that puts it beside the thesis's claims (chapter 13)."""

import hashlib
import json
import math
from pathlib import Path

import pandas as pd

from ood_lib.files import atomic_path, cache_folder
from ood_lib.profiles import Settings

COLUMNS = ("value", "low", "high")


def keep_findings(settings: Settings, chapter: str, findings: dict[str, tuple[float, float, float]]) -> None:
    """Keep what a chapter found: by name a number and the bounds of its 95 % interval, all of them together.

    They replace what the chapter found before with the same profile, data and seed. ValueError for a number that is not
    finite, or lies outside of its own interval.
    """
    for name, (value, low, high) in findings.items():
        if not (all(map(math.isfinite, (value, low, high))) and low <= value <= high):
            raise ValueError(
                f"The finding {name!r} is {value} between {low} and {high}; it must be a number within its interval."
            )
    numbers = {name: dict(zip(COLUMNS, map(float, found), strict=True)) for name, found in findings.items()}
    text = json.dumps({"chapter": chapter, "lambda_": settings.lambda_, "findings": numbers}, indent=1)
    with atomic_path(_folder(settings) / f"{chapter}.json") as aside:
        aside.write_text(text + "\n", encoding="utf-8")


def read_findings(settings: Settings) -> pd.DataFrame:
    """All findings kept with this profile, data and seed: by name ``value``, ``low``, ``high``, chapter and lambda_.

    An empty table where no chapter was executed yet. ValueError if two chapters keep findings of one name.
    """
    rows = []
    for path in sorted(_folder(settings).glob("*.json")):
        kept = json.loads(path.read_text(encoding="utf-8"))
        about = {"chapter": kept["chapter"], "lambda_": kept["lambda_"]}
        rows += [{"name": name} | found | about for name, found in kept["findings"].items()]
    table = pd.DataFrame(rows, columns=["name", *COLUMNS, "chapter", "lambda_"]).set_index("name")
    if not table.index.is_unique:
        twice = table[table.index.duplicated(keep=False)]
        raise ValueError(f"Two chapters keep one finding: {twice['chapter'].to_dict()}. Name one of them otherwise.")
    return table


def _folder(settings: Settings) -> Path:
    place = hashlib.sha256(str(settings.data_root.resolve()).encode()).hexdigest()[:8]
    return cache_folder() / "findings" / f"{settings.profile}-{place}-seed-{settings.seed}"
