import numpy as np
import pytest

from ood_lib.metrics import MEASURES, PixelMetrics, is_decided, paired_differences


def metrics_of(noise: float, seed: int = 0, groups: int = 12) -> PixelMetrics:
    """Sequences of very different difficulty; the score is the label and noise, alike in all calls
    but for its size."""
    draws, metrics = np.random.default_rng(seed), PixelMetrics()
    for group in range(groups):
        target = draws.random(2000) < 0.1
        hard = draws.uniform(0.2, 3)
        metrics.update(
            target + noise * hard * draws.normal(size=2000), target.astype(np.uint8), group=group
        )
    return metrics


def test_a_score_beside_itself_differs_by_nothing():
    assert paired_differences(metrics_of(0.5), metrics_of(0.5)) == dict.fromkeys(
        MEASURES, (0.0, 0.0, 0.0)
    )


def test_the_difference_is_that_of_the_measures_and_changes_sign():
    better, worse = metrics_of(0.4), metrics_of(0.5)
    found, turned = paired_differences(better, worse), paired_differences(worse, better)
    for name in MEASURES:
        value, low, high = found[name]
        assert value == pytest.approx(better.compute()[name] - worse.compute()[name])
        assert low <= value <= high
        assert turned[name] == pytest.approx((-value, -high, -low))


def test_pairs_are_told_apart_where_each_alone_is_not():
    better, worse = metrics_of(0.45), metrics_of(0.5)
    _, low, high = paired_differences(better, worse)["auprc"]
    assert low > 0 and is_decided(low, high)
    assert better.interval()["auprc"][0] < worse.compute()["auprc"] < better.interval()["auprc"][1]
    assert high - low < better.interval()["auprc"][1] - better.interval()["auprc"][0]


def test_decided_leaves_out_zero():
    assert is_decided(-2, -1) and is_decided(0.1, 3)
    assert not (is_decided(-1, 1) or is_decided(0, 1) or is_decided(float("nan"), float("nan")))


def test_other_groups_are_no_pairs():
    with pytest.raises(ValueError, match="no pairs"):
        paired_differences(metrics_of(0.5), metrics_of(0.5, groups=11))
