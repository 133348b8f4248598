"""The network of the thesis at its full size against a second, plain one, and the files its weights
come in."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor, nn

from ood_lib.models import build_model, load_checkpoint

WRN38, MINIATURE = "deeplabv3plus_wrn38", "deeplabv3plus_miniature"

BLOCKS = {2: 3, 3: 3, 4: 6, 5: 3, 6: 1, 7: 1}  # of mod2, mod3, ...
DILATIONS = {5: 2, 6: 4, 7: 4}

SIZES = [(64, 96), (33, 305)]
"""The second is odd and, at an eighth, wide enough for the largest dilation, 36, to reach a
neighbour."""


class Reference:
    """The forward pass of DeepLabv3+ on WideResNet38, read off the keys and shapes of a state dict;
    no modules."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        self.weights = weights

    def __call__(self, images: Tensor) -> Tensor:
        mean = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
        x = self.conv("mod1.conv1", (images - mean) / std)
        skip = x = self.stage(2, F.max_pool2d(x, 3, stride=2, padding=1))
        x = self.stage(3, F.max_pool2d(x, 3, stride=2, padding=1))
        for number in (4, 5, 6, 7):
            x = self.stage(number, x)
        x = self.conv("bot_aspp", self.pyramid(x))
        x = F.interpolate(x, skip.shape[-2:], mode="bilinear", align_corners=True)
        x = torch.cat([self.conv("bot_fine", skip), x], dim=1)
        x = self.norm_relu("final.1", self.conv("final.0", x))
        x = self.norm_relu("final.4", self.conv("final.3", x))
        return F.interpolate(
            self.conv("final.6", x), images.shape[-2:], mode="bilinear", align_corners=True
        )

    def stage(self, number: int, x: Tensor) -> Tensor:
        for block in range(1, BLOCKS[number] + 1):
            stride = 2 if (number, block) == (4, 1) else 1
            x = self.block(f"mod{number}.block{block}", x, stride, DILATIONS.get(number, 1))
        return x

    def block(self, name: str, x: Tensor, stride: int, dilation: int) -> Tensor:
        """x, or its projection after the first normalisation, plus two or three convolutions."""
        y = self.norm_relu(f"{name}.bn1.0", x)
        if f"{name}.proj_conv.weight" in self.weights:
            x = self.conv(f"{name}.proj_conv", y, stride)
        y = self.conv(f"{name}.convs.conv1", y, stride, dilation)
        y = self.conv(f"{name}.convs.conv2", self.norm_relu(f"{name}.convs.bn2.0", y), 1, dilation)
        if f"{name}.convs.conv3.weight" in self.weights:
            y = self.conv(f"{name}.convs.conv3", self.norm_relu(f"{name}.convs.bn3.0", y))
        return x + y

    def pyramid(self, x: Tensor) -> Tensor:
        pooled = F.adaptive_avg_pool2d(x, 1)
        pooled = self.norm_relu("aspp.img_conv.1", self.conv("aspp.img_conv.0", pooled))
        branches = [F.interpolate(pooled, x.shape[-2:], mode="bilinear", align_corners=True)]
        for i, rate in enumerate((1, 12, 24, 36)):
            y = self.conv(f"aspp.features.{i}.0", x, 1, rate)
            branches.append(self.norm_relu(f"aspp.features.{i}.1", y))
        return torch.cat(branches, dim=1)

    def conv(self, name: str, x: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
        weight = self.weights[f"{name}.weight"]
        if weight.shape[-1] == 1:
            return F.conv2d(x, weight, stride=stride)
        return F.conv2d(x, weight, stride=stride, padding=dilation, dilation=dilation)

    def norm_relu(self, name: str, x: Tensor) -> Tensor:
        statistics = (
            self.weights[f"{name}.{key}"]
            for key in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, *statistics).relu()


def randomise_norms(model: nn.Module) -> None:
    """Scales, shifts and statistics that all make a difference, as those of a trained network."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.5)
            module.running_mean.normal_(std=0.5)
            module.running_var.uniform_(0.5, 2)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """All 137,103,936 parameters, 550 MB."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(WRN38).eval()
        randomise_norms(model)
    return model


def image(height: int, width: int) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", SIZES)
@torch.inference_mode()
def test_the_network_computes_what_a_plain_reference_does(network, size):
    logits = network(image(*size))
    expected = Reference(network.state_dict())(image(*size))
    assert expected.shape == (1, 19, *size) and expected.std() > 1e-3
    assert (logits - expected).abs().max() < 1e-4 * expected.abs().max()


@torch.inference_mode()
def test_a_checkpoint_like_that_of_nvidia_gives_the_same_logits(network, tmp_path):
    path, frame = tmp_path / "cityscapes_best.pth", image(32, 48)
    expected = network(frame)
    write_like_nvidia(network, path)
    for parameter in network.state_dict().values():
        parameter.zero_()
    assert not torch.equal(network(frame), expected)
    assert torch.equal(load_checkpoint(network, path)(frame), expected)
    path.unlink()  # 550 MB


def write_like_nvidia(model: nn.Module, path: Path, mean_iu: float = 0.81) -> None:
    """The format is that of torch before 1.6, with what a training script kept beside weights."""
    with torch.inference_mode(False):
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
    content = {
        "state_dict": {f"module.{key}": value for key, value in model.state_dict().items()},
        "optimizer": optimizer.state_dict(),
        "epoch": 174,
        "mean_iu": mean_iu,
        "command": "--dataset cityscapes --arch network.deepv3.DeepWV3Plus",
    }
    torch.save(content, path, _use_new_zipfile_serialization=False)


@pytest.fixture(scope="module")
def miniature() -> nn.Module:
    return build_model(MINIATURE).eval()


def test_a_mean_iou_that_is_a_numpy_number(miniature, tmp_path):
    """NVIDIA's is ``np.nanmean`` of the classes' IoU, written by a NumPy before 2."""
    path = tmp_path / "a.pth"
    write_like_nvidia(miniature, path, np.float64(0.81))
    path.write_bytes(path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    other = load_checkpoint(build_model(MINIATURE), path)
    assert torch.equal(other.final[6].weight, miniature.final[6].weight)


def safetensors_file(model: nn.Module) -> bytes:
    return save({key: value.contiguous() for key, value in model.state_dict().items()})


def pth_file(model: nn.Module, zipped: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save({"state_dict": model.state_dict()}, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.9999])
@pytest.mark.parametrize("kind", ["safetensors", "pth", "old.pth"])
def test_half_a_download_is_refused_and_changes_nothing(miniature, tmp_path, kind, share):
    whole = (
        safetensors_file(miniature)
        if kind == "safetensors"
        else pth_file(miniature, zipped=kind == "pth")
    )
    path = tmp_path / f"a.{kind}"
    path.write_bytes(whole)
    other = build_model(MINIATURE)
    load_checkpoint(other, path)
    path.write_bytes(whole[: int(share * len(whole))])
    before = {key: value.clone() for key, value in other.state_dict().items()}
    with pytest.raises(
        ValueError, match=rf"a\.{kind} cannot be read as a checkpoint.*fetch it again"
    ):
        load_checkpoint(other, path)
    assert all(torch.equal(value, before[key]) for key, value in other.state_dict().items())


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize(
    "place", ["instead of a tensor", "beside the weights", "bare pickle", "as safetensors"]
)
def test_no_file_can_run_code(miniature, tmp_path, place):
    mark, path = (
        tmp_path / "was here",
        tmp_path / ("a.safetensors" if place == "as safetensors" else "a.pth"),
    )
    weights = dict(miniature.state_dict())
    if place == "instead of a tensor":
        torch.save({"state_dict": weights | {"bot_fine.weight": Malicious(mark)}}, path)
    elif place == "beside the weights":
        torch.save(
            {"state_dict": weights, "mean_iu": Malicious(mark)},
            path,
            _use_new_zipfile_serialization=False,
        )
    else:
        path.write_bytes(pickle.dumps(Malicious(mark), protocol=2))
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        load_checkpoint(build_model(MINIATURE), path)
    assert not mark.exists()


def test_the_checkpoint_of_another_network_names_what_differs(miniature, tmp_path):
    path = tmp_path / "miniature.pth"
    path.write_bytes(pth_file(miniature, zipped=True))
    with torch.device("meta"):
        large = build_model(WRN38)
    with pytest.raises(ValueError) as error:
        load_checkpoint(large, path)
    here, there = ({k: v.shape for k, v in m.state_dict().items()} for m in (large, miniature))
    differing = sum(
        here.get(key) != there.get(key)
        for key in here | there
        if key in there or not key.endswith("num_batches_tracked")
    )
    assert f"in {differing} tensors: " in str(error.value)
    assert "mod1.conv1.weight is (16, 3, 3, 3) instead of (64, 3, 3, 3), " in str(error.value)
    assert str(error.value).count(" instead of ") == 5
    with pytest.raises(ValueError, match=r"backbone\S+ is missing instead of \("):
        load_checkpoint(build_model("torchvision:lraspp_mobilenet_v3_large"), path)
