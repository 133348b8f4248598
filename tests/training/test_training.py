import copy
import dataclasses
import importlib
import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.data import DataLoader
from transformers import SegformerConfig, SegformerForSemanticSegmentation

import ood_lib.training.epoch
from ood_lib.data import SegmentationDataset, training_transform
from ood_lib.data.sample import Frame
from ood_lib.models import load_checkpoint, save_checkpoint
from ood_lib.models.adapters import Adapter
from ood_lib.models.deeplabv3plus import MINIATURE, DeepLabV3Plus, Stage
from ood_lib.scores import entropy
from ood_lib.training import entropy_maximization_loss, fine_tune
from ood_lib.training.epoch import EpochImages, batches_of_process
from ood_lib.training.fine_tune import _FineTuning
from ood_lib.training.recompute import recomputed_activations
from ood_lib.training.state import TrainingState

SMALL = {
    "epochs": 3,
    "batch_size": 4,
    "learning_rate": 1e-2,
    "proxy_fraction": 0.5,
    "progress": False,
}


def weights(model) -> torch.Tensor:
    return torch.cat([value.flatten().double() for value in model.state_dict().values()])


def loss_by_loops(logits: np.ndarray, target: np.ndarray, lambda_: float) -> float:
    """Equations 3.3-3.5, one pixel and one class at a time."""
    images, classes, height, width = logits.shape
    total = 0.0
    for n in range(images):
        image = 0.0
        for i in range(height):
            for j in range(width):
                exponentials = [math.exp(y) for y in logits[n, :, i, j]]
                log_p = [math.log(e / sum(exponentials)) for e in exponentials]
                if target[n, i, j] < classes:
                    image -= (1 - lambda_) * log_p[target[n, i, j]]
                elif target[n, i, j] == 254:
                    image -= lambda_ * sum(log_p) / classes
        total += image / (height * width)
    return total / images


@pytest.mark.parametrize("lambda_", [0.0, 0.3, 0.9, 1.0])
def test_loss_is_that_of_the_equations(lambda_):
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=(3, 5, 4, 6))
    target = rng.choice([0, 1, 2, 3, 4, 254, 255], size=(3, 4, 6))
    for dtype in (torch.uint8, torch.int64):
        loss = entropy_maximization_loss(
            torch.tensor(logits), torch.tensor(target).to(dtype), lambda_
        )
        assert loss.shape == ()
        assert loss.item() == pytest.approx(loss_by_loops(logits, target, lambda_), rel=1e-5)


def test_loss_by_hand():
    logits = torch.tensor([math.log(3), 0.0]).view(1, 2, 1, 1).expand(1, 2, 1, 4)  # p = (3/4, 1/4)
    target = torch.tensor([[[0, 1, 254, 255]]])
    expected = (
        0.1 * (math.log(4 / 3) + math.log(4)) + 0.9 * (math.log(4 / 3) + math.log(4)) / 2
    ) / 4
    assert entropy_maximization_loss(logits, target).item() == pytest.approx(expected)


def test_loss_ignores_everything_where_nothing_is_known():
    logits = torch.randn(2, 19, 4, 4, requires_grad=True)
    loss = entropy_maximization_loss(logits, torch.full((2, 4, 4), 255))
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_out_loss_is_least_at_the_uniform_distribution():
    target = torch.full((1, 1, 1), 254)
    uniform = torch.zeros(1, 19, 1, 1, requires_grad=True)
    loss = entropy_maximization_loss(uniform, target, lambda_=1.0)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(19))  # equation 3.6
    assert uniform.grad.abs().max() < 1e-7
    for seed in range(5):
        other = torch.randn(1, 19, 1, 1, generator=torch.Generator().manual_seed(seed))
        assert entropy_maximization_loss(other, target, lambda_=1.0) > loss


def test_gradients_are_finite_for_extreme_logits():
    values = torch.tensor([1e4, -1e4, -1e30, 0.0, 1e30])
    logits = (
        torch.stack([values.roll(i) for i in range(5)])
        .T.reshape(1, 5, 1, 5)
        .repeat(1, 1, 3, 1)
        .requires_grad_()
    )
    target = torch.tensor([0, 254, 255]).view(1, 3, 1).expand(1, 3, 5)
    loss = entropy_maximization_loss(logits, target)
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()


