"""What a training does not leave changed, and what does not act on its numbers."""

import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from studied import write_experiment
from torch import nn
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from ood_lib.data import training_transform
from ood_lib.models.deeplabv3plus import MINIATURE, DeepLabV3Plus
from ood_lib.settings import ClosedSetRecipe
from ood_lib.training import closed_set_ensemble, closed_set_network, fine_tune
from ood_lib.training.closed_set import train_closed_set
from ood_lib.training.epoch import EpochImages
from ood_lib.training.recompute import recomputed_activations

SMALL = {
    "epochs": 2, "batch_size": 4, "learning_rate": 1e-2, "proxy_fraction": 0.5, "progress": False,
}  # fmt: skip
SHORT = ClosedSetRecipe(epochs=2, crop=16, batch_size=3, average_decay=0.5)


def weights(model) -> torch.Tensor:
    return torch.cat([value.flatten().double() for value in model.state_dict().values()])


@pytest.fixture
def no_accelerator() -> Iterator[None]:
    yield
    AcceleratorState._reset_state(True)
    GradientState._reset_state()


def half_done() -> Accelerator:
    """In the middle of a step of several batches."""
    accelerator = Accelerator(gradient_accumulation_steps=3)
    with accelerator.accumulate(nn.Identity()):
        assert not accelerator.sync_gradients
    return accelerator


@pytest.mark.parametrize(
    "make",
    [
        lambda: Accelerator(mixed_precision="bf16"),
        lambda: Accelerator(gradient_accumulation_steps=4),
        half_done,
    ],
)
def test_an_accelerator_of_somebody_else_is_left_alone(
    make_network, scenes, proxy, no_accelerator, make
):
    alone, beside = make_network(), make_network()
    fine_tune(alone, scenes, proxy, **SMALL)
    assert not PartialState._shared_state  # none is made where there is but one process
    other = make()
    told = (other.mixed_precision, other.gradient_accumulation_steps, other.sync_gradients)
    fine_tune(beside, scenes, proxy, **SMALL)
    assert torch.equal(weights(alone), weights(beside))
    now = (other.mixed_precision, other.gradient_accumulation_steps, other.sync_gradients)
    assert told == now


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ACCELERATE_MIXED_PRECISION", "bf16"),
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4"),
        ("ACCELERATE_USE_FSDP", "true"),
        ("ACCELERATE_USE_DEEPSPEED", "true"),
        ("ACCELERATE_DYNAMO_BACKEND", "inductor"),
        ("ACCELERATE_TORCH_DEVICE", "meta"),
        ("WORLD_SIZE", "2"),
    ],
)
def test_what_the_environment_tells_accelerate_does_not_act_on_one_process(
    make_network, scenes, proxy, monkeypatch, no_accelerator, name, value
):
    alone, told = make_network(), make_network()
    fine_tune(alone, scenes, proxy, **SMALL)
    monkeypatch.setenv(name, value)
    fine_tune(told, scenes, proxy, **SMALL)
    assert torch.equal(weights(alone), weights(told))


def test_gradients_may_be_switched_off_around_it(make_network, scenes, proxy, tmp_path):
    alone, within = make_network(), make_network()
    fine_tune(alone, scenes, proxy, **SMALL)
    name = "deeplabv3plus_miniature"
    expected = train_closed_set(name, scenes, SHORT, tmp_path / "a.safetensors")
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        fine_tune(within, scenes, proxy, **SMALL)
        found = train_closed_set(name, scenes, SHORT, tmp_path / "b.safetensors")
        assert not torch.is_grad_enabled() and torch.is_autocast_enabled("cpu")
    assert torch.equal(weights(alone), weights(within))
    assert torch.equal(weights(expected), weights(found))


def draws_of_everybody(image, target):
    """A transform as of other libraries, which draw from generators of their own."""
    image, target = training_transform(16)(image, target)
    drawn = np.random.randint(99) + random.randrange(99)  # noqa: NPY002
    return (image // 2 + drawn).to(torch.uint8), target


def generators() -> list:
    of_numpy = np.random.get_state()[1].tolist()  # noqa: NPY002
    return [torch.get_rng_state().tolist(), of_numpy, random.getstate()]


def test_no_generator_acts_or_is_left_changed(scenes, proxy, make_network, tmp_path, monkeypatch):
    settings = write_experiment(tmp_path / "experiment")
    scenes.transform = proxy.transform = draws_of_everybody

    def fine_tuned() -> torch.Tensor:
        network = make_network()
        fine_tune(network, scenes, proxy, **SMALL)
        return weights(network)

    def trained() -> torch.Tensor:
        kept = tmp_path / f"{len(list(tmp_path.iterdir()))}.safetensors"
        return weights(train_closed_set("deeplabv3plus_miniature", scenes, SHORT, kept))

    calls: list[Callable[[], torch.Tensor]] = [
        fine_tuned,
        trained,
        lambda: torch.stack([sample.image for sample in EpochImages(scenes, proxy, 3, 5, 1)]),
        lambda: weights(closed_set_network(settings)),
        lambda: weights(closed_set_ensemble(settings)[0]),
    ]
    for call in calls:
        found = []
        for seed in (1, 2):
            torch.manual_seed(seed), np.random.seed(seed), random.seed(seed)  # noqa: NPY002
            before = generators()
            found.append(call())
            assert generators() == before
        assert torch.equal(*found)


@pytest.mark.parametrize("fails", [False, True])
def test_each_module_gets_its_own_mode_back(make_network, scenes, proxy, fails):
    model = make_network().train()
    model[1].eval(), model[3].eval()
    before = [module.training for module in model.modules()]
    if fails:
        with torch.no_grad():
            model[4].bias[0] = float("nan")
        with pytest.raises(FloatingPointError):
            fine_tune(model, scenes, proxy, **SMALL)
    else:
        fine_tune(model, scenes, proxy, **SMALL)
    assert [module.training for module in model.modules()] == before
    assert all(parameter.grad is None for parameter in model.parameters())


def test_activations_that_were_recomputed_before_are_so_afterwards():
    one, foreign = DeepLabV3Plus(MINIATURE), SegformerForSemanticSegmentation(SegformerConfig())
    one.mod3.block1.gradient_checkpointing = True
    flag = "gradient_checkpointing"
    layer = next(part for part in foreign.modules() if hasattr(part, flag))
    layer.gradient_checkpointing = True
    with recomputed_activations(one), recomputed_activations(foreign):
        with recomputed_activations(one):
            pass
        assert all(getattr(module, flag, True) for module in one.modules())
    assert [name for name, m in one.named_modules() if getattr(m, flag, 0)] == ["mod3.block1"]
    assert layer.gradient_checkpointing
