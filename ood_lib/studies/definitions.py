"""What the book studies: runs of entropy maximization that differ in some settings and in the seed."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Study:
    """Runs of each arm with the seeds 0, 1, ..."""

    about: str
    runs: int
    """Of each arm, if nobody asks for other seeds."""
    arms: list[dict[str, Any]] = field(default_factory=lambda: [{}])
    """In each arm other settings take the place of those of the profile."""


_L_20, _FULL, _M_80 = ({"min_ood_share": low, "max_ood_share": high} for low, high in ((0, 0.2), (0, 1), (0.8, 1)))
# The runs of _FULL are the first of the repetitions: in one folder they are done once.
_ALIKE = {"ood_share": 0.15}  # about the mean of the miniature's L-20 %, cropped

STUDIES = {
    "repetitions": Study("the whole proxy, again and again (thesis, section 4.3)", 50, [_FULL]),
    "proxy": Study("proxy images with few, any and many OoD pixels (section 5.1)", 10, [_L_20, _FULL, _M_80]),
    "proxy_equal_weight": Study(
        "the same, the OoD part of every proxy image weighing alike",
        10,
        [_L_20 | _ALIKE, _FULL | _ALIKE, _M_80 | _ALIKE],
    ),
    # What the regression of chapter 9 suggests on the tuning set, and its opposite.
    "proxy_chosen": Study(
        "proxy images with many objects or few, at alike shares of OoD pixels",
        10,
        [_L_20 | {"proxy_query": f"ood_share >= 0.1 and objects {count}"} for count in (">= 5", "<= 3")],
    ),
    # About as many images as an epoch draws: what varies within an arm is hardly the draw.
    "proxy_draw": Study(
        "a few proxy images for a whole run, to tell chance in their draw from all other",
        4,
        [_FULL | {"proxy_query": f'id.astype("int") % 36 == {part}'} for part in range(6)],
    ),
}
"""The studies of the book, by name."""


def find_study(study: str | Study) -> Study:
    """The study of that name, or the one given. ValueError if there is none of the name."""
    if isinstance(study, Study):
        return study
    if study not in STUDIES:
        raise ValueError(f"There is no study {study!r}; choose one of: {', '.join(STUDIES)}, or make a Study.")
    return STUDIES[study]