def test_weight_of_the_ood_part_by_hand():
    logits = torch.tensor([math.log(3), 0.0]).view(1, 2, 1, 1).expand(2, 2, 1, 4)  # p = (3/4, 1/4)
    target = torch.tensor([[[0, 1, 254, 255]], [[254, 254, 254, 0]]])
    in_loss = [math.log(4 / 3) + math.log(4), math.log(4 / 3)]
    of_ood_pixel = (math.log(4 / 3) + math.log(4)) / 2
    # 1 of 4 pixels and 3 of 4 pixels, both as though it were 2 of 4
    expected = sum(0.1 * part + 0.9 * 2 * of_ood_pixel for part in in_loss) / 4 / 2
    assert entropy_maximization_loss(logits, target, ood_share=0.5).item() == pytest.approx(
        expected
    )


def test_weight_of_the_ood_part_changes_nothing_but_that():
    rng = np.random.default_rng(1)
    logits = torch.tensor(rng.normal(size=(3, 5, 4, 5)))
    target = torch.tensor(rng.choice([0, 3, 255], size=(3, 4, 5)))
    assert entropy_maximization_loss(logits, target, ood_share=0.3) == entropy_maximization_loss(
        logits, target
    )
    target[1, :2, :3] = 254  # 6 of 20 pixels
    same = entropy_maximization_loss(logits, target, ood_share=0.3)
    assert same.item() == pytest.approx(entropy_maximization_loss(logits, target).item(), rel=1e-6)
    target[2] = 254
    few, many = (entropy_maximization_loss(logits, target, ood_share=share) for share in (0.1, 0.6))
    known = entropy_maximization_loss(logits, target.masked_fill(target == 254, 255))
    assert (many - known).item() == pytest.approx(6 * (few - known).item(), rel=1e-5)
    assert entropy_maximization_loss(logits, target, ood_share=0).item() == pytest.approx(
        known.item()
    )


