import argparse
import collections
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ood_lib.kept import weights_digest
from ood_lib.models import build_model, load_checkpoint, save_checkpoint
from ood_lib.models.deeplabv3plus import WRN38, DeepLabV3Plus, upsample

MINIATURE = "deeplabv3plus_miniature"

NVIDIA_KEYS = re.compile(
    r"mod1\.conv1\.weight"
    r"|mod[2-7]\.block[1-6]\.(bn1\.0|convs\.bn[23]\.0)\.(weight|bias|running_mean|running_var|num_batches_tracked)"
    r"|mod[2-7]\.block[1-6]\.(convs\.conv[123]|proj_conv)\.weight"
    r"|aspp\.(features\.[0-3]|img_conv)\.(0\.weight|1\.(weight|bias|running_mean|running_var|num_batches_tracked))"
    r"|bot_fine\.weight|bot_aspp\.weight"
    r"|final\.([036]\.weight|[14]\.(weight|bias|running_mean|running_var|num_batches_tracked))"
)


@pytest.fixture(scope="module")
def wrn38() -> DeepLabV3Plus:
    with torch.device("meta"):
        return DeepLabV3Plus(WRN38)


def test_network_of_the_thesis_has_its_parameters_and_the_keys_of_nvidia(wrn38):
    assert sum(p.numel() for p in wrn38.parameters()) == 137_103_936
    keys = wrn38.state_dict().keys()
    assert len(keys) == 268
    assert [key for key in keys if not NVIDIA_KEYS.fullmatch(key)] == []


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("mod1.conv1.weight", (64, 3, 3, 3)),
        ("mod2.block1.proj_conv.weight", (128, 64, 1, 1)),
        ("mod4.block1.proj_conv.weight", (512, 256, 1, 1)),
        ("mod4.block6.convs.conv2.weight", (512, 512, 3, 3)),
        ("mod5.block3.convs.conv2.weight", (1024, 512, 3, 3)),
        ("mod6.block1.convs.conv1.weight", (512, 1024, 1, 1)),
        ("mod7.block1.convs.conv3.weight", (4096, 2048, 1, 1)),
        ("mod7.block1.convs.bn3.0.running_var", (2048,)),
        ("aspp.img_conv.0.weight", (256, 4096, 1, 1)),
        ("aspp.features.3.0.weight", (256, 4096, 3, 3)),
        ("bot_aspp.weight", (256, 1280, 1, 1)),
        ("bot_fine.weight", (48, 128, 1, 1)),
        ("final.0.weight", (256, 304, 3, 3)),
        ("final.6.weight", (19, 256, 1, 1)),
    ],
)
def test_shapes_in_the_network_of_the_thesis(wrn38, key, shape):
    assert tuple(wrn38.state_dict()[key].shape) == shape


def test_strides_dilations_and_dropout_of_the_network_of_the_thesis(wrn38):
    fine, coarse = wrn38.encode(torch.zeros(1, 3, 65, 96, device="meta"))
    assert fine.shape == (1, 128, 33, 48) and coarse.shape == (1, 4096, 9, 12)
    dilations = {
        name: m.dilation[0]
        for name, m in wrn38.named_modules()
        if isinstance(m, nn.Conv2d) and m.dilation[0] > 1
    }
    assert {dilations[key] for key in dilations if key.startswith("mod5")} == {2}
    assert dilations["mod6.block1.convs.conv2"] == dilations["mod7.block1.convs.conv2"] == 4
    assert [dilations[f"aspp.features.{i}.0"] for i in (1, 2, 3)] == [12, 24, 36]
    assert len(dilations) == 3 * 2 + 2 + 3
    dropout = {name: m.p for name, m in wrn38.named_modules() if isinstance(m, nn.Dropout2d)}
    assert dropout == {"mod6.block1.convs.dropout": 0.3, "mod7.block1.convs.dropout": 0.5}
    assert all(m.bias is None for m in wrn38.modules() if isinstance(m, nn.Conv2d))


