"""The thesis's meta classifier: a lightweight fully-connected network (section 3.4)."""

from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np
import torch
from scipy.special import expit

from ood_lib.device import compute_device
from ood_lib.meta.classifier import FoldTrainer, MetaClassifier
from ood_lib.meta.inputs import Standardisation
from ood_lib.meta.stacked import ACTIVATIONS, Layer, stack_logits, train_stack

_FOLDS_ON_CPU = 32  # more of them are no faster, and their batches leave the processor's cache
_FOLDS_ON_GPU = 256


class NeuralMetaClassifier(MetaClassifier):
    """p^FP = sigmoid of a fully-connected network's output (thesis, Table 4.2): 17,176 parameters for 75 metrics.

    ``hidden`` are the neurons of the layers before the output, the NN-L-... of Tables 4.4 to 4.6; () is NN-L-0.
    ``activation`` follows each of them: relu, sigmoid or tanh. Adam minimises the binary cross-entropy (equation 3.13)
    for ``epochs`` with ``learning_rate`` and ``weight_decay`` (an L2 penalty, added to the gradient) in mini-batches of
    ``batch_size`` segments; the last of an epoch may be smaller. ``seed`` decides the initial weights, which
    are those of `torch.nn.Linear`, and the order of the segments in each epoch.

    ``layers_`` holds (weight, bias) of each layer, float32 tensors (1, outputs, inputs) and (1, outputs, 1).
    """

    def __init__(
        self,
        hidden: Sequence[int] = (75, 75, 75),
        activation: str = "relu",
        epochs: int = 50,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        weight_decay: float = 5e-3,
        seed: int = 0,
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.seed = seed

    def fold_trainer(self, values: np.ndarray, labels: np.ndarray) -> FoldTrainer:
        """The networks of all folds that are given together are trained at once, as a stack."""
        self._check_parameters()

        def train(folds: Sequence[np.ndarray]) -> list[np.ndarray]:
            rows = [np.delete(np.arange(len(values)), fold) for fold in folds]
            fits = [Standardisation.fit(values[kept]) for kept in rows]
            inputs = np.stack([fit(values[kept]).astype(np.float32) for fit, kept in zip(fits, rows, strict=True)])
            layers = train_stack(inputs, labels[np.stack(rows)], **self.get_params())
            left_out = [fit(values[fold]) for fit, fold in zip(fits, folds, strict=True)]
            return list(_probability(layers, np.stack(left_out), self.activation))

        return train

    def folds_at_once(self, rows: int, metrics: int) -> int:
        if compute_device().type == "cpu":
            return _FOLDS_ON_CPU
        sizes = (metrics, *self.hidden, 1)
        weights = sum(inputs * outputs for inputs, outputs in zip(sizes[:-1], sizes[1:], strict=True))
        numbers = 2 * rows * metrics + 6 * weights + 6 * self.batch_size * sum(sizes)
        return int(np.clip(torch.cuda.mem_get_info()[0] // 2 // (4 * numbers), 1, _FOLDS_ON_GPU))

    def _fit(self, standardised: np.ndarray, labels: np.ndarray) -> None:
        self._check_parameters()
        layers = train_stack(standardised[None].astype(np.float32), labels[None], **self.get_params())
        self.layers_ = [(weight.cpu(), bias.cpu()) for weight, bias in layers]

    def _probability(self, standardised: np.ndarray) -> np.ndarray:
        return _probability(self.layers_, standardised[None], self.activation)[0]

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {}
        for number, (weight, bias) in enumerate(self.layers_, start=1):
            arrays |= {f"weight{number}": weight[0].numpy(), f"bias{number}": bias[0, :, 0].numpy()}
        return arrays

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        self.hidden = tuple(self.hidden)  # JSON knows lists only
        self._check_parameters()
        sizes, layers = (self.n_features_in_, *self.hidden, 1), []
        for number, (inputs, outputs) in enumerate(zip(sizes[:-1], sizes[1:], strict=True), start=1):
            weight, bias = arrays[f"weight{number}"], arrays[f"bias{number}"]
            if weight.shape != (outputs, inputs) or bias.shape != (outputs,):
                raise ValueError(f"layer {number} has weights {weight.shape} instead of {(outputs, inputs)}")
            layers.append((torch.from_numpy(weight)[None], torch.from_numpy(bias)[None, :, None]))
        self.layers_ = layers

    def _check_parameters(self) -> None:
        """ValueError that names the parameter; in `fit`, as scikit-learn has it, not where it is set."""
        if not isinstance(self.hidden, Sequence | np.ndarray):
            raise ValueError(f"hidden={self.hidden!r} must list the neurons of each layer: (75, 75, 75), say, or ().")
        counts = {"epochs": self.epochs, "batch_size": self.batch_size, "seed": self.seed}
        counts |= {f"hidden[{index}]": size for index, size in enumerate(self.hidden)}
        for name, value in counts.items():
            if not isinstance(value, Integral) or value < (name != "seed"):
                raise ValueError(f"{name}={value!r} must be a whole number, at least {0 if name == 'seed' else 1}.")
        for name, value in {"learning_rate": self.learning_rate, "weight_decay": self.weight_decay}.items():
            if not isinstance(value, Real) or not 0 <= value < np.inf or (value == 0 and name == "learning_rate"):
                raise ValueError(f"{name}={value!r} must be a number above 0, weight_decay 0 or more.")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation={self.activation!r} is not known; take one of {', '.join(ACTIVATIONS)}.")


def _probability(layers: Sequence[Layer], standardised: np.ndarray, activation: str) -> np.ndarray:
    """p^FP (F, n), float64, of standardised metrics (F, n, m); the sigmoid in float64 keeps apart what is nearly 1."""
    with torch.no_grad():
        inputs = torch.as_tensor(standardised, dtype=torch.float32, device=layers[0][0].device)
        return expit(stack_logits(layers, inputs, activation).cpu().numpy().astype(np.float64))