def test_gradient_with_a_weight_of_the_ood_part():
    target = torch.tensor([[[0, 254], [255, 1]], [[254, 254], [254, 2]], [[0, 1], [2, 255]]])
    logits = torch.randn(3, 3, 2, 2, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    objective = partial(entropy_maximization_loss, target=target, ood_share=0.3)
    assert torch.autograd.gradcheck(objective, logits.requires_grad_())
    (with_share,) = torch.autograd.grad(objective(logits), logits)
    (plain,) = torch.autograd.grad(entropy_maximization_loss(logits, target), logits)
    is_ood = (target == 254)[:, None].expand_as(logits)
    ratio = torch.tensor([0.3 / 0.25, 0.3 / 0.75, 0]).double().view(3, 1, 1, 1).expand_as(logits)
    torch.testing.assert_close(with_share, torch.where(is_ood, ratio, 1) * plain)


def test_fine_tuning_takes_the_weight_of_the_ood_part(make_network, scenes, proxy, tmp_path):
    """With a share of zero, what is on the proxy images does not matter."""
    path, blank = tmp_path / "state.safetensors", copy.copy(proxy)
    blank.transform = lambda image, target: training_transform(16)(torch.zeros_like(image), target)
    for share, matters in ((0, False), (0.01, True)):
        first, second = make_network(), make_network()
        fine_tune(first, scenes, proxy, ood_share=share, **SMALL)
        fine_tune(second, scenes, blank, ood_share=share, **SMALL)
        assert torch.equal(weights(first), weights(second)) != matters
    model = make_network()
    fine_tune(model, scenes, proxy, ood_share=0.9, checkpoint=path, **SMALL)
    with pytest.raises(ValueError, match="ood_share was 0.9 and is now None"):
        fine_tune(model, scenes, proxy, checkpoint=path, **SMALL)
    with pytest.raises(ValueError, match="ood_share=1.5 in the arguments must be less than .* 1;"):
        fine_tune(make_network(), scenes, proxy, ood_share=1.5, **SMALL)


def test_other_indices_can_be_chosen():
    logits = torch.randn(1, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    usual = entropy_maximization_loss(logits, torch.tensor([[[0, 254], [255, 2]]]))
    other = entropy_maximization_loss(
        logits, torch.tensor([[[0, -1], [-100, 2]]]), ood_index=-1, ignore_index=-100
    )
    assert usual == other


def test_what_the_loss_refuses():
    logits = torch.zeros(1, 3, 2, 2)
    with pytest.raises(ValueError, match=r"holds \[3, 253\]; a pixel must be a class from 0 to 2"):
        entropy_maximization_loss(logits, torch.tensor([[[0, 253], [3, 254]]]))
    with pytest.raises(ValueError, match=r"need a target \(N, H, W\), not \(2, 2\)"):
        entropy_maximization_loss(logits, torch.zeros(2, 2))
    with pytest.raises(ValueError, match="ood_share=-0.1 must be from 0 to 1"):
        entropy_maximization_loss(logits, torch.zeros(1, 2, 2), ood_share=-0.1)
    with pytest.raises(ValueError, match="lambda_=1.5"):
        entropy_maximization_loss(logits, torch.zeros(1, 2, 2), 1.5)


def test_every_scene_once_an_epoch_and_as_many_proxy_images_as_said(
    make_network, scenes, proxy, monkeypatch
):
    batches = []

    def recording(samples):
        batches.append([sample.id for sample in samples])
        return ood_lib.data.collate(samples)

    monkeypatch.setattr(ood_lib.training.epoch, "collate", recording)
    result = fine_tune(make_network(), scenes, proxy, **SMALL)
    assert [len(batch) for batch in batches] == [4, 4, 1] * 3
    orders = []
    for epoch in range(3):
        used = sum(batches[3 * epoch : 3 * epoch + 3], [])
        assert sorted(i for i in used if i in scenes.ids) == scenes.ids
        assert sorted(i for i in used if i in proxy.ids) == sorted(result.proxy_ids[epoch])
        assert len(set(result.proxy_ids[epoch])) == 3
        orders.append(used)
    assert orders[0] != orders[1] != orders[2]
    assert result.proxy_ids[0] != result.proxy_ids[1]
    assert result.losses.columns.tolist() == ["epoch", "step", "loss"]
    assert result.losses.epoch.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert result.losses.step.tolist() == list(range(9))


def test_same_seed_same_weights_whatever_was_drawn_before(make_network, scenes, proxy):
    results = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(len(results))
        np.random.seed(len(results))  # noqa: NPY002 - the global generator is what must not matter
        state = torch.get_rng_state()
        model = make_network()
        results[name] = (fine_tune(model, scenes, proxy, seed=seed, **SMALL), weights(model))
        assert torch.equal(torch.get_rng_state(), state)
    (a, weights_a), (b, weights_b), (c, weights_c) = results.values()
    assert torch.equal(weights_a, weights_b) and not torch.equal(weights_a, weights_c)
    assert a.losses.equals(b.losses) and a.proxy_ids == b.proxy_ids
    assert a.proxy_ids != c.proxy_ids


def test_number_of_workers_does_not_change_the_images(scenes, proxy):
    images = EpochImages(scenes, proxy, 3, seed=5, epoch=1)
    alone = [(sample.id, sample.image) for sample in images]
    for sample, (id_, image) in zip(
        DataLoader(images, batch_size=None, num_workers=2), alone, strict=True
    ):
        assert sample.id == id_ and torch.equal(sample.image, image)
    again = EpochImages(scenes, proxy, 3, seed=5, epoch=2)
    first, second = ({sample.id: sample.image for sample in epoch} for epoch in (images, again))
    assert any(not torch.equal(first[id_], second[id_]) for id_ in scenes.ids)


def test_lambda_zero_learns_nothing_from_proxy_pixels(make_network, scenes, proxy):
    """All proxy pixels weigh nothing, so what is on the proxy images does not matter."""
    first, second = make_network(), make_network()
    fine_tune(first, scenes, proxy, lambda_=0.0, **SMALL)
    blank = lambda image, target: training_transform(16)(torch.zeros_like(image), target)  # noqa: E731
    proxy.transform = blank
    fine_tune(second, scenes, proxy, lambda_=0.0, **SMALL)
    assert torch.equal(weights(first), weights(second))
    third = make_network()
    fine_tune(third, scenes, proxy, lambda_=0.5, **SMALL)
    assert not torch.equal(weights(first), weights(third))


def test_entropy_rises_on_the_proxy(make_network, scenes, proxy):
    model = make_network().eval()
    with torch.no_grad():
        model[4].bias[3] = 6.0  # sure of one class everywhere
    images = torch.stack([proxy[i].image for i in range(4)]) / 255
    before = entropy(model(images)).mean()
    result = fine_tune(
        model, scenes, proxy, lambda_=1.0, **SMALL | {"epochs": 8, "learning_rate": 5e-2}
    )
    after = entropy(model(images)).mean()
    assert before < 0.4 and after > 0.8
    assert result.losses.loss.iloc[-3:].mean() < result.losses.loss.iloc[:3].mean()


def test_batch_normalisation_keeps_its_statistics_but_learns_its_scales(
    make_network, scenes, proxy
):
    model = make_network()
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    fine_tune(model, scenes, proxy, **SMALL)
    after = model.state_dict()
    for key in ("1.running_mean", "1.running_var", "1.num_batches_tracked"):
        assert torch.equal(before[key], after[key])
    for key in ("0.weight", "1.weight", "1.bias", "4.weight"):
        assert not torch.equal(before[key], after[key])
    assert model.training and model[1].training


class Interruption(Exception):
    pass


def interrupt_in_epoch(monkeypatch, number: int) -> None:
    original = _FineTuning.epoch

    def train(training, images, epoch, **bar):
        losses = original(training, images, epoch, **bar)
        if epoch + 1 == number:
            raise Interruption
        return losses

    monkeypatch.setattr(_FineTuning, "epoch", train)


def test_interrupted_run_goes_on_to_the_same_result(
    make_network, scenes, proxy, tmp_path, monkeypatch
):
    settings = SMALL | {"epochs": 4}
    whole = make_network()
    expected = fine_tune(whole, scenes, proxy, **settings)

    model, path = make_network(), tmp_path / "runs" / "state.safetensors"
    start = weights(model)
    with monkeypatch.context() as patch:
        interrupt_in_epoch(patch, 3)
        with pytest.raises(Interruption):
            fine_tune(model, scenes, proxy, checkpoint=path, **settings)
    assert torch.equal(weights(model), start)  # a failed call leaves the network as it was
    result = fine_tune(model, scenes, proxy, checkpoint=path, **settings)
    assert torch.equal(weights(model), weights(whole))
    assert result.losses.equals(expected.losses)
    assert result.proxy_ids == expected.proxy_ids
    assert [file.name for file in path.parent.iterdir()] == ["state.safetensors"]


def test_finished_run_is_loaded_at_once(make_network, scenes, proxy, tmp_path, monkeypatch):
    model, path = make_network(), tmp_path / "state.safetensors"
    first = fine_tune(model, scenes, proxy, checkpoint=path, **SMALL)
    trained = weights(model)
    monkeypatch.setattr(_FineTuning, "epoch", lambda *args, **bar: pytest.fail("trains again"))
    for again in (make_network(), model):
        second = fine_tune(again, scenes, proxy, checkpoint=path, **SMALL)
        assert torch.equal(weights(again), trained)
        assert second.losses.equals(first.losses) and second.proxy_ids == first.proxy_ids


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lambda_": 0.5}, "lambda_ was 0.9 and is now 0.5"),
        ({"seed": 3}, "seed was 0 and is now 3"),
        ({"accumulate": 2}, "accumulate was 1 and is now 2"),
        (
            {"epochs": 9, "batch_size": 2},
            "epochs was 3 and is now 9; batch_size was 4 and is now 2",
        ),
    ],
)
def test_checkpoint_of_other_settings_is_refused(
    make_network, scenes, proxy, tmp_path, change, message
):
    path = tmp_path / "state.safetensors"
    fine_tune(make_network(), scenes, proxy, checkpoint=path, **SMALL)
    model = make_network()
    before = weights(model)
    with pytest.raises(
        ValueError, match=f"other settings: {message}.*delete the file to start anew"
    ):
        fine_tune(model, scenes, proxy, checkpoint=path, **SMALL | change)
    assert torch.equal(weights(model), before)


