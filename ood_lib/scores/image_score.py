"""What every score answers: from images, the logits of a network and a map of what is strange."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ood_lib.data.sample import Sample, SegmentationDataset
from ood_lib.models.logits import as_images, at_least_float32, image_logits


class ImageScore(nn.Module, ABC):
    """An anomaly score of images: higher is stranger.

    ``model``, which it watches, is any that `ood_lib.models.logits.image_logits` can ask;
    ``learns`` names what a score learns: buffers, None until then.
    """

    def __init__(self, model: nn.Module, *learns: str) -> None:
        super().__init__()
        self.model = model
        for name in learns:  # a parameter or a module takes the buffer's place when it is set
            self.register_buffer(name, None)

    @abstractmethod
    def judge(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, C, H, W) and score map (N, H, W) of images (N, 3, H, W), float in [0, 1]."""

    @torch.no_grad()
    def score(self, images: Tensor) -> Tensor:
        """The score map of `judge`, in evaluation mode and without gradients."""
        with evaluation_mode(self):
            return self.judge(images)[1]

    def what_decides(self) -> dict[str, Any]:
        """The settings, all that was learnt, and the network, for `ood_lib.kept.digest`."""
        settings = [name for name in vars(self) if name[0] != "_" and name != "training"]
        names = (*settings, "_parameters", "_buffers", "_modules")
        return {name: getattr(self, name) for name in names}


class ForwardPass(NamedTuple):
    """What comes of one forward pass of a network, nothing in less than float32."""

    images: Tensor  #: (N, 3, H, W), float in [0, 1]
    logits: Tensor  #: (N, C, H, W)
    features: dict[str, Tensor]  #: by name of a layer what it was given, (N, D, h, w)


class OnePassScore(ImageScore):
    """A score for which one forward pass is enough, so that several can share it."""

    @abstractmethod
    def of_pass(self, seen: ForwardPass) -> Tensor:
        """The score map (N, H, W)."""

    def needed_layer(self, images: Tensor) -> str | None:
        """Name of the layer whose features it looks at; None for a score that looks at none."""
        return None

    def judge(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits, maps = judge_together({"alone": self}, images)
        return logits, maps["alone"]

    @torch.no_grad()
    def passes(self, dataset: SegmentationDataset,
               progress: bool) -> Iterator[tuple[Sample, ForwardPass]]:
        """One forward pass for each image, to learn from."""
        device = next(self.model.parameters()).device
        for sample in tqdm(dataset, "learning", unit="image", leave=False, disable=not progress):
            with evaluation_mode(self):
                seen = forward_pass([self], as_images(sample.image, device))
            yield sample, seen


class LogitScore(OnePassScore):
    """A ``function`` of logits, (N, C, H, W) to (N, H, W), such as `entropy`, as a score."""

    def __init__(self, model: nn.Module, function: Callable[[Tensor], Tensor],
                 *learns: str) -> None:
        super().__init__(model, *learns)
        self.function = function

    def of_logits(self, logits: Tensor) -> Tensor:
        """The score map (N, H, W) of logits (N, C, H, W)."""
        return self.function(logits)

    def of_pass(self, seen: ForwardPass) -> Tensor:
        return self.of_logits(seen.logits)


def judge_together(scores: Mapping[str, ImageScore], images: Tensor,
                   window: tuple[int, int] | None = None) -> tuple[Tensor, dict[str, Tensor]]:
    """What several scores of one network judge: the logits of the first, and the map of each.

    They share a forward pass if it is enough. ``window`` is that of `image_logits`: ValueError for
    scores that need more than logits, and RuntimeError for those that have yet to learn.
    """
    for score in scores.values():
        if window and not isinstance(score, LogitScore):
            raise ValueError("An image is to be cut into windows, for want of memory, but "
                             f"{type(score).__name__} must see it whole: give smaller images.")
        if any(part is None for part in score._buffers.values()):
            raise RuntimeError(f"{type(score).__name__} is yet to learn: call fit with scenes.")
    sharing = [score for score in scores.values() if isinstance(score, OnePassScore)]
    seen = forward_pass(sharing, images, window) if sharing else None
    logits, maps = None, {}
    for name, score in scores.items():
        if isinstance(score, OnePassScore):
            with torch.autocast(images.device.type, enabled=False):  # a score is of float32
                said, maps[name] = seen.logits, score.of_pass(seen)
        else:
            said, maps[name] = score.judge(images)
        logits = said if logits is None else logits
    return logits, maps


def forward_pass(scores: Sequence[OnePassScore], images: Tensor,
                 window: tuple[int, int] | None = None) -> ForwardPass:
    """Ask the network of these scores once, and note what the layers that they need are given."""
    model, given = scores[0].model, {}
    layers = {score.needed_layer(images) for score in scores} - {None}
    with ExitStack() as hooks:
        for name in layers:
            note = lambda _, inputs, name=name: given.update({name: inputs[0]})  # noqa: E731
            hooks.enter_context(model.get_submodule(name).register_forward_pre_hook(note))
        logits = image_logits(model, images, window)
    for name in layers:
        if name not in given or given[name].ndim != 4 or len(given[name]) != len(images):
            raise ValueError(f"layer={name!r} is given no features (N, D, h, w); name another.")
    return ForwardPass(images, logits, {name: at_least_float32(x) for name, x in given.items()})


@contextmanager
def evaluation_mode(*networks: nn.Module) -> Iterator[None]:
    """Inside, the networks are in evaluation mode; then every module has its own mode back."""
    modes = {module: module.training for network in networks for module in network.modules()}
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        for module, was_training in modes.items():
            module.training = was_training
