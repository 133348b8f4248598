import math
import re
from statistics import fmean, pvariance

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage

import ood_lib.segments.metrics as module
from ood_lib.metrics import SegmentMetrics
from ood_lib.segments import find_segments, metric_names, segment_metrics
from ood_lib.segments.metrics import SUM_TOLERANCE

Pixel = tuple[int, int]
EPSILON = float(np.finfo(np.float32).eps)


def drawn(*rows: str) -> np.ndarray:
    """True at every ``x``."""
    return np.array([list(row) for row in rows]) == "x"


def softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits - logits.max(axis=0))
    return odds / odds.sum(axis=0)


def random_map(seed: int, classes: int, size: Pixel = (14, 17)) -> np.ndarray:
    """Probabilities float64 (C, H, W), from certain to undecided."""
    rng = np.random.default_rng(seed)
    return softmax(rng.normal(size=(classes, *size)) * rng.exponential(4, size=size))


def random_case(seed: int, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, a mask of segments of many sizes, and a target with anomalies that partly lie
    under these."""
    rng = np.random.default_rng(seed)
    probabilities = random_map(seed, classes)
    field = ndimage.gaussian_filter(rng.normal(size=probabilities.shape[1:]), 1)
    mask = field > rng.choice([0.1, 0.4]) * field.std()
    target = ((field + 0.3 * rng.normal(size=field.shape)) > 0.6 * field.std()).astype(np.uint8)
    target[rng.random(field.shape) < 0.1] = 255
    return probabilities, mask, target


def near(pixel: Pixel, size: Pixel) -> list[Pixel]:
    """Its up to 8 neighbours in the image."""
    row, column = pixel
    around = [
        (row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right
    ]
    return [(r, c) for r, c in around if 0 <= r < size[0] and 0 <= c < size[1]]


def flood(start: Pixel, free: set[Pixel], size: Pixel) -> set[Pixel]:
    """All pixels that are reached from ``start`` over free ones."""
    reached, todo = {start}, [start]
    while todo:
        for pixel in near(todo.pop(), size):
            if pixel in free and pixel not in reached:
                reached.add(pixel)
                todo.append(pixel)
    return reached


def slow_iou(segment: set[Pixel], anomalous: set[Pixel], covered: set[Pixel], size: Pixel) -> float:
    union = set(segment)
    for pixel in segment:
        for other in near(pixel, size):
            if other in anomalous - covered and other not in union:
                union |= flood(other, anomalous - covered, size)
    return len(segment & anomalous) / len(union)


def slow_row(p: np.ndarray, segment: set[Pixel]) -> dict[str, float]:
    """The metrics of one segment, pixel by pixel."""
    classes, *size = p.shape
    pairs = [other for pixel in segment for other in near(pixel, size) if other not in segment]
    border = {
        pixel for pixel in segment if any(other not in segment for other in near(pixel, size))
    }
    sizes = {"": len(segment), "_in": len(segment - border), "_bd": len(border)}
    row = {"mean_x": fmean(r for r, _ in segment), "mean_y": fmean(c for _, c in segment)}
    row |= {f"S{part}": value for part, value in sizes.items()}
    row |= {f"S_rel{part}": sizes[part] / max(1, sizes["_bd"]) for part in ("", "_in")}
    heat: dict[str, dict[Pixel, float]] = {"E": {}, "D": {}, "V": {}}
    for pixel in segment:
        values = [float(value) for value in p[:, *pixel]]
        second, first = sorted(values)[-2:]
        heat["E"][pixel] = -sum(v * math.log(v + EPSILON) for v in values) / math.log(classes)
        heat["D"][pixel], heat["V"][pixel] = 1 - first + second, 1 - first
    for name, of_pixel in heat.items():
        for part, pixels in (("", segment), ("_in", segment - border), ("_bd", border)):
            values = [of_pixel[pixel] for pixel in pixels]
            row[name + part] = fmean(values) if values else 0
            row[f"{name}_var{part}"] = pvariance(values) if values else 0
        for measure in (name, f"{name}_var"):
            row |= {
                f"{measure}_rel{part}": row[measure + part] * row[f"S_rel{part}"]
                for part in ("", "_in")
            }
    most_likely = [max(range(classes), key=lambda index: p[index, *other]) for other in pairs]
    for index in range(classes):
        row[f"cprob{index}"] = fmean(p[index, *pixel] for pixel in segment)
        row[f"ndist{index}"] = most_likely.count(index) / max(1, len(pairs))
    return row


def slow_table(p: np.ndarray, mask: np.ndarray, target: np.ndarray | None = None) -> pd.DataFrame:
    target = np.zeros(mask.shape) if target is None else target
    size = mask.shape
    pixels = [(r, c) for r in range(size[0]) for c in range(size[1])]
    covered = {pixel for pixel in pixels if mask[pixel] and target[pixel] != 255}
    anomalous = {pixel for pixel in pixels if target[pixel] == 1}
    rows, done = [], set()
    for pixel in pixels:
        if pixel in covered - done:
            segment = flood(pixel, covered, size)
            done |= segment
            rows.append(slow_row(p, segment) | {"iou": slow_iou(segment, anomalous, covered, size)})
    return pd.DataFrame(rows, dtype=float)


def assert_equal_tables(
    found: pd.DataFrame, expected: pd.DataFrame, rtol: float = 1e-9, atol: float = 1e-12
) -> None:
    """The columns of ``found`` are those of ``expected`` of the same names."""
    assert len(found) == len(expected)
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], rtol=rtol, atol=atol, err_msg=name)


def test_names_of_the_metrics():
    assert len(metric_names()) == len(set(metric_names())) == 75
    assert metric_names(2) == [
        *("mean_x", "mean_y", "S", "S_in", "S_bd", "S_rel", "S_rel_in"),
        *("E", "E_in", "E_bd", "E_rel", "E_rel_in"),
        *("E_var", "E_var_in", "E_var_bd", "E_var_rel", "E_var_rel_in"),
        *("D", "D_in", "D_bd", "D_rel", "D_rel_in"),
        *("D_var", "D_var_in", "D_var_bd", "D_var_rel", "D_var_rel_in"),
        *("V", "V_in", "V_bd", "V_rel", "V_rel_in"),
        *("V_var", "V_var_in", "V_var_bd", "V_var_rel", "V_var_rel_in"),
        *("cprob0", "cprob1", "ndist0", "ndist1"),
    ]


def test_a_segment_that_can_be_computed_by_hand():
    mask = drawn("xxx...", "xxx...", "xxx...", "......", "......")
    # In the corner, 4 of 9 pixels have no neighbour outside. There both classes are equally likely
    # (E = D = 1, V = 0.5); at the 5 others, and at one pixel outside that touches one of them,
    # class 0 is certain (E = D = V = 0).
    first = np.zeros(mask.shape)
    first[mask] = 1
    first[:2, :2] = 0.5
    first[3, 3] = 1
    target = np.zeros(mask.shape, dtype=np.uint8)
    target[2, 2:5] = 1  # one pixel found, two missed
    target[4, 0] = 1  # not touched
    table, labels = segment_metrics(np.stack([first, 1 - first]), mask, target)
    np.testing.assert_array_equal(labels, mask)
    entropy = [4 / 9, 1, 0, 4 / 9 * 9 / 5, 1 * 4 / 5]
    variance = [4 / 9 - (4 / 9) ** 2, 0, 0, (4 / 9 - (4 / 9) ** 2) * 9 / 5, 0]
    half, quarter = [value / 2 for value in entropy], [value / 4 for value in variance]
    # 2 + 3 + 5 + 3 + 2 pairs around the corner, from (2, 0) to (0, 2); one of them with the pixel
    # (3, 3).
    classes = [7 / 9, 2 / 9, 1 / 15, 14 / 15]
    expected = [
        1,
        1,
        9,
        4,
        5,
        9 / 5,
        4 / 5,
        *entropy,
        *variance,
        *entropy,
        *variance,
        *half,
        *quarter,
        *classes,
    ]
    np.testing.assert_allclose(table.loc[0, metric_names(2)], expected, atol=1e-6)
    assert table.loc[0, "iou"] == pytest.approx(1 / (9 + 2))


@pytest.mark.parametrize(("classes", "seeds"), [(2, 12), (3, 12), (19, 12), (130, 2), (300, 1)])
def test_metrics_are_those_of_loops_over_pixels(classes, seeds):
    found = 0
    for seed in range(seeds):
        probabilities, mask, target = random_case(seed, classes)
        table, labels = segment_metrics(probabilities, mask, target)
        assert list(table) == [*metric_names(classes), "iou"] and (table.dtypes == np.float64).all()
        assert_equal_tables(table, slow_table(probabilities, mask, target))
        np.testing.assert_array_equal(np.bincount(labels.ravel())[1:], table["S"])
        without_target, _ = segment_metrics(probabilities, mask)
        assert list(without_target) == metric_names(classes)
        assert_equal_tables(without_target, slow_table(probabilities, mask))
        found += (table["S_in"] > 0).sum() + (table["iou"] > 0).sum()
    assert found > 2 * seeds  # the cases are worth looking at


@pytest.mark.parametrize(
    "rows",
    [
        ("x....x", "......", "x....x"),  # the corners
        ("xxxxxx", "x....x", "xxxxxx"),  # all along the border
        ("x...x.", ".x.x.x", "..x..."),  # joined at corners
        ("xxxxx.", "xxxxx.", "xx.xx.", "xxxxx.", "xxxxx."),  # a hole
        ("xx.xx",),
        ("x", ".", "x", "x"),
    ],
)
def test_segments_of_special_shapes(rows):
    probabilities = random_map(3, 4, (len(rows), len(rows[0])))
    table, _ = segment_metrics(probabilities, drawn(*rows))
    assert_equal_tables(table, slow_table(probabilities, drawn(*rows)))


def test_segments_are_numbered_in_raster_order_and_joined_at_corners():
    labels = find_segments(drawn("...x.x", "xx..x.", "......", "..x..."))
    expected = [[0, 0, 0, 1, 0, 1], [2, 2, 0, 0, 1, 0], [0] * 6, [0, 0, 3, 0, 0, 0]]
    np.testing.assert_array_equal(labels, expected)
    assert labels.dtype == np.int32


def test_ignored_pixels_cut_segments_and_are_outside():
    probabilities, mask = random_map(0, 3, (4, 7)), np.ones((4, 7), dtype=bool)
    target = np.zeros(mask.shape, dtype=np.uint8)
    target[:, 3] = 255
    table, labels = segment_metrics(probabilities, mask, target)
    np.testing.assert_array_equal(labels, np.repeat([[1, 1, 1, 0, 2, 2, 2]], 4, axis=0))
    np.testing.assert_array_equal(labels, find_segments(mask, target))
    assert table["S_bd"].tolist() == [4, 4] and table["S_in"].tolist() == [8, 8]
    # All neighbours are ignored pixels; the network's class there counts all the same.
    classes = probabilities[:, :, 3].argmax(axis=0)
    share = [np.repeat(classes, [2, 3, 3, 2]).tolist().count(index) / 10 for index in range(3)]
    np.testing.assert_allclose(table[["ndist0", "ndist1", "ndist2"]], [share, share])


def test_a_segment_that_fills_the_image_has_no_boundary():
    probabilities = random_map(1, 3, (5, 6))
    table, labels = segment_metrics(
        probabilities, np.ones((5, 6), dtype=bool), np.zeros((5, 6), dtype=np.uint8)
    )
    (row,) = table.to_dict("records")
    assert (labels == 1).all() and not table.isna().any(axis=None)
    assert (row["S"], row["S_in"], row["S_bd"], row["S_rel"], row["S_rel_in"], row["iou"]) == (
        30,
        30,
        0,
        30,
        30,
        0,
    )
    assert (
        row["E"] == row["E_in"] > 0
        and row["E_rel"] == 30 * row["E"]
        and row["E_bd"] == row["E_var_bd"] == 0
    )
    assert row["ndist0"] == row["ndist1"] == row["ndist2"] == 0
    assert_equal_tables(table, slow_table(probabilities, np.ones((5, 6))))


@pytest.mark.parametrize("target", [None, np.zeros((5, 6), dtype=np.uint8)])
def test_without_segments_the_table_is_empty_but_complete(target):
    table, labels = segment_metrics(random_map(1, 19, (5, 6)), np.zeros((5, 6), dtype=bool), target)
    assert list(table) == metric_names() + ([] if target is None else ["iou"]) and len(table) == 0
    assert (table.dtypes == np.float64).all()
    assert labels.dtype == np.int32 and labels.shape == (5, 6) and not labels.any()


def test_more_segments_than_a_short_integer_counts():
    size = (401, 400)
    mask = np.zeros(size, dtype=bool)
    mask[::2, ::2] = True
    probabilities = random_map(2, 3, size)
    table, labels = segment_metrics(probabilities, mask, mask.astype(np.uint8))
    assert len(table) == 201 * 200 > 32767 and labels.max() == len(table)
    assert (table[["S", "S_bd", "S_rel", "iou"]] == 1).all(axis=None) and not table[
        ["S_in", "D_var"]
    ].any(axis=None)
    first = np.sort(probabilities, axis=0)[-1]
    np.testing.assert_allclose(table["V"], (1 - first)[mask], atol=1e-12)
    assert_equal_tables(
        table[["cprob0", "cprob1", "cprob2"]],
        pd.DataFrame(probabilities[:, mask].T).add_prefix("cprob"),
    )
    ones = np.ones((3, 3))
    neighbours = ndimage.convolve(np.ones(size), ones, mode="constant")[mask] - 1
    for index in range(3):
        of_class = (probabilities.argmax(axis=0) == index) & ~mask
        counts = ndimage.convolve(of_class.astype(float), ones, mode="constant")[mask]
        np.testing.assert_allclose(table[f"ndist{index}"], counts / neighbours)


def test_the_pixels_that_are_taken_at_once_change_nothing(monkeypatch):
    probabilities, mask, target = random_case(5, 19)
    expected, _ = segment_metrics(probabilities, mask, target)
    monkeypatch.setattr(module, "_PIXELS_AT_ONCE", 7)
    table, _ = segment_metrics(probabilities, mask, target)
    assert_equal_tables(table, expected)


def test_the_variance_of_nearly_constant_maps_is_exact():
    rng = np.random.default_rng(0)
    first = 0.7 + 1e-9 * rng.normal(size=(200, 300))
    table, _ = segment_metrics(np.stack([first, 1 - first]), np.ones(first.shape, dtype=bool))
    # E[V^2] - E[V]^2 would be noise: 1e-18 is less than the rounding of 0.09.
    assert table.loc[0, "V_var"] == pytest.approx(first.var(), rel=1e-6)
    constant, _ = segment_metrics(
        np.full((3, 50, 60), 1 / 3), drawn(*["xxxx.".ljust(60, ".")] * 50)
    )
    assert (constant.filter(like="_var") < 1e-28).all(axis=None) and (
        constant.filter(like="_var") >= 0
    ).all(axis=None)


def test_iou_of_segments_that_share_an_anomaly():
    mask = drawn("xx..xxx...x", "..........x")
    target = np.array([[0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0], [0] * 8 + [255, 1, 0]], dtype=np.uint8)
    table, _ = segment_metrics(random_map(0, 2, mask.shape), mask, target)
    # One anomaly lies half under two segments, and each owes its two missed pixels; the last
    # segment only touches one.
    assert table["iou"].tolist() == pytest.approx([1 / (2 + 2), 1 / (3 + 2), 0])


def test_false_positives_are_those_of_the_segment_metrics():
    for seed in range(10):
        probabilities, mask, target = random_case(seed, 2)
        table, _ = segment_metrics(probabilities, mask, target)
        metrics = SegmentMetrics(0.5)
        metrics.update(mask.astype(float), target)
        counts = metrics.counts()
        assert (len(table), (table["iou"] == 0).sum()) == (
            counts["segments"],
            counts["false_positives"],
        )


def test_numpy_and_torch_in_any_memory_layout():
    probabilities, mask, target = random_case(7, 5)
    expected, labels = segment_metrics(probabilities, mask, target)
    tensor = torch.tensor(probabilities)
    read_only = probabilities.copy()
    read_only.setflags(write=False)
    layouts = {
        "torch": tensor,
        "with a gradient": tensor.clone().requires_grad_(),
        "channels last": tensor.permute(1, 2, 0).contiguous().permute(2, 0, 1),
        "a part": torch.nn.functional.pad(tensor, (2, 3, 1, 1))[:, 1:-1, 2:-3],
        "columns first": tensor.mT.contiguous().mT,
        "channels last, NumPy": np.moveaxis(np.moveaxis(probabilities, 0, 2).copy(), 2, 0),
        "backwards": probabilities[:, ::-1].copy()[:, ::-1],
        "read only": read_only,
    }
    for name, given in layouts.items():
        table, same_labels = segment_metrics(given, torch.tensor(mask), torch.tensor(target))
        pd.testing.assert_frame_equal(table, expected, obj=name, rtol=1e-12)
        np.testing.assert_array_equal(same_labels, labels)
    np.testing.assert_array_equal(tensor, probabilities)  # nothing was written into it
    for other_mask in (mask.astype(np.uint8), torch.tensor(mask).float(), mask.tolist()):
        pd.testing.assert_frame_equal(
            segment_metrics(probabilities, other_mask, target)[0], expected
        )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_numbers_of_less_precision(dtype):
    for seed in range(4):
        probabilities, mask, target = random_case(seed, 19)
        rounded = torch.tensor(probabilities).to(dtype)
        exact, _ = segment_metrics(rounded.double(), mask, target)
        assert_equal_tables(segment_metrics(rounded, mask, target)[0], exact, rtol=2e-6, atol=1e-7)


def test_a_map_on_the_cpu_needs_no_gpu(monkeypatch):
    def no_gpu():
        raise AssertionError("a GPU was asked for")

    monkeypatch.setattr(torch.cuda, "_lazy_init", no_gpu)
    monkeypatch.setattr(torch.cuda, "is_available", no_gpu)
    assert len(segment_metrics(*random_case(0, 3))[0]) > 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="compares a GPU with the CPU")
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_a_gpu_gives_what_the_cpu_gives(dtype):
    for seed in range(4):
        probabilities, mask, target = (torch.tensor(part) for part in random_case(seed, 19))
        probabilities = probabilities.to(dtype)
        expected, labels = segment_metrics(probabilities, mask, target)
        for given in (
            (probabilities.cuda(), mask, target),
            (probabilities.cuda(), mask.cuda(), target.cuda()),
        ):
            table, same_labels = segment_metrics(*given)
            assert_equal_tables(table, expected, rtol=1e-6, atol=1e-7)
            np.testing.assert_array_equal(same_labels, labels)


def test_masks_and_targets_that_are_refused():
    probabilities, mask, target = random_case(0, 3)
    with pytest.raises(ValueError, match=r"mask \(H, W\).*not bool \(1, 14, 17\)"):
        segment_metrics(probabilities, mask[None], target)
    with pytest.raises(
        ValueError,
        match=r"such as score >= threshold, not float64 \(14, 17\) .* \[0.0, 0.3\]",
    ):
        segment_metrics(probabilities, 0.3 * mask)
    with pytest.raises(ValueError, match=r"not uint8 .* \[0, 255\]"):
        find_segments(np.where(mask, 255, 0).astype(np.uint8))
    with pytest.raises(
        ValueError, match=r"mask \(14, 16\) does not fit the probabilities \(3, 14, 17\)"
    ):
        segment_metrics(probabilities, mask[:, 1:], target[:, 1:])
    with pytest.raises(
        ValueError, match=r"target has the shape \(14, 16\), but the mask \(14, 17\)"
    ):
        segment_metrics(probabilities, mask, target[:, 1:])
    with pytest.raises(ValueError, match=r"target holds \[2, 254\]; expected 0 .*, 1 .*, 255"):
        segment_metrics(
            probabilities, mask, np.where(target == 1, 2, np.where(target == 255, 254, 0))
        )


@pytest.mark.parametrize("where", ["everywhere", "in some pixels"])
def test_a_class_that_is_switched_off_by_a_logit_of_minus_infinity(where):
    """Its probability is 0: the reference knows it only as that, and the sums without it agree."""
    _, mask, target = random_case(2, 5)
    logits = np.random.default_rng(2).normal(size=(5, *mask.shape), scale=3)
    off = np.full(mask.shape, True) if where == "everywhere" else logits[0] > 0
    left = np.concatenate([logits[:2], logits[3:]])
    p = np.where(off, np.insert(softmax(left), 2, 0, axis=0), softmax(logits))
    logits[2, off] = -np.inf
    found, _ = segment_metrics(torch.tensor(logits).softmax(dim=0), mask, target)
    assert np.isfinite(found.to_numpy()).all()
    assert_equal_tables(found, slow_table(p, mask, target))
    if where == "everywhere":
        assert (found[["cprob2", "ndist2"]] == 0).all(axis=None)


def test_probabilities_that_are_refused():
    probabilities, mask, _ = random_case(0, 3)
    for wrong in (probabilities[0], probabilities[None], probabilities[:1], probabilities[:, :0]):
        message = f"as floating-point numbers, not torch.float64 {wrong.shape}"
        with pytest.raises(ValueError, match=re.escape(message)):
            segment_metrics(wrong, mask)
    with pytest.raises(ValueError, match=r"floating-point numbers, not torch.int64 \(3, 14, 17\)"):
        segment_metrics(probabilities.astype(int), mask)
    broken = probabilities.copy()
    broken[:, 3:5, 6:] = np.array([2.5, -1, 0.25])[:, None, None]
    with pytest.raises(
        ValueError,
        match=r"22 of 238 .* row 3, column 6: from -1 to 2.5, with the sum 1.75.*softmax",
    ):
        segment_metrics(broken, mask)
    broken[:, 2, 5] = [1.25, -0.25, 0]  # sums to 1
    with pytest.raises(
        ValueError, match=r"23 of 238 .* row 2, column 5: from -0.25 to 1.25, with the sum 1 "
    ):
        segment_metrics(torch.tensor(broken), mask)
    for bad in (np.nan, np.inf):
        broken[1, 1, 4] = bad
        with pytest.raises(
            ValueError, match=r"row 1, column 4: .* Look at the logits for NaN and infinity"
        ):
            segment_metrics(broken, mask)


def test_how_far_from_1_probabilities_may_sum():
    probabilities, mask, _ = random_case(0, 3)
    segment_metrics(probabilities * (1 + 0.99 * SUM_TOLERANCE), mask)
    for scale in (1 + 1.01 * SUM_TOLERANCE, 1 - 1.01 * SUM_TOLERANCE):
        with pytest.raises(
            ValueError, match=r"238 of 238 pixels hold no probabilities.*row 0, column 0"
        ):
            segment_metrics(probabilities * scale, mask)
    # Nearly the worst case: all but the last are rounded down by half of what bfloat16 tells apart
    # there.
    worst = torch.full((32,), (1 + 0.999 * 2**-8) / 32, dtype=torch.float64)
    worst[-1] = 1 - worst[:-1].sum()
    for dtype, most in ((torch.bfloat16, 0.004), (torch.float16, 0.0005)):
        rounded = worst.to(dtype)
        assert abs(rounded.double().sum() - 1) < most
        assert (
            len(
                segment_metrics(
                    rounded.repeat(2, 3, 1).permute(2, 0, 1), np.ones((2, 3), dtype=bool)
                )[0]
            )
            == 1
        )
    assert 1 - worst.bfloat16().double().sum() > 0.0035
