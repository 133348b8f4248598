"""What of the data sets lies under a data root, whether it can be read, where to get the rest."""

import json
import textwrap
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from ood_lib.data import DATASETS, open_dataset
from ood_lib.data.fishyscapes import UNNAMED, versions_in
from ood_lib.files import PAINTED_MARK

NEEDED = (
    ("cityscapes", "train"), ("cityscapes", "val"), ("coco_proxy", "train"),
    ("lost_and_found", "train"), ("lost_and_found", "test"), ("fishyscapes_static", "val"),
)
"""The (data set, split) pairs that the notebooks open."""
WEIGHTS = {"cityscapes_best.pth": "https://github.com/NVIDIA/semantic-segmentation/tree/sdcnet"}
"""The page that links to published weights, by the name of their file."""


class RunSettings(Protocol):
    """What is asked of an `ood_lib.settings.Settings`."""

    profile: str
    data_root: Path
    checkpoint: Path | str | None


def examine(root: Path | str, sets: Iterable[tuple[str, str]] | None = None) -> pd.DataFrame:
    """Look at (data set, split) pairs, ``sets``, under the data root, by default at all there are.

    One row for each split, and for each version of Fishyscapes Static. images, labels: how many
    there are, NA if that cannot be told, and labels alone NA if they are not public; published: how
    many there should be; decoded: of the first, the middle and the last sample, as "3 of 3";
    verdict: complete, incomplete (readable, but not the published number), broken (opening or
    reading fails) or missing (nothing is there); problem: what is wrong and what to do. Painted
    data are compared with what was painted, by default with nothing else.
    """
    root = Path(root).expanduser()
    painted = _painted_counts(root)
    published = [(name, split) for name, dataset in DATASETS.items() for split in dataset.splits]
    rows = []
    for name, split in (painted or published) if sets is None else sets:
        expected = painted.get((name, split), DATASETS[name].splits[split])
        for title, options in _versions(name, root).items():
            images, labels, *rest = _look(name, root, split, expected, options)
            rows.append((title, split, images, labels, expected, *rest))
    names = ["data set", "split", "images", "labels", "published", "decoded", "verdict", "problem"]
    table = pd.DataFrame(rows, columns=names).astype({"images": "Int64", "labels": "Int64"})
    held = ", ".join(sorted(path.name for path in root.glob("[!.]*/"))[:10]) or "no folder"
    about = "\nIt is painted: fewer images than published, by design. Complete means as painted."
    table.attrs["heading"] = f"Data in {root}, which holds: {held}{about if painted else ''}"
    return table


def report(table: pd.DataFrame, needed: Collection[tuple[str, str]] = ()) -> str:
    """The table of `examine` as text, and what to do; the pairs in ``needed`` get a star."""
    shown = table.drop(columns="problem").astype(object).fillna("-")
    pairs = zip(table["data set"].str.split().str[0], table["split"], strict=True)
    shown.insert(0, "", ["*" if pair in needed else "" for pair in pairs])
    parts = [table.attrs["heading"], shown.to_string(index=False)]
    if needed:
        parts[-1] += "\n*  The notebooks need it."
    problems = table[table["problem"] != ""].groupby(["data set", "verdict", "problem"], sort=False)
    whole = {"break_long_words": False, "break_on_hyphens": False}  # so that paths can be copied
    for (name, verdict, problem), splits in problems["split"]:
        lines = [textwrap.fill(line, 118, **whole) for line in problem.splitlines()]
        what_to_do = textwrap.indent("\n".join(lines), "  ")
        parts.append(f"{name} {', '.join(splits)}: {verdict}\n{what_to_do}")
    return "\n\n".join(parts)


def require(settings: RunSettings) -> None:
    """Print the report on the data that the notebooks need. FileNotFoundError names all at once
    that is missing or broken, the weights included; what is incomplete does not stop them."""
    table = examine(settings.data_root, NEEDED)
    print(report(table))
    can_run, sentence = judge(table, settings)
    if not can_run:
        problems = table["problem"][table["verdict"].isin(["missing", "broken"])].unique()
        raise FileNotFoundError("\n".join([sentence, *problems]))