def test_checkpoint_of_other_images_crop_or_weights_is_refused(
    make_network, scenes, proxy, tmp_path
):
    path = tmp_path / "state.safetensors"
    fine_tune(make_network(), scenes, proxy, checkpoint=path, **SMALL)
    with pytest.raises(ValueError, match="in_distribution was 6 images .* is now 5 images"):
        fine_tune(make_network(), scenes.take(5), proxy, checkpoint=path, **SMALL)
    with pytest.raises(ValueError, match="starting weights was"):
        fine_tune(make_network(seed=1), scenes, proxy, checkpoint=path, **SMALL)
    proxy.transform = training_transform(12)
    with pytest.raises(ValueError, match=r"proxy was .*crop=\(16, 16\).*crop=\(12, 12\)"):
        fine_tune(make_network(), scenes, proxy, checkpoint=path, **SMALL)
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match="holds no state of a training"):
        fine_tune(make_network(), scenes, proxy, checkpoint=path, **SMALL)


def test_a_loss_that_is_no_number_stops_the_training(make_network, scenes, proxy):
    model = make_network()
    with torch.no_grad():
        model[4].bias[0] = float("nan")
    with pytest.raises(
        FloatingPointError, match="loss became nan in epoch 1, step 1. Lower the learning rate"
    ):
        fine_tune(model, scenes, proxy, **SMALL)


