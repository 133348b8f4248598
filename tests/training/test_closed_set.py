import dataclasses
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from layouts import write_cityscapes, write_frame
from torch import nn

from ood_lib.data import SegmentationDataset, open_dataset, training_transform
from ood_lib.models import build_model, save_checkpoint
from ood_lib.models.deeplabv3plus import MINIATURE, DeepLabV3Plus
from ood_lib.settings import ClosedSetRecipe, load_settings
from ood_lib.training import closed_set_ensemble, closed_set_network
from ood_lib.training.closed_set import class_weights, learning_rate, train_closed_set
from ood_lib.training.epoch import EpochImages

SHORT = ClosedSetRecipe(epochs=2, crop=16, batch_size=3, average_decay=0.5)
NAME = "deeplabv3plus_miniature"


def weights(network) -> torch.Tensor:
    return torch.cat([value.flatten().float() for value in network.state_dict().values()])


def test_an_interrupted_training_ends_as_an_uninterrupted_one(scenes, tmp_path, monkeypatch):
    whole = weights(train_closed_set(NAME, scenes, SHORT, tmp_path / "a.safetensors"))

    def interrupted(scenes, proxy, num_proxy, seed, epoch):
        if epoch == 1:
            raise KeyboardInterrupt
        return EpochImages(scenes, proxy, num_proxy, seed, epoch)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("ood_lib.training.closed_set.EpochImages", interrupted)
        train_closed_set(NAME, scenes, SHORT, tmp_path / "b.safetensors")
    torch.manual_seed(5)  # what was drawn in between does not matter
    torch.testing.assert_close(
        weights(train_closed_set(NAME, scenes, SHORT, tmp_path / "b.safetensors")), whole
    )


@pytest.fixture
def black_and_white(tmp_path) -> SegmentationDataset:
    """Six scenes of white sky above black road; the horizon is somewhere else in each."""
    for i in range(6):
        ids = np.full((24, 40), 7)
        ids[: 6 + 2 * i] = 23
        image = np.repeat(np.where(ids == 23, 255, 0)[..., None], 3, axis=2)
        write_frame(tmp_path / "scenes", "gtFine", "train", f"ulm_{i:06d}_000019", ids, image)
    return open_dataset("cityscapes", tmp_path / "scenes", "train")


def test_training_learns(black_and_white, tmp_path):
    recipe = ClosedSetRecipe(epochs=10, batch_size=3, average_decay=0.5)
    network = train_closed_set(NAME, black_and_white, recipe, tmp_path / "a.safetensors")
    assert not network.training
    with torch.no_grad():
        prediction = network(black_and_white[3].image[None].float() / 255).argmax(dim=1)[0]
    assert (prediction == black_and_white[3].target).float().mean() > 0.9


class SomeUnlabelled:
    """Of the scenes by which it is called, these have no label."""

    def __init__(self, *which: int) -> None:
        self.which, self.calls = which, 0

    def __call__(self, image, target):
        self.calls += 1
        image, target = training_transform(16)(image, target)
        return image, target * 0 + 255 if self.calls - 1 in self.which else target

    def __repr__(self) -> str:
        return f"SomeUnlabelled{self.which}"


def test_what_would_train_nothing_is_refused(scenes, tmp_path):
    """And nothing is kept of it."""
    with pytest.raises(ValueError, match="from 6 scenes in batches of 16, .* Lower batch_size"):
        train_closed_set(NAME, scenes, ClosedSetRecipe(epochs=2, crop=16), tmp_path)
    scenes.transform = SomeUnlabelled(*range(99))
    with pytest.raises(ValueError, match="No pixel of these scenes has a label"):
        train_closed_set(NAME, scenes, SHORT, tmp_path)
    scenes.transform = SomeUnlabelled(*range(6, 9))  # after six for the weights of the classes
    with pytest.raises(FloatingPointError, match="became nan in epoch 1, step 1.* without labels"):
        train_closed_set(NAME, scenes, SHORT, tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))
    with pytest.raises(ValueError, match="average_decay\n.* less than 1"):
        ClosedSetRecipe(average_decay=1)


