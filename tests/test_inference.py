"""Any network, any size of image, any amount of memory."""

import weakref

import numpy as np
import pytest
import torch
from layouts import noise, save, write_lost_and_found, write_road_anomaly
from torch import nn

from ood_lib.data import open_dataset
from ood_lib.inference import PIXELS_AT_ONCE, predict
from ood_lib.metrics.evaluate import evaluate_anomalies
from ood_lib.miniature import scenes
from ood_lib.models import build_model, load_checkpoint
from ood_lib.models.logits import as_images, image_logits
from ood_lib.scores import energy, entropy
from ood_lib.settings import load_settings


class Each(nn.Module):
    """Logits of five classes for each pixel alone, or whatever ``change`` makes of them."""

    def __init__(self, change=lambda logits: logits, most_pixels=10**9) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv = nn.Conv2d(3, 5, 1)
        self.change, self.most_pixels, self.seen = change, most_pixels, []

    def forward(self, x):
        self.seen.append(tuple(x.shape))
        if x[:, 0].numel() > self.most_pixels:
            raise torch.OutOfMemoryError("out of memory")
        return self.change(self.conv(x))


@pytest.fixture
def frames(tmp_path):
    """Four frames of 24 x 40 pixels."""
    return open_dataset("lost_and_found", write_lost_and_found(tmp_path / "laf"), "test")


def test_windows_change_nothing_where_a_pixel_is_judged_alone():
    x = torch.rand(2, 3, 37, 90)
    model = Each()
    for window in ((16, 40), (37, 31), (100, 33), (200, 200)):
        torch.testing.assert_close(image_logits(model, x, window), model.conv(x))
    assert {shape[2:] for shape in model.seen} == {(16, 40), (37, 31), (37, 33), (37, 90)}


def test_windows_of_a_street_scene_tell_nearly_the_same(tmp_path):
    settings = load_settings(data_root=tmp_path)
    network = load_checkpoint(build_model(settings.model), settings.checkpoint).eval()
    picture, _ = scenes.everyday(seed=5, kind="test of windows", index=0, width=256, height=128)
    x = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        whole, cut = network(x), image_logits(network, x, (128, 144))
    difference = (entropy(whole) - entropy(cut)).abs()
    assert 0 < difference.mean() < 0.01
    assert (whole.argmax(dim=1) == cut.argmax(dim=1)).float().mean() > 0.98


def test_logits_of_another_size_are_enlarged_to_that_of_the_image(frames):
    small = Each(nn.AvgPool2d(4))
    x = torch.rand(1, 3, 24, 40)
    expected = nn.functional.interpolate(
        nn.functional.avg_pool2d(small.conv(x), 4), (24, 40), mode="bilinear"
    )
    torch.testing.assert_close(image_logits(small, x), expected)
    assert next(predict(small, frames, progress=False)).score.shape == (24, 40)


def test_dictionaries_of_torchvision_are_understood(frames):
    found = next(predict(Each(lambda logits: {"out": logits, "aux": None}), frames, progress=False))
    torch.testing.assert_close(found.score, next(predict(Each(), frames, progress=False)).score)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda logits: (logits, logits), TypeError, "returned tuple, not logits"),
        (lambda logits: {"masks": logits}, TypeError, "returned dict with masks, not logits"),
        (lambda logits: logits[:, 0], ValueError, r"returned a tensor \(4, 24, 40\), not logits"),
        (
            lambda logits: logits[:, :1],
            ValueError,
            r"returned a tensor \(4, 1, 24, 40\).*two classes",
        ),
        (lambda logits: logits[:1], ValueError, r"For images \(4, 3, 24, 40\) .* \(1, 5, 24, 40\)"),
        (lambda logits: logits * float("nan"), ValueError, "logits are NaN or infinite"),
    ],
)
def test_a_module_that_gives_no_logits_is_refused_with_a_sentence(change, error, message, frames):
    with pytest.raises(error, match=message):
        next(predict(Each(change), frames, progress=False))


