import numpy as np
import pytest
import torch
from layouts import (
    noise,
    save,
    write_cityscapes,
    write_frame,
    write_lost_and_found,
)
from PIL import Image
from torchvision import tv_tensors

from ood_lib.data import DATASETS, collate, open_dataset, training_transform
from ood_lib.data.folders import Layout
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
    assert [c.label_id for c in CLASSES] == [
        7,
        8,
        11,
        12,
        13,
        17,
        19,
        20,
        21,
        22,
        23,
        24,
        25,
        26,
        27,
        28,
        31,
        32,
        33,
    ]
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
    write_frame(
        tmp_path,
        "gtCoarse",
        "test",
        "02_Hanns_Klemm_Str_44_000001_000010",
        ids,
        noise(0, *ids.shape),
    )
    expected = [[0 if i == 1 else 1 if i in ANOMALOUS_IDS else 255 for i in range(44)]]
    assert open_dataset("lost_and_found", tmp_path, "test")[0].target.tolist() == expected
    assert (
        open_dataset("lost_and_found", tmp_path, "test", nonhazards="ignore")[0].target.tolist()
        == expected
    )
    assert (
        set(np.flatnonzero(LOST_AND_FOUND_TARGET_OF_ID == 1)) == ANOMALOUS_IDS <= LOST_AND_FOUND_IDS
    )
    every_object = open_dataset("lost_and_found", tmp_path, "test", nonhazards="anomaly")
    assert every_object[0].target.tolist() == [[255, 0, *[1] * 42]]
    only_hazards = open_dataset("lost_and_found", tmp_path, "test", nonhazards="road")
    as_road = [[255 if i == 0 else int(i in ANOMALOUS_IDS) for i in range(44)]]
    assert only_hazards[0].target.tolist() == as_road
    with pytest.raises(ValueError, match="nonhazards='anomalous' must be one of: ignore, road, a"):
        open_dataset("lost_and_found", tmp_path, "test", nonhazards="anomalous")


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
    assert type(sample.image) is type(sample.target) is torch.Tensor
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


def test_lost_and_found_is_every_frame_as_it_lies_on_disk(tmp_path):
    write_lost_and_found(tmp_path, count=6)
    folder = tmp_path / "gtCoarse/test/02_Hanns_Klemm_Str_44"
    nothing = folder / "02_Hanns_Klemm_Str_44_000001_000000_gtCoarse_labelIds.png"
    save(nothing, np.zeros((24, 40)))  # the benchmarks drop such frames
    dataset = open_dataset("lost_and_found", tmp_path, "test")
    assert len(dataset) == 6 and dataset.labelled
    assert dataset[2].target.unique().tolist() == [255]


def test_published_numbers_folders_and_pages():
    published = {name: (cls.folder, cls.splits) for name, cls in DATASETS.items()}
    assert published == {
        "cityscapes": ("cityscapes", {"train": 2975, "val": 500}),
        "coco_proxy": ("coco", {"train": 118287}),
        "lost_and_found": ("lost_and_found", {"train": 1036, "test": 1203}),
        "fishyscapes_static": ("fishyscapes", {"val": 30}),
        "fishyscapes_lost_and_found": ("fishyscapes", {"val": 100}),
        "road_anomaly": ("RoadAnomaly_jpg", {"val": 60}),
        "road_anomaly_21": ("dataset_AnomalyTrack", {"val": 10, "test": 100}),
        "road_obstacle_21": ("dataset_ObstacleTrack", {"val": 30, "test": 327}),
    }
    assert all(cls.page.startswith(("https://", "http://wwwlehre.")) for cls in DATASETS.values())
    assert all(f"``{name}``" in open_dataset.__doc__ for name in DATASETS)


def test_files_are_counted_even_if_they_lack_their_partners(tmp_path):
    write_cityscapes(tmp_path, count=3)
    next(tmp_path.glob("gtFine/train/aachen/*")).unlink()
    cityscapes = DATASETS["cityscapes"]
    images, labels = (
        cityscapes.layouts[0].files(tmp_path, "train", kind) for kind in ("image", "label")
    )
    assert images.keys() - labels.keys() == {"aachen/aachen_000001_000019"}
    assert cityscapes.count(tmp_path, "train") == (3, 2)
    with pytest.raises(FileNotFoundError, match="There is no folder .*leftImg8bit/val"):
        cityscapes.count(tmp_path, "val")


