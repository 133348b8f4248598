import json
import sys

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn
from torchvision.models.segmentation import lraspp_mobilenet_v3_large
from transformers import (
    BeitImageProcessor,
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    Mask2FormerImageProcessor,
    MobileViTImageProcessor,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SegformerImageProcessor,
    SwinConfig,
)

from ood_lib.models import build_model, load_checkpoint, save_checkpoint
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
    with pytest.warns(UserWarning, match="Nothing beside the weights of .* says how its images"):
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
    with pytest.warns(UserWarning, match="Nothing beside the weights of .* says how its images"):
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
    with torch.no_grad(), pytest.warns(UserWarning, match="they are as for ImageNet"):
        model = build_model(f"smp:{tmp_path}", pretrained=True).eval()
        torch.testing.assert_close(model(x), original(normalised(x)))
    with pytest.raises(ValueError, match="know 19 classes, but num_classes=2"):
        build_model(f"smp:{tmp_path}", 2)


def numbers(model: Adapter) -> tuple[list[float], list[float], bool]:
    return model.mean.flatten().tolist(), model.std.flatten().tolist(), model.bgr


@pytest.mark.parametrize(
    ("encoder", "mean", "std"), [("tu-xception41", 0.5, 0.5), ("tu-mobilevit_s", 0, 1)]
)
def test_encoders_are_asked_for_their_normalisation(encoder, mean, std):
    assert numbers(build_model(f"smp:unet/{encoder}")) == ([mean] * 3, [std] * 3, False)


def test_an_encoder_of_bytes_and_blue_first(x, monkeypatch):
    said = {"mean": [102.0, 51.0, 0.0], "std": [255.0] * 3}
    said |= {"input_range": [0, 255], "input_space": "BGR"}
    monkeypatch.setattr(smp.encoders, "get_preprocessing_params", lambda encoder: said)
    monkeypatch.setattr(smp, "create_model", lambda *_, **__: nn.Conv2d(3, 3, 1, bias=False))
    model = build_model("smp:unet/resnet18", pretrained=True)
    model.network.weight.data = torch.eye(3)[:, :, None, None]
    seen = model(x)
    torch.testing.assert_close(seen, x[:, [2, 1, 0]] - torch.tensor([0.4, 0.2, 0]).view(3, 1, 1))


def test_an_encoder_whose_normalisation_cannot_be_known(monkeypatch):
    monkeypatch.setattr(smp, "create_model", lambda *_, **__: nn.Conv2d(3, 3, 1))
    with pytest.warns(UserWarning, match="beside the weights of unet/tu-none says how its images"):
        model = build_model("smp:unet/tu-none", pretrained=True)
    torch.testing.assert_close(model.mean.flatten(), torch.tensor([0.485, 0.456, 0.406]))


def test_a_whole_network_is_normalised_as_the_file_beside_it_says(tmp_path):
    smp.Segformer("resnet18", encoder_weights=None, classes=19).save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="Nothing beside the weights"):
        build_model(f"smp:{tmp_path}", pretrained=True)
    # As on smp-hub, whose numbers are those of bytes.
    normalise = {"mean": [127.5] * 3, "std": [51.0] * 3, "max_pixel_value": 1.0}
    steps = [{"__class_fullname__": "Resize"}, {"__class_fullname__": "Normalize"} | normalise]
    said = json.dumps({"transform": {"transforms": steps}})
    (tmp_path / "albumentations_config_eval.json").write_text(said)
    mean, std, _ = numbers(build_model(f"smp:{tmp_path}", pretrained=True))
    assert mean == [0.5] * 3 and std == pytest.approx([0.2] * 3)


HALF, BYTES = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3}, [51] * 3


@pytest.mark.parametrize(
    ("processor", "mean", "std", "bgr"),
    [
        (SegformerImageProcessor(**HALF), 0.5, 0.25, False),
        (SegformerImageProcessor(do_normalize=False), 0, 1, False),
        (SegformerImageProcessor(do_normalize=False, rescale_factor=1 / 127.5), 0, 0.5, False),
        (SegformerImageProcessor(do_rescale=False, **HALF), 0.5, 0.25, False),
        (SegformerImageProcessor(do_rescale=False, image_mean=BYTES, image_std=BYTES), 0.2, 0.2, 0),
        (BeitImageProcessor(), 0.5, 0.5, False),
        (MobileViTImageProcessor(), 0, 1, True),
    ],
)
@pytest.mark.parametrize("pretrained", [True, False])
def test_transformers_are_asked_for_their_normalisation(
    tmp_path, processor, mean, std, bgr, pretrained
):
    SegformerForSemanticSegmentation(SEGFORMER).save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    model = build_model(f"transformers:{tmp_path}", pretrained=pretrained)
    assert numbers(model) == (pytest.approx([mean] * 3), pytest.approx([std] * 3), bgr)


def test_the_processor_itself_gives_what_the_network_gets(tmp_path):
    whole = {"do_resize": False, "do_center_crop": False}
    processor = BeitImageProcessor(**whole, image_mean=[0.4, 0.5, 0.6])
    SegformerForSemanticSegmentation(SEGFORMER).save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    model = build_model(f"transformers:{tmp_path}")
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    wanted = processor(picture, return_tensors="pt")["pixel_values"]
    given = (torch.from_numpy(picture).permute(2, 0, 1)[None] / 255 - model.mean) / model.std
    torch.testing.assert_close(given, wanted)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("pretrained", [True, False])
def test_half_precision_on_disk_is_float32_here(x, tmp_path, dtype, pretrained):
    original = SegformerForSemanticSegmentation(SEGFORMER).to(dtype)
    original.save_pretrained(tmp_path)
    SegformerImageProcessor().save_pretrained(tmp_path)
    model = build_model(f"transformers:{tmp_path}", pretrained=pretrained).eval()
    assert {part.dtype for part in model.state_dict().values()} == {torch.float32, torch.int64}
    assert model(x).isfinite().all()
    if pretrained:
        name = "decode_head.classifier.weight"
        assert torch.equal(model.network.get_parameter(name), original.get_parameter(name).float())


def test_the_normalisation_is_kept_with_the_weights(tmp_path):
    path = tmp_path / "a.safetensors"
    save_checkpoint(Adapter(nn.Conv2d(3, 19, 1), (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)), path)
    again = load_checkpoint(Adapter(nn.Conv2d(3, 19, 1)), path)
    assert numbers(again)[:2] == (pytest.approx([0.1, 0.2, 0.3]), pytest.approx([0.5, 0.6, 0.7]))


@pytest.mark.parametrize("library", ["segmentation_models_pytorch", "transformers"])
def test_a_library_that_is_missing_is_told(monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    name = "smp:unet/resnet18" if library != "transformers" else "transformers:nobody/knows"
    with pytest.raises(ImportError, match=rf"^{name} needs more: pip install 'ood-lib\[models\]'"):
        build_model(name)


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
