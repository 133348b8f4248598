"""One formula for rows of counts, and what is said of values drawn anew."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from ood_lib.metrics import MEASURES, curves


def counts(seed: int = 0, rows: int = 5, cells: int = 40) -> np.ndarray:
    """Positives and negatives (2, rows, cells), the former rather in the first cells."""
    rng = np.random.default_rng(seed)
    falling = np.linspace(3, 0.2, cells)
    return np.stack([rng.poisson(falling, (rows, cells)), rng.poisson(2, (rows, cells))])


def test_each_row_has_the_measures_of_scikit_learn():
    positives, negatives = counts()
    found = curves.measures(positives, negatives)
    assert list(found) == list(MEASURES)
    cells = positives.shape[1]
    score, target = np.tile(-np.arange(cells), 2), np.repeat([1, 0], cells)
    for row, weights in enumerate(np.hstack([positives, negatives])):
        fpr, tpr, _ = roc_curve(target, score, sample_weight=weights)
        auroc = roc_auc_score(target, score, sample_weight=weights)
        assert found["auroc"][row] == pytest.approx(auroc)
        auprc = average_precision_score(target, score, sample_weight=weights)
        assert found["auprc"][row] == pytest.approx(auprc)
        # scikit-learn leaves out points on a straight line, so that its rate may be at a later one.
        assert found["fpr95"][row] <= fpr[(tpr >= 0.95).argmax()]


def test_a_row_alone_and_among_others_is_the_same_to_the_last_bit():
    both = counts(1, rows=30, cells=1000)
    together = curves.measures(*both)
    for row in range(30):
        alone = curves.measures(*both[:, row : row + 1])
        assert all(alone[name][0] == together[name][row] for name in MEASURES)


def test_empty_cells_change_nothing():
    positives, negatives = counts(2)
    wider = np.zeros((2, 5, 83), dtype=int)
    wider[:, :, 3:83:2] = positives, negatives
    found, expected = curves.measures(*wider), curves.measures(positives, negatives)
    for name in MEASURES:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-12)


@pytest.mark.filterwarnings("error")
def test_a_row_without_positives_or_negatives_has_no_measure():
    positives, negatives = counts(3)
    positives[1], negatives[3] = 0, 0
    found = curves.measures(positives, negatives)
    for name in MEASURES:
        assert np.isnan(found[name]).tolist() == [False, True, False, True, False]
    nothing = curves.measures(np.zeros((2, 0)), np.zeros((2, 0)))
    assert all(np.isnan(nothing[name]).all() and len(nothing[name]) == 2 for name in MEASURES)


def test_entries_are_drawn_with_their_groups():
    groups = ["ulm", "bonn", "ulm", "jena"]
    draws = curves.draw_entries(groups, repeats=20, seed=4)
    of_groups = curves.draw_groups(3, repeats=20, seed=4)
    np.testing.assert_array_equal(draws, of_groups[:, [0, 1, 0, 2]])
    with pytest.raises(ValueError, match="at least two groups"):
        curves.draw_entries(["ulm", "ulm"], repeats=20, seed=4)


def test_intervals_leave_out_what_is_unknown():
    values = {"known": np.append(np.arange(101.0), np.nan), "unknown": np.full(3, np.nan)}
    bounds = curves.intervals(values, level=0.9)
    assert bounds["known"] == pytest.approx((5, 95)) and np.isnan(bounds["unknown"]).all()


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1, 2, 3], 2 / 4),  # none on the other side
        ([-1, 2, 3, np.nan], 4 / 4),
        ([-1] + 98 * [1], 4 / 100),
        ([0, 0, 0], 1),
    ],
)
def test_p_value(differences, p):
    assert curves.p_value(np.array(differences, dtype=float)) == p
