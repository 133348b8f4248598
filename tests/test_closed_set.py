import dataclasses

import numpy as np
import pytest
import torch
from layouts import write_cityscapes, write_frame

from ood_lib.closed_set import Recipe, class_weights, closed_set_network, learning_rate, train_closed_set
from ood_lib.data import SegmentationDataset, open_dataset
from ood_lib.models import build_model, save_checkpoint
from ood_lib.profiles import load_settings
from ood_lib.training import EpochImages

SHORT = Recipe(epochs=2, crop=16, batch_size=3)
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
        patch.setattr("ood_lib.closed_set.EpochImages", interrupted)
        train_closed_set(NAME, scenes, SHORT, tmp_path / "b.safetensors")
    torch.manual_seed(5)  # what was drawn in between does not matter
    torch.testing.assert_close(weights(train_closed_set(NAME, scenes, SHORT, tmp_path / "b.safetensors")), whole)


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
    recipe = Recipe(epochs=10, batch_size=3, average_decay=0.5)
    network = train_closed_set(NAME, black_and_white, recipe, tmp_path / "a.safetensors")
    assert not network.training
    with torch.no_grad():
        prediction = network(black_and_white[3].image[None].float() / 255).argmax(dim=1)[0]
    assert (prediction == black_and_white[3].target).float().mean() > 0.9


def test_class_weights_favour_rare_classes_mildly(black_and_white):
    sky = sum(6 + 2 * i for i in range(6)) / (6 * 24)
    found = class_weights(black_and_white)
    assert found.mean().item() == pytest.approx(1)
    assert (found[0] / found[10]).item() == pytest.approx(((1 - sky) / sky) ** -0.25)
    assert (found[5] / found[10]).item() == pytest.approx((1e-5 / sky) ** -0.25)  # a class that never occurs


def test_learning_rate_rises_and_falls():
    recipe = Recipe(learning_rate=0.5, warm_up=0.2)
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
    with pytest.raises(ValueError, match="neither a checkpoint for deeplabv3plus_miniature nor a section closed_set"):
        closed_set_network(load_settings(data_root=tmp_path, checkpoint=None))
    with pytest.raises(ValueError, match="closed_set of the profile miniature is no Recipe: .*'epoch'"):
        closed_set_network(load_settings(data_root=tmp_path, checkpoint=None, closed_set={"epoch": 3}))


def test_a_profile_without_weights_trains_once(tmp_path, monkeypatch):
    monkeypatch.setenv("OOD_LIB_CACHE", str(tmp_path / "cache"))
    write_cityscapes(tmp_path / "cityscapes")
    recipe = dataclasses.asdict(SHORT)
    settings = load_settings(data_root=tmp_path, checkpoint=None, closed_set=recipe)
    first = weights(closed_set_network(settings))
    assert len(list((tmp_path / "cache").glob("training-*.safetensors"))) == 1
    monkeypatch.setattr("ood_lib.closed_set.class_weights", None)  # no image is looked at again
    assert torch.equal(weights(closed_set_network(settings)), first)
