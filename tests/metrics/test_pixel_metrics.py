import numpy as np
import pytest
import torch
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from ood_lib.metrics import MEASURES, PixelMetrics
from ood_lib.metrics.curves import draw_groups, measures


def pixels(seed: int = 0, size: int = 3000, share: float = 0.05, steps: int | None = None):
    """Scores in [0, 1] that tell anomalies a little, rounded to ``steps`` values for many ties."""
    rng = np.random.default_rng(seed)
    target = (rng.random(size) < share).astype(np.uint8)
    score = np.clip(rng.normal(0.3 + 0.2 * target, 0.15), 0, 1).astype(np.float32)
    return (np.round(score * steps) / steps if steps else score), target


def fpr95_by_brute_force(score: np.ndarray, target: np.ndarray) -> float:
    """The lowest false positive rate of all thresholds that find 95 % of the anomalies."""
    rates = []
    for threshold in np.unique(score):
        found = score >= threshold
        if 100 * (found & (target == 1)).sum() >= 95 * (target == 1).sum():
            rates.append((found & (target == 0)).sum() / (target == 0).sum())
    return min(rates)


@pytest.mark.parametrize("steps", [None, 20])
def test_measures_are_those_of_scikit_learn_and_of_brute_force(steps):
    score, target = pixels(steps=steps)
    metrics = PixelMetrics()
    for part in np.split(np.arange(3000), 3):  # pooled over images
        metrics.update(
            torch.tensor(score[part]).reshape(10, 100), torch.tensor(target[part]).reshape(10, 100)
        )
    found = metrics.compute()
    assert found["auroc"] == pytest.approx(roc_auc_score(target, score))
    assert found["auprc"] == pytest.approx(average_precision_score(target, score))
    assert found["fpr95"] == pytest.approx(fpr95_by_brute_force(score, target))
    np.testing.assert_allclose(metrics.roc(), roc_curve(target, score, drop_intermediate=False)[:2])
    np.testing.assert_allclose(
        metrics.precision_recall(), precision_recall_curve(target, score)[:2]
    )


def test_measures_in_bins_are_those_of_published_code():
    score, target = pixels()
    score[:3] = [0, 1, 0.29]  # the ends, and an edge that float32 has just below it
    metrics = PixelMetrics()
    metrics.update(score, target)
    edges = np.linspace(0, 1, 101)
    tps, fps = (np.cumsum(np.histogram(score[target == k], edges)[0][::-1]) for k in (1, 0))
    tpr, fpr, precision = tps / tps[-1], fps / fps[-1], tps / np.maximum(tps + fps, 1)
    assert metrics.compute(bins=100) == pytest.approx(
        {
            "auroc": np.trapezoid([0, *tpr], [0, *fpr]),
            "auprc": np.sum(np.diff(tpr, prepend=0) * precision),
            "fpr95": fpr[np.abs(tpr - 0.95).argmin()],
        }
    )
    assert metrics.compute(bins=100) != metrics.compute()
    metrics.update(np.float32([1.5]), np.uint8([1]))
    with pytest.raises(ValueError, match=r"Bins are of scores from 0 to 1; these are 0 to 1\.5"):
        metrics.compute(bins=100)


def test_measures_by_hand():
    metrics = PixelMetrics()
    metrics.update(np.array([0.9, 0.8, 0.7, 0.1, 0.5]), np.array([1, 0, 1, 0, 255]))
    assert metrics.compute() == pytest.approx(
        {"auroc": 0.75, "auprc": 0.5 * 1 + 0.5 * 2 / 3, "fpr95": 0.5}
    )


def test_fpr95_is_taken_at_exactly_95_percent():
    metrics = PixelMetrics()
    score = np.concatenate([np.linspace(1, 0.6, 19), [0.1], [0.5], np.linspace(0.3, 0.2, 9)])
    metrics.update(score, np.array([1] * 20 + [0] * 10))
    assert metrics.compute()["fpr95"] == 0


def test_ignored_pixels_do_not_count():
    score, target = pixels()
    plain, with_ignored = PixelMetrics(), PixelMetrics()
    plain.update(score, target)
    with_ignored.update(np.append(score, [0.99, np.nan]), np.append(target, [255, 255]))
    assert plain.compute() == with_ignored.compute()


