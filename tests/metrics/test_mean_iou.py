from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import confusion_matrix

from ood_lib.data.labels import CLASSES
from ood_lib.metrics import MeanIoU
from ood_lib.metrics.curves import draw_groups


def test_mean_iou_is_that_of_the_confusion_matrix():
    rng = np.random.default_rng(0)
    target = rng.choice(
        [0, 1, 2, 4, 255], size=(4, 20, 30)
    )  # class 3 is not there, but predicted; class 5 is nowhere
    prediction = np.where(
        rng.random(target.shape) < 0.6, target % 255, rng.integers(0, 5, target.shape)
    )
    metrics = MeanIoU(6)
    for image in range(4):
        metrics.update(
            torch.tensor(prediction[image]).to(torch.uint8),
            torch.tensor(target[image]).to(torch.uint8),
        )
    matrix = confusion_matrix(target[target != 255], prediction[target != 255], labels=range(6))
    np.testing.assert_array_equal(metrics.confusion, matrix)
    expected = [
        matrix[c, c] / (matrix[c].sum() + matrix[:, c].sum() - matrix[c, c]) for c in range(5)
    ]
    result = metrics.compute()
    np.testing.assert_allclose(result["iou"][:5], expected)
    assert expected[3] == 0 and np.isnan(result["iou"][5])
    assert result["miou"] == pytest.approx(np.mean(expected))


def test_what_mean_iou_refuses():
    metrics = MeanIoU(3)
    assert np.isnan(metrics.compute()["miou"])
    with pytest.raises(ValueError, match="at least two groups"):
        metrics.interval()
    with pytest.raises(ValueError, match=r"prediction is \(1,\), the target \(2,\)"):
        metrics.update([0], [0, 1])
    with pytest.raises(
        ValueError, match=r"prediction has values from 0 to 3, but the classes are 0 ... 2"
    ):
        metrics.update([0, 3], [0, 1])
    with pytest.raises(ValueError, match="target has values from 1 to 254"):
        metrics.update([0, 2], [1, 254])
    metrics.update([9], [255])
    assert metrics.confusion.sum() == 0


def write_labels(folder, ids: np.ndarray) -> str:
    folder.mkdir()
    Image.fromarray(ids.astype(np.uint8)).save(folder / "labelIds.png")
    return str(folder / "labelIds.png")


def test_mean_iou_is_that_of_the_scripts_of_cityscapes(tmp_path):
    """Two images of ids, with ignored ones, a class that is nowhere, one that is never found, one
    only predicted."""
    from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as scripts

    rng = np.random.default_rng(0)
    known = np.array([c.label_id for c in CLASSES])
    bus, train, bicycle = 28, 31, 33
    target_ids = rng.choice([*range(28), 29, 30, 32, 33], size=(2, 40, 60))
    guess = rng.choice(known[~np.isin(known, [train, bicycle])], size=target_ids.shape)
    right = (
        (rng.random(target_ids.shape) < 0.6) & np.isin(target_ids, known) & (target_ids != bicycle)
    )
    prediction_ids = np.where(right, target_ids, guess)
    assert (prediction_ids == bus).any() and not (target_ids == bus).any()

    files = [
        [write_labels(tmp_path / f"{kind}_{image}", ids[image]) for image in range(2)]
        for kind, ids in (("prediction", prediction_ids), ("target", target_ids))
    ]
    options = vars(scripts.args) | {"evalInstLevelScore": False, "JSONOutput": False, "quiet": True}
    expected = scripts.evaluateImgLists(*files, SimpleNamespace(**options))

    train_ids = np.full(256, 255)
    train_ids[known] = [c.train_id for c in CLASSES]
    metrics = MeanIoU(len(CLASSES))
    for prediction, target in zip(prediction_ids, target_ids, strict=True):
        metrics.update(train_ids[prediction], train_ids[target])
    result = metrics.compute()
    assert result["miou"] == pytest.approx(expected["averageScoreClasses"], abs=1e-9)
    of_class = [expected["classScores"][c.name] for c in CLASSES]
    np.testing.assert_allclose(result["iou"], of_class, atol=1e-9)
    assert np.isnan(of_class[16]) and of_class[15] == of_class[18] == 0


def grouped(group_of_image: list) -> tuple[MeanIoU, np.ndarray, np.ndarray]:
    """Images that are harder one by one; class 3 is only in the first."""
    rng = np.random.default_rng(0)
    target = rng.integers(0, 3, (len(group_of_image), 20, 30))
    target[0, :5] = 3
    share = np.linspace(0.9, 0.3, len(target))[:, None, None]
    prediction = np.where(
        rng.random(target.shape) < share, target, rng.integers(0, 4, target.shape)
    )
    metrics = MeanIoU(4)
    for image, group in enumerate(group_of_image):
        metrics.update(prediction[image], target[image], group=group)
    return metrics, prediction, target


def test_interval_of_mean_iou_is_that_of_drawing_the_pixels_themselves():
    names = ["ulm", "bonn", "ulm", "jena", "bonn", "jena"]
    metrics, prediction, target = grouped(names)
    images = {"ulm": [0, 2], "bonn": [1, 4], "jena": [3, 5]}
    values = []
    for times in draw_groups(3, 60, seed=7):
        drawn = [
            i for name, number in zip(images, times, strict=True) for i in images[name] * number
        ]
        once = MeanIoU(4)
        once.update(prediction[drawn], target[drawn])
        values.append(once.compute()["miou"])
    low, high = metrics.interval(level=0.9, repeats=60, seed=7)["miou"]
    np.testing.assert_allclose((low, high), np.quantile(values, [0.05, 0.95]), atol=1e-12)
    assert low < metrics.compute()["miou"] < high


def test_groups_are_drawn_with_replacement_as_many_as_there_are():
    draws = draw_groups(20, 4000, seed=0)
    assert (draws.sum(axis=1) == 20).all()
    np.testing.assert_allclose(draws.mean(axis=0), 1, atol=0.1)
    assert (draws == 0).mean() == pytest.approx((1 - 1 / 20) ** 20, abs=0.01)


def test_images_without_a_group_are_drawn_one_by_one():
    alone, by_number, all_one = (
        grouped(names)[0] for names in ([None] * 6, list(range(6)), ["ulm"] * 6)
    )
    assert alone.interval() == by_number.interval() != alone.interval(seed=1)
    with pytest.raises(ValueError, match="at least two groups"):
        all_one.interval()


def test_interval_of_mean_iou_is_nan_where_all_is_ignored():
    metrics = MeanIoU(3)
    for _ in range(2):
        metrics.update([0, 1], [255, 255])
    assert np.isnan(metrics.interval()["miou"]).all()
