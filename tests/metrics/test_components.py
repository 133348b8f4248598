from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import ndimage

from ood_lib.metrics import SegmentMetrics
from ood_lib.metrics.curves import draw_groups

LEVELS = [Fraction(k, 20) for k in range(5, 16)]


def image(*rows: str) -> tuple[np.ndarray, np.ndarray]:
    """Score and target from a drawing: in-distribution ``.`` ``o``, anomaly ``a`` ``A``, ignored
    ``-`` ``#``.

    Of each pair, the second has a high score.
    """
    drawing = np.array([list(row) for row in rows])
    score = np.where(np.isin(drawing, ["o", "A", "#"]), 0.9, 0.1)
    target = np.where(np.isin(drawing, ["a", "A"]), 1, 0)
    target[np.isin(drawing, ["#", "-"])] = 255
    return score, target.astype(np.uint8)


def measured(*rows: str, **options) -> SegmentMetrics:
    metrics = SegmentMetrics(0.5, **options)
    metrics.update(*image(*rows))
    return metrics


def counts(
    segments: int, false_positives: int, anomalies: int, false_negatives: int
) -> dict[str, int]:
    return {
        "segments": segments,
        "false_positives": false_positives,
        "anomalies": anomalies,
        "false_negatives": false_negatives,
    }


def test_an_anomaly_that_is_split_into_two_segments():
    metrics = measured("AAAAaaAAAA", ".........o", ".........o")
    # 8 of 10 pixels are found, with 2 pixels too many; the segments have 4 of 4 and 4 of 6 right.
    # At the levels 0.25, 0.3 ... 0.65 the anomaly is found and no segment is false, at 0.7 and 0.75
    # it is missed and one segment is false.
    assert metrics.compute() == pytest.approx(
        {"siou": 8 / 12, "ppv": (1 + 4 / 6) / 2, "f1": 9 / 11}
    )
    assert metrics.counts() == counts(2, 0, 1, 0)


def test_two_anomalies_that_one_segment_joins():
    metrics = measured("AAAAooAAAAAA")
    # Each other's pixels do not count against them: 4 / (12 - 6) and 6 / (12 - 4). Both are found
    # at 0.25 ... 0.65, one at 0.7 and (just) 0.75; the segment is 10 / 12 right.
    assert metrics.compute() == pytest.approx(
        {"siou": (4 / 6 + 6 / 8) / 2, "ppv": 10 / 12, "f1": (9 + 2 * 2 / 3) / 11}
    )
    assert metrics.counts() == counts(1, 0, 2, 0)


def test_pixels_touch_at_corners_too():
    assert measured("o..A", ".o.a", "...a").counts() == counts(2, 1, 1, 0)
    diagonal = measured("A...o", ".A.o.", "..o..")
    assert diagonal.counts() == counts(1, 0, 1, 0)
    assert diagonal.compute()["siou"] == pytest.approx(2 / 5)


def test_ignored_pixels_cut_segments_and_count_nowhere():
    metrics = measured("AAA#oo", "..-#-.")
    assert metrics.counts() == counts(2, 1, 1, 0)
    assert metrics.compute() == pytest.approx({"siou": 1, "ppv": 0.5, "f1": 2 / 3})


def test_a_tiny_anomaly_is_ignored_with_what_is_predicted_on_it():
    rows = ("AA.AAA.aa", ".........", "AAoo.....")
    assert measured(*rows).counts() == counts(3, 0, 4, 1)
    metrics = measured(*rows, min_target_size=3)
    assert metrics.counts() == counts(
        2, 1, 1, 0
    )  # of the last segment two pixels remain, both wrong
    assert metrics.compute() == pytest.approx({"siou": 1, "ppv": 0.5, "f1": 2 / 3})


def test_small_segments_are_dropped_before_anything_is_asked_of_them():
    rows = ("AA.ooo.o", "aa......")
    assert measured(*rows, min_segment_size=2).counts() == counts(2, 1, 1, 0)
    dropped = measured(*rows, min_segment_size=3)
    assert dropped.counts() == counts(1, 1, 1, 1)
    assert dropped.compute() == {"siou": 0, "ppv": 0, "f1": 0}