@pytest.mark.parametrize(
    ("target", "missing"), [([0, 0, 255], "anomalous"), ([1, 255, 1], "in-distribution")]
)
def test_without_one_of_the_classes_all_is_nan_with_a_warning(target, missing):
    metrics = PixelMetrics()
    metrics.update([0.1, 0.2, 0.3], target)
    with pytest.warns(UserWarning, match=f"no {missing} pixel"):
        assert all(np.isnan(value) for value in metrics.compute().values())
    with pytest.warns(UserWarning, match=f"no {missing} pixel"):
        assert np.isnan(list(metrics.interval().values())).all()


def test_what_pixel_metrics_refuse():
    metrics = PixelMetrics()
    with pytest.raises(ValueError, match="call update before"):
        metrics.compute()
    with pytest.raises(ValueError, match=r"score has the shape \(2,\), but the target \(1,\)"):
        metrics.update([0.1, 0.2], [0])
    with pytest.raises(ValueError, match=r"holds \[7, 254\]; expected 0"):
        metrics.update([0.1, 0.2, 0.3], [7, 254, 1])
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="1 scores of ulm are NaN, infinite"):
            metrics.update([0.1, bad], [0, 1], group="ulm")
    metrics.update([0.1, 0.2], [0, 1])
    with pytest.raises(ValueError, match="at least two groups"):
        metrics.interval()


def grouped(groups: int, shift: float, seed: int = 0) -> PixelMetrics:
    """Groups whose anomalies are by up to ``shift`` easier or harder than those of others."""
    metrics = PixelMetrics()
    for group, offset in enumerate(np.linspace(-shift, shift, groups)):
        score, target = pixels(seed + group)
        for half in (slice(0, 1500), slice(1500, None)):
            metrics.update(score[half] + offset * target[half], target[half], group=group)
    return metrics


def test_interval_encloses_the_measure_and_follows_the_seed():
    metrics = grouped(10, 0.1)
    interval = metrics.interval()
    for name, value in metrics.compute().items():
        low, high = interval[name]
        assert low < value < high
        assert high - low < 0.25
    assert interval == metrics.interval() != metrics.interval(seed=1)
    wide, narrow = metrics.interval(level=0.99), metrics.interval(level=0.5)
    assert wide["auprc"][0] < narrow["auprc"][0] < narrow["auprc"][1] < wide["auprc"][1]


def test_interval_draws_groups_and_not_images():
    """Twice the same images in each group is no more evidence; groups that differ give a wider
    interval."""

    def width(metrics):
        low, high = metrics.interval()["auroc"]
        return high - low

    once, twice = grouped(10, 0.1), grouped(10, 0.1)
    for group, offset in enumerate(np.linspace(-0.1, 0.1, 10)):
        score, target = pixels(group)
        twice.update(score + offset * target, target, group=group)
    assert width(twice) == pytest.approx(width(once), rel=1e-3)
    assert width(once) > 1.5 * width(grouped(10, 0.0))


def test_interval_is_that_of_drawing_the_pixels_themselves():
    metrics = grouped(8, 0.1)
    parts = [
        (pixels(g)[0] + offset * pixels(g)[1], pixels(g)[1])
        for g, offset in enumerate(np.linspace(-0.1, 0.1, 8))
    ]
    rng = np.random.default_rng(1)
    values = []
    for _ in range(100):
        drawn = [parts[g] for g in rng.integers(8, size=8)]
        score, target = (np.concatenate(side) for side in zip(*drawn, strict=True))
        values.append((roc_auc_score(target, score), average_precision_score(target, score)))
    expected = np.quantile(values, [0.025, 0.975], axis=0)
    interval = metrics.interval()
    np.testing.assert_allclose(interval["auroc"], expected[:, 0], atol=0.01)
    np.testing.assert_allclose(interval["auprc"], expected[:, 1], atol=0.03)


def measures_of_weighted_pixels(
    score: np.ndarray, target: np.ndarray, times: np.ndarray
) -> list[float]:
    """AUROC, AUPRC and FPR95 where each pixel is there so many times and the scores all differ."""
    order = np.argsort(-score)
    positives, negatives = (times[order] * (target[order] == side) for side in (1, 0))
    tps, fps = positives.cumsum(), negatives.cumsum()
    precision = np.divide(tps, tps + fps, out=np.zeros(len(tps)), where=tps + fps > 0)
    return [
        (negatives * (tps - positives / 2)).sum() / tps[-1] / fps[-1],
        (positives * precision).sum() / tps[-1],
        fps[(tps >= 0.95 * tps[-1]).argmax()] / fps[-1],
    ]


