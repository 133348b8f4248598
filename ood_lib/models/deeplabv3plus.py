"""DeepLabv3+ (Chen et al. 2018) on a WideResNet (Wu et al. 2019).

The same classes make the network of the thesis and the miniature one; only the numbers in
`Architecture` differ. Layers are named as in NVIDIA's checkpoints, so that these load as they are.
"""

from collections import OrderedDict
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Stage:
    """Residual blocks of one kind in a row; the encoder's are called ``mod2``, ``mod3``, ..."""

    blocks: int
    channels: tuple[int, ...]  #: of two convolutions of 3x3, or of a bottleneck 1x1, 3x3, 1x1
    pool: bool = False  #: halve the resolution by max-pooling before the stage
    stride: int = 1  #: of the first block
    dilation: int = 1
    dropout: float = 0.0


@dataclass(frozen=True)
class Architecture:
    """The numbers that make one network out of the classes below."""

    stem_channels: int
    stages: tuple[Stage, ...]
    aspp_channels: int
    aspp_rates: tuple[int, ...]
    image_pooling: bool
    skip_channels: int
    decoder_channels: int


def upsample(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear interpolation of x (N, C, h, w) to (N, C, *size), corners on corners."""
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


def norm_relu(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


def conv(inputs: int, outputs: int, size: int = 1, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """Convolution without bias, padded so that stride 1 keeps the size."""
    return nn.Conv2d(inputs, outputs, size, stride, dilation * (size // 2), dilation, bias=False)


def conv_norm_relu(inputs: int, outputs: int, size: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(conv(inputs, outputs, size, dilation=dilation), *norm_relu(outputs))


class ResidualBlock(nn.Module):
    """Pre-activation (He et al. 2016): x + convs(bn1(x)), x projected if the shape changes."""

    gradient_checkpointing = False  #: keep only x for the backward pass; named as in transformers

    def __init__(self, in_channels: int, stage: Stage, stride: int) -> None:
        super().__init__()
        widths = (in_channels, *stage.channels)
        sizes = (3, 3) if len(stage.channels) == 2 else (1, 3, 1)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for i, size in enumerate(sizes, start=1):
            if i > 1:  # the first is self.bn1, whose output the shortcut shares
                layers[f"bn{i}"] = norm_relu(widths[i - 1])
            if i == len(sizes) and stage.dropout > 0:
                layers["dropout"] = nn.Dropout2d(stage.dropout)
            dilation = stage.dilation if size == 3 else 1
            step = stride if i == 1 else 1
            layers[f"conv{i}"] = conv(widths[i - 1], widths[i], size, step, dilation)
        self.bn1 = norm_relu(in_channels)
        self.convs = nn.Sequential(layers)
        same_shape = stride == 1 and in_channels == widths[-1]
        self.proj_conv = None if same_shape else conv(in_channels, widths[-1], stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return checkpoint(self._compute, x, use_reentrant=False)
        return self._compute(x)

    def _compute(self, x: Tensor) -> Tensor:
        activated = self.bn1(x)
        shortcut = x if self.proj_conv is None else self.proj_conv(activated)
        return shortcut + self.convs(activated)


class SpatialPyramid(nn.Module):
    """Atrous spatial pyramid pooling: the same features seen through windows of several widths.

    Maps (N, inputs, h, w) to (N, outputs * branches, h, w), the branches being the mean over the
    image (if ``image_pooling``), a 1x1 convolution, and a 3x3 one for each dilation in ``rates``.
    """

    def __init__(self, inputs: int, outputs: int, rates: tuple[int, ...],
                 image_pooling: bool) -> None:
        super().__init__()
        atrous = [conv_norm_relu(inputs, outputs, 3, dilation=rate) for rate in rates]
        self.features = nn.ModuleList([conv_norm_relu(inputs, outputs), *atrous])
        self.img_conv = conv_norm_relu(inputs, outputs) if image_pooling else None

    def forward(self, x: Tensor) -> Tensor:
        branches = [feature(x) for feature in self.features]  # each (N, outputs, h, w)
        if self.img_conv is not None:
            pooled = self.img_conv(x.mean(dim=(2, 3), keepdim=True))  # (N, outputs, 1, 1)
            branches.insert(0, pooled.expand(-1, -1, *x.shape[2:]))
        return torch.cat(branches, dim=1)


class DeepLabV3Plus(nn.Module):
    """Class scores y = F(x; Theta) of every pixel (thesis, chapter 2).

    Takes images x (N, 3, H, W), float, RGB in [0, 1], of any size, and returns logits
    (N, num_classes, H, W). The encoder halves the resolution three times; the decoder works at half
    resolution, where it adds what the first stage, ``mod2``, knows about edges.
    """

    def __init__(self, architecture: Architecture, num_classes: int = 19) -> None:
        super().__init__()
        a = architecture
        # Not persistent: the normalisation belongs to the network, but not to NVIDIA's checkpoints.
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)
        self.mod1 = nn.Sequential(OrderedDict(conv1=conv(3, a.stem_channels, 3)))
        channels = a.stem_channels
        self.stages = a.stages
        for number, stage in enumerate(a.stages, start=2):
            blocks = nn.Sequential()
            for i in range(1, stage.blocks + 1):
                stride = stage.stride if i == 1 else 1
                blocks.add_module(f"block{i}", ResidualBlock(channels, stage, stride))
                channels = stage.channels[-1]
            self.add_module(f"mod{number}", blocks)
        self.aspp = SpatialPyramid(channels, a.aspp_channels, a.aspp_rates, a.image_pooling)
        branches = 1 + len(a.aspp_rates) + a.image_pooling
        self.bot_aspp = conv(branches * a.aspp_channels, a.decoder_channels)
        self.bot_fine = conv(a.stages[0].channels[-1], a.skip_channels)
        self.final = nn.Sequential(
            *conv_norm_relu(a.skip_channels + a.decoder_channels, a.decoder_channels, 3),
            *conv_norm_relu(a.decoder_channels, a.decoder_channels, 3),
            conv(a.decoder_channels, num_classes),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        fine, coarse = self.encode(x)
        coarse = upsample(self.bot_aspp(self.aspp(coarse)), fine.shape[2:])  # (N, D, H/2, W/2)
        logits = self.final(torch.cat([self.bot_fine(fine), coarse], dim=1))  # (N, C, H/2, W/2)
        return upsample(logits, x.shape[2:])

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features after the first stage, (N, D, H/2, W/2), and the last, (N, E, H/8, W/8)."""
        x = self.mod1((x - self.mean) / self.std)
        features = []
        for number, stage in enumerate(self.stages, start=2):
            if stage.pool:
                x = F.max_pool2d(x, kernel_size=3, stride=2, padding=1)
            x = self.get_submodule(f"mod{number}")(x)
            features.append(x)
        return features[0], features[-1]


WRN38 = Architecture(
    stem_channels=64,
    stages=(
        Stage(3, (128, 128), pool=True),
        Stage(3, (256, 256), pool=True),
        Stage(6, (512, 512), stride=2),
        Stage(3, (512, 1024), dilation=2),
        Stage(1, (512, 1024, 2048), dilation=4, dropout=0.3),
        Stage(1, (1024, 2048, 4096), dilation=4, dropout=0.5),
    ),
    aspp_channels=256, aspp_rates=(12, 24, 36), image_pooling=True,
    skip_channels=48, decoder_channels=256,
)
"""The network of the thesis: 137,103,936 parameters with 19 classes."""

MINIATURE = Architecture(
    stem_channels=16,
    stages=(
        Stage(1, (32, 32), pool=True),
        Stage(2, (64, 64), pool=True),
        Stage(1, (112, 112), stride=2),
        Stage(1, (112, 112), dilation=2),
    ),
    aspp_channels=32, aspp_rates=(2, 4, 8), image_pooling=False,
    skip_channels=16, decoder_channels=48,
)
"""714,304 parameters with 19 classes, for images of 256 x 128 on one core. Without image pooling,
for the mean over the image would tell every pixel of the background that the image is odd."""

SMALL = Architecture(
    stem_channels=32,
    stages=(
        Stage(1, (64, 64), pool=True),
        Stage(2, (128, 128), pool=True),
        Stage(2, (224, 224), stride=2),
        Stage(2, (224, 224), dilation=2),
    ),
    aspp_channels=64, aspp_rates=(4, 8, 16), image_pooling=False,
    skip_channels=32, decoder_channels=96,
)
"""Between the two: the miniature's plan, wider, for images of 512 x 256 on a small GPU."""
