"""The thesis's meta classifier: a lightweight fully-connected network (section 3.4, Table 4.2).

From the 75 standardised metrics of a segment it tells p^FP by four layers of 17,176 parameters::

    75 -> 75, ReLU      5,700
    75 -> 75, ReLU      5,700
    75 -> 75, ReLU      5,700
    75 -> 1, sigmoid       76

Calling an operation takes longer than the operation: F networks, of parameters (F, P), as
leave-one-out needs, are trained as a stack that shares each call.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral, Real

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import expit
from torch import Tensor

from ood_lib.device import compute_device
from ood_lib.meta.classifier import MetaClassifier

ACTIVATIONS = {"relu": torch.relu_, "sigmoid": torch.sigmoid_, "tanh": torch.tanh_}

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

    def logits(self, parameters: Tensor, inputs: Tensor) -> Tensor:
        """Logits (F, b) of the networks with ``parameters`` (F, P), each for its own (F, b, m)."""
        # Rows last: batches of 128 then fill the processor's vectors in a layer of any width.
        values = inputs.mT                                                           # (F, m, b)
        for number, (weight, bias) in enumerate(self._layers(parameters, inputs.shape[2])):
            if number > 0:
                values = ACTIVATIONS[self.activation](values)                   # (F, inputs, b)
            values = torch.baddbmm(bias, weight, values)  # bias + weight @ values: (F, outputs, b)
        return values[:, 0]                                                          # (F, b)

    @torch.enable_grad()
    def learn(self, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Train F networks, which start alike and see their rows in the same order.

        Each becomes what it would become alone: after ``torch.manual_seed(seed)``, an
        ``nn.Sequential``, and in each epoch batches of ``torch.randperm(n)``. ValueError for bad
        settings, and if training diverged.
        """
        self._check_settings()
        device, generator = compute_device(), torch.Generator().manual_seed(int(self.seed))
        start = self._initial_parameters(inputs.shape[2], generator)                 # (P,)
        filled = F.pad(start, (0, -len(start) % VECTOR))
        parameters = filled.repeat(len(inputs), 1).to(device).requires_grad_()       # (F, P filled)
        x = torch.as_tensor(inputs, dtype=torch.float32, device=device)              # (F, n, m)
        y = torch.as_tensor(targets, dtype=torch.float64, device=device)             # (F, n)
        optimizer = torch.optim.Adam(
            [parameters], lr=self.learning_rate, weight_decay=self.weight_decay, fused=True)
        for _ in range(self.epochs):
            order = torch.randperm(x.shape[1], generator=generator)
            for batch in order.split(int(self.batch_size)):
                rows, weight = _fill(batch, device)                                  # (b,), (b,)
                logits = self.logits(parameters, x.index_select(1, rows))            # (F, b)
                # In float64, of which float32 keeps the same however a sigmoid was rounded.
                loss = F.binary_cross_entropy_with_logits(
                    logits.double(), y.index_select(1, rows), weight, reduction="sum")
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        if not parameters.isfinite().all():
            raise ValueError(f"Training diverged: lower learning_rate={self.learning_rate}.")
        return parameters.detach()[:, : len(start)].cpu().numpy()

    @torch.no_grad()
    def probability(self, parameters: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        device = compute_device()
        x = torch.as_tensor(inputs, dtype=torch.float32, device=device)              # (F, n, m)
        logits = self.logits(torch.as_tensor(parameters, device=device), x)          # (F, n)
        return expit(logits.double().cpu().numpy())  # float64 keeps apart what is nearly 1

    @property
    def layers_(self) -> list[tuple[Tensor, Tensor]]:
        """Weight (1, outputs, inputs) and bias (1, outputs, 1), float32, of each layer."""
        return self._layers(torch.from_numpy(self.parameters_)[None], self.n_features_in_)

    def _layers(self, parameters: Tensor, metrics: int) -> list[tuple[Tensor, Tensor]]:
        """Weights (F, outputs, inputs) and biases (F, outputs, 1): views of (F, P or more)."""
        shapes = []
        for inputs, outputs in pairwise((metrics, *self.hidden, 1)):
            shapes += [(outputs, inputs), (outputs, 1)]
        counts = [rows * columns for rows, columns in shapes]
        filling = parameters.shape[1] - sum(counts)
        parts = parameters.split([*counts, filling], dim=1)[:-1]
        parts = [part.unflatten(1, shape) for part, shape in zip(parts, shapes, strict=True)]
        return list(zip(parts[::2], parts[1::2], strict=True))

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