def test_miniature_has_no_image_pooling_and_few_parameters():
    model = build_model(MINIATURE)
    assert sum(p.numel() for p in model.parameters()) == 714_304
    assert not any("img_conv" in key for key in model.state_dict())


@pytest.mark.parametrize("size", [(128, 256), (97, 131), (33, 18)])
def test_logits_have_the_size_of_the_image(size):
    model = build_model(MINIATURE, num_classes=5).eval()
    with torch.no_grad():
        logits = model(torch.rand(2, 3, *size))
    assert logits.shape == (2, 5, *size)
    assert logits.isfinite().all()


def test_images_are_normalised_inside():
    model = build_model(MINIATURE).eval()
    seen = []
    model.mod1.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    with torch.no_grad():
        model(torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1).expand(1, 3, 16, 16))
        model(torch.ones(1, 3, 16, 16))
    assert seen[0].abs().max() < 1e-6
    np.testing.assert_allclose(seen[1][0, :, 0, 0], [2.2489, 2.4286, 2.64], rtol=1e-4)


def test_image_pooling_comes_first_and_is_the_mean():
    from ood_lib.models.deeplabv3plus import SpatialPyramid

    aspp = SpatialPyramid(6, 4, rates=(2,), image_pooling=True).eval()
    with torch.no_grad():
        x = torch.randn(2, 6, 5, 7)
        out = aspp(x)
        pooled = aspp.img_conv(nn.functional.adaptive_avg_pool2d(x, 1))
        assert out.shape == (2, 12, 5, 7)
        torch.testing.assert_close(out[:, :4], pooled.expand(2, 4, 5, 7))
        torch.testing.assert_close(out[:, 4:8], aspp.features[0](x))


def test_corners_stay_where_they_are_when_upsampling():
    x = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
    np.testing.assert_allclose(
        upsample(x, (2, 5))[0, 0], [[0, 0.25, 0.5, 0.75, 1], [2, 2.25, 2.5, 2.75, 3]]
    )


def test_same_seed_gives_the_same_network():
    models = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        models.append(build_model(MINIATURE).final[0].weight)
    assert torch.equal(models[0], models[1]) and not torch.equal(models[0], models[2])


def test_a_few_steps_of_training_reduce_the_loss():
    torch.manual_seed(0)
    model = build_model(MINIATURE)
    images = torch.rand(2, 3, 32, 32)
    target = (images[:, 0] > 0.5).long()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(12):
        loss = nn.functional.cross_entropy(model(images), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.4 * losses[0]


def test_unknown_network_and_class_count():
    with pytest.raises(
        ValueError,
        match="no network 'resnet'; choose one of: deeplabv3plus_miniature, deeplabv3plus_small, ",
    ):
        build_model("resnet")
    with pytest.raises(ValueError, match="num_classes=1"):
        build_model(MINIATURE, 1)


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    model = build_model(MINIATURE)
    model(torch.rand(2, 3, 32, 32))  # moves the running statistics
    return model.eval()


def test_checkpoint_round_trip(trained, tmp_path):
    path = tmp_path / "weights" / "a.safetensors"
    save_checkpoint(trained, path)
    torch.manual_seed(1)
    other = build_model(MINIATURE).eval()
    assert load_checkpoint(other, path) is other
    assert other.state_dict().keys() == load_file(path).keys()
    for key, value in trained.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key


@pytest.mark.parametrize(
    "wrap",
    [lambda s: s, lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}, "epoch": 3}],
)
def test_pth_checkpoints_of_nvidia(trained, tmp_path, wrap):
    torch.save(wrap(trained.state_dict()), tmp_path / "a.pth")
    other = load_checkpoint(build_model(MINIATURE), tmp_path / "a.pth")
    assert torch.equal(other.final[6].weight, trained.final[6].weight)


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.module."]
)
@pytest.mark.parametrize("kind", ["a.safetensors", "A.SAFETENSORS", "a.pth"])
def test_names_are_seen_through_wrappers_in_any_order(make_network, tmp_path, prefix, kind):
    network, path = make_network(1), tmp_path / kind
    weights = {prefix + name: tensor for name, tensor in network.state_dict().items()}
    torch.save(weights, path) if kind == "a.pth" else save_file(weights, path)
    assert torch.equal(load_checkpoint(make_network(), path)[4].weight, network[4].weight)


