"""Which layer gives the logits, in networks of others."""

import pytest
import torch
from torch import nn

from ood_lib.models import Adapter
from ood_lib.scores import Mahalanobis
from ood_lib.scores.features import classifying_layer


def last_transposed(outputs: int) -> nn.Module:
    first = nn.Conv2d(3, 8, 3, stride=8, padding=1)
    return nn.Sequential(first, nn.ReLU(), nn.ConvTranspose2d(8, outputs, 4, stride=4))


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand(2, 3, 50, 66, generator=torch.Generator().manual_seed(0))


def features(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    score = Mahalanobis(model)
    score.needed_layer(x)
    return score.features(x)


def test_a_transposed_convolution_is_found_with_void_outputs_or_without(x):
    assert classifying_layer(last_transposed(19), x) == "2"
    model = Adapter(last_transposed(20), stride=8, void=[19])
    assert classifying_layer(model, x) == "network.2"
    torch.manual_seed(1)
    seen = []
    model.network[2].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    found = features(model, x)
    assert found.shape == (2, 8, 7, 9)
    torch.testing.assert_close(found, seen[-1])


def test_a_layer_that_is_named_is_taken(x):
    model = Adapter(last_transposed(20), stride=8, void=[19], layer="0")
    assert classifying_layer(model, x) == "network.0"
    assert features(model, x).shape == (2, 3, 56, 72)
    with pytest.raises(ValueError, match="The network has no layer '7', but 0, 1, 2"):
        Adapter(last_transposed(20), layer="7")


def test_a_layer_that_is_a_module_names_nothing(x):
    model = nn.Sequential()
    model.layer = nn.Conv2d(3, 19, 1)
    assert classifying_layer(model, x) == "layer"


def test_where_outputs_are_cut_by_other_means_the_layer_must_be_named(x):
    class Cut(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = last_transposed(20)

        def forward(self, images):
            return self.network(images)[:, :19]

    with pytest.raises(ValueError, match="Cut has no convolution with 19 outputs.*its Adapter"):
        classifying_layer(Cut(), x)
    assert classifying_layer(Adapter(Cut(), layer="network.2"), x) == "network.network.2"
