"""A score of colours, not of classes: what an autoencoder of streets cannot paint again."""

from itertools import pairwise
from operator import index
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from ood_lib.data.sample import SegmentationDataset, collate
from ood_lib.models.logits import as_images
from ood_lib.scores.image_score import ForwardPass, OnePassScore


def make_autoencoder() -> nn.Sequential:
    """Four convolutions that halve the image, four that double it; 16 channels between."""
    steps = list(pairwise((3, 24, 48, 48, 16)))
    down, up = [], []
    for outer, inner in steps:
        down += [nn.Conv2d(outer, inner, 4, 2, 1), nn.GELU()]
    for outer, inner in reversed(steps):
        up += [nn.ConvTranspose2d(inner, outer, 4, 2, 1), nn.GELU()]
    return nn.Sequential(*down[:-1], *up[:-1])  # without the last activation of either


class Reconstruction(OnePassScore):
    """Mean colour difference of an image to what a small autoencoder paints (Baur et al. 2018).

    The autoencoder learns street scenes only, through a bottleneck too narrow for anything else;
    ``window`` x ``window`` pixels are averaged. Range [0, 1] but for what the decoder overshoots.
    It stands for those that paint from the predicted classes (Di Biase et al. 2021).
    Cost: a pass of the autoencoder, a fraction of one of the network, and its training.
    """

    def __init__(self, model: nn.Module, window: int = 5, seed: int = 0) -> None:
        super().__init__(model, "autoencoder")
        if window < 1 or window % 2 == 0:
            raise ValueError(f"window={window} must be an odd number of pixels.")
        self.window, self.seed = window, seed

    def fit(self, scenes: SegmentationDataset, epochs: int = 5, batch_size: int = 4,
            progress: bool = True) -> Self:
        """Learn to paint scenes, cut to multiples of 16 pixels; ValueError if no batch is full."""
        if len(scenes) < batch_size or epochs < 1:
            few = f"{epochs} epochs of {len(scenes)} scenes in batches of {batch_size}"
            raise ValueError(f"Nothing can be learned from {few}. Give more, or lower batch_size.")
        device = next(self.model.parameters()).device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(self.seed)
            self.autoencoder = make_autoencoder().to(device)
            optimizer = torch.optim.Adam(self.autoencoder.parameters(), 2e-3)
            torch.manual_seed(self.seed)  # now of the order and the crops
            loader = DataLoader(scenes, index(batch_size), True, collate_fn=collate, drop_last=True)
            for _ in tqdm(range(epochs), "autoencoder", leave=False, disable=not progress):
                for pixels, _target in loader:
                    images = as_images(pixels).to(device)  # (N, 3, H, W)
                    loss = F.l1_loss(self.autoencoder(images), images)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
        return self

    def paint(self, images: Tensor) -> Tensor:
        """What the autoencoder makes of images (N, 3, H, W), of the same shape."""
        height, width = images.shape[2:]
        padded = F.pad(images, (0, -width % 16, 0, -height % 16), mode="replicate")
        return self.autoencoder(padded)[..., :height, :width]

    def of_pass(self, seen: ForwardPass) -> Tensor:
        images = seen.images.contiguous()  # so that their layout in memory decides no last digit
        differences = (self.paint(images) - images).abs().mean(dim=1)  # (N, H, W)
        reach = self.window // 2
        return F.avg_pool2d(differences, self.window, 1, reach, count_include_pad=False)
