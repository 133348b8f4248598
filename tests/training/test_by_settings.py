"""Fine-tuning with all that the settings say of it, and nothing else."""

import pytest
import torch
from studied import write_experiment
from torch import nn

from ood_lib.data import training_transform
from ood_lib.files import cache_folder
from ood_lib.settings import Settings
from ood_lib.training import closed_set_network, fine_tune, fine_tune_by, fine_tuned_network


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    monkeypatch.setenv("OOD_LIB_CACHE", str(tmp_path / "cache"))
    return write_experiment(tmp_path).changed(ood_share=0.3, seed=4)


def weights(network: nn.Module) -> torch.Tensor:
    return torch.cat([value.flatten().float() for value in network.state_dict().values()])


def test_all_settings_that_train_are_used(settings):
    transform = training_transform(settings.crop)
    scenes = settings.open("cityscapes", "train", transform=transform)
    expected = closed_set_network(settings)
    by_hand = fine_tune(
        expected, scenes.take(settings.num_in_distribution),
        settings.open_proxy(transform=transform),
        lambda_=settings.lambda_, ood_share=0.3, epochs=settings.epochs, seed=4, progress=False,
        proxy_fraction=settings.proxy_fraction, batch_size=settings.batch_size,
        accumulate=settings.accumulate, learning_rate=settings.learning_rate,
    )  # fmt: skip
    network = closed_set_network(settings)
    found = fine_tune_by(settings, network, checkpoint=None, progress=False)
    assert not list(cache_folder().glob("training-*"))
    assert torch.equal(weights(network), weights(expected))
    assert found.losses.equals(by_hand.losses) and found.proxy_ids == by_hand.proxy_ids
    for change in ({"lambda_": 0.5}, {"ood_share": None}, {"accumulate": 2}, {"seed": 5}):
        other = fine_tuned_network(settings.changed(**change), checkpoint=None, progress=False)
        assert not torch.equal(weights(other), weights(expected)), change


def test_equal_calls_share_one_training(settings):
    network = closed_set_network(settings).train()
    assert fine_tuned_network(settings, network, progress=False) is network
    assert not network.training
    assert torch.equal(weights(fine_tuned_network(settings, progress=False)), weights(network))
    assert len(list(cache_folder().glob("training-*"))) == 1
    fine_tuned_network(settings.changed(threshold=0.1, profile="other"), progress=False)
    assert len(list(cache_folder().glob("training-*"))) == 1  # neither trains


def test_own_scenes_and_proxy_images(settings):
    transform = training_transform(settings.crop)
    scenes = settings.open("cityscapes", "train", transform=transform).take(3)
    proxy = settings.open_proxy(transform=transform).take(2)
    settings = settings.changed(proxy_fraction=0.67, batch_size=2, epochs=1)
    network = closed_set_network(settings)
    found = fine_tune_by(settings, network, scenes=scenes, proxy=proxy, progress=False)
    assert len(found.losses) == 3 and sorted(found.proxy_ids[0]) == sorted(proxy.ids)
