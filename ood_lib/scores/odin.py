"""ODIN: a hot softmax after a small step towards more certainty."""

import math

import torch
from torch import Tensor, nn

from ood_lib.models.logits import image_logits
from ood_lib.scores.image_score import ImageScore
from ood_lib.scores.of_logits import max_softmax


class ODIN(ImageScore):
    """Max softmax at temperature T of an image moved towards certainty (Liang et al. 2018).

    x - eps sign(-grad_x sum_i log max_c softmax(y_i / T)), equations 1-2: known things profit from
    the step more than strange ones. ``temperature`` T and ``epsilon``, in units of the image's
    range, are to be chosen on a tuning set. Range [0, 1 - 1/C], with a large T near its end. The
    paper is about whole images: here a step mixes the gradients of all pixels that see a pixel.
    Cost: two forward passes and a backward pass, with the activations in memory.
    """

    def __init__(self, model: nn.Module, temperature: float = 1e3, epsilon: float = 1.4e-3) -> None:
        super().__init__(model)
        if not 0 < temperature < math.inf:
            raise ValueError(f"temperature={temperature} must be a number above 0.")
        if not 0 <= epsilon < 1:
            raise ValueError(f"epsilon={epsilon}: give a small step in images of range [0, 1].")
        self.temperature, self.epsilon = temperature, epsilon

    def judge(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits, moved = self.move(images)
        with torch.no_grad():
            return logits, max_softmax(image_logits(self.model, moved) / self.temperature)

    def move(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of images (N, 3, H, W), and these moved: they may leave [0, 1] by epsilon."""
        with torch.enable_grad():
            pixels = images.detach().clone().requires_grad_()  # (N, 3, H, W)
            logits = image_logits(self.model, pixels)  # (N, C, H, W)
            certainty = (logits / self.temperature).log_softmax(dim=1).amax(dim=1).sum()
            (gradient,) = torch.autograd.grad(certainty, pixels)
        return logits.detach(), images + self.epsilon * gradient.sign()
