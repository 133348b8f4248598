"""What the book studies: runs of entropy maximization that differ in settings and in the seed."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Study:
    """Runs of each arm with the seeds 0, 1, ..."""

    about: str
    runs: int  #: of each arm, if nobody asks for other seeds
    arms: list[dict[str, Any]] = field(default_factory=lambda: [{}])
    """Settings in the place of the profile's; "published": all in its section of this name."""
    verdicts: bool = False  #: whether each network is measured as in `ood_lib.studies.verdicts`
    seconds: float = 90  #: that a run takes about, on a core of two


_L_20 = {"min_ood_share": 0, "max_ood_share": 0.2}
_FULL = {"min_ood_share": 0, "max_ood_share": 1}
_M_80 = {"min_ood_share": 0.8, "max_ood_share": 1}
_PROXIES = [_L_20, _FULL, _M_80]  # the runs of _FULL are also the first of the repetitions
_ALIKE = {"ood_share": 0.15}  # about the mean of the miniature's L-20 %, cropped
# What the regression of chapter 9 suggests on the tuning set, and its opposite.
_OBJECTS = [{"proxy_query": f"ood_share >= 0.1 and objects {n}"} for n in (">= 5", "<= 3")]

# What the published code does otherwise, and how the text was read before the study was made, each
# in full, whatever the profile says. The code's two replicas have one crop each.
_RATE = {"learning_rate": 2e-4}
_TEXT = _RATE | {
    "batch_size": 8, "accumulate": 1, "batch_norm": "frozen", "fresh_adam": False,
    "proxy_background": "ignored", "small_images": "enlarged",
}  # fmt: skip
_BATCH = {"batch_size": 2}
_LIVE = {"batch_norm": "live"}
_LIVE_ALONE = {"batch_size": 1, "accumulate": 2, "batch_norm": "live"}
_ROAD = {"proxy_background": "road"}
_PUBLISHED = _RATE | {"published": True}
# About as many images as a run draws of the whole proxy: what varies in an arm is not the draw.
_DRAWN = [{"proxy_query": f'id.astype("int") % 8 == {part}'} for part in range(8)]

#: The studies of the book, by name.
STUDIES = {
    "repetitions": Study("the whole proxy, again and again (thesis, section 4.3)", 50, [_FULL]),
    "proxy": Study("proxy images with few, any and many OoD pixels (section 5.1)", 10, _PROXIES),
    "proxy_equal_weight": Study(
        "the same, the OoD part of every proxy image weighing alike", 10,
        [proxy | _ALIKE for proxy in _PROXIES]),
    "proxy_chosen": Study(
        "proxy images with many objects or few, at alike shares of OoD pixels", 10,
        [_L_20 | query for query in _OBJECTS]),
    "published": Study(
        "the text, and what the published code does otherwise, one by one and all together", 10,
        [*(_FULL | _TEXT | arm for arm in ({}, _BATCH, _LIVE, _LIVE_ALONE, _ROAD)),
         _FULL | _PUBLISHED]),
    "draws": Study(
        "a fixed draw of proxy images a run, to tell chance in it from all other (section 5.1)", 8,
        [_FULL | query for query in _DRAWN]),
    "verdicts": Study(
        "ten networks, all meta classifiers, 300 drives", 10, verdicts=True, seconds=1200),
}
