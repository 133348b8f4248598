"""A network for where there is no PyTorch: ours as a small graph, and any as ONNX."""

import copy
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ood_lib.files import atomic_path
from ood_lib.models.deeplabv3plus import DeepLabV3Plus, ResidualBlock, upsample
from ood_lib.models.logits import image_logits

ONNX_TOLERANCE = 1e-3  #: by how much a logit may differ from PyTorch's, relative to the largest


class GraphNetwork(nn.Module):
    """A network as a list of nodes, each computed from nodes before it: few enough to port.

    ``nodes`` are JSON: {"op", "inputs": [places], ...}. Node 0 is the image (N, 3, H, W), float in
    [0, 1], the last one the logits (N, C, H, W). With "relu" a node's negative numbers become 0.

    ==========  ====================================================================================
    op          what it computes
    ==========  ====================================================================================
    input       the image
    affine      weight (C,) times each channel, plus bias (C,)
    conv        convolution with weight (O, C, k, k) and bias (O,), its "stride" and "dilation";
                zeros around it, dilation * (k // 2) on each side
    pool        the largest of 3 x 3 in steps of 2, with one pixel around it that never counts
    mean        the mean over the picture, (N, C, 1, 1)
    add         the sum of two maps
    concat      all inputs, one behind the other along the channels
    up          the first input to the size of the second: bilinear, corners on corners
    ==========  ====================================================================================

    ``weights`` holds "weight{place}" and "bias{place}" of each affine and conv.
    """

    def __init__(self, nodes: list[dict], weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.nodes = nodes
        self.weights = nn.ParameterDict(weights)

    def forward(self, x: Tensor) -> Tensor:
        results: list[Tensor] = []
        for place, node in enumerate(self.nodes):
            inputs = [results[index] for index in node["inputs"]] or [x]
            result = self._compute(place, node, *inputs)
            results.append(F.relu(result) if node.get("relu") else result)
        return results[-1]

    def _compute(self, place: int, node: dict, x: Tensor, *others: Tensor) -> Tensor:
        match node["op"]:
            case "affine":
                weight, bias = self._weights(place)
                return x * weight.view(-1, 1, 1) + bias.view(-1, 1, 1)
            case "conv":
                weight, bias = self._weights(place)
                padding = node["dilation"] * (weight.shape[-1] // 2)
                return F.conv2d(x, weight, bias, node["stride"], padding, node["dilation"])
            case "pool":
                return F.max_pool2d(x, kernel_size=3, stride=2, padding=1)
            case "mean":
                return x.mean(dim=(2, 3), keepdim=True)
            case "add":
                return x + others[0]
            case "concat":
                return torch.cat([x, *others], dim=1)
            case "up":
                return upsample(x, others[0].shape[2:])
        return x  # the image

    def _weights(self, place: int) -> tuple[Tensor, Tensor]:
        return self.weights[f"weight{place}"], self.weights[f"bias{place}"]


@torch.no_grad()
def to_graph(model: DeepLabV3Plus) -> GraphNetwork:
    """The network in evaluation mode as a graph, its weights rounded to float16.

    Batch normalisation is folded into the convolution before it, where there is one. The rounded
    numbers are kept as float32, so that every runtime can compute exactly this network.
    """
    graph = _Builder()
    image = graph.add("input")
    normalised = graph.add("affine", image)
    graph.set(normalised, 1 / model.std.flatten(), (-model.mean / model.std).flatten())
    x = graph.chain(normalised, model.mod1)
    features = []
    for number, stage in enumerate(model.stages, start=2):
        x = graph.add("pool", x) if stage.pool else x
        for block in model.get_submodule(f"mod{number}"):
            x = graph.block(x, block)
        features.append(x)
    branches = [graph.chain(x, feature) for feature in model.aspp.features]
    if model.aspp.img_conv is not None:
        pooled = graph.chain(graph.add("mean", x), model.aspp.img_conv)
        branches.insert(0, graph.add("up", pooled, x))
    coarse = graph.chain(graph.add("concat", *branches), model.bot_aspp)
    fine = graph.chain(features[0], model.bot_fine)
    both = graph.add("concat", fine, graph.add("up", coarse, fine))
    graph.add("up", graph.chain(both, model.final), image)
    rounded = {name: weight.half().float().cpu() for name, weight in graph.weights.items()}
    return GraphNetwork(graph.nodes, rounded)


class _Builder:
    """Nodes and weights of a graph that grows; places are those of nodes."""

    def __init__(self) -> None:
        self.nodes: list[dict] = []
        self.weights: dict[str, Tensor] = {}

    def add(self, op: str, *inputs: int, **settings: int) -> int:
        self.nodes.append({"op": op, "inputs": list(inputs), **settings})
        return len(self.nodes) - 1

    def set(self, place: int, weight: Tensor, bias: Tensor) -> int:
        self.weights |= {f"weight{place}": weight, f"bias{place}": bias}
        return place

    def block(self, x: int, block: ResidualBlock) -> int:
        activated = self.chain(x, block.bn1)
        shortcut = x if block.proj_conv is None else self.chain(activated, block.proj_conv)
        return self.add("add", shortcut, self.chain(activated, block.convs))

    def chain(self, start: int, layers: nn.Module) -> int:
        """Layers that follow one another; dropout does nothing in evaluation."""
        x = start
        for layer in layers.modules():
            if isinstance(layer, nn.Conv2d):
                x = self.add("conv", x, stride=layer.stride[0], dilation=layer.dilation[0])
                self.set(x, layer.weight, layer.weight.new_zeros(layer.out_channels))
            elif isinstance(layer, nn.BatchNorm2d):
                scale = layer.weight / (layer.running_var + layer.eps).sqrt()            # (C,)
                shift = layer.bias - layer.running_mean * scale                          # (C,)
                if x == start:  # others may look at what comes in, so that it stays
                    x = self.set(self.add("affine", x), scale, shift)
                else:
                    self.set(x, self.weights[f"weight{x}"] * scale.view(-1, 1, 1, 1), shift)
            elif isinstance(layer, nn.ReLU):
                self.nodes[x]["relu"] = True
        return x


def to_onnx(model: nn.Module, path: Path | str, size: tuple[int, int] = (128, 256)) -> None:
    """Write any network that `image_logits` can ask as ONNX, for images float (1, 3, H, W).

    ``size`` is (H, W).

    Needs the extra ``export``. RuntimeError, and no file, if onnxruntime's logits of a random image
    differ from PyTorch's by more than `ONNX_TOLERANCE` of the largest.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 PyTorch's exporter needs it
    except ImportError as error:
        raise ImportError('Install what this needs: pip install "ood-lib[export]".') from error
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    network = _Logits(copy.deepcopy(model)).eval()  # the caller's keeps its mode
    with atomic_path(path) as aside:
        torch.onnx.export(network, (image,), aside, input_names=["image"], dynamo=True,
                          output_names=["logits"], external_data=False, verbose=False)
        session = onnxruntime.InferenceSession(aside, providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {"image": image.numpy()})
        with torch.no_grad():
            wanted = network(image)                                              # (1, C, *size)
        difference = (torch.from_numpy(found) - wanted).abs().max() / wanted.abs().max()
        if not difference <= ONNX_TOLERANCE:  # not so for NaN either
            raise RuntimeError(f"As ONNX the network computes other logits: by {difference:.2g}.")


class _Logits(nn.Module):
    """Any network as one that gives plain logits of the image's size."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        return image_logits(self.model, image)
