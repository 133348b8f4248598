"""Many fully-connected networks of one architecture, trained at once: a stack, whose products are batched.

A network for a table of metrics is so small that calling an operation takes longer than the operation. In a stack of F
networks each operation is called once for all F.

Training makes much of little: weights that are rounded in another way in the first epoch give p^FP that differ by 0.01
after the fiftieth. Therefore no network's numbers may depend on its place in the stack, or on how many there are: where
a processor computes what fills its vectors, 16 floats, differently from the rest, here there is no rest.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ood_lib.device import compute_device

Layer = tuple[Tensor, Tensor]
"""Weights (F, outputs, inputs) and biases (F, outputs, 1) of one layer of all networks."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu_,  # in place: the products that they follow need not be kept
    "sigmoid": torch.sigmoid_,
    "tanh": torch.tanh_,
}
_VECTOR = 16


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
    parameters, layers = _stack(start, len(inputs), device)
    optimizer = torch.optim.Adam([parameters], lr=learning_rate, weight_decay=weight_decay, fused=True)
    with torch.enable_grad():
        for _ in range(epochs):
            for rows in torch.randperm(inputs.shape[1], generator=generator).split(batch_size):
                filled = _fill(rows).to(device)
                logits = stack_logits(layers, all_inputs.index_select(1, filled), activation)
                optimizer.zero_grad(set_to_none=False)  # the layers' gradients are parts of that of the parameters
                logits.backward(_slopes(logits.detach(), all_targets.index_select(1, filled), len(rows)))
                optimizer.step()
    if not torch.isfinite(parameters).all():
        raise ValueError(f"Training diverged: some weights are NaN or infinite. Lower learning_rate={learning_rate}.")
    return [(weight.detach(), bias.detach()) for weight, bias in layers]


def stack_logits(layers: Sequence[Layer], inputs: Tensor, activation: str) -> Tensor:
    """Logits (F, n) of each network for its own inputs (F, n, m)."""
    # Rows along the last axis: with batches of 128, the processor's vectors are full whatever the layers' widths are.
    values = inputs.mT
    for weight, bias in layers[:-1]:
        values = ACTIVATIONS[activation](torch.baddbmm(bias, weight, values))
    weight, bias = layers[-1]
    return (weight.mT * values).sum(dim=1) + bias[:, 0]


def _initial_layers(sizes: Sequence[int], generator: torch.Generator) -> list[Layer]:
    """The layers of one network as ``nn.Linear`` draws them: uniform in +- 1 / sqrt(inputs), weights before biases."""
    layers = []
    for inputs, outputs in zip(sizes[:-1], sizes[1:], strict=True):
        shapes, bound = ((1, outputs, inputs), (1, outputs, 1)), inputs**-0.5
        weight, bias = (torch.empty(shape, dtype=torch.float32) for shape in shapes)
        layers.append(
            (weight.uniform_(-bound, bound, generator=generator), bias.uniform_(-bound, bound, generator=generator))
        )
    return layers


def _stack(start: Sequence[Layer], networks: int, device: torch.device) -> tuple[Tensor, list[Layer]]:
    """All parameters of so many equal networks in one vector, with its gradient, and the layers, which are parts of it.

    One vector takes the optimizer one call.
    """
    parts = [part.expand(networks, -1, -1) for layer in start for part in layer]
    sizes = [part.numel() for part in parts]
    sizes.append(-sum(sizes) % _VECTOR)
    parameters = torch.zeros(sum(sizes), dtype=torch.float32, device=device)
    parameters.grad = torch.zeros_like(parameters)
    leaves = []
    for part, values, slopes in zip(parts, parameters.split(sizes), parameters.grad.split(sizes), strict=False):
        leaf = values.view(part.shape).copy_(part).requires_grad_()
        leaf.grad = slopes.view(part.shape)
        leaves.append(leaf)
    return parameters, list(zip(leaves[::2], leaves[1::2], strict=True))


def _fill(rows: Tensor) -> Tensor:
    """The rows of a batch, repeated up to a multiple of `_VECTOR`."""
    return rows[torch.arange(-(-len(rows) // _VECTOR) * _VECTOR) % len(rows)]


def _slopes(logits: Tensor, targets: Tensor, rows: int) -> Tensor:
    """Derivative (F, b) of the mean binary cross-entropy of each network's batch: (p - y) / rows, 0 for what fills it.

    By float64, of which float32 keeps the same whichever way the sigmoid was rounded.
    """
    slopes = (torch.sigmoid(logits.double()) - targets) / rows
    slopes[:, rows:] = 0
    return slopes.float()