def test_wrapped_networks_and_parts_are_kept_and_loaded(make_network, tmp_path):
    path = tmp_path / "a.safetensors"
    for wrap in (torch.compile, nn.DataParallel, lambda own: torch.compile(nn.DataParallel(own))):
        network = make_network(1)
        save_checkpoint(wrap(network), path)
        assert torch.equal(load_checkpoint(make_network(), path)[4].weight, network[4].weight)
        save_checkpoint(network, path)
        load_checkpoint(wrap(other := make_network()), path)
        assert torch.equal(other[4].weight, network[4].weight)
    with_part = nn.ModuleDict({"module": make_network(1), "head": nn.DataParallel(make_network(2))})
    save_checkpoint(with_part, path)
    again = nn.ModuleDict({"module": make_network(), "head": torch.compile(make_network())})
    load_checkpoint(again, path)
    assert torch.equal(again["module"][0].weight, with_part["module"][0].weight)
    assert torch.equal(again["head"]._orig_mod[0].weight, with_part["head"].module[0].weight)


def test_counts_of_batches_may_be_missing_but_nothing_else(make_network, tmp_path):
    path = tmp_path / "2018.pth"
    weights = make_network(1).state_dict()
    del weights["1.num_batches_tracked"]  # as before PyTorch 0.4.1
    torch.save(weights, path)
    assert torch.equal(load_checkpoint(make_network(), path)[0].weight, weights["0.weight"])
    del weights["1.running_mean"]
    torch.save(weights, path)
    with pytest.raises(ValueError, match=r"1\.running_mean is missing instead of \(8,\)"):
        load_checkpoint(make_network(), path)


@pytest.mark.parametrize("kind", ["a.safetensors", "a.pth"])
def test_weights_in_half_precision_become_those_of_the_network(make_network, tmp_path, kind):
    network, path = make_network(1).bfloat16(), tmp_path / kind
    if kind == "a.pth":
        torch.save(network.state_dict(), path)
    else:
        save_checkpoint(network, path)
    again = load_checkpoint(make_network(), path)
    assert {weights.dtype for weights in again.parameters()} == {torch.float32}
    assert torch.equal(again[0].weight, network[0].weight.float())
    digests = [weights_digest(network), weights_digest(network.half()), weights_digest(again)]
    assert len(set(digests)) == 3


def test_checkpoint_that_does_not_fit(trained, tmp_path):
    path = tmp_path / "a.safetensors"
    save_checkpoint(trained, path)
    small = build_model(MINIATURE, num_classes=7)
    before = small.bot_fine.weight.clone()
    with pytest.raises(
        ValueError,
        match=r"in 1 tensors: final.6.weight is \(19, .*\) instead of \(7, .*num_classes",
    ):
        load_checkpoint(small, path)
    assert torch.equal(small.bot_fine.weight, before)

    tensors = load_file(path)
    tensors["extra.weight"] = tensors.pop("bot_fine.weight")
    save_file(tensors, path)
    with pytest.raises(ValueError) as error:
        load_checkpoint(build_model(MINIATURE), path)
    assert "in 2 tensors: bot_fine.weight is missing instead of (16, " in str(error.value)
    assert "extra.weight is (16, 32, 1, 1) instead of unknown." in str(error.value)