def test_an_average_that_is_still_random_is_told(scenes, tmp_path):
    recipe = ClosedSetRecipe(epochs=2, crop=16, batch_size=3)
    with pytest.warns(UserWarning, match="over 4 steps .* random, by 99%. Lower average_decay"):
        train_closed_set(NAME, scenes, recipe, tmp_path)


@pytest.mark.parametrize(
    ("name", "is_told"),
    [
        ("torchvision:fcn_resnet50", True),
        ("smp:unet/resnet18", True),
        ("smp:smp-hub/segformer-b0-1024x1024-city-160k", False),
        ("transformers:nvidia/segformer-b1-finetuned-cityscapes-1024-1024", False),
    ],
)
def test_a_random_decoder_is_told(tmp_path, monkeypatch, name, is_told):
    asked = []
    build = lambda *given, **options: asked.append((given, options)) or nn.Identity()  # noqa: E731
    monkeypatch.setattr("ood_lib.training.closed_set.build_model", build)
    settings = load_settings(data_root=tmp_path, model=name, checkpoint="pretrained")
    with pytest.warns(UserWarning, match="Only the encoder of") if is_told else nullcontext():
        closed_set_network(settings)
    assert asked == [((name, 19), {"pretrained": True})]


def test_weights_of_another_network_are_refused(tmp_path):
    other = DeepLabV3Plus(dataclasses.replace(MINIATURE, decoder_channels=32))
    settings = load_settings(data_root=tmp_path, checkpoint=tmp_path / "a.safetensors")
    for network in (build_model(NAME, 7), other):
        save_checkpoint(network, tmp_path / "a.safetensors")
        with pytest.raises(ValueError, match="a.safetensors does not fit the network"):
            closed_set_network(settings)
        save_checkpoint(build_model(NAME), tmp_path / "a.safetensors")
        save_checkpoint(network, tmp_path / "a-1.safetensors")
        with pytest.raises(ValueError, match="a-1.safetensors does not fit the network"):
            closed_set_ensemble(settings)


def test_class_weights_favour_rare_classes_mildly(black_and_white):
    sky = sum(6 + 2 * i for i in range(6)) / (6 * 24)
    found = class_weights(scene.target for scene in black_and_white)
    assert found.mean().item() == pytest.approx(1)
    assert (found[0] / found[10]).item() == pytest.approx(((1 - sky) / sky) ** -0.25)
    assert (found[5] / found[10]).item() == pytest.approx(
        (1e-5 / sky) ** -0.25
    )  # a class that never occurs


def test_learning_rate_rises_and_falls():
    recipe = ClosedSetRecipe(learning_rate=0.5, warm_up=0.2)
    assert learning_rate(recipe, 0.2) == pytest.approx(0.5)
    assert learning_rate(recipe, 0.1) == pytest.approx(0.25)
    assert learning_rate(recipe, 0.6) == pytest.approx(0.25)
    assert learning_rate(recipe, 1.0) == pytest.approx(0)


def test_network_of_the_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("OOD_LIB_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(3)
    kept = build_model(NAME)
    save_checkpoint(kept, tmp_path / "a.safetensors")
    settings = load_settings(data_root=tmp_path, checkpoint=tmp_path / "a.safetensors")
    assert torch.equal(weights(closed_set_network(settings)), weights(kept))
    with pytest.raises(
        ValueError,
        match="neither a checkpoint for deeplabv3plus_miniature nor a section closed_set",
    ):
        closed_set_network(load_settings(data_root=tmp_path, checkpoint=None))


def test_a_profile_without_weights_trains_once(tmp_path, monkeypatch):
    monkeypatch.setenv("OOD_LIB_CACHE", str(tmp_path / "cache"))
    write_cityscapes(tmp_path / "cityscapes")
    settings = load_settings(data_root=tmp_path, checkpoint=None, closed_set=SHORT)
    first = weights(closed_set_network(settings))
    assert len(list((tmp_path / "cache").glob("training-*.safetensors"))) == 1
    monkeypatch.setattr(SegmentationDataset, "__getitem__", None)  # no image is looked at again
    assert torch.equal(weights(closed_set_network(settings)), first)
