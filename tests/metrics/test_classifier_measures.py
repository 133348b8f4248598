"""Measures of meta classifiers, and their paired comparison."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from ood_lib.metrics import classifier_measures, compare_classifiers


def segments(
    seed: int, n: int = 300, ties: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """False positives, p^FP that know something of them, and 30 sequences."""
    rng = np.random.default_rng(seed)
    false = rng.random(n) < 0.8
    probability = np.clip(rng.normal(0.45 + 0.2 * false, 0.2), 0, 1)
    return false, probability.round(1) if ties else probability, rng.integers(0, 30, n)


@pytest.mark.parametrize("ties", [False, True])
def test_the_measures_are_those_of_scikit_learn_with_the_true_segments_as_positive(ties):
    false, probability, _ = segments(0, ties=ties)
    measures = classifier_measures(false, probability)
    assert measures["auroc"] == pytest.approx(roc_auc_score(~false, 1 - probability))
    assert measures["auprc"] == pytest.approx(average_precision_score(~false, 1 - probability))


def test_four_segments_counted_by_hand():
    # From the least p^FP on: true, false, true, false. Precision 1 and 2/3 where recall rises; 3 of
    # 4 pairs in order.
    measures = classifier_measures([False, True, False, True], [0.1, 0.2, 0.3, 0.9])
    assert measures == pytest.approx({"auroc": 3 / 4, "auprc": (1 + 2 / 3) / 2})


def test_a_comparison_repeats_the_measures_on_sequences_drawn_with_replacement():
    false, probability, groups = segments(1, ties=True)
    other = np.random.default_rng(2).random(len(false))
    table = compare_classifiers(
        false, {"good": probability, "blind": other}, groups, repeats=50, seed=3
    )
    draws = np.random.default_rng(3).multinomial(30, np.full(30, 1 / 30), size=50)
    order = list(dict.fromkeys(groups))
    weights = draws[:, [order.index(group) for group in groups]]
    for name, p in {"good": probability, "blind": other}.items():
        aurocs = [roc_auc_score(~false, 1 - p, sample_weight=w) for w in weights]
        auprcs = [average_precision_score(~false, 1 - p, sample_weight=w) for w in weights]
        for measure, values in {"auroc": aurocs, "auprc": auprcs}.items():
            low, high = table.loc[(name, measure), ["low", "high"]]
            assert [low, high] == pytest.approx(np.quantile(values, [0.025, 0.975]))
        assert table.loc[(name, "auroc"), "value"] == pytest.approx(roc_auc_score(~false, 1 - p))


def test_differences_are_paired_and_to_the_first_classifier():
    false, probability, groups = segments(4)
    table = compare_classifiers(
        false, {"a": probability, "same": probability, "worse": 1 - probability}, groups
    )
    same = table.loc[("same", "auroc")]
    assert same[["difference", "difference_low", "difference_high"]].tolist() == [0, 0, 0]
    assert same["p"] == 1
    worse = table.loc[("worse", "auroc")]
    assert worse["difference"] == pytest.approx(worse["value"] - table.loc[("a", "auroc"), "value"])
    assert worse["difference_high"] < 0
    assert worse["p"] == pytest.approx(2 / 1001)
    assert np.isnan(table.loc[("a", "auroc"), "p"])


def test_the_same_seed_draws_the_same_sequences():
    false, probability, groups = segments(5)
    first, again, other = (
        compare_classifiers(false, {"a": probability}, groups, seed=s) for s in (0, 0, 1)
    )
    assert first.equals(again)
    assert first.loc[("a", "auroc"), "low"] != other.loc[("a", "auroc"), "low"]


@pytest.mark.parametrize(
    ("false", "probability", "message"),
    [
        ([True, True], [0.1, 0.2], "both kinds"),
        ([True, False], [0.1, 0.2, 0.3], "3.* probabilities for 2 segments"),
        ([True, False], [0.1, np.nan], "segment 1 is nan"),
        ([True, False], [1.5, 0.2], "segment 0 is 1.5"),
    ],
)
def test_what_cannot_be_measured_is_said(false, probability, message):
    with pytest.raises(ValueError, match=message):
        classifier_measures(false, probability)


def test_a_comparison_needs_a_group_for_each_segment_and_a_classifier():
    false, probability, groups = segments(6)
    with pytest.raises(ValueError, match="299 groups for 300 segments"):
        compare_classifiers(false, {"a": probability}, groups[:-1])
    with pytest.raises(ValueError, match="no classifier"):
        compare_classifiers(false, {}, groups)
    with pytest.raises(ValueError, match="two groups"):
        compare_classifiers(false, {"a": probability}, ["one"] * len(false))
