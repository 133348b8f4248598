"""What scores have in common that ask more of a network than one look at its logits."""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ood_lib.models.logits import image_logits


class ImageScore(nn.Module, ABC):
    """An anomaly score of images: higher is stranger.

    ``model`` is the network that it watches, any that `ood_lib.models.logits.image_logits` can ask. What a score has
    learnt lies in buffers and parameters, so that ``to(device)`` moves it and its ``state_dict`` keeps it.

    A score is a network itself: its forward pass gives the logits of ``model`` and puts the score map by. So any
    function that takes a network and a score works with it, `ood_lib.inference.predict` and all that builds on it:
    ``predict(method, dataset, score=method.of_last)``.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self._last: Tensor | None = None

    @abstractmethod
    def judge(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, C, H, W) and score map (N, H, W), float32, of float images (N, 3, H, W) in [0, 1]."""

    @torch.no_grad()
    def score(self, images: Tensor) -> Tensor:
        """The score map (N, H, W), float32, of float images (N, 3, H, W) in [0, 1].

        Meanwhile the model is in evaluation mode; it gets its own mode back.
        """
        was_training = self.model.training
        self.eval()
        try:
            return self.judge(images)[1]
        finally:
            self.model.train(was_training)

    def forward(self, images: Tensor) -> Tensor:
        """The model's logits (N, C, H, W); the score map of the same images is kept for `of_last`."""
        logits, self._last = self.judge(images)
        return logits

    def of_last(self, logits: Tensor) -> Tensor:
        """The score map (N, H, W) of the images for which the forward pass has just given these logits.

        RuntimeError if there was none, or if it was of images of another size, as where memory was short and an image
        was cut into windows, which this kind of score does not know to put together.
        """
        last, self._last = self._last, None
        shape = (len(logits), *logits.shape[2:])
        if last is None or last.shape != shape:
            found = "none" if last is None else f"one of {tuple(last.shape)}"
            raise RuntimeError(
                f"{type(self).__name__} has no score map of {shape}, but {found}. Give the same object as network and "
                "its of_last as score; where whole images do not fit into memory, give smaller ones."
            )
        return last

    def extra_repr(self) -> str:
        """The settings, by which this score is told from others of its kind."""
        plain = {name: value for name, value in vars(self).items() if isinstance(value, int | float | str | tuple)}
        return ", ".join(f"{name}={value!r}" for name, value in plain.items() if name != "training")

    def logits(self, images: Tensor) -> Tensor:
        """What the model says, (N, C, H, W) in float32."""
        return image_logits(self.model, images).float()


def to_size(score: Tensor, images: Tensor) -> Tensor:
    """A score map (N, h, w) at the size of the images (N, 3, H, W), interpolated."""
    return F.interpolate(score[:, None], images.shape[2:], mode="bilinear", align_corners=False)[:, 0]