def test_a_missing_checkpoint(trained, tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint at .*b.safetensors"):
        load_checkpoint(trained, tmp_path / "b.safetensors")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("beside", "named"),
    [
        (argparse.Namespace(lr=1), "argparse.Namespace"),
        (np.zeros(3), r"numpy\.\S+"),
        (Path("runs"), r"pathlib\.\w+"),
        (nn.Sequential(nn.ReLU()), r"torch\.nn\.modules\.\S+"),
    ],
)
def test_a_checkpoint_that_holds_more_than_tensors_is_not_called_damaged(
    make_network, tmp_path, beside, named, zipped
):
    path = tmp_path / "a.pth"
    content = {"state_dict": make_network().state_dict(), "more": beside}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=f"a.pth cannot be read .*: .*holds {named}, ") as error:
        load_checkpoint(make_network(), path)
    assert "fetch" not in str(error.value) and "state_dict() alone" in str(error.value)


def test_a_whole_file_that_holds_more_is_not_called_damaged(make_network, tmp_path):
    beside = {"counts": collections.Counter("ab"), "names": {1, 2}, "iou": np.float32(0.5)}
    for name, value in beside.items():
        torch.save({"state_dict": make_network().state_dict(), name: value}, tmp_path / "a.pth")
        try:
            load_checkpoint(make_network(), tmp_path / "a.pth")
        except ValueError as error:
            assert "beside tensors it holds " in str(error) and "fetch" not in str(error), name


def test_what_does_not_fit_is_named_before_counts_of_batches(make_network, tmp_path):
    weights = {k: v for k, v in make_network().state_dict().items() if "num_batches" not in k}
    torch.save(weights | {"more": torch.zeros(2)}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"in 1 tensors: more is \(2,\) instead of unknown\."):
        load_checkpoint(make_network(), tmp_path / "a.pth")


def test_a_file_that_is_cut_short_and_one_of_another_kind(make_network, tmp_path):
    save_checkpoint(make_network(), tmp_path / "a.safetensors")
    weights = make_network().state_dict()
    torch.save(weights, tmp_path / "a.pth")
    torch.save(weights, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "empty.pth").write_bytes(b"")
    for name in ("a.safetensors", "a.pth", "old.pth", "empty.pth"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(ValueError, match=f"{name} cannot .*: it is cut short or damaged; "):
            load_checkpoint(make_network(), path)
    for name in ("page.safetensors", "page.pth"):
        (tmp_path / name).write_text("<!DOCTYPE html><title>Sign in</title>")
        with pytest.raises(ValueError, match=f"{name} cannot .*: it begins with b'<!DOCTYPE', "):
            load_checkpoint(make_network(), tmp_path / name)
    torch.jit.script(nn.Conv2d(3, 19, 1)).save(tmp_path / "script.pth")
    with pytest.raises(ValueError, match="beside tensors it holds TorchScript"):
        load_checkpoint(make_network(), tmp_path / "script.pth")


def test_a_checkpoint_whose_weights_are_not_where_they_are_looked_for(make_network, tmp_path):
    path = tmp_path / "a.pth"
    weights = make_network().state_dict()
    for content, said in (
        ([1, 2], "everything is a list and no tensor"),
        ({"model": weights, "epoch": 3}, "model is a OrderedDict, epoch is a int and no tensor"),
        ({"state_dict": None}, "everything is a NoneType"),
        ({"state_dict": weights | {"args": "lr"}}, "args is a str"),
    ):
        torch.save(content, path)
        with pytest.raises(ValueError, match=f"a.pth cannot be read as a checkpoint: {said}"):
            load_checkpoint(make_network(), path)


def test_code_in_a_checkpoint_is_not_run(trained, tmp_path):
    class Malicious:
        def __reduce__(self):
            return (open, (str(tmp_path / "was here"), "w"))

    torch.save({"state_dict": Malicious()}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        load_checkpoint(trained, tmp_path / "a.pth")
    assert not (tmp_path / "was here").exists()