def test_more_proxy_images_than_there_are(make_network, scenes, proxy):
    with pytest.raises(
        ValueError,
        match="asks for 12 proxy images, but there are 10. Choose a fraction from 0.167 to 1.67",
    ):
        fine_tune(make_network(), scenes, proxy, **SMALL | {"proxy_fraction": 2.0})
    with pytest.raises(ValueError, match="lambda_=-0.1"):
        fine_tune(make_network(), scenes, proxy, lambda_=-0.1)
    assert fine_tune(
        make_network(), scenes, proxy, **SMALL | {"proxy_fraction": 0.0}
    ).proxy_ids == [[], [], []]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lambda_": 1.0, "proxy_fraction": 0.0}, "no pixel weighs anything. Change lambda_"),
        ({"lambda_": 1.0, "ood_share": 0.0}, "no pixel weighs anything"),
        ({"proxy_fraction": 0.1}, "of 6 street scenes asks for 0 proxy .* fraction from 0.167"),
    ],
)
def test_a_recipe_that_trains_nothing(make_network, scenes, proxy, tmp_path, change, message):
    model = make_network()
    before = weights(model)
    with pytest.raises(ValueError, match=message):
        fine_tune(model, scenes, proxy, checkpoint=tmp_path, **SMALL | change)
    assert torch.equal(weights(model), before) and not list(tmp_path.glob("training-*"))


def test_networks_and_images_that_train_nothing(make_network, scenes, proxy):
    with pytest.raises(ValueError, match="Sequential has no weight that can learn"):
        fine_tune(make_network().requires_grad_(False), scenes, proxy, **SMALL)
    with pytest.raises(ValueError, match="Upsample has no weight that can learn"):
        fine_tune(nn.Upsample(scale_factor=2), scenes, proxy, **SMALL)
    empty = copy.copy(scenes)
    empty.frames = []
    with pytest.raises(ValueError, match="no street scene to train on"):
        fine_tune(make_network(), empty, proxy, **SMALL | {"proxy_fraction": 0.0})
    empty.frames = [frame._replace(label=None) for frame in scenes.frames]  # of a test set
    with pytest.raises(ValueError, match="or give images with labels"):
        fine_tune(make_network(), empty, proxy, **SMALL | {"proxy_fraction": 0.0})