def test_the_size_of_a_segment_is_that_before_tiny_anomalies_are_ignored():
    metrics = measured("AAoo.aaaaa", min_segment_size=4, min_target_size=3)
    assert metrics.counts() == counts(1, 1, 1, 1)


def test_without_segments_or_anomalies():
    nothing_predicted, nothing_there, nothing = (
        measured("aa.aa"),
        measured("oo.o."),
        measured(".-..."),
    )
    assert nothing_predicted.counts() == counts(0, 0, 2, 2)
    assert nothing_predicted.compute() == pytest.approx(
        {"siou": 0, "ppv": np.nan, "f1": 0}, nan_ok=True
    )
    assert nothing_there.counts() == counts(2, 2, 0, 0)
    assert nothing_there.compute() == pytest.approx(
        {"siou": np.nan, "ppv": 0, "f1": 0}, nan_ok=True
    )
    assert nothing.counts() == counts(0, 0, 0, 0)
    assert np.isnan(list(nothing.compute().values())).all()


def test_the_threshold_itself_is_an_alarm():
    metrics = SegmentMetrics(0.5)
    metrics.update(torch.tensor([[0.5, 0.49, 0.7]]), torch.tensor([[1, 0, 0]], dtype=torch.uint8))
    assert metrics.counts() == counts(2, 1, 1, 0)


def test_counts_before_and_after_a_mask():
    score, target = image("AA..oo.", "AA..oo.", ".......", "oo...aa")
    kept = score >= 0.5
    one_removed = kept.copy()
    one_removed[:2, 4:6] = False
    found = []
    for mask in (None, kept, torch.tensor(one_removed), np.zeros_like(kept)):
        metrics = SegmentMetrics(0.5)
        metrics.update(score, target, mask=mask)
        found.append(metrics.counts())
    assert found[:2] == [counts(3, 2, 2, 1)] * 2  # a mask that removes nothing changes nothing
    assert found[2:] == [counts(2, 1, 2, 1), counts(0, 0, 2, 2)]


def flood(mask: np.ndarray) -> list[set]:
    """The pixels of each 8-connected component."""
    left, components = set(zip(*np.nonzero(mask), strict=True)), []
    while left:
        todo, component = [left.pop()], set()
        while todo:
            y, x = todo.pop()
            component.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            todo += near
        components.append(component)
    return components


def slow_values(
    score, target, threshold, min_segment_size, min_target_size
) -> tuple[list[Fraction], list[Fraction]]:
    """sIoU of each anomaly and PPV of each segment, by sets of pixels."""
    segments = [
        s for s in flood((score >= threshold) & (target != 255)) if len(s) >= min_segment_size
    ]
    anomalies = flood(target == 1)
    ignored = set().union(*(a for a in anomalies if len(a) < min_target_size))
    anomalies = [a for a in anomalies if len(a) >= min_target_size]
    segments = [s - ignored for s in segments if s - ignored]
    sious, ppvs = [], []
    for anomaly in anomalies:
        touching = set().union(*(s for s in segments if s & anomaly))
        others = set().union(*(a for a in anomalies if a is not anomaly)) & touching
        sious.append(Fraction(len(anomaly & touching), len((anomaly | touching) - others)))
    for segment in segments:
        ppvs.append(Fraction(len(segment & set().union(*anomalies)), len(segment)))
    return sious, ppvs


def slow_measures(images: list, threshold: float, sizes: tuple[int, int]) -> dict[str, float]:
    """Pooled over the images."""
    sious, ppvs = [], []
    for score, target in images:
        for pooled, own in zip(
            (sious, ppvs), slow_values(score, target, threshold, *sizes), strict=True
        ):
            pooled += own
    f1 = []
    for level in LEVELS:
        found, false = sum(value >= level for value in sious), sum(value < level for value in ppvs)
        f1.append(Fraction(2 * found, 2 * found + len(sious) - found + false))
    return {"siou": sum(sious) / len(sious), "ppv": sum(ppvs) / len(ppvs), "f1": sum(f1) / len(f1)}


