"""What of the data sets lies under a data root, whether it can be read, and where to get what is not there."""

import json
import textwrap
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from ood_lib.data import DATASETS, SegmentationDataset, open_dataset
from ood_lib.files import PAINTED_MARK

if TYPE_CHECKING:
    from ood_lib.profiles import Settings  # which imports this package

NEEDED = (
    ("cityscapes", "train"),
    ("cityscapes", "val"),
    ("coco_proxy", "train"),
    ("lost_and_found", "train"),
    ("lost_and_found", "test"),
    ("fishyscapes_static", "val"),
)
"""The (data set, split) pairs that the notebooks open."""


class _Finding(NamedTuple):
    images: int | None
    labels: int | None
    decoded: str
    verdict: str
    problem: str


def examine(root: Path | str, sets: Iterable[tuple[str, str]] | None = None) -> pd.DataFrame:
    """Look at the (data set, split) pairs ``sets`` under the data root, by default at every one that there is.

    One row for each split, and for each version of Fishyscapes Static. images, labels: how many there are, NA if that
    cannot be told, and labels alone NA if they are not public; published: how many there should be; decoded: how many
    of the first, the middle and the last sample can be read, as "3 of 3"; verdict: complete, incomplete (readable, but
    not the published number), broken (opening or reading fails) or missing (nothing is there); problem: what is wrong
    and what to do, empty if complete.

    Painted data are compared with the numbers that were painted, and by default nothing else is looked for in them.
    """
    root = Path(root).expanduser()
    published = {(name, split): count for name, cls in DATASETS.items() for split, count in cls.splits.items()}
    painted = _painted_counts(root)
    rows = []
    for name, split in painted or published if sets is None else sets:
        folder, expected = root / DATASETS[name].folder, painted.get((name, split), published[name, split])
        for title, options in _versions(name, folder).items():
            finding = _look(name, folder, split, expected, options)
            rows.append({"data set": title, "split": split, "published": expected} | finding._asdict())
    columns = ["data set", "split", "images", "labels", "published", "decoded", "verdict", "problem"]
    table = pd.DataFrame(rows, columns=columns).astype({"images": "Int64", "labels": "Int64"})
    held = ", ".join(sorted(path.name for path in root.glob("[!.]*/"))[:10]) or "no folder"
    table.attrs["heading"] = f"Data in {root}, which holds: {held}"
    if painted:
        table.attrs["heading"] += "\nIt is painted: fewer images than published, by design. Complete means as painted."
    return table


def report(table: pd.DataFrame, needed: Collection[tuple[str, str]] = ()) -> str:
    """The table of `examine` as text, and below it what to do; the rows of the pairs in ``needed`` get a star."""
    cells = [["", "data set", "split", "images", "labels", "decoded", "verdict"]]
    for name, split, images, labels, published, decoded, verdict, _ in table.itertuples(index=False):
        counts = ["-" if pd.isna(count) else f"{count:,} of {published:,}" for count in (images, labels)]
        if counts[0] != "-" == counts[1]:
            counts[1] = "not public"
        cells.append(["*" if (name.split()[0], split) in needed else "", name, split, *counts, decoded, verdict])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
    parts = [table.attrs["heading"], "\n".join(lines)]
    if needed:
        parts[-1] += "\n*  The notebooks need it."
    problems = table[table["problem"] != ""].groupby(["data set", "verdict", "problem"], sort=False)["split"]
    for (name, verdict, problem), splits in problems:
        parts.append(f"{name} {', '.join(splits)}: {verdict}\n{_indented(problem)}")
    return "\n\n".join(parts)


def require(settings: "Settings") -> None:
    """Print the report on the data sets that the notebooks need; what is incomplete does not stop them.

    FileNotFoundError names all at once that is missing or broken, the weights included.
    """
    table = examine(settings.data_root, NEEDED)
    print(report(table))
    can_run, sentence = judge(table, settings)
    if not can_run:
        problems = table["problem"][table["verdict"].isin(["missing", "broken"])].unique()
        raise FileNotFoundError("\n".join([sentence, *problems]))


