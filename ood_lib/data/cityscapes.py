"""Cityscapes (Cordts et al. 2016): street scenes of German cities, the in-distribution data."""

from pathlib import Path

from ood_lib.data.folders import Layout
from ood_lib.data.labels import CITYSCAPES_IDS, TRAIN_ID_OF_LABEL_ID
from ood_lib.data.sample import PublishedDataset, Transform


def drive_of(name: str) -> str:
    """``ulm/ulm_000003_000019`` -> ``ulm_000003``, without the folder and the frame's number."""
    return name.rpartition("/")[2].rpartition("_")[0]


class Cityscapes(PublishedDataset):
    """Targets are the train ids 0-18, and 255 where a pixel is ignored.

    Reads the finely labelled images ``{root}/leftImg8bit/{split}/{city}/{id}_leftImg8bit.png`` and
    the label ids as downloaded, ``{root}/gtFine/{split}/{city}/{id}_gtFine_labelIds.png``.
    """

    folder = "cityscapes"
    splits = {"train": 2975, "val": 500}
    page = "https://www.cityscapes-dataset.com"
    layouts = (Layout(
        "leftImg8bit/{split}/*/*_leftImg8bit.png",
        "gtFine/{split}/*/*_gtFine_labelIds.png", drive_of,
    ),)
    target_of_id = TRAIN_ID_OF_LABEL_ID
    known_ids = CITYSCAPES_IDS

    def __init__(self, root: Path, split: str, transform: Transform | None = None) -> None:
        super().__init__(self.layout_of(root).frames(root, split), transform)
