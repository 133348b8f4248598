"""A score without a segmentation network's opinion: what an autoencoder of streets cannot paint again."""

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.transforms.v2.functional import to_dtype
from tqdm.auto import tqdm

from ood_lib.data.sample import SegmentationDataset, collate
from ood_lib.scores.image_score import ImageScore

_STRIDE = 16


class Autoencoder(nn.Module):
    """Four convolutions that halve the image, four that double it; ``code`` numbers for each 16 x 16 pixels between."""

    def __init__(self, width: int = 24, code: int = 16) -> None:
        super().__init__()
        widths = (3, width, 2 * width, 2 * width, code)
        steps = list(zip(widths[:-1], widths[1:], strict=True))
        down = [layer for a, b in steps for layer in (nn.Conv2d(a, b, 4, 2, 1), nn.GELU())]
        up = [layer for a, b in reversed(steps) for layer in (nn.ConvTranspose2d(b, a, 4, 2, 1), nn.GELU())]
        self.encoder, self.decoder = nn.Sequential(*down[:-1]), nn.Sequential(*up[:-1])

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) painted again; sides of a multiple of 16."""
        return self.decoder(self.encoder(images))


class Reconstruction(ImageScore):
    """Mean colour difference between an image and what a small autoencoder makes of it (Baur et al. 2018).

    The autoencoder learns street scenes only, through a bottleneck too narrow for anything else. The difference is
    averaged over ``window`` x ``window`` pixels. Range [0, 1] but for what the decoder overshoots. The stand-in for the
    generative family, whose members (Di Biase et al. 2021) paint from the predicted classes with far larger networks.
    Cost: a forward pass of the autoencoder, a fraction of one of the network, and its training.
    """

    def __init__(self, model: nn.Module, window: int = 5, code: int = 16, seed: int = 0) -> None:
        super().__init__(model)
        if window < 1 or window % 2 == 0:
            raise ValueError(f"window={window} must be an odd number of pixels.")
        self.window, self.seed, self.fitted = window, seed, False
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.autoencoder = Autoencoder(code=code)

    def fit(self, scenes: SegmentationDataset, epochs: int = 5, batch_size: int = 4, progress: bool = True) -> Self:
        """Learn to paint the scenes, whose transform must cut them to sizes of a multiple of 16. Gives itself."""
        device = next(self.autoencoder.parameters()).device
        optimizer = torch.optim.Adam(self.autoencoder.parameters(), 2e-3)
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(self.seed)
            loader = DataLoader(scenes, batch_size, shuffle=True, collate_fn=collate, drop_last=True)
            for _ in tqdm(range(epochs), desc="autoencoder", unit="epoch", leave=False, disable=not progress):
                for pixels, _target in loader:
                    images = to_dtype(torch.as_tensor(pixels), torch.float32, scale=True).to(device)
                    loss = F.l1_loss(self.autoencoder(images), images)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
        self.fitted = True
        return self

    def paint(self, images: Tensor) -> Tensor:
        """What the autoencoder makes of images (N, 3, H, W), of the same shape."""
        if not self.fitted:
            raise RuntimeError("Reconstruction has seen no street yet: call fit with street scenes first.")
        height, width = images.shape[2:]
        padded = F.pad(images, (0, -width % _STRIDE, 0, -height % _STRIDE), mode="replicate")
        return self.autoencoder(padded)[..., :height, :width]

    def score(self, images: Tensor) -> Tensor:
        """As in `ImageScore.score`; the model is not asked."""
        with torch.no_grad():
            return self._difference(images)

    def judge(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.logits(images), self._difference(images)

    def _difference(self, images: Tensor) -> Tensor:
        apart = (self.paint(images) - images).abs().mean(dim=1)
        reach = self.window // 2
        return F.avg_pool2d(apart, self.window, 1, reach, count_include_pad=False)
