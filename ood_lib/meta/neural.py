"""The thesis's meta classifier: a lightweight fully-connected network (section 3.4, Table 4.2).

From the 75 standardised metrics of a segment it tells p^FP by four layers of 17,176 parameters::

    75 -> 75, ReLU      5,700
    75 -> 75, ReLU      5,700
    75 -> 75, ReLU      5,700
    75 -> 1, sigmoid       76

Calling an operation takes longer than the operation: F networks, of parameters (F, P), as
leave-one-out needs, are trained as a stack that shares each call, and backpropagation is written
out: with autograd one network alone took three times as long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from numbers import Integral, Real

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor
from torch.optim.adam import adam

from ood_lib.device import compute_device
from ood_lib.meta.classifier import MetaClassifier

# Each with what autograd would call: the slope before it, from that behind it and its values.
ACTIVATIONS = {
    "relu": (torch.relu_, partial(torch.ops.aten.threshold_backward, threshold=0)),
    "sigmoid": (torch.sigmoid_, torch.ops.aten.sigmoid_backward),
    "tanh": (torch.tanh_, torch.ops.aten.tanh_backward),
}
Layers = list[tuple[Tensor, Tensor]]  #: weights (F, outputs, inputs) and biases (F, outputs, 1)

# Training makes much of little: weights that are rounded in another way in the first epoch give
# p^FP that differ by 0.01 after the fiftieth. No network's numbers may depend on its place in a
# stack, or on how many there are; but a processor computes what fills its vectors of 16 floats in
# another way than the rest. So there is no rest: batches and parameters are filled up.
VECTOR = 16


@dataclass(eq=False, repr=False)
class NeuralMetaClassifier(MetaClassifier):
    """p^FP = sigmoid of a fully-connected network's output: 17,176 parameters for 75 metrics.

    Adam minimises the binary cross-entropy (equation 3.13) in mini-batches, of which the last of an
    epoch may be smaller. ``parameters_`` are all weights and biases, `layers_` these by layer.
    """

    hidden: Sequence[int] = (75, 75, 75)  #: neurons of the layers before the last; () is NN-L-0
    activation: str = "relu"  #: after each of them: relu, sigmoid or tanh
    epochs: int = 50
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 5e-3  #: an L2 penalty, added to the gradient
    seed: int = 0  #: of the initial weights, those of `torch.nn.Linear`, and of the rows' order

    @torch.no_grad()
    def learn(self, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Train F networks, which start alike and see their rows in the same order.

        Each becomes what it would become alone: after ``torch.manual_seed(seed)``, an
        ``nn.Sequential``, and in each epoch batches of ``torch.randperm(n)``. ValueError for bad
        settings, and if training diverged.
        """
        self._check_settings()
        device, generator = compute_device(), torch.Generator().manual_seed(int(self.seed))
        x = torch.as_tensor(inputs, dtype=torch.float32, device=device)              # (F, n, m)
        y = torch.as_tensor(targets, dtype=torch.float64, device=device)             # (F, n)
        start = self._initial_parameters(x.shape[2], generator)                      # (P,)
        filled = len(start) + -len(start) % VECTOR
        parameters, slope, mean, square = torch.zeros(4, len(x), filled, device=device)
        parameters[:, : len(start)] = start
        layers, slopes = (self._layers(own, x.shape[2]) for own in (parameters, slope))
        step = torch.zeros((), device=device)
        batches = torch.arange(x.shape[1]).split(int(self.batch_size))
        batches = [_fill(batch, device) for batch in batches]
        for _ in range(self.epochs):
            order = torch.randperm(x.shape[1], generator=generator).to(device)
            for places, weight in batches:
                rows = order[places]                                                 # (b,)
                some = x.index_select(1, rows), y.index_select(1, rows)
                self._differentiate(layers, slopes, *some, weight)
                adam([parameters], [slope], [mean], [square], [], [step], fused=True,
                     amsgrad=False, maximize=False, beta1=0.9, beta2=0.999, eps=1e-8,
                     lr=self.learning_rate, weight_decay=self.weight_decay)
        if not parameters.isfinite().all():
            raise ValueError(f"Training diverged: lower learning_rate={self.learning_rate}.")
        return parameters[:, : len(start)].cpu().numpy()

    @torch.no_grad()
    def probability(self, parameters: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        device = compute_device()
        x = torch.as_tensor(inputs, dtype=torch.float32, device=device)              # (F, n, m)
        layers = self._layers(torch.as_tensor(parameters, device=device), x.shape[2])
        *_, logits = self._values(layers, x)                                         # (F, 1, n)
        return expit(logits[:, 0].double().cpu().numpy())  # float64 keeps apart what is nearly 1

    @property
    def layers_(self) -> Layers:
        """Weight (1, outputs, inputs) and bias (1, outputs, 1), float32, of each layer."""
        return self._layers(torch.from_numpy(self.parameters_)[None], self.n_features_in_)

    def _values(self, layers: Layers, inputs: Tensor) -> list[Tensor]:
        """Of F networks, each for its own (F, b, m): inputs of each layer; logits (F, 1, b)."""
        # Rows last: batches of 128 then fill the processor's vectors in a layer of any width.
        values, activate = [inputs.mT], ACTIVATIONS[self.activation][0]              # (F, m, b)
        for number, (weight, bias) in enumerate(layers, start=1):
            values.append(torch.baddbmm(bias, weight, values[-1]))  # (F, outputs, b)
            if number < len(layers):
                activate(values[-1])
        return values

    def _differentiate(self, layers: Layers, slopes: Layers, inputs: Tensor, targets: Tensor,
                       weight: Tensor) -> None:
        """Into ``slopes``: those of the loss, by backpropagation from the logits to the metrics."""
        *values, logits = self._values(layers, inputs)
        # In float64, of which float32 keeps the same however a sigmoid was rounded.
        wrong = (logits[:, 0].double().sigmoid() - targets) * weight                 # (F, b)
        slope, step_back = wrong.float()[:, None], ACTIVATIONS[self.activation][1]   # (F, 1, b)
        for number in reversed(range(len(layers))):
            of_weights, of_biases = slopes[number]
            torch.bmm(slope, values[number].mT, out=of_weights)          # (F, outputs, inputs)
            torch.sum(slope, dim=2, keepdim=True, out=of_biases)         # (F, outputs, 1)
            if number > 0:
                slope = step_back(layers[number][0].mT @ slope, values[number])  # (F, inputs, b)

    def _layers(self, parameters: Tensor, metrics: int) -> Layers:
        """Views of parameters (F, P or more)."""
        layers, start = [], 0
        for inputs, outputs in pairwise((metrics, *self.hidden, 1)):
            middle = start + outputs * inputs
            weights = parameters[:, start:middle].unflatten(1, (outputs, inputs))
            start = middle + outputs
            layers.append((weights, parameters[:, middle:start, None]))
        return layers

    def _initial_parameters(self, metrics: int, generator: torch.Generator) -> Tensor:
        """(P,) of one network: of each layer weights, then biases, as ``nn.Linear`` draws them."""
        drawn = []
        for inputs, outputs in pairwise((metrics, *self.hidden, 1)):
            layer = torch.empty(outputs * (inputs + 1), dtype=torch.float32)
            bound = inputs**-0.5
            drawn.append(layer.uniform_(-bound, bound, generator=generator))
        return torch.cat(drawn)

    def _check_settings(self) -> None:
        """ValueError that names the setting; in `fit`, as scikit-learn has it."""
        if not isinstance(self.hidden, Sequence | np.ndarray):
            raise ValueError(f"hidden={self.hidden!r} must list neurons: (75, 75, 75), say, or ().")
        whole = [(f"hidden[{place}]", size, 1) for place, size in enumerate(self.hidden)]
        whole += [("epochs", self.epochs, 1), ("batch_size", self.batch_size, 1)]
        for name, value, least in [*whole, ("seed", self.seed, 0)]:
            if not isinstance(value, Integral) or value < least:
                raise ValueError(f"{name}={value!r} must be a whole number, at least {least}.")
        if not isinstance(self.learning_rate, Real) or not 0 < self.learning_rate < np.inf:
            raise ValueError(f"learning_rate={self.learning_rate!r} must be a number above 0.")
        if not isinstance(self.weight_decay, Real) or not 0 <= self.weight_decay < np.inf:
            raise ValueError(f"weight_decay={self.weight_decay!r} must be a number, 0 or more.")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation={self.activation!r} must be one of {list(ACTIVATIONS)}.")


def _fill(batch: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """The rows of a batch, repeated to whole vectors, and the weight of each in its mean loss."""
    places = torch.arange(-(-len(batch) // VECTOR) * VECTOR)
    weight = (places < len(batch)).double() / len(batch)  # what fills it up has none
    return batch[places % len(batch)].to(device), weight.to(device)
