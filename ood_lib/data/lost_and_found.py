"""LostAndFound (Pinggera et al. 2016): drives towards small obstacles that somebody lost."""

from pathlib import Path

from ood_lib.data import labels
from ood_lib.data.cityscapes import drive_of
from ood_lib.data.folders import Layout
from ood_lib.data.sample import PublishedDataset, Transform


class LostAndFound(PublishedDataset):
    """Targets are 0 in-distribution (the road), 1 anomaly, and 255 where a pixel is ignored.

    Reads every ``{root}/leftImg8bit/{split}/{street}/{id}_leftImg8bit.png`` and
    ``{root}/gtCoarse/{split}/{street}/{id}_gtCoarse_labelIds.png``. A sample's sequence is the
    street and the number of the drive, whose frames look alike.

    ``nonhazards`` says what the objects are that a car need not avoid (ids 31, 33, 34 and 36-39):
    "ignore" gives them 255, as in the thesis's measures of pixels, "road" 0, as in the segments of
    its code, which count there as false, "anomaly" 1, as in SegmentMeIfYouCan. Numbers of the one
    are not comparable with the other's.
    """

    folder = "lost_and_found"
    splits = {"train": 1036, "test": 1203}
    page = "http://wwwlehre.dhbw-stuttgart.de/~sgehrig/lostAndFoundDataset"
    # Its streets begin with two digits; so Cityscapes' coarse labels are not taken for obstacles.
    layouts = (Layout(
        "leftImg8bit/{split}/[0-9][0-9]_*/*_leftImg8bit.png",
        "gtCoarse/{split}/[0-9][0-9]_*/*_gtCoarse_labelIds.png", drive_of,
    ),)
    target_of_id = labels.LOST_AND_FOUND_TARGET_OF_ID
    known_ids = labels.LOST_AND_FOUND_IDS

    def __init__(self, root: Path, split: str, transform: Transform | None = None,
                 nonhazards: str = "ignore") -> None:
        others = {"road": labels.HAZARD_TARGET_OF_ID, "anomaly": labels.OBSTACLE_TARGET_OF_ID}
        if nonhazards not in ("ignore", *others):
            raise ValueError(f"nonhazards={nonhazards!r} must be one of: ignore, road, anomaly.")
        self.nonhazards = nonhazards
        self.target_of_id = others.get(nonhazards, self.target_of_id)
        super().__init__(self.layout_of(root).frames(root, split), transform)
