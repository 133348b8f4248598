"""Closed-set training, and entropy maximization (Chan et al. 2021; thesis, section 3.2).

On several GPUs `fine_tune` is called in every process of ``accelerate launch`` or of
`accelerate.notebook_launcher` (then once more, with the same ``checkpoint``, in the notebook). They
share each step's images, none counting twice, and end with the same weights; only dropout draws
differently in each. All must see ``checkpoint``, which the main process writes.
"""

from ood_lib.training.closed_set import closed_set_ensemble, closed_set_network
from ood_lib.training.fine_tune import FineTuneResult, fine_tune, fine_tune_by, fine_tuned_network
from ood_lib.training.loss import entropy_maximization_loss

__all__ = [
    "FineTuneResult", "closed_set_ensemble", "closed_set_network", "entropy_maximization_loss",
    "fine_tune", "fine_tune_by", "fine_tuned_network",
]  # fmt: skip
