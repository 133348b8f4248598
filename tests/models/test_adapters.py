import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn
from torchvision.models.segmentation import lraspp_mobilenet_v3_large
from transformers import (
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    Mask2FormerImageProcessor,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SwinConfig,
)

from ood_lib.models import build_model
from ood_lib.models.adapters import Adapter
from ood_lib.models.logits import read_logits

SEGFORMER = SegformerConfig(
    hidden_sizes=[8, 16, 24, 32],
    num_attention_heads=[1, 1, 1, 1],
    depths=[1, 1, 1, 1],
    decoder_hidden_size=16,
    num_labels=19,
)
SWIN = SwinConfig(
    embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1], window_size=4,
    out_features=["stage1", "stage2", "stage3", "stage4"],
)  # fmt: skip
MASK2FORMER = Mask2FormerConfig(
    backbone_config=SWIN, num_labels=19, hidden_dim=32, feature_size=32, mask_feature_size=32,
    num_queries=5, encoder_layers=1, decoder_layers=2, num_attention_heads=2, dim_feedforward=16,
    encoder_feedforward_dim=16,
)  # fmt: skip


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def normalised(x: torch.Tensor) -> torch.Tensor:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (x - mean[:, None, None]) / std[:, None, None]


def test_segformer_by_the_folder_of_its_weights(x, tmp_path):
    torch.manual_seed(1)
    original = SegformerForSemanticSegmentation(SEGFORMER).eval()
    original.save_pretrained(tmp_path)
    model = build_model(f"transformers:{tmp_path}", pretrained=True).eval()
    with torch.no_grad():
        small = original(normalised(x)).logits
        expected = nn.functional.interpolate(small, (64, 96), mode="bilinear", align_corners=False)
        torch.testing.assert_close(model(x), expected)
    with pytest.raises(ValueError, match="know 19 classes, but num_classes=5"):
        build_model(f"transformers:{tmp_path}", 5, pretrained=True)
    assert build_model(f"transformers:{tmp_path}", 5).eval()(x).shape == (2, 5, 64, 96)


def test_mask2former_decides_as_transformers_does(x, tmp_path):
    torch.manual_seed(1)
    original = Mask2FormerForUniversalSegmentation(MASK2FORMER).eval()
    original.save_pretrained(tmp_path)
    model = build_model(f"transformers:{tmp_path}", pretrained=True).eval()
    with torch.no_grad():
        output = original(normalised(x))
        logits = model(x)
    maps = Mask2FormerImageProcessor().post_process_semantic_segmentation(
        output, target_sizes=[(64, 96)] * 2
    )
    assert logits.shape == (2, 19, 64, 96)
    assert (
        logits.argmax(dim=1) == torch.stack(maps)
    ).float().mean() > 0.9  # it enlarges before, we after the sum
    scores = torch.einsum(
        "nqc,nqhw->nchw",
        output.class_queries_logits.softmax(-1)[..., :-1],
        output.masks_queries_logits.sigmoid(),
    )
    torch.testing.assert_close(
        read_logits(output).softmax(dim=1), scores / scores.sum(dim=1, keepdim=True)
    )


def test_torchvision_by_name(x):
    torch.manual_seed(1)
    model = build_model("torchvision:lraspp_mobilenet_v3_large", 7).eval()
    torch.manual_seed(1)
    original = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=7).eval()
    with torch.no_grad():
        torch.testing.assert_close(model(x), original(normalised(x))["out"])
    with pytest.raises(
        ValueError,
        match="torchvision has no segmentation network 'resnet18'; choose one of: deeplab",
    ):
        build_model("torchvision:resnet18")


def test_segmentation_models_by_name_at_any_size(x):
    torch.manual_seed(1)
    model = build_model("smp:Unet/resnet18", 7).eval()
    torch.manual_seed(1)
    original = smp.Unet("resnet18", encoder_weights=None, classes=7).eval()
    with torch.no_grad():
        torch.testing.assert_close(model(x), original(normalised(x)))
        assert model(x[..., :50, :70]).shape == (2, 7, 50, 70)


def test_segmentation_models_by_the_folder_of_its_weights(x, tmp_path):
    torch.manual_seed(1)
    original = smp.Segformer("resnet18", encoder_weights=None, classes=19).eval()
    original.save_pretrained(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(
            build_model(f"smp:{tmp_path}", pretrained=True).eval()(x), original(normalised(x))
        )
    with pytest.raises(ValueError, match="know 19 classes, but num_classes=2"):
        build_model(f"smp:{tmp_path}", 2)


def test_unknown_libraries_and_outputs(x):
    with pytest.raises(
        ValueError, match="no network 'timm:resnet18'; choose one of: deeplabv3plus_miniature.*smp:"
    ):
        build_model("timm:resnet18")
    with pytest.raises(ValueError, match="no weights to fetch for deeplabv3plus_miniature"):
        build_model("deeplabv3plus_miniature", pretrained=True)

    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    with pytest.raises(TypeError, match="returned tuple, not logits"):
        Adapter(Pair())(x)
