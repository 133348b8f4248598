"""What of the data sets lies under a data root, whether it can be read, where to get the rest."""

import json
import textwrap
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ood_lib.data import DATASETS, class_in, data_folder
from ood_lib.data.enough import too_few_for_later_chapters, too_much_asked
from ood_lib.data.fishyscapes import UNNAMED, versions_in
from ood_lib.data.look import FEWER, attempt, look
from ood_lib.data.sources import size_text, sources
from ood_lib.files import PAINTED_MARK, user_path

NEEDED = (
    ("cityscapes", "train"), ("cityscapes", "val"), ("coco_proxy", "train"),
    ("lost_and_found", "train"), ("lost_and_found", "test"), ("fishyscapes_static", "val"),
)
"""The (data set, split) pairs that the notebooks open."""
Settings = Any  # an ood_lib.settings.Settings, which stands above the data sets
_NUMBERS = ["images", "labels", "blank", "sequences", "published"]


def examine(root: Path | str, sets: Iterable[tuple[str, str]] | None = None,
            details: bool = False) -> pd.DataFrame:
    """Look at (data set, split) pairs, ``sets``, under the data root, by default at all there are.

    One row for each split, and for each version of Fishyscapes Static. images, labels: how many
    there are, NA if that cannot be told, and labels alone NA if they are not public; blank: label
    files without a labelled pixel; sequences: how many there are of images taken moments apart;
    published: how many images there should be; decoded: of the first, the middle and the last
    sample, as "3 of 3"; verdict: complete, incomplete (readable, but not the published number),
    broken (opening or reading fails, or the ids are of another kind) or missing (nothing is there);
    problem: what is wrong or doubtful, and what to do; note: what else there is to say, with
    ``details`` also how many frames show an anomaly, for which all labels are read. Painted data
    are compared with what was painted, by default with nothing else.
    """
    root = user_path(root)
    painted = _painted_counts(root)
    published = [(name, split) for name, dataset in DATASETS.items() for split in dataset.splits]
    rows = []
    for name, split in (painted or published) if sets is None else sets:
        expected = painted.get((name, split), DATASETS[name].splits[split])
        for title, options in _versions(name, root).items():
            row = {"data set": title, "split": split, "published": expected}
            rows.append(row | look(name, split, root, expected, options, details))
    names = ["data set", "split", *_NUMBERS, "decoded", "verdict", "problem", "note"]
    table = pd.DataFrame(rows, columns=names).astype(dict.fromkeys(_NUMBERS, "Int64"))
    held = ", ".join(sorted(path.name for path in root.glob("[!.]*/"))[:10]) or "no folder"
    about = "\nIt is painted: fewer images than published, by design. Complete means as painted."
    table.attrs["heading"] = f"Data in {root}, which holds: {held}{about if painted else ''}"
    return table


def report(table: pd.DataFrame, needed: Collection[tuple[str, str]] = (),
           details: bool = False) -> str:
    """The table of `examine` as text, a line each; the pairs in ``needed`` get a star. What is
    wrong follows. Only with ``details`` come the notes, and what is missing but not needed."""
    shown = table.drop(columns=["problem", "note"]).astype(object).fillna("-")
    pairs = zip(table["data set"].str.split().str[0], table["split"], strict=True)
    is_needed = np.array([pair in needed for pair in pairs])
    shown.insert(0, "", np.where(is_needed, "*", ""))
    lines, blank = [shown.to_string(index=False)], table["blank"].sum()
    if needed:
        lines.append("*  The notebooks need it.")
    if blank:
        also = "as published LostAndFound has 6 in train, 17 in test"
        lines.append(f"Blank label files: {blank}, which no measure counts; {also}.")
    if (table["verdict"] == "incomplete").any() and not details:
        lines.append(f"Incomplete: {FEWER} With details it says where the rest is.")
    parts = [table.attrs["heading"], "\n".join(lines)]
    silent = (table["verdict"] == "missing") & ~is_needed & bool(needed and not details)
    return "\n\n".join(parts + _paragraphs(table[~silent], details))


def _paragraphs(table: pd.DataFrame, details: bool) -> list[str]:
    """For each data set of which there is something to say one, or several if splits differ."""
    whole = {"break_long_words": False, "break_on_hyphens": False}  # so that paths can be copied
    wrap = textwrap.TextWrapper(120, initial_indent="  ", subsequent_indent="  ", **whole)
    told = (table["problem"] + "\n" + (table["note"] if details else "")).str.strip()
    spoken = table.assign(told=told)[told != ""]
    by_text = spoken.groupby(["data set", "verdict", "told"], sort=False)["split"]
    return [
        "\n".join([f"{name} {', '.join(splits)}: {verdict}", *map(wrap.fill, text.splitlines())])
        for (name, verdict, text), splits in by_text
    ]


def require(settings: Settings) -> None:
    """Print the report on the data that the notebooks need. FileNotFoundError names all at once
    that is missing or broken, or what settings ask for too much; what is incomplete, or too little
    for later chapters, is told and does not stop them."""
    table = examine(settings.data_root, NEEDED)
    print(report(table))
    can_run_early, sentence = _early_and_all(table, settings)[::2]
    if not can_run_early:
        problems = table["problem"][table["verdict"].isin(["missing", "broken"])].unique()
        raise FileNotFoundError("\n".join([sentence, *problems]))
    print(sentence)


def judge(table: pd.DataFrame, settings: Settings) -> tuple[bool, str]:
    """Whether every chapter can run on the data of the table, and a sentence that says so: all is
    there, the weights too, as much as the settings ask for, and as many anomalies as the chapters
    do. Whether the network marks any of them shows only when it runs."""
    return _early_and_all(table, settings)[1:]


def _early_and_all(table: pd.DataFrame, settings: Settings) -> tuple[bool, bool, str]:
    """Whether the first chapters can run, whether all can, and the sentence of `judge`."""
    profile, obstacles = f"The profile {settings.profile}", _obstacles(table, settings)
    few, error = ([], None) if obstacles else attempt(too_few_for_later_chapters, settings)
    if error:  # of a label that was not among those looked at
        obstacles = [str(error).rstrip(".")]
    if obstacles:
        return False, False, f"{profile} cannot run: {', '.join(obstacles)}."
    if few:
        early = "can run chapters 1 to 4, 3a and 3b on this data, not all of the later ones"
        return True, False, f"{profile} {early}, which need {', '.join(few)}."
    return True, True, f"{profile} can run on this data."


def _obstacles(table: pd.DataFrame, settings: Settings) -> list[str]:
    """What keeps any chapter from running, or nearly any."""
    verdicts = table.set_index(["data set", "split"])["verdict"].to_dict()
    obstacles = []
    for name, split in NEEDED:
        dataset, error = attempt(settings.open, name, split)
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
    return obstacles or too_much_asked(settings)


def _versions(name: str, root: Path) -> dict[str, dict[str, str]]:
    """What to call a data set and how to open it; of Fishyscapes Static all versions there are."""
    folder = data_folder(name, root)
    if name != "fishyscapes_static" or class_in(name, folder) is not DATASETS[name]:
        return {name: {}}
    titles = {}
    for version in versions_in(folder) or ["composed"]:
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