def test_interval_of_large_frames_of_different_sizes_is_that_of_their_pixels():
    """More pixels than points that stand for them, in frames of 6,000 to 60,000, with few or many
    anomalies."""
    metrics, parts = PixelMetrics(), []
    for group, size in enumerate([6000, 10_000, 20_000, 30_000, 45_000, 60_000]):
        score, target = pixels(group, size, share=0.002 + 0.02 * (group % 3))
        score = score + np.random.default_rng(group).normal(0.03 * group, 0.01, size)
        parts.append((score, target, np.full(size, group)))
        metrics.update(score, target, group=group)
    outlines = [outline for _, *both in metrics._updates for outline in both]
    assert all(len(scores) < 1500 for scores, _ in outlines)
    score, target, group = (np.concatenate(side) for side in zip(*parts, strict=True))
    draws = draw_groups(6, 60, seed=3)
    values = [measures_of_weighted_pixels(score, target, times[group]) for times in draws]
    interval = metrics.interval(level=0.9, repeats=60, seed=3)
    expected = np.quantile(values, [0.05, 0.95], axis=0)
    found = np.array([interval[name] for name in MEASURES])
    np.testing.assert_allclose(found[:2], expected.T[:2], atol=1e-3)
    np.testing.assert_allclose(
        found[2], expected[:, 2], atol=5e-3
    )  # a bin has 0.1 % of the anomalies
    assert (expected[1] - expected[0] > 0.02).all()


def test_all_groups_once_give_the_exact_measures_but_for_the_bins():
    metrics = grouped(5, 0.1)
    of_groups = metrics._of_groups()
    assert of_groups.shape[:2] == (2, 5)
    values = measures(*of_groups.sum(axis=1, keepdims=True))
    for name, value in metrics.compute().items():
        assert values[name][0] == pytest.approx(value, abs=2e-3)


@pytest.mark.parametrize("make", [np.array, torch.tensor])
def test_what_is_given_is_not_changed(make):
    score, target = make(np.float32([0.9, -0.0, 0.7, 0.1])), make(np.uint8([1, 0, 0, 0]))
    PixelMetrics().update(score, target)
    assert score.tolist() == np.float32([0.9, -0.0, 0.7, 0.1]).tolist()
    assert np.signbit(np.asarray(score)).tolist() == [False, True, False, False]


def test_scores_that_only_float64_tells_apart_are_warned_of_once():
    near_1 = 1 - np.logspace(-12, -9, 8)
    target = np.tile([0, 1], 4)
    metrics = PixelMetrics()
    with pytest.warns(
        UserWarning, match="^7 scores .* in float32.*count as tied.*rising function"
    ) as told:
        metrics.update(near_1, target)
        metrics.update(near_1, target)
    assert len(told) == 1 and told[0].filename == __file__
    assert metrics.compute()["auroc"] == 0.5  # what is lost
    # Also if each class has one of them:
    with pytest.warns(UserWarning, match="^1 scores .* equal to these in float32"):
        PixelMetrics().update(near_1[:2], [0, 1])
    with pytest.warns(UserWarning, match="^1 scores .* equal to these in float32"):
        PixelMetrics().update(torch.tensor([2**24, 2**24 + 1]), [0, 1])


@pytest.mark.filterwarnings("error")
def test_what_float32_tells_apart_is_not_warned_of():
    near_1 = 1 - np.logspace(-12, -9, 8)
    spread = PixelMetrics()
    spread.update(-np.log(1 - near_1), np.tile([0, 1], 4))  # what the warning says
    assert spread.compute()["auroc"] == roc_auc_score(np.tile([0, 1], 4), near_1)
    score, target = pixels()
    for harmless in (score, score.astype(np.float64), score.astype(np.float64).round(3)):
        PixelMetrics().update(harmless, target)
    PixelMetrics().update(np.array([0.1, 0.1, 0.3, 0.3 + 1e-12, np.nan]), [0, 1, 1, 255, 255])
    PixelMetrics().update(np.array([0.1, -0.0, 0.0, 1e300]), [0, 1, 1, 255])
