"""Whether the data under a data root are as many as the settings, and the chapters, ask for."""

import random
from typing import Any

from ood_lib.data import SegmentationDataset
from ood_lib.data.folders import Frame
from ood_lib.data.labels import LOST_AND_FOUND_TARGET_OF_ID, OBSTACLE_TARGET_OF_ID
from ood_lib.data.look import has_anomaly
from ood_lib.data.sample import read_labels

Settings = Any  # an ood_lib.settings.Settings, which stands above the data sets

SCENES = 40
"""Street scenes with which chapter 8 trains."""
PROXIES = 20
"""Proxy images that chapter 8 draws, as a run that it reports; and so many of each of `KINDS`."""
KINDS = {"L-20 %": (0, 0.2), "M-80 %": (0.8, 1)}
"""The kinds of proxy images that chapter 9 compares, by their shares of OoD pixels."""
ANOMALIES = {
    ("lost_and_found", "train"): (60, 12),
    ("lost_and_found", "test"): (100, 20),
    ("fishyscapes_static", "val"): (15, 15),
}
"""In how many frames, and sequences, an anomaly is enough for chapters 5 to 13, which learn from
segments of both kinds: so it was on painted frames. From 66 frames of 22 test drives chapter 11 got
too few segments at the threshold 0.7 of a network that was hardly trained."""


def too_much_asked(settings: Settings) -> list[str]:
    """The settings that ask for more than the data, which can all be opened, give."""
    few = []
    scenes, fraction = settings.open("cityscapes", "train"), settings.proxy_fraction
    recipe = settings.closed_set if settings.checkpoint is None else None
    sizes = {"": settings.batch_size, " of closed_set": recipe.batch_size if recipe else 0}
    for of, size in sizes.items():
        if size > len(scenes):
            few.append(f"lower batch_size={size}{of} to {len(scenes)} or less")
    asked = settings.num_in_distribution or len(scenes)
    if asked > len(scenes):
        few.append(f"lower num_in_distribution={asked} to {len(scenes)} or less, or null for all")
    try:
        proxy = settings.open_proxy()
    except ValueError as error:
        return [*few, str(error).rstrip(".")]
    number = int(fraction * min(asked, len(scenes)) + 1e-6)  # as fine-tuning has it
    if number > len(proxy) or number == 0 < fraction:
        advice = "lower it" if number else "raise it"
        few.append(f"proxy_fraction={fraction} is {number} of {len(proxy)} proxy images: {advice}")
    return few


def too_few_for_later_chapters(settings: Settings) -> list[str]:
    """What the chapters from the fifth on lack, in words."""
    few = []
    scenes, proxy = settings.open("cityscapes", "train"), settings.open("coco_proxy")
    if len(scenes) < SCENES:
        few.append(f"{SCENES} images of cityscapes train (here {len(scenes)})")
    if len(proxy) < PROXIES:
        few.append(f"{PROXIES} proxy images (here {len(proxy)})")
    shares = proxy.properties["ood_share"]
    for kind, bounds in KINDS.items():
        if (count := shares.between(*bounds).sum()) < PROXIES:
            few.append(f"{PROXIES} proxy images {kind} (here {count})")
    for (name, split), needed in ANOMALIES.items():
        found = count_anomalies(settings.open(name, split), *needed)
        for count, least, what in zip(found, needed, ("frames", "sequences"), strict=True):
            if count < least:
                few.append(f"{least} {what} of {name} {split} with an anomaly (here {count})")
    if not _has_nonhazard(settings.open("lost_and_found", "test")):
        few.append("a frame of lost_and_found test with a non-hazard (here 0)")
    return few


def count_anomalies(dataset: SegmentationDataset, frames: int,
                    sequences: int) -> tuple[int, int]:
    """In how many frames an anomaly is, and in how many sequences; once both are as many as asked
    for, no further labels are read."""
    found: list[str] = []
    for frame in _in_no_order(dataset):
        found += [frame.sequence] if has_anomaly(dataset, frame) else []
        if len(found) >= frames and len(set(found)) >= sequences:
            break
    return len(found), len(set(found))


def _has_nonhazard(dataset: SegmentationDataset) -> bool:
    """Whether any frame of LostAndFound shows one."""
    other = LOST_AND_FOUND_TARGET_OF_ID != OBSTACLE_TARGET_OF_ID  # bool (256,), by id
    labels = (read_labels(frame.label, upright=False) for frame in _in_no_order(dataset))
    return any(other[ids].any() for ids in labels)


def _in_no_order(dataset: SegmentationDataset) -> list[Frame]:
    """All frames, so that the first few are of many drives."""
    return random.Random(0).sample(dataset.frames, len(dataset))
