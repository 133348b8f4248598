import json

import numpy as np
import pytest
import torch
from layouts import (
    bird,
    box,
    noise,
    save,
    write_cityscapes,
    write_coco,
    write_fishyscapes,
    write_frame,
    write_lost_and_found,
)
from PIL import Image
from torchvision import tv_tensors

from ood_lib.data import collate, open_dataset, training_transform
from ood_lib.data.labels import (
    CITYSCAPES_IDS,
    CLASSES,
    LOST_AND_FOUND_IDS,
    LOST_AND_FOUND_TARGET_OF_ID,
    NUM_CLASSES,
    TRAIN_ID_OF_LABEL_ID,
)

ANOMALOUS_IDS = {*range(2, 31), 32, 35, 40, 41, 42, 43}


def test_nineteen_classes_in_order_of_their_train_ids():
    assert NUM_CLASSES == 19
    assert [c.train_id for c in CLASSES] == list(range(19))
    assert [c.label_id for c in CLASSES] == [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    assert len({c.name for c in CLASSES}) == len({c.color for c in CLASSES}) == 19
    assert len(CITYSCAPES_IDS) == 35


def test_every_cityscapes_id_has_its_train_id(tmp_path):
    ids = np.array([sorted(CITYSCAPES_IDS)])
    write_frame(tmp_path, "gtFine", "val", "ulm_000001_000019", ids, noise(0, *ids.shape))
    target = open_dataset("cityscapes", tmp_path, "val")[0].target
    expected = {c.label_id: c.train_id for c in CLASSES}
    assert target.tolist() == [[expected.get(i, 255) for i in sorted(CITYSCAPES_IDS)]]
    assert (TRAIN_ID_OF_LABEL_ID != 255).sum() == 19


def test_every_lost_and_found_id_has_its_target(tmp_path):
    ids = np.arange(44)[None]
    write_frame(tmp_path, "gtCoarse", "test", "02_Hanns_Klemm_Str_44_000001_000010", ids, noise(0, *ids.shape))
    target = open_dataset("lost_and_found", tmp_path, "test")[0].target
    assert target.tolist() == [[0 if i == 1 else 1 if i in ANOMALOUS_IDS else 255 for i in range(44)]]
    assert set(np.flatnonzero(LOST_AND_FOUND_TARGET_OF_ID == 1)) == ANOMALOUS_IDS <= LOST_AND_FOUND_IDS


def test_cityscapes_samples(tmp_path):
    write_cityscapes(tmp_path, "train", 4)
    dataset = open_dataset("cityscapes", str(tmp_path), "train")
    assert dataset.ids == [
        "aachen_000001_000019_leftImg8bit",
        "aachen_000003_000019_leftImg8bit",
        "ulm_000000_000019_leftImg8bit",
        "ulm_000002_000019_leftImg8bit",
    ]
    sample = dataset[2]
    assert (sample.id, sample.sequence) == (dataset.ids[2], "ulm_000000")
    assert isinstance(sample.image, tv_tensors.Image) and isinstance(sample.target, tv_tensors.Mask)
    assert sample.image.dtype == sample.target.dtype == torch.uint8
    np.testing.assert_array_equal(sample.image.permute(1, 2, 0).numpy(), noise(0))
    stored = np.random.default_rng(100).integers(0, 34, (24, 40))
    np.testing.assert_array_equal(sample.target.numpy(), TRAIN_ID_OF_LABEL_ID[stored])
    with pytest.raises(IndexError):
        dataset[4]


def test_lost_and_found_frames_of_one_drive_share_the_sequence(tmp_path):
    dataset = open_dataset("lost_and_found", write_lost_and_found(tmp_path), "test")
    first, second = "02_Hanns_Klemm_Str_44_000000", "02_Hanns_Klemm_Str_44_000001"
    assert [sample.sequence for sample in dataset] == [first, first, second, second]
    assert dataset[1].id == "02_Hanns_Klemm_Str_44_000000_000010_leftImg8bit"
    assert dataset[0].target.unique().tolist() == [0, 1, 255]


def test_fishyscapes_targets_are_as_stored_under_either_name(tmp_path):
    write_fishyscapes(tmp_path, 1)
    save(tmp_path / "Static" / "original" / "0001_ulm_rgb.png", noise(1))
    save(tmp_path / "Static" / "labels" / "0001_ulm_labels.png", np.full((24, 40), 255))
    dataset = open_dataset("fishyscapes_static", tmp_path)
    assert dataset.ids == ["0000", "0001_ulm_rgb"]
    assert [(dataset[0].target == value).sum().item() for value in (0, 1, 255)] == [720, 80, 160]
    assert dataset[1].target.unique().tolist() == [255]
    assert dataset[0].sequence == "0000"


def test_coco_proxy_merges_instances_and_drops_what_cityscapes_knows(tmp_path):
    crowd = {"size": [20, 30], "counts": [0, 20, 580]}  # run lengths by column: the first column is in the mask
    annotations = [
        bird(1, 0, 0, 10, 10),
        bird(1, 5, 5, 10, 10),
        {"image_id": 2, "category_id": 1, "segmentation": box(0, 0, 5, 5)},
        {"image_id": 3, "category_id": 16, "segmentation": crowd, "iscrowd": 1},
        {"image_id": 3, "category_id": 7, "segmentation": box(20, 10, 10, 10)},
    ]
    dataset = open_dataset("coco_proxy", write_coco(tmp_path, annotations, [(20, 30)] * 4))
    assert dataset.ids == ["000000000001", "000000000003", "000000000004"]  # no. 2 has a person, a train is allowed
    expected = np.full((20, 30), 255)
    expected[:10, :10] = expected[5:15, 5:15] = 254
    np.testing.assert_array_equal(dataset[0].target.numpy(), expected)
    expected = np.full((20, 30), 255)
    expected[:, 0] = expected[10:, 20:] = 254
    np.testing.assert_array_equal(dataset[1].target.numpy(), expected)
    assert dataset[2].target.unique().tolist() == [255]
    np.testing.assert_allclose(dataset.ood_shares, [175 / 600, 120 / 600, 0])


def test_coco_proxy_selects_by_ood_share(tmp_path):
    annotations = [bird(i, 0, 0, 3 * i, 20) for i in range(1, 11)]  # shares 0.1, 0.2, ..., 1.0
    root = write_coco(tmp_path, annotations, [(20, 30)] * 10)
    assert len(open_dataset("coco_proxy", root, max_ood_share=0.2)) == 2
    dataset = open_dataset("coco_proxy", root, min_ood_share=0.8)
    np.testing.assert_allclose(dataset.ood_shares, [0.8, 0.9, 1.0])
    np.testing.assert_allclose(dataset.take(2).ood_shares, [0.8, 0.9])
    with pytest.raises(ValueError, match="Widen the range"):
        open_dataset("coco_proxy", root, min_ood_share=0.01, max_ood_share=0.05)
    with pytest.raises(ValueError, match="min_ood_share=0.8 and max_ood_share=0.2"):
        open_dataset("coco_proxy", root, min_ood_share=0.8, max_ood_share=0.2)


def test_grey_coco_images_become_rgb(tmp_path):
    root = write_coco(tmp_path, [bird(1, 0, 0, 4, 4)], [(20, 30)])
    save(root / "train2017" / "000000000001.jpg", np.full((20, 30), 77))
    assert open_dataset("coco_proxy", root)[0].image.unique().tolist() == [77]


def test_take_spreads_over_the_order(tmp_path):
    dataset = open_dataset("cityscapes", write_cityscapes(tmp_path, count=6), "train")
    assert dataset.take(3).ids == dataset.ids[::2]
    assert len(dataset) == 6
    assert dataset.take(None).ids == dataset.ids
    for count in (0, 7):
        with pytest.raises(ValueError, match=f"Cannot take {count} of 6"):
            dataset.take(count)


def test_unknown_names_and_splits(tmp_path):
    with pytest.raises(ValueError, match="no data set 'kitti'; choose one of: cityscapes, coco_proxy"):
        open_dataset("kitti", tmp_path)
    with pytest.raises(ValueError, match="cityscapes has no split None; choose one of: train, val"):
        open_dataset("cityscapes", tmp_path)
    with pytest.raises(ValueError, match="lost_and_found has no split 'val'"):
        open_dataset("lost_and_found", tmp_path, "val")


@pytest.mark.parametrize("name", ["cityscapes", "coco_proxy", "lost_and_found", "fishyscapes_static"])
def test_a_missing_folder_is_named_with_what_lies_beside_it(name, tmp_path):
    (tmp_path / "archive").mkdir()
    split = None if name in ("coco_proxy", "fishyscapes_static") else "train"
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*holds: archive.*Give as root"):
        open_dataset(name, tmp_path, split)


def test_empty_split_and_missing_files(tmp_path):
    cityscapes = write_cityscapes(tmp_path / "c", count=2)
    label = cityscapes / "gtFine/train/ulm/ulm_000000_000019_gtFine_labelIds.png"
    label.unlink()
    with pytest.raises(FileNotFoundError, match=f"has no labels: {label} is missing"):
        open_dataset("cityscapes", cityscapes, "train")
    for folder in ("leftImg8bit", "gtFine"):
        (cityscapes / folder / "val").mkdir()
    with pytest.raises(FileNotFoundError, match="There is no image in .*val"):
        open_dataset("cityscapes", cityscapes, "val")

    fishyscapes = write_fishyscapes(tmp_path / "f", 1)
    (fishyscapes / "Static/labels/0000.png").unlink()
    with pytest.raises(FileNotFoundError, match="0000.png has no labels"):
        open_dataset("fishyscapes_static", fishyscapes)
    (fishyscapes / "Static/original/0000.png").unlink()
    with pytest.raises(FileNotFoundError, match="There is no image in .*original"):
        open_dataset("fishyscapes_static", fishyscapes)

    coco = write_coco(tmp_path / "o", [bird(1, 0, 0, 4, 4)], [(20, 30)])
    (coco / "train2017/000000000001.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="names the image .*000000000001.jpg, which is missing"):
        open_dataset("coco_proxy", coco)
    (coco / "annotations/instances_train2017.json").unlink()
    with pytest.raises(FileNotFoundError, match="instances_train2017.json are missing"):
        open_dataset("coco_proxy", coco)


@pytest.mark.parametrize(
    "content", ['{"images": [', '{"images": []}', "[1]", json.dumps({"images": [], "categories": []})]
)
def test_broken_coco_annotations(content, tmp_path):
    root = write_coco(tmp_path, [], [(20, 30)])
    (root / "annotations/instances_train2017.json").write_text(content)
    with pytest.raises(ValueError, match="instances_train2017.json .*Fetch the file again"):
        open_dataset("coco_proxy", root)


def test_left_over_files_of_macs_are_not_images(tmp_path):
    write_cityscapes(tmp_path, count=2)
    (tmp_path / "leftImg8bit/train/ulm/._ulm_000000_000019_leftImg8bit.png").write_bytes(b"finder")
    assert len(open_dataset("cityscapes", tmp_path, "train")) == 2


def cityscapes_with(tmp_path, ids, image=None):
    write_frame(tmp_path, "gtFine", "train", "ulm_000000_000019", ids, noise(0) if image is None else image)
    return open_dataset("cityscapes", tmp_path, "train")


def test_label_id_out_of_range(tmp_path):
    dataset = cityscapes_with(tmp_path / "c", np.full((24, 40), 34))
    with pytest.raises(ValueError, match=r"labelIds.png holds the label ids \[34\].*its ids end at 33"):
        dataset[0]
    write_lost_and_found(tmp_path / "l", count=1)
    save(next((tmp_path / "l").rglob("*labelIds.png")), np.full((24, 40), 44))
    with pytest.raises(ValueError, match=r"\[44\].*its ids end at 43"):
        open_dataset("lost_and_found", tmp_path / "l", "test")[0]
    write_fishyscapes(tmp_path / "f", 1)
    save(tmp_path / "f/Static/labels/0000.png", np.full((24, 40), 2))
    with pytest.raises(ValueError, match=r"\[2\].*its ids end at 1"):
        open_dataset("fishyscapes_static", tmp_path / "f")[0]


def test_sizes_that_differ(tmp_path):
    dataset = cityscapes_with(tmp_path, np.zeros((24, 39)))
    with pytest.raises(ValueError, match="gives a target of 39 x 24 pixels, but the image .* has 40 x 24"):
        dataset[0]


def test_colour_labels_are_refused(tmp_path):
    dataset = cityscapes_with(tmp_path, np.zeros((24, 40, 3)))
    with pytest.raises(ValueError, match="labelIds.png should hold one label id of 8 bits.*not with the colours"):
        dataset[0]


def test_unreadable_and_vanished_files(tmp_path):
    dataset = cityscapes_with(tmp_path, np.zeros((24, 40)))
    image = dataset.frames[0].image
    image.write_bytes(image.read_bytes()[:200])
    with pytest.raises(ValueError, match=f"{image} cannot be read as an image"):
        dataset[0]
    image.write_text("not an image")
    with pytest.raises(ValueError, match=f"{image} cannot be read as an image"):
        dataset[0]
    image.unlink()
    with pytest.raises(FileNotFoundError, match=f"{image} is gone"):
        dataset[0]


def test_palette_labels_are_read_by_index(tmp_path):
    dataset = cityscapes_with(tmp_path, np.zeros((24, 40)))
    picture = Image.fromarray(np.full((24, 40), 7, dtype=np.uint8), mode="L")
    picture.putpalette([200] * 768)
    picture.save(dataset.frames[0].label)
    assert dataset[0].target.unique().tolist() == [0]


def coordinates(height: int, width: int) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
    """An image and a mask that both show at every pixel which one it was."""
    index = torch.arange(height * width, dtype=torch.uint8).reshape(height, width)
    return tv_tensors.Image(index.expand(3, -1, -1).clone()), tv_tensors.Mask(index.clone())


def test_crop_and_flip_move_image_and_target_alike():
    image, target = coordinates(10, 20)
    seen = set()
    for seed in range(40):
        torch.manual_seed(seed)
        crop_image, crop_target = training_transform((6, 8))(image, target)
        assert crop_image.shape == (3, 6, 8) and crop_target.shape == (6, 8)
        assert (crop_image == crop_target).all()
        steps = crop_target.int().diff(dim=1).unique().tolist()
        assert steps in ([1], [-1])
        seen.add((crop_target.min().item(), steps[0]))
    assert {step for _, step in seen} == {1, -1}
    assert len({corner for corner, _ in seen}) > 10


def test_without_flip_nothing_is_mirrored():
    image, target = coordinates(10, 20)
    for _ in range(20):
        _, cropped = training_transform(6, flip=False)(image, target)
        assert cropped.shape == (6, 6)
        assert (cropped.int().diff(dim=1) == 1).all()


@pytest.mark.parametrize(
    ("size", "crop", "enlarged"),
    [
        ((10, 20), (30, 30), (30, 60)),
        ((10, 20), (12, 48), (24, 48)),
        ((7, 9), (9, 9), (9, 12)),
        ((50, 60), 48, (50, 60)),
    ],
)
def test_small_images_are_enlarged_to_the_crop_with_their_aspect(size, crop, enlarged, monkeypatch):
    sizes = []
    monkeypatch.setattr(
        "ood_lib.data.transforms.v2.RandomHorizontalFlip", lambda p: lambda image, target: (image, target)
    )
    monkeypatch.setattr(
        "ood_lib.data.transforms.v2.RandomCrop",
        lambda size: lambda image, target: sizes.append(tuple(image.shape[1:])) or (image, target),
    )
    image, target = training_transform(crop)(*coordinates(*size))
    assert sizes == [enlarged]
    assert target.shape == enlarged
    assert set(target.unique().tolist()) <= set(range(256))


def test_enlarging_makes_no_new_label():
    target = tv_tensors.Mask(torch.tensor([[0, 255], [254, 7]], dtype=torch.uint8))
    image = tv_tensors.Image(torch.zeros(3, 2, 2, dtype=torch.uint8))
    _, enlarged = training_transform(16, flip=False)(image, target)
    assert enlarged.unique().tolist() == [0, 7, 254, 255]


def test_a_crop_without_pixels_is_refused():
    with pytest.raises(ValueError, match="crop=0"):
        training_transform(0)


def test_transform_option_and_collate(tmp_path):
    root = write_cityscapes(tmp_path, count=3)
    dataset = open_dataset("cityscapes", root, "train", transform=training_transform((8, 12)))
    images, targets = collate([dataset[0], dataset[1]])
    assert images.shape == (2, 3, 8, 12) and images.dtype == torch.uint8
    assert targets.shape == (2, 8, 12) and targets.dtype == torch.int64
    assert type(images) is type(targets) is torch.Tensor
    whole = open_dataset("cityscapes", root, "train")
    with pytest.raises(ValueError, match="different sizes cannot share a batch .*12 x 8.*40 x 24"):
        collate([dataset[0], whole[1]])