def test_an_image_too_small_for_the_network_is_refused_with_a_sentence():
    network = nn.Sequential(nn.Conv2d(3, 4, 9), nn.MaxPool2d(4), nn.Conv2d(4, 5, 1))
    with pytest.raises(ValueError, match="cannot take images of 7 x 6 pixels"):
        image_logits(network, torch.rand(1, 3, 6, 7))
    with pytest.raises(
        RuntimeError, match="expected input.* to have 3 channels"
    ):  # the network's own fault
        image_logits(nn.Conv2d(3, 5, 1), torch.rand(1, 4, 100, 100))
    with torch.no_grad():
        assert image_logits(
            build_model("deeplabv3plus_miniature").eval(), torch.rand(1, 3, 1, 2)
        ).shape == (
            1,
            19,
            1,
            2,
        )


def test_batches_give_way_to_memory_and_images_at_last_to_windows(tmp_path):
    for i in range(6):
        save(tmp_path / "images" / f"validation{i:04d}.jpg", noise(i, 300, 700))
        save(
            tmp_path / "labels_masks" / f"validation{i:04d}_labels_semantic.png",
            np.zeros((300, 700)),
        )
    dataset = open_dataset("road_anomaly_21", tmp_path, "val")
    whole = list(predict(Each(), dataset, progress=False))
    batches = Each(most_pixels=2 * 300 * 700)
    halved = list(predict(batches, dataset, batch_size=4, progress=False))
    assert [shape[0] for shape in batches.seen] == [4, 2, 2, 2]  # what fits is remembered
    windows = Each(most_pixels=300 * 400)
    cut = list(predict(windows, dataset, batch_size=1, progress=False))
    assert windows.seen[0] == (1, 3, 300, 700) and {shape[2:] for shape in windows.seen[1:]} == {
        (300, 350)
    }
    for one, two, three in zip(whole, halved, cut, strict=True):
        torch.testing.assert_close(one.score, two.score)
        torch.testing.assert_close(one.score, three.score)
    with pytest.raises(MemoryError, match="Not even 350 x 300 pixels of one image fit"):
        list(predict(Each(most_pixels=100), dataset, progress=False))


def test_large_images_go_alone_and_one_batch_of_probabilities_is_held(tmp_path, monkeypatch):
    sizes = [(30, 40), (30, 40), (30, 40), (20, 60), (60, 100), (60, 100), (20, 30)]
    for i, (height, width) in enumerate(sizes):
        save(tmp_path / "images" / f"validation{i:04d}.jpg", noise(i, height, width))
        label = tmp_path / "labels_masks" / f"validation{i:04d}_labels_semantic.png"
        save(label, np.zeros((height, width)))
    dataset = open_dataset("road_anomaly_21", tmp_path, "val")
    alive = weakref.WeakSet()

    class Watching(Each):
        def forward(self, x):
            assert not alive, "the probabilities of the batch before are still held"
            return super().forward(x)

    monkeypatch.setattr("ood_lib.inference.PIXELS_AT_ONCE", 2 * 30 * 40)
    model, found = Watching(), []
    for result in predict(model, dataset, probabilities=True, batch_size=7, progress=False):
        alive.add(result.probabilities)
        found.append(result.score)
        del result
    shapes = [(2, 30, 40), (1, 30, 40), (1, 20, 60), (1, 60, 100), (1, 60, 100), (1, 20, 30)]
    assert [(number, *size) for number, _, *size in model.seen] == shapes
    monkeypatch.undo()
    expected = list(predict(Each(), dataset, batch_size=7, progress=False))
    for score, other in zip(found, expected, strict=True):
        torch.testing.assert_close(score, other.score)


def test_four_frames_of_cityscapes_share_a_batch_and_two_photographs_do_not():
    assert 4 * 2048 * 1024 <= PIXELS_AT_ONCE < 2 * 4000 * 3000


def test_probabilities_only_if_asked_for(frames):
    model = Each()
    assert next(predict(model, frames, progress=False)).probabilities is None
    found = list(predict(model, frames, probabilities=True, progress=False))
    x = frames[2].image[None].float() / 255
    torch.testing.assert_close(found[2].probabilities, model(x).softmax(dim=1)[0].detach())
    assert [result.id for result in found] == frames.ids


