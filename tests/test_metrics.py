import numpy as np
import pytest
import torch
from sklearn.metrics import (
    average_precision_score,
    confusion_matrix,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from ood_lib.metrics import MeanIoU, PixelMetrics


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
        metrics.update(torch.tensor(score[part]).reshape(10, 100), torch.tensor(target[part]).reshape(10, 100))
    measures = metrics.compute()
    assert measures["auroc"] == pytest.approx(roc_auc_score(target, score))
    assert measures["auprc"] == pytest.approx(average_precision_score(target, score))
    assert measures["fpr95"] == pytest.approx(fpr95_by_brute_force(score, target))
    np.testing.assert_allclose(metrics.roc(), roc_curve(target, score, drop_intermediate=False)[:2])
    np.testing.assert_allclose(metrics.precision_recall(), precision_recall_curve(target, score)[:2])


def test_measures_by_hand():
    metrics = PixelMetrics()
    metrics.update(np.array([0.9, 0.8, 0.7, 0.1, 0.5]), np.array([1, 0, 1, 0, 255]))
    assert metrics.compute() == pytest.approx({"auroc": 0.75, "auprc": 0.5 * 1 + 0.5 * 2 / 3, "fpr95": 0.5})


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


@pytest.mark.parametrize(("target", "missing"), [([0, 0, 255], "anomalous"), ([1, 255, 1], "in-distribution")])
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
        with pytest.raises(ValueError, match="1 scores of ulm are NaN or infinite"):
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
    """Twice the same images in each group is no more evidence; groups that differ give a wider interval."""

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
    parts = [(pixels(g)[0] + offset * pixels(g)[1], pixels(g)[1]) for g, offset in enumerate(np.linspace(-0.1, 0.1, 8))]
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


def test_all_groups_once_give_the_exact_measures_but_for_the_bins():
    from ood_lib.metrics import _measures_of_histograms

    metrics = grouped(5, 0.1)
    positives, negatives = metrics._histograms()
    assert positives.shape[0] == 5
    values = _measures_of_histograms(positives.sum(axis=0, keepdims=True), negatives.sum(axis=0, keepdims=True))
    for name, value in metrics.compute().items():
        assert values[name][0] == pytest.approx(value, abs=2e-3)


def test_mean_iou_is_that_of_the_confusion_matrix():
    rng = np.random.default_rng(0)
    target = rng.choice([0, 1, 2, 4, 255], size=(4, 20, 30))  # class 3 is not there, but predicted; class 5 is nowhere
    prediction = np.where(rng.random(target.shape) < 0.6, target % 255, rng.integers(0, 5, target.shape))
    metrics = MeanIoU(6)
    for image in range(4):
        metrics.update(torch.tensor(prediction[image]).to(torch.uint8), torch.tensor(target[image]).to(torch.uint8))
    matrix = confusion_matrix(target[target != 255], prediction[target != 255], labels=range(6))
    np.testing.assert_array_equal(metrics.confusion, matrix)
    expected = [matrix[c, c] / (matrix[c].sum() + matrix[:, c].sum() - matrix[c, c]) for c in range(5)]
    result = metrics.compute()
    np.testing.assert_allclose(result["iou"][:5], expected)
    assert expected[3] == 0 and np.isnan(result["iou"][5])
    assert result["miou"] == pytest.approx(np.mean(expected))


def test_what_mean_iou_refuses():
    metrics = MeanIoU(3)
    assert np.isnan(metrics.compute()["miou"])
    with pytest.raises(ValueError, match=r"shape \(1,\), but the target \(2,\)"):
        metrics.update([0], [0, 1])
    with pytest.raises(ValueError, match=r"prediction has values from 0 to 3, but the classes are 0 ... 2"):
        metrics.update([0, 3], [0, 1])
    with pytest.raises(ValueError, match="target has values from 1 to 254"):
        metrics.update([0, 2], [1, 254])
    metrics.update([9], [255])
    assert metrics.confusion.sum() == 0
