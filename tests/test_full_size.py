"""The thesis's profile at the thesis's size: 2048 x 1024 frames in every official layout, with a
small network."""

from pathlib import Path

import numpy as np
import pytest
import torch
from layouts import (
    bird,
    write_cityscapes,
    write_coco,
    write_fishyscapes,
    write_fishyscapes_lost_and_found,
    write_lost_and_found,
    write_overlays,
    write_road_anomaly,
    write_road_obstacle,
)

from ood_lib.data import DATASETS, open_dataset, training_transform
from ood_lib.data.doctor import require
from ood_lib.metrics.evaluate import evaluate_anomalies, evaluate_segmentation
from ood_lib.models import build_model
from ood_lib.settings import Settings, load_settings
from ood_lib.training import fine_tune
from ood_lib.training.closed_set import closed_set_network

SIZE = (1024, 2048)
SMALL = "deeplabv3plus_miniature"


@pytest.fixture(scope="module")
def data_root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("full_size")
    write_cityscapes(root / "cityscapes", "train", 2, SIZE)
    write_lost_and_found(root / "lost_and_found", "train", 3, SIZE)  # two drives, for an interval
    write_fishyscapes(root / "fishyscapes", 2, SIZE)
    write_overlays(root / "fishyscapes", "v3", 2, SIZE)
    write_fishyscapes_lost_and_found(root / "fishyscapes", 3, SIZE)
    write_road_anomaly(root / "dataset_AnomalyTrack", "val", 1, SIZE)
    write_road_anomaly(root / "dataset_AnomalyTrack", "test", 1, SIZE)
    write_road_obstacle(root / "dataset_ObstacleTrack", "val", 1, SIZE)
    write_coco(root / "coco", [bird(i, 50, 40, 300, 200) for i in range(1, 21)], [(480, 640)] * 20)
    return root


@pytest.fixture(scope="module")
def settings(data_root) -> Settings:
    """The thesis's, but for the network and one epoch; the weights lie in the data root as NVIDIA
    wrote theirs."""
    torch.manual_seed(0)
    state_dict = {f"module.{key}": value for key, value in build_model(SMALL).state_dict().items()}
    torch.save(
        {"state_dict": state_dict, "epoch": 174, "mean_iu": 0.9}, data_root / "cityscapes_best.pth"
    )
    return load_settings("thesis", data_root=data_root, model=SMALL, epochs=1, proxy_fraction=1.0)


def test_the_profile_can_run(settings, capsys):
    require(settings)
    assert " 2975 " in capsys.readouterr().out  # and says how little there is


@pytest.mark.parametrize(
    ("name", "split", "options"),
    [
        ("cityscapes", "train", {}),
        ("lost_and_found", "test", {"nonhazards": "anomaly"}),
        ("fishyscapes_static", "val", {}),
        ("fishyscapes_static", "val", {"version": "v3"}),
        ("fishyscapes_lost_and_found", "val", {}),
        ("road_anomaly_21", "val", {}),
        ("road_anomaly_21", "test", {}),
        ("road_obstacle_21", "val", {}),
    ],
)
def test_a_frame_of_every_data_set(data_root, name, split, options):
    dataset = open_dataset(name, data_root / DATASETS[name].folder, split, **options)
    sample = dataset[0]
    assert sample.image.shape == (3, *SIZE) and sample.target.shape == SIZE
    values = set(np.unique(sample.target).tolist())
    if not dataset.labelled:
        assert values == {255}
    else:
        assert values == ({*range(19), 255} if name == "cityscapes" else {0, 1, 255})


def test_one_step_of_training_and_one_frame_of_evaluation(settings):
    network = closed_set_network(settings)
    before = network.mod1.conv1.weight.detach().clone()
    crop = training_transform(settings.crop)
    scenes = settings.open("cityscapes", "train", transform=crop)
    proxy = settings.open("coco_proxy", transform=crop, max_ood_share=settings.max_ood_share)
    recipe = {
        name: getattr(settings, name)
        for name in ("lambda_", "epochs", "proxy_fraction", "learning_rate")
    }
    result = fine_tune(network, scenes, proxy, batch_size=4, progress=False, **recipe)
    assert len(result.losses) == 1 and len(result.proxy_ids[0]) == 2
    moved = (network.mod1.conv1.weight - before).abs().max().item()
    assert moved == pytest.approx(
        settings.learning_rate, rel=0.01
    )  # Adam's first step has the length of its rate
    metrics = evaluate_anomalies(
        network, settings.open("lost_and_found", "test").take(1), progress=False
    )
    assert all(0 < value < 1 for value in metrics.compute().values())
    assert (
        0
        < evaluate_segmentation(
            network, settings.open("cityscapes", "val").take(1), progress=False
        ).compute()["miou"]
        < 1
    )