def test_other_files_beside_images_and_labels_do_not_count(tmp_path):
    write_cityscapes(tmp_path, count=2)
    labels = tmp_path / "gtFine/train/ulm"
    for name in ("labelTrainIds.png", "color.png", "instanceIds.png", "polygons.json"):
        (labels / f"ulm_000000_000019_gtFine_{name}").write_bytes(b"")
    for folder in (labels, tmp_path / "leftImg8bit/train/ulm"):  # what Macs leave in every folder
        (folder / ".DS_Store").write_bytes(b"finder")
        for path in list(folder.glob("*.png")):
            path.with_name(f"._{path.name}").write_bytes(b"finder")
    assert [sample.id for sample in open_dataset("cityscapes", tmp_path, "train")] == [
        "aachen_000001_000019_leftImg8bit",
        "ulm_000000_000019_leftImg8bit",
    ]


def test_a_pattern_that_does_not_tell_capitals_apart(tmp_path):
    for name in ("a.jpg", "b.JPG", "c.Jpg"):
        save(tmp_path / "images" / name, noise(0))
        save(tmp_path / "masks" / f"{name[0]}.{'png' if name[0] == 'a' else 'PNG'}", noise(0))
    layout = Layout("images/*.[jJ][pP][gG]", "masks/*.[pP][nN][gG]")
    frames = layout.frames(tmp_path)
    assert [frame.id for frame in frames] == ["a", "b", "c"]
    assert [frame.label.name for frame in frames] == ["a.png", "b.PNG", "c.PNG"]
    frames[1].label.unlink()
    with pytest.raises(FileNotFoundError, match="b.JPG has no label"):
        layout.frames(tmp_path)


def test_frames_of_full_size(tmp_path):
    dataset = open_dataset(
        "cityscapes", write_cityscapes(tmp_path, count=1, size=(1024, 2048)), "train"
    )
    image, target, _, _ = dataset[0]
    assert image.shape == (3, 1024, 2048) and target.shape == (1024, 2048)
    np.testing.assert_array_equal(image[:, ::43, ::52].permute(1, 2, 0), noise(0))
    stored = np.random.default_rng(100).integers(0, 34, (24, 40))
    np.testing.assert_array_equal(target[::43, ::52], TRAIN_ID_OF_LABEL_ID[stored])


def test_take_spreads_over_the_order(tmp_path):
    dataset = open_dataset("cityscapes", write_cityscapes(tmp_path, count=6), "train")
    assert dataset.take(3).ids == dataset.ids[::2]
    assert len(dataset) == 6
    assert dataset.take(None).ids == dataset.ids
    for count in (0, 7):
        with pytest.raises(ValueError, match=f"Cannot take {count} of 6"):
            dataset.take(count)


def test_unknown_names_and_splits(tmp_path):
    with pytest.raises(
        ValueError, match="no data set 'kitti'; choose one of: cityscapes, coco_proxy"
    ):
        open_dataset("kitti", tmp_path)
    with pytest.raises(ValueError, match="cityscapes has no split None; choose one of: train, val"):
        open_dataset("cityscapes", tmp_path)
    with pytest.raises(ValueError, match="lost_and_found has no split 'val'"):
        open_dataset("lost_and_found", tmp_path, "val")


def test_palette_labels_are_read_by_index(tmp_path):
    dataset = open_dataset("cityscapes", write_cityscapes(tmp_path, count=1), "train")
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
        "torchvision.transforms.v2.RandomHorizontalFlip",
        lambda p: lambda image, target: (image, target),
    )
    monkeypatch.setattr(
        "torchvision.transforms.v2.RandomCrop",
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


def test_a_crop_of_numpys_numbers():
    image, target = coordinates(20, 30)
    for crop in (np.int64(12), np.array([12, 12]), (12, np.uint8(12))):
        assert training_transform(crop)(image, target)[1].shape == (12, 12)


def test_a_crop_without_pixels_is_refused():
    with pytest.raises(ValueError, match="crop=0"):
        training_transform(0)


def test_transform_option_and_collate(tmp_path):
    root = write_cityscapes(tmp_path, count=3)
    dataset = open_dataset("cityscapes", root, "train", transform=training_transform((8, 12)))
    images, targets = collate([dataset[0], dataset[1]])
    assert images.shape == (2, 3, 8, 12) and images.dtype == torch.uint8
    assert targets.shape == (2, 8, 12) and targets.dtype == torch.uint8
    assert type(images) is type(targets) is torch.Tensor
    whole = open_dataset("cityscapes", root, "train")
    with pytest.raises(ValueError, match=r"sizes .*\(8, 12\), \(24, 40\).* cannot share a batch"):
        collate([dataset[0], whole[1]])