class Tied(nn.Module):
    """Two layers with the same weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.second.weight, self.last = self.first.weight, nn.Conv2d(3, 19, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.second(self.first(x)))


def tied() -> Tied:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Tied()


def test_tied_weights_are_kept(scenes, proxy, tmp_path, monkeypatch):
    whole, model, path = tied(), tied(), tmp_path / "state.safetensors"
    fine_tune(whole, scenes, proxy, **SMALL)
    with monkeypatch.context() as patch:
        interrupt_in_epoch(patch, 2)
        with pytest.raises(Interruption):
            fine_tune(model, scenes, proxy, checkpoint=path, **SMALL)
    fine_tune(model, scenes, proxy, checkpoint=path, **SMALL)
    assert torch.equal(weights(model), weights(whole))
    assert model.first.weight is model.second.weight
    save_checkpoint(model, tmp_path / "a.safetensors")
    assert torch.equal(weights(load_checkpoint(tied(), tmp_path / "a.safetensors")), weights(whole))


class OwnState(nn.Conv2d):
    """A layer that keeps more than tensors."""

    kept: object = {"calls": 1}

    def get_extra_state(self) -> object:
        return self.kept

    def set_extra_state(self, state: object) -> None:
        pass


def test_what_cannot_be_kept_fails_before_the_first_step(scenes, proxy, tmp_path, monkeypatch):
    model = OwnState(3, 19, 1)
    monkeypatch.setattr(_FineTuning, "epoch", lambda *args, **bar: pytest.fail("trains"))
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        fine_tune(model, scenes, proxy, checkpoint=tmp_path / "file" / "state.safetensors", **SMALL)
    with pytest.raises(ValueError, match="OwnState holds what no file can keep. Leave checkpoint"):
        fine_tune(model, scenes, proxy, checkpoint=tmp_path / "other.safetensors", **SMALL)
    assert not list(tmp_path.glob("*.safetensors"))


class Birds(SegmentationDataset):
    def read_pixels(self, frame: Frame) -> np.ndarray:
        return np.zeros((16, 16, 3), np.uint8)

    def read_target(self, frame: Frame) -> np.ndarray:
        return np.full((16, 16), 254, np.uint8)


def test_ids_may_be_numbers(make_network, scenes, tmp_path):
    own = scenes.frames[0].image
    proxy = Birds([Frame(np.int64(i), str(i), own, own) for i in range(10)])
    path = tmp_path / "state.safetensors"
    found = fine_tune(make_network(), scenes, proxy, checkpoint=path, **SMALL)
    again = fine_tune(make_network(), scenes, proxy, checkpoint=path, **SMALL)
    assert found.proxy_ids == again.proxy_ids and set(found.proxy_ids[0]) <= set("0123456789")


def test_equal_calls_share_a_file_in_a_folder(make_network, scenes, proxy, tmp_path, monkeypatch):
    first, second, other = make_network(), make_network(), make_network()
    fine_tune(first, scenes, proxy, checkpoint=tmp_path, **SMALL)
    fine_tune(other, scenes, proxy, checkpoint=tmp_path, lambda_=0.5, **SMALL)
    assert len(list(tmp_path.glob("training-*.safetensors"))) == 2
    monkeypatch.setattr(_FineTuning, "epoch", lambda *args, **bar: pytest.fail("trains again"))
    fine_tune(second, scenes, proxy, checkpoint=tmp_path, **SMALL)
    assert torch.equal(weights(first), weights(second)) and not torch.equal(
        weights(first), weights(other)
    )


def test_what_decides_names_the_file_in_a_folder(scenes, proxy, tmp_path, monkeypatch):
    def name(scenes, **recipe):
        monkeypatch.setattr(TrainingState, "save", lambda state: names.append(state.path.name))
        names, network = [], nn.Conv2d(3, 19, 1)
        nn.init.ones_(network.weight), nn.init.zeros_(network.bias)
        fine_tune(network, scenes, proxy, checkpoint=tmp_path, **SMALL | {"epochs": 1} | recipe)
        return names[0]

    original = name(scenes)
    assert name(scenes) == original
    assert len({original, name(scenes, learning_rate=0.1), name(scenes, accumulate=2)}) == 3
    elsewhere = copy.copy(scenes)
    elsewhere.frames = copy.copy(scenes.frames)
    moved = tmp_path / scenes.frames[0].image.name
    moved.write_bytes(scenes.frames[0].image.read_bytes())
    elsewhere.frames[0] = scenes.frames[0]._replace(image=moved)
    assert name(elsewhere) != original
    with monkeypatch.context() as patch:
        module = importlib.import_module("ood_lib.training.fine_tune")  # the function's name too
        patch.setattr(module, "entropy_maximization_loss", other_loss)
        assert name(scenes) != original
    scenes.frames[0].image.write_bytes(scenes.frames[1].image.read_bytes())  # under the same name
    assert name(scenes) != original


def other_loss(logits: Tensor, target: Tensor, **weights: float) -> Tensor:
    return logits.square().mean()


def test_a_transform_that_looks_like_others_is_no_part_of_a_kept_training(
    make_network, scenes, proxy, tmp_path
):
    proxy.transform = lambda image, target: training_transform(16)(image, target)
    fine_tune(make_network(), scenes, proxy, **SMALL)
    for checkpoint in (tmp_path, tmp_path / "state.safetensors"):
        with pytest.raises(ValueError, match="Define it with def .* or leave checkpoint out"):
            fine_tune(make_network(), scenes, proxy, checkpoint=checkpoint, **SMALL)


def test_numbers_of_numpy_are_numbers(make_network, scenes, proxy, tmp_path):
    path, first, second = tmp_path / "state.safetensors", make_network(), make_network()
    of_numpy = {"batch_size": np.int64(4), "learning_rate": np.float64(1e-2), "seed": np.uint8(1)}
    found = fine_tune(first, scenes, proxy, checkpoint=path, **SMALL | of_numpy)
    again = fine_tune(second, scenes, proxy, checkpoint=path, **SMALL | {"seed": 1})
    assert torch.equal(weights(first), weights(second)) and again.losses.equals(found.losses)


def test_what_is_no_part_of_a_recipe(make_network, scenes, proxy):
    with pytest.raises(
        ValueError, match="the arguments set 'lamda', which is no setting; .*lambda_"
    ):
        fine_tune(make_network(), scenes, proxy, lamda=0.5)


@pytest.mark.parametrize(("batch_size", "accumulate"), [(4, 2), (2, 3), (1, 5), (4, 4)])
def test_accumulated_batches_make_the_step_of_one_large_batch(
    make_network, scenes, proxy, batch_size, accumulate
):
    """Of 9 images, so that the last step is incomplete, and its last batch too."""
    parts, whole = (make_network() for _ in range(2))
    parts[3] = whole[3] = nn.Identity()  # dropout would differ
    settings = SMALL | {"batch_size": batch_size}
    found = fine_tune(parts, scenes, proxy, accumulate=accumulate, **settings)
    expected = fine_tune(whole, scenes, proxy, **settings | {"batch_size": batch_size * accumulate})
    assert len(found.losses) == 3 * math.ceil(9 / (batch_size * accumulate))
    pd.testing.assert_frame_equal(found.losses, expected.losses, rtol=1e-5)
    torch.testing.assert_close(weights(parts), weights(whole), rtol=1e-4, atol=1e-6)
    assert found.proxy_ids == expected.proxy_ids


def test_batches_of_no_image_are_refused(make_network, scenes, proxy):
    for wrong in ({"accumulate": 0}, {"batch_size": 0}):
        with pytest.raises(
            ValueError, match="(batch_size|accumulate)=0 in the arguments must be .* equal to 1"
        ):
            fine_tune(make_network(), scenes, proxy, **SMALL | wrong)


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
@pytest.mark.parametrize(
    ("images", "batch_size", "accumulate"), [(9, 4, 1), (16, 4, 2), (17, 4, 2), (7, 3, 3)]
)
def test_processes_share_the_images_of_each_step(images, batch_size, accumulate, processes):
    of_all = [
        batches_of_process(images, batch_size, accumulate, process, processes)
        for process in range(processes)
    ]
    steps = math.ceil(images / (batch_size * accumulate))
    for batches in of_all:
        assert sum(batch.ends_step for batch in batches) == steps and batches[-1].ends_step
        assert max(len(batch.positions) for batch in batches) <= math.ceil(batch_size / processes)
    counted = [
        i for batches in of_all for batch in batches if batch.share > 0 for i in batch.positions
    ]
    assert sorted(counted) == list(range(images))
    assert sum(batch.share for batches in of_all for batch in batches) == pytest.approx(steps)
    first = [
        batch for batches in of_all for batch in batches if 0 in batch.positions and batch.share > 0
    ]
    assert first[0].share == pytest.approx(
        len(first[0].positions) / min(images, batch_size * accumulate)
    )


def with_dropout(dropout: float = 0.5) -> DeepLabV3Plus:
    stages = (Stage(1, (8, 8), pool=True), Stage(1, (8, 8, 16), pool=True, dropout=dropout))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return DeepLabV3Plus(dataclasses.replace(MINIATURE, stages=stages))


def segformer() -> Adapter:
    config = SegformerConfig(
        hidden_sizes=[8] * 4,
        num_attention_heads=[1] * 4,
        depths=[1] * 4,
        sr_ratios=[1] * 4,
        decoder_hidden_size=8,
        num_labels=19,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Adapter(SegformerForSemanticSegmentation(config))


def recomputing(model: nn.Module) -> set[bool]:
    """What the blocks of a network are told."""
    name = "gradient_checkpointing"
    return {getattr(module, name) for module in model.modules() if hasattr(module, name)}


@pytest.mark.parametrize("make", [with_dropout, segformer])
def test_recomputed_activations_train_alike(make, scenes, proxy, monkeypatch):
    usual, sparing = make(), make()
    expected = fine_tune(usual, scenes, proxy, **SMALL)
    seen = []
    original = _FineTuning.epoch
    monkeypatch.setattr(
        _FineTuning, "epoch",
        lambda *args, **bar: seen.append(recomputing(sparing)) or original(*args, **bar),
    )
    found = fine_tune(sparing, scenes, proxy, checkpoint_activations=True, **SMALL)
    assert seen == [{True}] * 3 and recomputing(sparing) == {False}
    assert usual.state_dict().keys() == sparing.state_dict().keys()
    assert torch.equal(weights(usual), weights(sparing))
    assert found.losses.equals(expected.losses)


def test_recomputing_ends_with_a_failure_and_is_refused_where_unknown(make_network, scenes, proxy):
    model = with_dropout()
    with torch.no_grad():
        model.bot_fine.weight.fill_(float("nan"))
    with pytest.raises(FloatingPointError):
        fine_tune(model, scenes, proxy, checkpoint_activations=True, **SMALL)
    assert recomputing(model) == {False}
    with pytest.raises(ValueError, match="Sequential has no blocks that can be computed anew"):
        fine_tune(make_network(), scenes, proxy, checkpoint_activations=True, **SMALL)


def kept_bytes(model: nn.Module, images: Tensor) -> int:
    """Of the tensors that the forward pass keeps for the backward pass, each storage once."""
    storages = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        model(images).sum()
    of_model = {value.untyped_storage().data_ptr() for value in model.state_dict().values()}
    return sum(size for place, (size, _) in storages.items() if place not in of_model)


def test_recomputed_activations_take_less_memory():
    model = DeepLabV3Plus(MINIATURE).eval()
    images = torch.rand(1, 3, 64, 128)
    usual = kept_bytes(model, images)
    with recomputed_activations(model):
        sparing = kept_bytes(model, images)
    assert sparing < 0.75 * usual
    assert kept_bytes(model, images) == usual


class AtAQuarter(nn.Module):
    """Logits at a quarter of the resolution, as of SegFormer; in a dictionary, as of torchvision,
    if ``named``."""

    def __init__(self, named: bool) -> None:
        super().__init__()
        self.named = named
        self.layer = nn.Conv2d(3, 19, 4, stride=4)
        self.aux = nn.Conv2d(3, 19, 1)

    def forward(self, x: Tensor) -> Tensor | dict[str, Tensor]:
        return {"out": self.layer(x), "aux": self.aux(x)} if self.named else self.layer(x)


def test_any_network_can_be_trained(scenes, proxy):
    networks = []
    for named in (False, True):
        torch.manual_seed(0)
        networks.append(AtAQuarter(named))
        start = copy.deepcopy(networks[-1].state_dict())
        losses = fine_tune(networks[-1], scenes, proxy, **SMALL | {"epochs": 8}).losses.loss
        assert losses.iloc[-3:].mean() < 0.9 * losses.iloc[:3].mean()
        assert torch.equal(
            start["aux.weight"], networks[-1].aux.weight
        )  # its output is not asked for
    assert torch.equal(weights(networks[0]), weights(networks[1]))


def test_scale_of_float16_is_kept(make_network, tmp_path):
    model, path = make_network(), tmp_path / "state.safetensors"
    optimizer = torch.optim.Adam(model.parameters())

    def state(scaler: torch.amp.GradScaler) -> TrainingState:
        found = TrainingState(model, optimizer, scaler)
        found.resume(path, {"seed": 0}, ())
        return found

    state(torch.amp.GradScaler("cpu", init_scale=8.0)).save()
    scaler = torch.amp.GradScaler("cpu")
    state(scaler)
    assert scaler.get_scale() == 8.0
    state(torch.amp.GradScaler("cpu", enabled=False)).save()  # of a run without
    state(scaler)
    assert scaler.get_scale() == 8.0


def test_float64_keeps_its_digits():
    logits = torch.randn(2, 5, 3, 3, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([[0, 254, 4], [3, 255, 1], [254, 254, 2]]).expand(2, 3, 3)
    for share in (None, 0.3):
        loss = entropy_maximization_loss(logits, target, ood_share=share)
        rounded = entropy_maximization_loss(logits.float(), target, ood_share=share)
        assert loss.dtype == torch.double and rounded.dtype == torch.float
        assert loss.item() == pytest.approx(rounded.item(), rel=1e-6) and loss != rounded
    half = entropy_maximization_loss(logits.bfloat16(), target)
    assert half == entropy_maximization_loss(logits.bfloat16().float(), target)