def random_image(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Blobs of anomalies, scores that follow them half, and some ignored stripes."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=(30, 40)), 1.5)
    target = (field > 0.6 * field.std()).astype(np.uint8)
    score = field / field.std() + 0.7 * rng.normal(size=field.shape)
    target[ndimage.gaussian_filter(rng.normal(size=field.shape), 2) > 0.25] = 255
    return score, target


@pytest.mark.parametrize("sizes", [(1, 1), (4, 9)])
def test_measures_are_those_of_loops_over_sets_of_pixels(sizes):
    images = [random_image(seed) for seed in range(20)]
    pooled = SegmentMetrics(0.8, *sizes)
    for score, target in images:
        alone = SegmentMetrics(0.8, *sizes)
        alone.update(score, target)
        expected = slow_measures([(score, target)], 0.8, sizes)
        assert alone.compute() == pytest.approx(
            {name: float(v) for name, v in expected.items()}, rel=0, abs=1e-12
        )
        pooled.update(score, target)
    expected = {name: float(value) for name, value in slow_measures(images, 0.8, sizes).items()}
    assert pooled.compute() == pytest.approx(expected, rel=0, abs=1e-12)
    assert 0.1 < expected["f1"] < 0.9 and pooled.counts()["anomalies"] > 40


def test_interval_is_that_of_drawing_whole_groups():
    images = [random_image(seed) for seed in range(6)]
    metrics = SegmentMetrics(0.8)
    for number, (score, target) in enumerate(images):
        metrics.update(score, target, group=number // 2)
    values = []
    for times in draw_groups(3, 40, seed=7):
        once = SegmentMetrics(0.8)
        for number in np.repeat(range(6), np.repeat(times, 2)):
            once.update(*images[number])
        values.append(once.compute())
    interval = metrics.interval(level=0.9, repeats=40, seed=7)
    for name, value in metrics.compute().items():
        expected = np.quantile([drawn[name] for drawn in values], [0.05, 0.95])
        np.testing.assert_allclose(interval[name], expected, atol=1e-12)
        assert interval[name][0] < value < interval[name][1]
    assert metrics.interval() == metrics.interval() != metrics.interval(seed=1)


def test_interval_is_nan_where_the_measure_is():
    metrics = SegmentMetrics(0.5)
    for _ in range(2):
        metrics.update(*image("aa."))
    interval = metrics.interval()
    assert interval["siou"] == interval["f1"] == (0, 0) and np.isnan(interval["ppv"]).all()


def test_what_segment_metrics_refuse():
    for options in ({"threshold": np.nan}, {"threshold": 0.5, "min_segment_size": 0}):
        with pytest.raises(ValueError, match="whole numbers of pixels from 1"):
            SegmentMetrics(**options)
    metrics = SegmentMetrics(0.5)
    score, target = image("Ao.#")
    for ask in (metrics.compute, metrics.counts, metrics.interval):
        with pytest.raises(ValueError, match="call update before"):
            ask()
    with pytest.raises(ValueError, match=r"one image \(H, W\), not an array \(4,\)"):
        metrics.update(score[0], target[0])
    with pytest.raises(ValueError, match=r"score has the shape \(1, 4\), but the target \(1, 3\)"):
        metrics.update(score, target[:, :3])
    with pytest.raises(ValueError, match=r"mask is \(1, 3\), but the score \(1, 4\)"):
        metrics.update(score, target, mask=np.ones((1, 3), dtype=bool))
    with pytest.raises(ValueError, match=r"holds \[7\]; expected 0"):
        metrics.update(score, np.where(target == 255, 7, target))
    with pytest.raises(ValueError, match="Some scores are NaN \\(group=ulm\\)"):
        metrics.update(np.where(target == 1, np.nan, score), target, group="ulm")
    with pytest.raises(ValueError, match="call update before"):  # none of these was taken
        metrics.compute()
    metrics.update(np.where(target == 255, np.nan, score), target)
    assert metrics.counts() == counts(1, 0, 1, 0)
    with pytest.raises(ValueError, match="at least two groups"):
        metrics.interval()
