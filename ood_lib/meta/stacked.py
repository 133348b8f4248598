"""Many fully-connected networks of one architecture, trained at once: a stack, whose products are batched.

A network for a table of metrics is so small that calling an operation takes longer than the operation. In a stack of F
networks each operation is called once for all F.

Training makes much of little: weights that are rounded in another way in the first epoch give p^FP that differ by 0.01
after the fiftieth. Therefore no network's numbers may depend on its place in the stack, or on how many there are: where
a processor computes what fills its vectors, 16 floats, differently from the rest, here there is no rest.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ood_lib.device import compute_device

Layer = tuple[Tensor, Tensor]
"""Weights (F, outputs, inputs) and biases (F, outputs, 1) of one layer of all networks; or their slopes, the
derivatives of the loss."""

_VECTOR = 16
_aten = torch.ops.aten

ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    "relu": (torch.relu_, lambda slopes, values: _aten.threshold_backward(slopes, values, 0)),
    "sigmoid": (torch.sigmoid_, _aten.sigmoid_backward),
    "tanh": (torch.tanh_, _aten.tanh_backward),
}
"""The function, in place, and what gives slopes of its inputs from slopes of its values and the values."""


@torch.no_grad()
def train_stack(
    inputs: np.ndarray,
    targets: np.ndarray,
    *,
    hidden: Sequence[int],
    activation: str,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    seed: int,
) -> list[Layer]:
    """Train a network on each of ``inputs`` (F, n, m) and ``targets`` (F, n) of 0 and 1; gives its layers, float32.

    The networks start from equal weights and see their rows in the same order, so that each becomes what it would
    become alone: with ``torch.manual_seed(seed)``, an ``nn.Sequential`` of ``nn.Linear`` and activations, and in each
    epoch batches of ``torch.randperm(n)``. The last batch may be smaller. Adam minimises the binary cross-entropy
    (equation 3.13) of the logits. ValueError if training diverged.
    """
    device, generator = compute_device(), torch.Generator().manual_seed(seed)
    start = _initial_layers((inputs.shape[2], *hidden, 1), generator)
    all_inputs, all_targets = (torch.as_tensor(part, dtype=torch.float32, device=device) for part in (inputs, targets))
    parameters, layers, slopes = _stack(start, len(inputs), device)
    optimizer = torch.optim.Adam([parameters], lr=learning_rate, weight_decay=weight_decay, fused=True)
    for _ in range(epochs):
        for rows in torch.randperm(inputs.shape[1], generator=generator).split(batch_size):
            filled = _fill(rows).to(device)
            values, logits = _forward(layers, all_inputs.index_select(1, filled), activation)
            of_logits = _loss_slopes(logits, all_targets.index_select(1, filled), len(rows))
            _backward(layers, values, of_logits, activation, slopes)
            optimizer.step()
    if not torch.isfinite(parameters).all():
        raise ValueError(f"Training diverged: some weights are NaN or infinite. Lower learning_rate={learning_rate}.")
    return layers


@torch.no_grad()
def stack_logits(layers: Sequence[Layer], inputs: Tensor, activation: str) -> Tensor:
    """Logits (F, n) of each network for its own inputs (F, n, m)."""
    return _forward(layers, inputs, activation)[1]


def _initial_layers(sizes: Sequence[int], generator: torch.Generator) -> list[Layer]:
    """The layers of one network as ``nn.Linear`` draws them: uniform in +- 1 / sqrt(inputs), weights before biases."""
    layers = []
    for inputs, outputs in zip(sizes[:-1], sizes[1:], strict=True):
        shapes, bound = ((1, outputs, inputs), (1, outputs, 1)), inputs**-0.5
        drawn = [torch.empty(shape, dtype=torch.float32) for shape in shapes]
        layers.append(tuple(part.uniform_(-bound, bound, generator=generator) for part in drawn))
    return layers


def _stack(start: Sequence[Layer], networks: int, device: torch.device) -> tuple[Tensor, list[Layer], list[Layer]]:
    """So many networks that start alike: all parameters and their gradient in one vector each, which takes the
    optimizer one call, and the parts of both that are the layers.
    """
    shapes = [(networks, *part.shape[1:]) for layer in start for part in layer]
    sizes = [math.prod(shape) for shape in shapes]
    sizes.append(-sum(sizes) % _VECTOR)
    parameters = torch.zeros(sum(sizes), dtype=torch.float32, device=device)
    parameters.grad = torch.zeros_like(parameters)

    def parts(vector: Tensor) -> list[Layer]:
        views = [part.view(shape) for part, shape in zip(vector.split(sizes), shapes, strict=False)]
        return list(zip(views[::2], views[1::2], strict=True))

    layers = parts(parameters)
    for layer, initial in zip(layers, start, strict=True):
        for part, value in zip(layer, initial, strict=True):
            part.copy_(value)
    return parameters, layers, parts(parameters.grad)


def _fill(rows: Tensor) -> Tensor:
    """The rows of a batch, repeated up to a multiple of `_VECTOR`."""
    return rows[torch.arange(-(-len(rows) // _VECTOR) * _VECTOR) % len(rows)]


def _forward(layers: Sequence[Layer], inputs: Tensor, activation: str) -> tuple[list[Tensor], Tensor]:
    """What each layer takes (F, inputs, b), and the logits (F, b)."""
    # Rows along the last axis: with batches of 128, the processor's vectors are full whatever the layers' widths are.
    values = [inputs.mT]
    for weight, bias in layers[:-1]:
        values.append(ACTIVATIONS[activation][0](torch.baddbmm(bias, weight, values[-1])))
    weight, bias = layers[-1]
    return values, (weight.mT * values[-1]).sum(dim=1) + bias[:, 0]


def _loss_slopes(logits: Tensor, targets: Tensor, rows: int) -> Tensor:
    """Of the mean binary cross-entropy of each network's batch: (p - y) / rows (F, b), and 0 for what fills the batch.

    By float64, of which float32 keeps the same whichever way the sigmoid was rounded.
    """
    slopes = (torch.sigmoid(logits.double()) - targets) / rows
    slopes[:, rows:] = 0
    return slopes.float()


def _backward(
    layers: Sequence[Layer], values: Sequence[Tensor], of_logits: Tensor, activation: str, slopes: Sequence[Layer]
) -> None:
    """Backpropagation, into ``slopes``: a fifth faster than autograd here, which spends that on memory."""
    of_outputs = of_logits[:, None]
    for number in reversed(range(len(layers))):
        of_weight, of_bias = slopes[number]
        torch.bmm(of_outputs, values[number].mT, out=of_weight)
        torch.sum(of_outputs, dim=2, keepdim=True, out=of_bias)
        if number > 0:
            of_inputs = torch.bmm(layers[number][0].mT, of_outputs)
            of_outputs = ACTIVATIONS[activation][1](of_inputs, values[number])