def test_images_of_different_sizes_and_without_labels_are_scored(tmp_path):
    write_road_anomaly(tmp_path, "test", 3)
    save(tmp_path / "images" / "airplane9999.jpg", noise(9, 30, 20))
    dataset = open_dataset("road_anomaly_21", tmp_path, "test")
    found = list(predict(Each(), dataset, progress=False))
    assert sorted(tuple(result.score.shape) for result in found) == [(24, 40)] * 3 + [(30, 20)]
    assert all((result.target == 255).all() for result in found)
    with pytest.raises(
        ValueError, match="labels of .*images are not public, so nothing can be measured"
    ):
        evaluate_anomalies(Each(), dataset, progress=False)


def test_the_bar_counts_images(frames, capsys):
    list(predict(Each(), frames, batch_size=3))
    assert "4/4" in capsys.readouterr().err


def test_images_of_bytes_are_those_between_0_and_1():
    pixels = torch.randint(256, (2, 3, 24, 40), dtype=torch.uint8)
    images = as_images(pixels)
    torch.testing.assert_close(images, pixels.float() / 255)
    assert torch.equal(as_images(pixels[0]), images[:1]) and as_images(images) is images
    torch.testing.assert_close(image_logits(Each(), pixels), image_logits(Each(), images))
    assert as_images(images.double()).dtype == torch.float64


@pytest.mark.parametrize("window", [None, (16, 24)])
def test_only_half_precision_is_raised(window):
    x = torch.rand(1, 3, 24, 40)
    assert image_logits(Each().double(), x.double(), window).dtype == torch.float64
    assert image_logits(Each().bfloat16(), x.bfloat16(), window).dtype == torch.float32


def test_several_functions_of_the_logits_are_one_question(frames):
    model, scores = Each(), {"entropy": entropy, "energy": energy}
    found = list(predict(model, frames, score=scores, batch_size=2, progress=False))
    assert len(model.seen) == 2
    for name, score in scores.items():
        alone = predict(model, frames, score=score, batch_size=2, progress=False)
        for one, other in zip(found, alone, strict=True):
            assert torch.equal(one.score[name], other.score)
    assert list(found[0].score) == ["entropy", "energy"]


def test_of_a_network_in_double_precision_the_maps_are_single(frames):
    class Double(Each):
        def forward(self, x):
            return self.conv.double()(x.double())

    found = next(predict(Double(), frames, probabilities=True, progress=False))
    assert found.score.dtype == found.probabilities.dtype == torch.float32


def test_it_draws_from_no_generator_of_the_callers(network, street):
    before = torch.get_rng_state()
    list(predict(network, street, progress=False))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("window", [None, (16, 24)])
def test_a_class_that_is_switched_off_stays_so_at_another_size(window):
    """Bilinear weights are 0 at some pixels, and 0 times -inf is NaN."""
    x, off = torch.rand(1, 3, 24, 40), torch.zeros(5, 1, 1)
    off[2] = -torch.inf
    plain = image_logits(Each(nn.AvgPool2d(4)), x, window)
    found = image_logits(Each(lambda logits: nn.functional.avg_pool2d(logits, 4) + off), x, window)
    torch.testing.assert_close(found, plain + off, rtol=0, atol=0)
    # Where a class is off at some pixels only, it is off wherever one of these has a share.
    spot = torch.zeros(1, 5, 6, 10)
    spot[0, 2, 1, 3] = -torch.inf
    found = image_logits(Each(lambda logits: nn.functional.avg_pool2d(logits, 4) + spot), x)
    assert (found == -torch.inf).nonzero()[:, 1:].amin(0).tolist() == [2, 2, 10]
    assert (found == -torch.inf).nonzero()[:, 1:].amax(0).tolist() == [2, 9, 17]
    assert (found == -torch.inf).sum() == 8 * 8 and not found.isnan().any()