def judge(table: pd.DataFrame, settings: RunSettings) -> tuple[bool, str]:
    """Whether the notebooks can run on the data of the table, and a sentence that says so."""
    verdicts = table.set_index(["data set", "split"])["verdict"].to_dict()
    obstacles = []
    for name, split in NEEDED:
        verdict = verdicts.get((name, split))
        if verdict is None:  # no row of its own, as Fishyscapes Static in other versions
            folder = settings.data_root / DATASETS[name].folder
            _, error = _attempt(open_dataset, name, folder, split)
            reason = str(error).rstrip(".")
            verdict = f"not there as the notebooks open it ({reason})" if error else "complete"
        if verdict not in ("complete", "incomplete"):
            obstacles.append(f"{name} {split} is {verdict}")
    if isinstance(settings.checkpoint, Path) and not settings.checkpoint.is_file():
        obstacles.append(f"the weights {settings.checkpoint} are missing")
        if page := WEIGHTS.get(settings.checkpoint.name):
            obstacles[-1] += f" (get them by the README of {page})"
    ends = f"cannot run: {', '.join(obstacles)}." if obstacles else "can run on this data."
    return not obstacles, f"The profile {settings.profile} {ends}"


def _look(
    name: str, root: Path, split: str, expected: int, options: dict[str, str]
) -> tuple[int | None, int | None, str, str, str]:
    """images, labels, decoded, verdict and problem of `examine`."""
    folder = root / DATASETS[name].folder
    where = f"\nExpected directly in: {folder}\nGet it from: {DATASETS[name].page}"
    if not folder.is_dir():
        return 0, 0, "-", "missing", f"It is not there.{where}"
    dataset, error = _attempt(open_dataset, name, folder, split, **options)
    if error:
        counts, _ = _attempt(DATASETS[name].count, folder, split, **options)
        is_missing = isinstance(error, FileNotFoundError) and not any(counts or ())
        verdict = "missing" if is_missing else "broken"
        return *(counts or (None, None)), "-", verdict, f"{error}{where}"

    images, labels = len(dataset), sum(frame.label is not None for frame in dataset.frames)
    if images != expected:  # the proxy is but a part of COCO
        images, labels = DATASETS[name].count(folder, split, **options)
    places = sorted({0, len(dataset) // 2, len(dataset) - 1})
    errors = [error for place in places if (error := _attempt(dataset.__getitem__, place)[1])]
    found = images, labels or None, f"{len(places) - len(errors)} of {len(places)}"
    if errors:
        return *found, "broken", f"{errors[0]}{where}"
    if images == expected and (labels == expected or not dataset.labelled):
        return *found, "complete", ""
    problem = "There are not as many as published: results are not those of the whole data set."
    return *found, "incomplete", f"{problem}{where}"


def _attempt(work: Callable[..., Any], *args: Any, **options: Any) -> tuple[Any, Exception | None]:
    """What the work gives, or its error of whatever kind: one bad data set must not hide others."""
    try:
        return work(*args, **options), None
    except Exception as error:
        is_ours = isinstance(error, FileNotFoundError | ValueError)  # which tell what to do
        return None, error if is_ours else ValueError(f"{type(error).__name__}: {error}.")


def _versions(name: str, root: Path) -> dict[str, dict[str, str]]:
    """What to call a data set and how to open it; of Fishyscapes Static all versions there are."""
    if name != "fishyscapes_static":
        return {name: {}}
    titles = {}
    for version in versions_in(root / DATASETS[name].folder) or ["composed"]:
        title = name if version == "composed" else f"{name} {version}"
        titles[title] = {"version": "v3" if version == UNNAMED else version}  # all are read alike
    return titles


def _painted_counts(root: Path) -> dict[tuple[str, str], int]:
    """How many images were painted for each pair; empty if the data are not painted."""
    if not (root / PAINTED_MARK).is_file():
        return {}
    size = json.loads((root / PAINTED_MARK).read_text(encoding="utf-8"))
    counts = (
        size["train"], size["val"], size["proxy"],
        size["tuning_sequences"] * size["frames"], size["test_sequences"] * size["frames"],
        min(size["fishyscapes"], size["val"]),
    )
    return {pair: count for pair, count in zip(NEEDED, counts, strict=True) if count}
