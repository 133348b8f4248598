"""What of the data sets lies under a data root, whether it can be read, where to get the rest."""

import json
import textwrap
from collections.abc import Callable, Collection, Iterable
from itertools import takewhile
from pathlib import Path
from typing import Any

import pandas as pd

from ood_lib.data import DATASETS, Sample, SegmentationDataset, open_dataset
from ood_lib.data.fishyscapes import UNNAMED, versions_in
from ood_lib.data.labels import IGNORE_INDEX
from ood_lib.data.sources import advice, size_text, sources
from ood_lib.files import PAINTED_MARK, user_path

NEEDED = (
    ("cityscapes", "train"), ("cityscapes", "val"), ("coco_proxy", "train"),
    ("lost_and_found", "train"), ("lost_and_found", "test"), ("fishyscapes_static", "val"),
)
"""The (data set, split) pairs that the notebooks open."""
Settings = Any  # an ood_lib.settings.Settings, which stands above the data sets
_TELLING = {
    "cityscapes": ({*range(6, 19)}, "an id above 18: these seem to be train ids, not label ids"),
    "lost_and_found": ({1}, "an obstacle, of the ids from 2: these seem to be other labels"),
}  # targets of which any few frames hold one, and what is missing in the labels if none does
_FEWER = "not as many as published: results are not those of the whole data set."


def examine(root: Path | str, sets: Iterable[tuple[str, str]] | None = None) -> pd.DataFrame:
    """Look at (data set, split) pairs, ``sets``, under the data root, by default at all there are.

    One row for each split, and for each version of Fishyscapes Static. images, labels: how many
    there are, NA if that cannot be told, and labels alone NA if they are not public; blank: label
    files without a labelled pixel; published: how many images there should be; decoded: of the
    first, the middle and the last sample, as "3 of 3"; verdict: complete, incomplete (readable, but
    not the published number), broken (opening or reading fails, or the ids are of another kind) or
    missing (nothing is there); problem: what is wrong and what to do. Painted data are compared
    with what was painted, by default with nothing else.
    """
    root = user_path(root)
    painted = _painted_counts(root)
    published = [(name, split) for name, dataset in DATASETS.items() for split in dataset.splits]
    rows = []
    for name, split in (painted or published) if sets is None else sets:
        expected = painted.get((name, split), DATASETS[name].splits[split])
        for title, options in _versions(name, root).items():
            row = {"data set": title, "split": split, "published": expected}
            rows.append(row | _look(name, root, split, expected, options))
    numbers = ["images", "labels", "blank", "published"]
    names = ["data set", "split", *numbers, "decoded", "verdict", "problem"]
    table = pd.DataFrame(rows, columns=names).astype(dict.fromkeys(numbers, "Int64"))
    held = ", ".join(sorted(path.name for path in root.glob("[!.]*/"))[:10]) or "no folder"
    about = "\nIt is painted: fewer images than published, by design. Complete means as painted."
    table.attrs["heading"] = f"Data in {root}, which holds: {held}{about if painted else ''}"
    return table


def report(table: pd.DataFrame, needed: Collection[tuple[str, str]] = (),
           details: bool = False) -> str:
    """The table of `examine` as text, a line each; the pairs in ``needed`` get a star. What to do
    follows, of what is incomplete only with ``details``."""
    shown = table.drop(columns="problem").astype(object).fillna("-")
    pairs = zip(table["data set"].str.split().str[0], table["split"], strict=True)
    shown.insert(0, "", ["*" if pair in needed else "" for pair in pairs])
    lines, blank = [shown.to_string(index=False)], table["blank"].sum()
    incomplete = table["verdict"] == "incomplete"
    if needed:
        lines.append("*  The notebooks need it.")
    if blank:
        lines.append(f"Blank label files: {blank}. LostAndFound, too, has some as published.")
    if incomplete.any() and not details:
        lines.append(f"Incomplete: {_FEWER} With details it says where the rest is.")
    parts = [table.attrs["heading"], "\n".join(lines)]
    problems = table[(table["problem"] != "") & (details | ~incomplete)]
    whole = {"break_long_words": False, "break_on_hyphens": False}  # so that paths can be copied
    wrap = textwrap.TextWrapper(120, initial_indent="  ", subsequent_indent="  ", **whole)
    by_problem = problems.groupby(["data set", "verdict", "problem"], sort=False)["split"]
    for (name, verdict, problem), splits in by_problem:
        what_to_do = map(wrap.fill, problem.splitlines())
        parts.append("\n".join([f"{name} {', '.join(splits)}: {verdict}", *what_to_do]))
    return "\n\n".join(parts)


def require(settings: Settings) -> None:
    """Print the report on the data that the notebooks need. FileNotFoundError names all at once
    that is missing, broken or too little; what is incomplete does not stop them."""
    table = examine(settings.data_root, NEEDED)
    print(report(table))
    can_run, sentence = judge(table, settings)
    if not can_run:
        problems = table["problem"][table["verdict"].isin(["missing", "broken"])].unique()
        raise FileNotFoundError("\n".join([sentence, *problems]))


