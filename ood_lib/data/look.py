"""What lies of one split of a data set under a data root, and whether it can be read."""

from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from ood_lib.data import SegmentationDataset, class_in, data_folder, open_dataset
from ood_lib.data.course import COURSE_FOLDERS
from ood_lib.data.folders import Frame
from ood_lib.data.labels import IGNORE_INDEX
from ood_lib.data.sample import read_labels
from ood_lib.data.sources import advice

FEWER = "not as many as published: results are not those of the whole data set."
_TELLING = {
    "cityscapes": ({*range(6, 19)}, "an id above 18: these seem to be train ids, not label ids"),
    "lost_and_found": ({1}, "an obstacle, of the ids from 2: these seem to be other labels"),
}  # targets of which any few frames hold one, and what is missing in the labels if none does
_LOOKED_AT = 20  # frames, at most, in which such a target is looked for


def look(name: str, split: str, root: Path, expected: int, options: dict[str, str],
         details: bool) -> dict[str, Any]:
    """A row of `ood_lib.data.doctor.examine` on the split, of which ``expected`` were published."""
    folder = data_folder(name, root)
    others = "".join(f", or {other}" for other, of in COURSE_FOLDERS.items() if of == name)
    where = f"Expected directly in: {folder}{others}\n{advice(name, root)}"
    row = {"images": 0, "labels": 0, "decoded": "-", "problem": "", "note": ""}
    if not folder.is_dir():
        return row | {"verdict": "missing", "problem": f"It is not there. {where}"}
    dataset, error = attempt(open_dataset, name, folder, split, **options)
    count = class_in(name, folder).count
    if error:
        counts, _ = attempt(count, folder, split, **options)
        row["images"], row["labels"] = counts or (None, None)
        is_missing = isinstance(error, FileNotFoundError) and not any(counts or ())
        verdict = "missing" if is_missing else "broken"
        return row | {"verdict": verdict, "problem": f"{error}\n{where}"}

    images, labels = len(dataset), sum(frame.label is not None for frame in dataset.frames)
    if images != expected:  # the proxy is but a part of COCO
        images, labels = count(folder, split, **options)
    row |= {"images": images, "labels": labels or None}
    row |= _read_some(name, dataset, bool(labels), details)
    if row.get("verdict") == "broken":
        return row | {"problem": f"{row['problem']}\n{where}"}
    # The proxy can only be opened where all images are that it reads.
    are_all = images == expected or name == "coco_proxy"
    if are_all and (labels == expected or not dataset.labelled):
        return row | {"verdict": "complete"}
    note = f"There are {FEWER}\n{where}\n{row['note']}".rstrip()
    return row | {"verdict": "incomplete", "note": note}


def _read_some(name: str, dataset: SegmentationDataset, has_labels: bool,
               details: bool) -> dict[str, Any]:
    """What three samples say, decoded, and if they can be read, what the labels say."""
    places = sorted({0, len(dataset) // 2, len(dataset) - 1})
    errors = [error for place in places if (error := attempt(dataset.__getitem__, place)[1])]
    row: dict[str, Any] = {"decoded": f"{len(places) - len(errors)} of {len(places)}"}
    if name == "coco_proxy":  # it has one label file, no anomalies, and no images in sequence
        return row | ({"verdict": "broken", "problem": str(errors[0])} if errors else {})
    row["sequences"] = len({frame.sequence for frame in dataset.frames})
    doubt = _doubt(dataset) if name == "lost_and_found" else ""
    if has_labels and not errors:
        read, error = attempt(_read_labels, name, dataset, details)
        row |= read or {}
        errors = [error] if error else []
    broken = {"verdict": "broken", "problem": f"{errors[0]} {doubt}".rstrip()} if errors else {}
    return row | {"problem": doubt} | broken


def _read_labels(name: str, dataset: SegmentationDataset, details: bool) -> dict[str, Any]:
    """blank and note. ValueError if the labels of some frames look foreign."""
    targets, what = _TELLING.get(name, ({1}, "an anomaly: 1 should be one, 0 and 255 not"))
    some = _some(dataset)
    if not any(np.isin(dataset.read_target(frame), [*targets]).any() for frame in some):
        raise ValueError(f"None of the {len(some)} frames that were looked at has {what}.")
    # Blank files are smaller than others, so that hardly more than these are read.
    by_size = sorted(dataset.frames, key=lambda frame: frame.label.stat().st_size)
    blank = list(takewhile(lambda f: (dataset.read_target(f) == IGNORE_INDEX).all(), by_size))
    notes = [f"Blank: {', '.join(sorted(frame.id for frame in blank))}"] if blank else []
    if details and name != "cityscapes":
        shown = [frame for frame in dataset.frames if has_anomaly(dataset, frame)]
        sequences = len({frame.sequence for frame in shown})
        notes.append(f"Frames with an anomaly: {len(shown)}, in sequences: {sequences}")
    return {"blank": len(blank), "note": "\n".join(notes)}


def _doubt(dataset: SegmentationDataset) -> str:
    """A sentence if LostAndFound's ids may be train ids: 1 free space, 2 any obstacle, 255."""
    read = [attempt(read_labels, frame.label, upright=False)[0] for frame in _some(dataset)]
    ids = {i for labels in read if labels is not None for i in np.unique(labels).tolist()}
    if 2 not in ids or ids - {0, 1, 2, IGNORE_INDEX}:
        return ""
    return "Obstacles seen here all have the id 2, as in train ids: give *_gtCoarse_labelIds.png."


def _some(dataset: SegmentationDataset) -> list[Frame]:
    return dataset.take(min(_LOOKED_AT, len(dataset))).frames


def has_anomaly(dataset: SegmentationDataset, frame: Frame) -> bool:
    """Whether the target of any pixel is 1."""
    return frame.label is not None and bool((dataset.read_target(frame) == 1).any())


def attempt(work: Callable[..., Any], *args: Any, **options: Any) -> tuple[Any, Exception | None]:
    """What the work gives, or its error of whatever kind: one bad data set must not hide others."""
    try:
        return work(*args, **options), None
    except Exception as error:
        is_ours = isinstance(error, FileNotFoundError | ValueError)  # which tell what to do
        return None, error if is_ours else ValueError(f"{type(error).__name__}: {error}.")
