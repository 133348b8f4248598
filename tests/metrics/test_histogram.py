"""What pixel measures promise beyond a million different scores, whatever the scores are."""

import pickle
import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from ood_lib.metrics import MEASURES, PixelMetrics
from ood_lib.metrics.histogram import CAPACITY

MANY = 1_150_000  # so many draws have more than CAPACITY different values
Part = tuple[np.ndarray, np.ndarray]


def draw(size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Standard normal scores, of anomalies higher by 1.5, and their target."""
    rng = np.random.default_rng(seed)
    target = (rng.random(size) < 0.03).astype(np.uint8)
    return rng.standard_normal(size) + 1.5 * target, target


def sklearn_measures(score: np.ndarray, target: np.ndarray) -> dict[str, float]:
    fpr, tpr, _ = roc_curve(target, score)
    return {
        "auroc": roc_auc_score(target, score),
        "auprc": average_precision_score(target, score),
        "fpr95": fpr[(tpr >= 0.95).argmax()],
    }


def measured(*parts: Part) -> PixelMetrics:
    metrics = PixelMetrics()
    for score, target in parts:
        metrics.update(score, target)
    return metrics


def together(*parts: Part) -> Part:
    score, target = (np.concatenate(side) for side in zip(*parts, strict=True))
    return score, target


def within_the_bound(metrics: PixelMetrics, expected: dict[str, float]) -> dict[str, float]:
    """By how much each measure is off."""
    bound = metrics.error_bound()
    with warnings.catch_warnings(record=True, action="always") as caught:
        errors = {name: abs(value - expected[name]) for name, value in metrics.compute().items()}
    assert bool(caught) == (max(metrics.error_bound().values()) > 1e-3)  # the user is told
    assert all(errors[name] <= bound[name] + 1e-12 for name in MEASURES), (errors, bound)
    return errors


FEW_SCORES = {
    "saturated at 1": lambda z: 1 / (1 + np.exp(-3 * z - 12)),
    "steps of 1e-8 from 1": lambda z: 1 - 1e-8 * np.round(30 * np.exp(-z)),
    "tied": lambda z: np.round(5 * z) / 5,
    "tiny": lambda z: 1e-30 * np.exp(z),
    "unbounded": lambda z: 1e6 * z**3,
    "energies": lambda z: 3 * z - 5,
}


@pytest.mark.parametrize("kind", FEW_SCORES)
def test_up_to_a_million_scores_are_exact(kind):
    z, target = draw(50_000)
    score = FEW_SCORES[kind](z).astype(np.float32)
    metrics = measured(*zip(np.split(score, 5), np.split(target, 5), strict=True))
    assert metrics.error_bound() == dict.fromkeys(MEASURES, 0)
    assert metrics.compute() == pytest.approx(sklearn_measures(score, target), rel=0, abs=1e-9)


@pytest.mark.parametrize("kind", ["tiny", "unbounded", "energies", "saturated at 0"])
def test_more_scores_have_a_small_known_error(kind):
    z, target = draw(MANY)
    score = (FEW_SCORES | {"saturated at 0": lambda z: 1 / (1 + np.exp(8 - 3 * z))})[kind](
        z
    ).astype(np.float32)
    assert len(np.unique(score)) > CAPACITY
    metrics = measured(*zip(np.split(score, 4), np.split(target, 4), strict=True))
    errors = within_the_bound(metrics, sklearn_measures(score, target))
    assert 0 < max(metrics.error_bound().values()) < 1e-3
    assert max(errors.values()) < 1e-4


SATURATED = {
    "at 1": (4, 4),
    "at 1, and most of them": (10, 5),
    "at 0": (-8, 3),
}


@pytest.mark.parametrize("kind", SATURATED)
def test_probabilities_that_saturate_have_a_small_known_error(kind):
    """The last scores before 1 are as far apart as float32 can tell: 6e-8."""
    rng, size = np.random.default_rng(3), 2_000_000
    target = (rng.random(size) < 0.03).astype(np.uint8)
    mean, spread = SATURATED[kind]
    logits = np.where(target, mean, -4) + spread * rng.standard_normal(size)
    score = (1 / (1 + np.exp(-logits.astype(np.float32)))).astype(np.float32)
    assert len(np.unique(score)) > CAPACITY
    metrics = measured(*zip(np.split(score, 4), np.split(target, 4), strict=True))
    errors = within_the_bound(metrics, sklearn_measures(score, target))
    assert max(metrics.error_bound().values()) < 1e-4 and max(errors.values()) < 1e-5


@pytest.fixture(scope="module")
def dense_part() -> Part:
    """More scores than are told apart, all in (-6, 8)."""
    z, target = draw(MANY, seed=1)
    return z.astype(np.float32), target


@pytest.fixture(scope="module")
def every_magnitude() -> Part:
    """Two million scores from -3e38 to 0, so that 11 bits are dropped: all from 1024 to 1024.25 is
    one cell then."""
    score = -np.arange(0, 0x7F800000, 2**10, dtype=np.uint32).view(np.float32)
    return score, (np.arange(len(score)) % 512 == 1).astype(np.uint8)


LATER = [lambda z: 1 + 1e-5 * z, lambda z: 1000 + z, lambda z: -(10 ** (z - 20))]


@pytest.mark.parametrize("later", LATER)
def test_later_frames_of_another_distribution_stay_within_the_bound(dense_part, later):
    z, target = draw(400_000, seed=2)
    other = later(z).astype(np.float32), target
    metrics = measured(dense_part, other)
    within_the_bound(metrics, sklearn_measures(*together(dense_part, other)))
    assert max(metrics.error_bound().values()) > 0


@pytest.mark.parametrize("anomalies_first", [True, False])
def test_the_bound_holds_for_the_worst_order_within_a_cell(every_magnitude, anomalies_first):
    target = np.repeat([1, 0], [60_000, 700_000])
    low, high = (
        np.linspace(start, start + 0.1, 1000).repeat(1000).astype(np.float32)
        for start in (1024, 1024.12)
    )
    positives, negatives = (high, low) if anomalies_first else (low, high)
    other = np.concatenate([positives[:60_000], negatives[:700_000]]), target
    metrics = measured(every_magnitude, other)
    errors = within_the_bound(metrics, sklearn_measures(*together(every_magnitude, other)))
    bound = metrics.error_bound()
    assert errors["auroc"] == pytest.approx(bound["auroc"], rel=0.01) and bound["auroc"] > 0.05
    assert errors["auprc"] > 0.02


def test_fpr95_within_a_wide_cell(every_magnitude):
    """95 % of the anomalies are reached in the one wide cell: above all of its in-distribution
    pixels, or below."""
    z = np.linspace(0, 0.1, 900_000, dtype=np.float32)
    target = np.repeat([1, 0], [700_000, 200_000])
    for shift in (0.12, 0):
        score = (
            1024 + z + np.float32(shift) * (target == 1) + np.float32(0.12 - shift) * (target == 0)
        )
        keep = every_magnitude[1] == 0
        metrics = measured((every_magnitude[0], np.where(keep, 0, 255)), (score, target))
        expected = sklearn_measures(
            *together((every_magnitude[0][keep], every_magnitude[1][keep]), (score, target))
        )
        errors, bound = within_the_bound(metrics, expected), metrics.error_bound()
        assert bound["fpr95"] == pytest.approx(200_000 / (keep.sum() + 200_000))
        assert errors["fpr95"] == pytest.approx(bound["fpr95"] if shift else 0)


def assert_equal(first: PixelMetrics, second: PixelMetrics) -> None:
    """To the last bit."""
    for of_first, of_second in zip(
        first._histogram.cells(), second._histogram.cells(), strict=True
    ):
        np.testing.assert_array_equal(of_first, of_second)
    assert first.compute() == second.compute()
    assert first.error_bound() == second.error_bound()


def parts_of_all_kinds() -> list[Part]:
    """Few scores and many, in narrow places and wide ones, some of them in several parts, one part
    with more than `CAPACITY` by itself, and 0 and 1 and what lies just beside these."""
    z, target = draw(1_500_000, seed=4)
    z = z.astype(np.float32)
    edges = np.float32([0, -0.0, 1e-45, -1e-45, 0.5, 1, -0.3, 0.7, 1.3])
    edges = np.concatenate([edges, np.nextafter(edges, 2), np.nextafter(edges, -2)])
    return [
        (z[:100_000], target[:100_000]),
        (z[50_000:1_400_000], target[50_000:1_400_000]),
        (edges, np.arange(len(edges)) % 2),
        (1 / (1 + np.exp(-4 * z[:300_000])), target[:300_000]),
        (np.round(z[:200_000], 2), target[:200_000]),
        (np.exp(9 * z[:150_000]), np.where(target[:150_000], 1, 255)),
        (1000 + z[-300_000:], target[-300_000:]),
        (np.zeros(0, dtype=np.float32), np.zeros(0)),
    ]


@pytest.mark.parametrize("dense", [True, False])
def test_any_order_of_updates_gives_the_same(dense):
    parts = parts_of_all_kinds()
    if not dense:
        parts = [(score[:30_000], target[:30_000]) for score, target in parts]
    expected = measured(*parts)
    assert (max(expected.error_bound().values()) > 0) == dense
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(parts))
        shuffled = [parts[place] for place in order]
        assert_equal(measured(*shuffled), expected)
        # Pixels too may come in another order, and in other portions.
        score, target = together(*shuffled)
        for size in (len(score), 777_777):
            cuts = range(size, len(score), size)
            assert_equal(
                measured(*zip(np.split(score, cuts), np.split(target, cuts), strict=True)),
                expected,
            )
        asked_in_between = PixelMetrics()
        for part in shuffled:
            asked_in_between.update(*part)
            asked_in_between._histogram.cells()
        assert_equal(asked_in_between, expected)


@pytest.mark.parametrize("dense", [True, False])
def test_any_way_of_merging_gives_the_same(dense):
    parts = parts_of_all_kinds()
    if not dense:
        parts = [(score[:30_000], target[:30_000]) for score, target in parts]
    expected = measured(*parts)
    for cuts in ([4], [1, 2, 3, 4, 5, 6, 7], [3, 3, 6]):
        pieces = [measured(*parts[first:last]) for first, last in pairwise([0, *cuts, len(parts)])]
        pieces = pickle.loads(pickle.dumps(pieces))
        while len(pieces) > 1:  # the last into the second, and so on
            pieces.insert(0, pieces.pop(1))
            pieces[0].merge(pieces.pop())
        assert_equal(pieces[0], expected)


def test_what_was_merged_is_not_changed_by_it():
    first, second = (measured(part) for part in parts_of_all_kinds()[:2])
    before = second.compute()
    first.merge(second)
    first.update([0.5, 0.25], [0, 1])
    first.compute()
    assert second.compute() == before


def test_merging_exact_counts_is_as_if_one_had_taken_all():
    z, target = draw(6000)
    parts = list(zip(np.split(np.round(z, 2), 6), np.split(target, 6), strict=True))
    one, left, right = PixelMetrics(), PixelMetrics(), PixelMetrics()
    for number, part in enumerate(parts):
        one.update(*part, group=number // 2)
        (left if number < 3 else right).update(*part, group=number // 2)
    left.merge(pickle.loads(pickle.dumps(right)))
    assert left.compute() == one.compute() and left.error_bound() == dict.fromkeys(MEASURES, 0)
    assert left.interval() == one.interval()
    empty = PixelMetrics()
    empty.merge(one)
    assert empty.compute() == one.compute()


def test_merging_exact_counts_that_are_too_many_together():
    z, target = draw(MANY)
    halves = list(zip(np.split(z, 2), np.split(target, 2), strict=True))
    merged, right = (measured(half) for half in halves)
    assert merged.error_bound() == right.error_bound() == dict.fromkeys(MEASURES, 0)
    merged.merge(right)
    within_the_bound(merged, sklearn_measures(z.astype(np.float32), target))
    assert 0 < max(merged.error_bound().values()) < 1e-3


@pytest.mark.parametrize(
    ("first", "second"), [("exact", "dense"), ("dense", "exact"), ("dense", "dense")]
)
def test_merging_dense_counts(dense_part, first, second):
    """At least one of the two has more than can be told apart."""
    parts = []
    for kind, shift in ((first, 0), (second, 5)):
        size = len(dense_part[0]) if kind == "dense" else 60_000
        parts.append((dense_part[0][-size:] * (1 + shift) + shift, dense_part[1][-size:]))
    merged, right = (measured(part) for part in parts)
    merged.merge(right)
    one = measured(*parts)
    score, target = together(*parts)
    expected = sklearn_measures(score, target)
    within_the_bound(merged, expected)
    within_the_bound(one, expected)
    assert max(merged.error_bound().values()) < 1e-3
    cells = merged._histogram.cells()
    assert cells.counts.sum(axis=1).tolist() == [target.sum(), len(target) - target.sum()]
    assert CAPACITY / 2 < len(cells.lowest) <= CAPACITY
    assert merged.interval() == one.interval()


def test_a_million_scores_more_or_less():
    """Exactly as many as are told apart, and one more."""
    bits = np.float32(1).view(np.uint32) + np.arange(CAPACITY + 1, dtype=np.uint32)
    score, target = bits.view(np.float32), np.arange(CAPACITY + 1) % 2
    exact = measured((score[:-1], target[:-1]))
    assert exact.error_bound() == dict.fromkeys(MEASURES, 0) and len(exact.thresholds()) == CAPACITY
    exact.update(score[-1:], target[-1:])
    assert 0 < exact.error_bound()["auroc"] < 1e-5
    assert len(exact.thresholds()) < CAPACITY


def test_thresholds_are_those_of_the_rates(dense_part):
    z, target = draw(500)
    for part in ((z.astype(np.float32), target), dense_part):
        metrics, in_distribution = measured(part), part[1] == 0
        thresholds = metrics.thresholds()
        fpr, tpr = metrics.roc()
        assert thresholds.dtype == np.float32 and (np.diff(thresholds) < 0).all()
        assert len(fpr) == len(thresholds) + 1 and fpr[0] == tpr[0] == 0
        for place in np.linspace(0, len(thresholds) - 1, 7).astype(int):
            alarm = part[0] >= thresholds[place]
            assert fpr[place + 1] == pytest.approx(alarm[in_distribution].mean(), abs=1e-12)
            assert tpr[place + 1] == pytest.approx(alarm[~in_distribution].mean(), abs=1e-12)


def test_scores_of_all_magnitudes_are_told_apart_and_in_order():
    largest = np.finfo(np.float32).max
    score = np.float32([-largest, -1, -1e-30, -1e-45, 0, 1e-45, 1e-30, 1, largest])
    score = np.unique([score, np.nextafter(score, np.float32(0))])
    metrics = measured((np.random.default_rng(0).permutation(score), np.arange(len(score)) % 2))
    np.testing.assert_array_equal(metrics.thresholds(), score[::-1])


def test_minus_zero_and_zero_tie():
    assert measured(([-0.0, 0.0], [0, 1])).compute()["auroc"] == 0.5
    assert measured(([-1e-45, 0.0], [0, 1])).compute()["auroc"] == 1


@pytest.mark.parametrize(
    ("factor", "what"), [(1e300, "too large for a float32"), (1e-300, "too small for a float32")]
)
@pytest.mark.filterwarnings("error")
def test_scores_of_64_bits_that_would_all_be_one_are_refused(factor, what):
    metrics = PixelMetrics()
    with pytest.raises(ValueError, match=what):
        metrics.update(np.array([0.1, 0.2]) * factor, [0, 1])
    metrics.update(np.array([0.0, 0.2]), [0, 1])
    metrics.update(np.array([1e300, np.nan]), [255, 255])
    assert metrics.compute()["auroc"] == 1


@pytest.mark.parametrize("make", [np.asarray, torch.tensor])
def test_scores_and_targets_of_any_type_and_shape(make):
    score, target = np.float32([[0.25, 0.5], [0.75, 1.0]]), np.uint8([[0, 1], [0, 1]])
    kinds = ["bool", "uint8", "int32", "int64", "float32"]
    for kind in kinds:
        for shape in ((4,), (2, 2), (1, 2, 1, 2)):
            metrics = measured(
                (make(score.reshape(shape)), make(target.reshape(shape).astype(kind)))
            )
            assert metrics.compute() == pytest.approx(
                {"auroc": 0.75, "auprc": 0.5 + 0.5 * 2 / 3, "fpr95": 0.5}
            )
    for kind in ("float16", "float64"):
        assert measured((make(score.astype(kind)), make(target))).compute()["auroc"] == 0.75
    assert measured((torch.tensor(score, requires_grad=True), target)).compute()["auroc"] == 0.75
    assert measured((torch.tensor(score).bfloat16(), target)).compute()["auroc"] == 0.75
    assert measured((np.array([1, 2, 3, 4]), target.ravel())).compute()["auroc"] == 0.75


def test_an_update_may_lack_a_class_or_all_pixels():
    metrics = measured(([0.1, 0.4], [0, 0]), ([0.3], [1]), ([], []), ([0.5, 0.2], [255, 1]))
    assert metrics.compute()["auroc"] == 0.5
    assert all(0 <= low <= high <= 1 for low, high in metrics.interval().values())


def size_in_bytes(values: object) -> int:
    """Of all arrays within."""
    if isinstance(values, np.ndarray):
        return values.nbytes
    inside = (
        values
        if isinstance(values, list | tuple)
        else getattr(values, "__dict__", {}).values()
    )
    return sum(map(size_in_bytes, inside))


def test_memory_hardly_grows_with_the_pixels():
    metrics = PixelMetrics()
    rng = np.random.default_rng(0)
    target = rng.random(100_000) < 0.02
    sizes = []
    for _ in range(60):
        metrics.update(rng.standard_normal(100_000), target)
        sizes.append(size_in_bytes(metrics))
    # 24 bytes for each of at most `CAPACITY` cells, 4 for each of as many waiting scores, and a MB.
    assert max(sizes) < 45e6
    metrics.compute()
    assert size_in_bytes(metrics._histogram) < 26e6
    assert size_in_bytes(metrics._updates) < 60 * 20e3  # of an update only its outline remains