def judge(table: pd.DataFrame, settings: Settings) -> tuple[bool, str]:
    """Whether the notebooks can run on the data of the table, and a sentence that says so: all is
    there, the weights too, and as much as the settings ask for."""
    verdicts = table.set_index(["data set", "split"])["verdict"].to_dict()
    obstacles = []
    for name, split in NEEDED:
        dataset, error = _attempt(settings.open, name, split)
        reason = f"not there as the notebooks open it ({str(error).rstrip('.')})"
        # Fishyscapes Static in other versions has no row of its own.
        verdict = verdicts.get((name, split), reason if error else "complete")
        is_measured = split != "train" or name == "lost_and_found"
        if verdict not in ("complete", "incomplete"):
            obstacles.append(f"{name} {split} is {verdict}")
        elif is_measured and len({frame.sequence for frame in dataset.frames}) < 2:
            advice = "and an interval needs two: add another"
            obstacles.append(f"{name} {split} is one sequence, {advice}")
    if isinstance(settings.checkpoint, Path) and not settings.checkpoint.is_file():
        obstacles.append(f"the weights {settings.checkpoint} are missing")
        if source := sources().get(settings.checkpoint.name):
            size = size_text(source.archives[0].about)
            obstacles[-1] += f" (get them, {size}, by the README of {source.page})"
    obstacles = obstacles or _too_little(settings)
    ends = f"cannot run: {', '.join(obstacles)}." if obstacles else "can run on this data."
    return not obstacles, f"The profile {settings.profile} {ends}"


def _too_little(settings: Settings) -> list[str]:
    """The settings that ask for more than the data, which can all be opened, give."""
    few = []
    scenes, fraction = settings.open("cityscapes", "train"), settings.proxy_fraction
    recipe = settings.closed_set if settings.checkpoint is None else None
    if recipe and recipe.batch_size > len(scenes):
        few.append(f"lower batch_size={recipe.batch_size} of closed_set to {len(scenes)} or less")
    try:
        scenes, proxy = scenes.take(settings.num_in_distribution), settings.open_proxy()
    except ValueError as error:
        return [*few, str(error).rstrip(".")]
    number = int(fraction * len(scenes) + 1e-6)  # as fine-tuning has it
    if number > len(proxy) or number == 0 < fraction:
        advice = "lower it" if number else "raise it"
        few.append(f"proxy_fraction={fraction} is {number} of {len(proxy)} proxy images: {advice}")
    return few


def _look(name: str, root: Path, split: str, expected: int,
          options: dict[str, str]) -> dict[str, Any]:
    """What a row of `examine` says of the data that are there."""
    folder = root / DATASETS[name].folder
    where = f"Expected directly in: {folder}\n{advice(name, root)}"
    row = {"images": 0, "labels": 0, "decoded": "-"}
    if not folder.is_dir():
        return row | {"verdict": "missing", "problem": f"It is not there. {where}"}
    dataset, error = _attempt(open_dataset, name, folder, split, **options)
    if error:
        counts, _ = _attempt(DATASETS[name].count, folder, split, **options)
        row["images"], row["labels"] = counts or (None, None)
        is_missing = isinstance(error, FileNotFoundError) and not any(counts or ())
        verdict = "missing" if is_missing else "broken"
        return row | {"verdict": verdict, "problem": f"{error}\n{where}"}

    images, labels = len(dataset), sum(frame.label is not None for frame in dataset.frames)
    if images != expected:  # the proxy is but a part of COCO
        images, labels = DATASETS[name].count(folder, split, **options)
    places = sorted({0, len(dataset) // 2, len(dataset) - 1})
    looks = [_attempt(dataset.__getitem__, place) for place in places]
    errors = [error for _, error in looks if error]
    decoded = f"{len(places) - len(errors)} of {len(places)}"
    row = {"images": images, "labels": labels or None, "decoded": decoded}
    if labels and not errors:
        row["blank"], error = _attempt(_count_blank, name, dataset, [sample for sample, _ in looks])
        errors = [error] if error else []
    if errors:
        return row | {"verdict": "broken", "problem": f"{errors[0]}\n{where}"}
    # The proxy can only be opened where all images are that it reads.
    are_all = images == expected or name == "coco_proxy"
    if are_all and (labels == expected or not dataset.labelled):
        return row | {"verdict": "complete", "problem": ""}
    return row | {"verdict": "incomplete", "problem": f"There are {_FEWER}\n{where}"}


def _count_blank(name: str, dataset: SegmentationDataset, samples: list[Sample]) -> int | None:
    """How many label files label no pixel. ValueError if those of the samples look foreign."""
    if name == "coco_proxy":  # there is but one file, and targets are drawn by its outlines
        return None
    targets, what = _TELLING.get(name, ({1}, "an anomaly: 1 should be one, 0 and 255 not"))
    if not any(targets & set(sample.target.unique().tolist()) for sample in samples):
        raise ValueError(f"None of the {len(samples)} frames that were looked at has {what}.")
    # Blank files are smaller than others, so that hardly more than these are read.
    by_size = sorted(dataset.frames, key=lambda frame: frame.label.stat().st_size)
    blank = takewhile(lambda frame: (dataset.read_target(frame) == IGNORE_INDEX).all(), by_size)
    return len(list(blank))


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
    drives = (size[f"{split}_sequences"] * size["frames"] for split in ("tuning", "test"))
    pasted = min(size["fishyscapes"], size["val"])
    counts = (size["train"], size["val"], size["proxy"], *drives, pasted)
    return {pair: count for pair, count in zip(NEEDED, counts, strict=True) if count}
