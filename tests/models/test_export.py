"""Networks for other runtimes: the graph computes what the network computes, and so does ONNX."""

import json
from collections.abc import Callable

import pytest
import torch
from torch import nn

from ood_lib.models import DeepLabV3Plus, export
from ood_lib.models.deeplabv3plus import MINIATURE, Architecture, Stage
from ood_lib.models.export import GraphNetwork, to_graph, to_onnx

BOTTLENECK = Architecture(
    stem_channels=4,
    stages=(Stage(1, (4, 4), pool=True), Stage(2, (4, 6, 8), stride=2, dilation=2, dropout=0.5)),
    aspp_channels=4, aspp_rates=(2,), image_pooling=True, skip_channels=3, decoder_channels=5,
)  # fmt: skip
"""All that the network of the thesis has and the miniature has not, in small."""


def random_network(architecture: Architecture) -> DeepLabV3Plus:
    """One whose normalisations have statistics as though it had been trained."""
    torch.manual_seed(0)
    network = DeepLabV3Plus(architecture, num_classes=7)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.running_var):
                nn.init.uniform_(values, 0.5, 2)
            for values in (module.bias, module.running_mean):
                nn.init.normal_(values)
    return network.eval()


@pytest.mark.parametrize("architecture", [MINIATURE, BOTTLENECK])
@torch.no_grad()
def test_the_graph_computes_the_networks_logits(architecture: Architecture) -> None:
    network = random_network(architecture)
    images = torch.rand(2, 3, 37, 50)
    wanted = network(images)  # (2, 7, 37, 50)
    graph = to_graph(network)
    difference = (graph(images) - wanted).abs().max() / wanted.abs().max()
    assert graph(images).shape == wanted.shape
    assert difference < 5e-3  # float16 rounds by 5e-4


@torch.no_grad()
def test_nothing_but_the_rounding_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    network = random_network(MINIATURE)
    images = torch.rand(1, 3, 40, 64)
    monkeypatch.setattr(torch.Tensor, "half", lambda tensor: tensor)
    torch.testing.assert_close(to_graph(network)(images), network(images), rtol=1e-4, atol=1e-3)


def test_the_graph_is_json_and_its_weights_float16() -> None:
    graph = to_graph(random_network(MINIATURE))
    assert all(torch.equal(weight, weight.half().float()) for weight in graph.parameters())
    again = GraphNetwork(json.loads(json.dumps(graph.nodes)), dict(graph.weights))
    image = torch.rand(1, 3, 32, 32)
    assert torch.equal(again(image), graph(image))


def test_exporting_leaves_the_network_as_it_was() -> None:
    network = random_network(BOTTLENECK).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    to_graph(network)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_onnx_computes_the_logits_of_any_network(
    make_network: Callable[..., nn.Module], tmp_path
) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="needs the extra export")
    pytest.importorskip("onnxscript", reason="needs the extra export")
    network = make_network()
    to_onnx(network, tmp_path / "network.onnx", size=(16, 24))
    assert network.training
    image = torch.rand(1, 3, 16, 24)
    session = runtime.InferenceSession(tmp_path / "network.onnx")
    (found,) = session.run(None, {"image": image.numpy()})
    with torch.no_grad():
        wanted = network.eval()(image)
    torch.testing.assert_close(torch.from_numpy(found), wanted, rtol=0, atol=1e-4)


def test_onnx_with_other_logits_is_refused_and_leaves_no_file(
    make_network: Callable[..., nn.Module], tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra export")
    pytest.importorskip("onnxscript", reason="needs the extra export")
    monkeypatch.setattr(export, "ONNX_TOLERANCE", -1.0)
    with pytest.raises(RuntimeError, match="computes other logits"):
        to_onnx(make_network(), tmp_path / "network.onnx", size=(16, 24))
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_it_says_what_to_install(
    make_network: Callable[..., nn.Module], tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"ood-lib\[export\]"):
        to_onnx(make_network(), tmp_path / "network.onnx")
