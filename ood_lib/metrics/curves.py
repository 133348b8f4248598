"""AUROC, AUPRC and FPR95 of counts, and how sure one may be of a measure.

Drawn are whole groups, since pixels and frames of one sequence are not independent.
"""

import math
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

MEASURES = ("auroc", "auprc", "fpr95")  #: what `measures` computes, by name
Bounds = dict[str, tuple[float, float]]  # the (low, high) of each measure


def rates(positives: np.ndarray, negatives: np.ndarray) -> tuple[np.ndarray, ...]:
    """True and false positive rates and precision (rows, 1 + cells), the first above all scores."""
    tps, fps = (np.pad(own.cumsum(axis=1), [(0, 0), (1, 0)]) for own in (positives, negatives))
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.fmin(tps / (tps + fps), 1)  # 1 and not NaN above all scores
        return tps / tps[:, -1:], fps / fps[:, -1:], precision


def measures(positives: np.ndarray, negatives: np.ndarray,
             nearest: bool = False) -> dict[str, np.ndarray]:
    """AUROC, AUPRC and FPR95 (rows,) of counts (rows, cells), from the highest score down.

    What is in one cell ties. AUROC is the area by trapezoids, AUPRC the step-wise average
    precision, FPR95 the false positive rate where the true positive rate first is 0.95 or more, or
    where it is ``nearest`` to that. NaN for a row that lacks positives or negatives.
    """
    tpr, fpr, precision = rates(positives, negatives)
    auprc = (np.diff(tpr, axis=1) * precision[:, 1:]).sum(axis=1)
    at_95 = np.abs(tpr - 0.95).argmin(axis=1) if nearest else (tpr >= 0.95).argmax(axis=1)
    fpr95 = fpr[np.arange(len(fpr)), at_95]
    values = zip(MEASURES, (np.trapezoid(tpr, fpr, axis=1), auprc, fpr95), strict=True)
    known = ~np.isnan(tpr[:, -1] + fpr[:, -1])  # else a class is missing
    return {name: np.where(known, of_rows, np.nan) for name, of_rows in values}


def rows_of(groups: Sequence[Hashable]) -> np.ndarray:
    """The number of the group of each entry, int64 (n,), in the order in which groups appear."""
    rows = {group: row for row, group in enumerate(dict.fromkeys(groups))}
    return np.array([rows[group] for group in groups], dtype=np.int64)


def draw_groups(groups: int, repeats: int, seed: int) -> np.ndarray:
    """How often each group is drawn, int64 (repeats, groups); ValueError for fewer than two."""
    if groups < 2:
        raise ValueError(f"An interval needs at least two groups to draw from, not {groups}.")
    return np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), repeats)


def draw_entries(groups: Sequence[Hashable], repeats: int, seed: int) -> np.ndarray:
    """How often each entry is drawn, int64 (repeats, n), if whole ``groups`` (n,) of them are."""
    rows = rows_of(groups)
    return draw_groups(rows.max(initial=-1) + 1, repeats, seed)[:, rows]


def intervals(values: Mapping[str, np.ndarray], level: float) -> Bounds:
    """Between what ``level`` of the values (repeats,) lie; NaN are left out, unless all are NaN."""
    bounds = {}
    for name, drawn in values.items():
        known = drawn[~np.isnan(drawn)] if not np.isnan(drawn).all() else np.nan
        bounds[name] = tuple(np.quantile(known, [(1 - level) / 2, (1 + level) / 2]).tolist())
    return bounds


def over_networks_and_drives(values: np.ndarray, draws: np.ndarray, level: float = 0.95,
                             bound: float = 0) -> tuple[float, float, float, float]:
    """Mean, low, high and p of a difference, for other networks and other drives alike.

    ``values`` (networks,) are on all drives, ``draws`` (networks, repeats) on drives drawn with
    replacement, the same for every network; a repeat with a NaN is left out. The mean's variance is
    that over networks plus that over draws; degrees of freedom are Welch's. p is of a mean at the
    bound, two-sided. ValueError for fewer than two networks.
    """
    from scipy import stats  # late, for half a second's sake

    if len(values) < 2:
        raise ValueError(f"An interval over networks needs at least two, not {len(values)}.")
    known = draws[:, ~np.isnan(draws).any(axis=0)]
    of_networks = values.var(ddof=1) / len(values)
    of_drives = known.mean(axis=0).var(ddof=1)
    mean, error = values.mean(), math.sqrt(of_networks + of_drives)
    if error == 0:
        return float(mean), float(mean), float(mean), float(mean == bound)
    freedom = (len(values) - 1) * (of_networks + of_drives) ** 2 / max(of_networks**2, 1e-300)
    half = stats.t.ppf((1 + level) / 2, freedom) * error
    p = 2 * stats.t.sf(abs(mean - bound) / error, freedom)
    return float(mean), float(mean - half), float(mean + half), float(p)


def p_value(differences: np.ndarray) -> float:
    """Twice the share of differences (repeats,) of the rarer sign, at least 2 / (repeats + 1)."""
    known = differences[~np.isnan(differences)]
    rarer = min((known <= 0).sum(), (known >= 0).sum())  # 0 is on both sides
    return float(min(1, 2 * (rarer + 1) / (len(known) + 1)))


def is_decided(low: float, high: float) -> bool:
    """Whether an interval of a difference leaves out 0."""
    return bool(np.sign(low) * np.sign(high) > 0)
