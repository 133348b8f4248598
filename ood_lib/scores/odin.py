"""ODIN: a hot softmax after a small step towards more certainty."""

import torch
from torch import Tensor, nn

from ood_lib.scores.image_score import ImageScore
from ood_lib.scores.of_logits import max_softmax, require_above_0


class ODIN(ImageScore):
    """Max softmax at temperature T of an image that was moved towards certainty (Liang et al. 2018, equations 1-2).

    x - eps sign(-grad_x sum_i log max_c softmax(y_i / T)): known things profit from the step more than strange ones.
    ``temperature`` T and ``epsilon``, in units of the image's range [0, 1], are the paper's settings to be chosen on a
    tuning set. Range [0, 1 - 1/C], with a large T in a narrow band below 1 - 1/C. Every pixel's step mixes the
    gradients of all pixels that see it, which the paper, about whole images, need not care for.
    Cost: two forward passes and a backward pass to the input, which keeps the activations of the first in memory.
    """

    def __init__(self, model: nn.Module, temperature: float = 1000.0, epsilon: float = 0.0014) -> None:
        super().__init__(model)
        require_above_0("temperature", temperature)
        if not 0 <= epsilon < 1:
            raise ValueError(f"epsilon={epsilon} is a step in an image with values in [0, 1]; give a small number.")
        self.temperature = temperature
        self.epsilon = epsilon

    def judge(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits, moved = self.move(images)
        with torch.no_grad():
            return logits, max_softmax(self.logits(moved) / self.temperature)

    def move(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, C, H, W) of the images (N, 3, H, W), and the images moved, which may leave [0, 1] by epsilon."""
        with torch.enable_grad():
            pixels = images.detach().clone().requires_grad_()
            logits = self.logits(pixels)
            certainty = (logits / self.temperature).log_softmax(dim=1).amax(dim=1).sum()
            (gradient,) = torch.autograd.grad(certainty, pixels)
        return logits.detach(), images + self.epsilon * gradient.sign()
