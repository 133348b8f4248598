"""What the published code does otherwise than the text: each a setting, each by hand."""

import copy

import pytest
import torch
from torch.utils.data import DataLoader
from torchvision import tv_tensors

from ood_lib.data import open_dataset, training_transform
from ood_lib.data.sample import collate
from ood_lib.settings import load_settings
from ood_lib.studies import STUDIES
from ood_lib.studies.runs import of_arm
from ood_lib.training import entropy_maximization_loss, fine_tune
from ood_lib.training.epoch import EpochImages
from tests.layouts import bird, write_coco

SMALL = {"epochs": 2, "batch_size": 3, "learning_rate": 1e-2, "proxy_fraction": 0.5, "seed": 3}


@pytest.fixture
def calm(make_network):
    """Without dropout, so that nothing is drawn while it learns, and without a bias that live
    statistics take away again, so that it has no gradient but rounding."""
    network = make_network()
    network[3] = torch.nn.Identity()
    network[0].register_parameter("bias", None)
    return network


def by_hand(network, scenes, proxy, live=False, fresh=False):
    """The training, step by step."""
    network = copy.deepcopy(network)
    adam = torch.optim.Adam(network.parameters(), lr=SMALL["learning_rate"])
    for epoch in range(SMALL["epochs"]):
        if fresh:
            adam = torch.optim.Adam(network.parameters(), lr=SMALL["learning_rate"])
        network[1].train(live)
        images = EpochImages(scenes, proxy, len(scenes) // 2, SMALL["seed"], epoch)
        for pixels, target in DataLoader(images, SMALL["batch_size"], collate_fn=collate):
            adam.zero_grad()
            entropy_maximization_loss(network(pixels.float() / 255), target).backward()
            adam.step()
    return network


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("fresh", [False, True])
def test_live_statistics_and_a_fresh_adam_by_hand(calm, scenes, proxy, live, fresh):
    wanted = by_hand(calm, scenes, proxy, live, fresh).state_dict()
    settings = {"batch_norm": "live" if live else "frozen", "fresh_adam": fresh}
    fine_tune(calm, scenes, proxy, progress=False, **SMALL, **settings)
    for name, values in calm.state_dict().items():
        torch.testing.assert_close(values, wanted[name], msg=name)
    if not (live or fresh):
        others = [by_hand(calm, scenes, proxy, *other) for other in ((True, False), (False, True))]
        weights = [torch.nn.utils.parameters_to_vector(one.parameters()) for one in others]
        assert not torch.allclose(*weights, atol=1e-3)  # they are two switches


def test_live_statistics_are_those_of_single_crops_where_these_make_a_step_together(
    calm, scenes, proxy
):
    """As on two GPUs with one crop each, but for the statistics that are kept, of all crops."""
    calm[1].momentum = 1.0  # of the last crop alone
    recipe = SMALL | {"batch_size": 1, "accumulate": 2, "learning_rate": 1e-12, "epochs": 1}
    fine_tune(calm, scenes, proxy, progress=False, batch_norm="live", **recipe)
    last = EpochImages(scenes, proxy, len(scenes) // 2, SMALL["seed"], 0)[-1]
    features = calm[0](last.image.float()[None] / 255)
    wanted = features.mean(dim=(0, 2, 3))
    torch.testing.assert_close(calm[1].running_mean, wanted, rtol=1e-4, atol=0)


def test_live_statistics_are_not_counted_twice(calm, scenes, proxy):
    with pytest.raises(ValueError, match="counted twice. Leave it out, or take batch_norm="):
        fine_tune(calm, scenes, proxy, checkpoint_activations=True, batch_norm="live")


def test_the_background_of_proxy_images_is_road_if_asked_for(tmp_path):
    root = write_coco(tmp_path, [bird(1, 2, 2, 20, 12)], [(20, 30)])
    ignored = open_dataset("coco_proxy", root)[0].target
    road = open_dataset("coco_proxy", root, background="road")[0].target
    assert set(ignored.unique().tolist()) == {254, 255}
    assert torch.equal(road, torch.where(ignored == 255, 0, ignored))
    with pytest.raises(ValueError, match="background='sky' must be one of: ignored, road"):
        open_dataset("coco_proxy", root, background="sky")


def test_a_small_image_is_warped_to_the_crop_if_asked_for():
    column = torch.arange(10, dtype=torch.uint8).expand(20, 10)  # (H, W)
    image, target = column.expand(3, -1, -1), column
    warp = training_transform(20, flip=False, small="warped")
    image, target = warp(tv_tensors.Image(image), tv_tensors.Mask(target))
    assert target.tolist() == [[x // 2 for x in range(20)]] * 20  # all of it, twice as wide
    assert image.shape == (3, 20, 20)
    with pytest.raises(ValueError, match="small='cut' must be one of: enlarged, warped"):
        training_transform(20, small="cut")


def test_settings_train_so(tmp_path, scenes, proxy):
    settings = load_settings("miniature", paint=False)
    published = settings.changed(
        batch_norm="live", fresh_adam=True, proxy_background="road", small_images="warped"
    )
    assert published.random_crops().keywords["small"] == "warped"
    section = settings.as_published()
    assert section.recipe() == published.changed(batch_size=1, accumulate=2).recipe()
    assert section.threshold == settings.threshold
    assert settings.random_crops().keywords["small"] == "enlarged"
    with pytest.raises(ValueError, match="no section published; add one"):
        settings.changed(published=None).as_published()
    with pytest.raises(ValueError, match="batch_norm='dead' .* 'frozen' or 'live'"):
        settings.changed(batch_norm="dead")
    # A file of a training with another background is no file of this one.
    state = tmp_path / "state.safetensors"
    recipe = SMALL | {"epochs": 1, "progress": False, "checkpoint": state}
    network = torch.nn.Conv2d(3, 19, 1)
    fine_tune(copy.deepcopy(network), scenes, proxy, **recipe)
    proxy.background = "road"
    with pytest.raises(ValueError, match="had other settings: proxy was "):
        fine_tune(copy.deepcopy(network), scenes, proxy, **recipe)


def test_the_study_has_an_arm_for_each_departure_and_one_for_all():
    settings = load_settings("miniature", paint=False, batch_norm="live", batch_size=3)
    arms = [of_arm(settings, arm) for arm in STUDIES["published"].arms]
    text, batch, live, alone, road, published = [arm.recipe() for arm in arms]

    def differing(arm):
        return {name for name in text if text[name] != arm[name]}

    assert (text["batch_norm"], text["batch_size"]) == ("frozen", 8)  # whatever the settings say
    assert differing(batch) == {"batch_size"} and batch["batch_size"] == 2
    assert differing(live) == {"batch_norm"}
    assert differing(alone) == {"batch_norm", "batch_size", "accumulate"}
    assert alone["batch_size"] * alone["accumulate"] == 2
    assert differing(road) == {"proxy_background"}
    others = {"fresh_adam", "small_images"}
    assert differing(published) == differing(alone) | differing(road) | others