def judge(table: pd.DataFrame, settings: "Settings") -> tuple[bool, str]:
    """Whether the notebooks can run with these settings on the data of the table, and a sentence that says so."""
    verdicts = table.set_index(["data set", "split"])["verdict"].to_dict()
    obstacles = []
    for name, split in NEEDED:
        verdict = verdicts.get((name, split), "")
        if not verdict:  # no row of its own, as Fishyscapes Static where there are but other versions
            try:
                settings.open(name, split)
            except (FileNotFoundError, ValueError) as error:
                verdict = f"not there as the notebooks open it ({str(error).rstrip('.')})"
        if verdict not in ("complete", "incomplete", ""):
            obstacles.append(f"{name} {split} is {verdict}")
    if isinstance(settings.checkpoint, Path) and not settings.checkpoint.is_file():
        obstacles.append(f"the weights {settings.checkpoint} are missing")
    if obstacles:
        return False, f"The profile {settings.profile} cannot run: {', '.join(obstacles)}."
    return True, f"The profile {settings.profile} can run on this data."


def _look(name: str, folder: Path, split: str, expected: int, options: dict[str, str]) -> _Finding:
    where = f"\nExpected directly in: {folder}\nGet it from: {DATASETS[name].page}"
    if not folder.is_dir():
        return _Finding(0, 0, "-", "missing", f"It is not there.{where}")
    try:
        dataset = open_dataset(name, folder, split, **options)
        images, labels = len(dataset), sum(frame.label is not None for frame in dataset.frames)
        if images != expected:  # the proxy is not all of COCO
            images, labels = DATASETS[name].count(folder, split, **options)
    except Exception as error:  # whatever a folder may hold: one bad data set must not hide what is said of the others
        images = labels = None
        with suppress(Exception):  # what is wrong is already known
            images, labels = DATASETS[name].count(folder, split, **options)
        is_missing = isinstance(error, FileNotFoundError) and not (images or labels)
        return _Finding(images, labels, "-", "missing" if is_missing else "broken", f"{_words(error)}{where}")
    decoded, error = _decode(dataset)
    verdict, problem = "complete", ""
    if error is not None:
        verdict, problem = "broken", f"{_words(error)}{where}"
    elif differences := _differences(images, labels if dataset.labelled else expected, expected):
        verdict = "incomplete"
        problem = f"There are {differences} than published: results on it are not those of the whole data set.{where}"
    return _Finding(images, labels or None, decoded, verdict, problem)


def _differences(images: int, labels: int, expected: int) -> str:
    """How the numbers differ from the expected one; nothing if they do not."""
    return " and ".join(
        f"{abs(n - expected):,} {'more' if n > expected else 'fewer'} {kind}{'' if abs(n - expected) == 1 else 's'}"
        for kind, n in (("image", images), ("label", labels))
        if n != expected
    )


def _decode(dataset: SegmentationDataset) -> tuple[str, Exception | None]:
    """How many of the first, the middle and the last sample can be read, and why the first that cannot be, cannot."""
    places = sorted({0, len(dataset) // 2, len(dataset) - 1})
    errors = []
    for place in places:
        try:
            dataset[place]
        except Exception as error:  # as in _look
            errors.append(error)
    return f"{len(places) - len(errors)} of {len(places)}", errors[0] if errors else None


def _versions(name: str, folder: Path) -> dict[str, dict[str, str]]:
    """What to call a data set, and the options to open it with: one entry, or one for each version that is there."""
    if name != "fishyscapes_static":
        return {name: {}}
    versions = [path.name.removeprefix("fs_val_") for path in sorted(folder.glob("fs_val_v*/"))]
    found = {f"{name} {version}": {"version": version} for version in versions}
    if not versions and any(folder.glob("*_rgb.npz")):
        found = {f"{name} v?": {"version": "v3"}}  # unpacked without the folder that names it, all are read alike
    return {name: {}} | found if not found or (folder / "Static").is_dir() else found


def _painted_counts(root: Path) -> dict[tuple[str, str], int]:
    """How many images were painted for each pair; empty if the data are not painted."""
    manifest = root / PAINTED_MARK
    if not manifest.is_file():
        return {}
    size = json.loads(manifest.read_text(encoding="utf-8"))
    counts = {
        ("cityscapes", "train"): size["train"],
        ("cityscapes", "val"): size["val"],
        ("coco_proxy", "train"): size["proxy"],
        ("lost_and_found", "train"): size["tuning_sequences"] * size["frames"],
        ("lost_and_found", "test"): size["test_sequences"] * size["frames"],
        ("fishyscapes_static", "val"): min(size["fishyscapes"], size["val"]),
    }
    return {pair: count for pair, count in counts.items() if count}


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, FileNotFoundError | ValueError) else f"{type(error).__name__}: {error}."


def _indented(text: str) -> str:
    """Lines of at most 120 columns; a path stays whole, so that it can be copied."""
    lines = [textwrap.fill(line, 118, break_long_words=False, break_on_hyphens=False) for line in text.splitlines()]
    return textwrap.indent("\n".join(lines), "  ")
