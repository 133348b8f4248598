"""Bad input: each is one error that names the file or folder, what was expected and what to do."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from layouts import (
    bird,
    noise,
    save,
    write_cityscapes,
    write_coco,
    write_fishyscapes,
    write_fishyscapes_lost_and_found,
    write_lost_and_found,
    write_original_road_anomaly,
    write_road_anomaly,
    write_road_obstacle,
)
from PIL import Image

from ood_lib.data import DATASETS, SegmentationDataset, open_dataset
from ood_lib.data.folders import Layout
from ood_lib.data.sample import read_image, read_labels


def write_cityscapes_with_coarse_labels(root: Path) -> Path:
    """Both splits; the coarse labels, which Cityscapes offers too, hold its ids under the names of
    LostAndFound."""
    for split in ("train", "val", "test"):
        write_cityscapes(root, split, 2)
    for fine in list(root.glob("gtFine/*/*/*.png")):
        coarse = Path(str(fine).replace("gtFine", "gtCoarse"))
        coarse.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(fine, coarse)
    return root


def write_splits(write: Callable[..., Path], *splits: str) -> Callable[[Path], Path]:
    return lambda root: [write(root, split, 2) for split in splits][-1]


WRITERS = {
    "cityscapes": write_cityscapes_with_coarse_labels,
    "coco_proxy": lambda root: write_coco(root, [bird(1, 0, 0, 4, 4)], [(20, 30)]),
    "lost_and_found": write_splits(write_lost_and_found, "train", "test"),
    "fishyscapes_static": write_fishyscapes,
    "fishyscapes_lost_and_found": write_fishyscapes_lost_and_found,
    "road_anomaly": write_original_road_anomaly,
    "road_anomaly_21": write_splits(write_road_anomaly, "val", "test"),
    "road_obstacle_21": write_splits(write_road_obstacle, "val", "test"),
}
PICTURES = WRITERS.keys() - {"coco_proxy", "fishyscapes_lost_and_found"}
"""Data sets that have all of their pictures and labels, one file each, in their own folder."""


@pytest.fixture(autouse=True)
def no_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OOD_LIB_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def data_roots(tmp_path_factory) -> dict[str, Path]:
    """Data root of each data set alone."""
    roots = {name: tmp_path_factory.mktemp(name) for name in WRITERS}
    for name, root in roots.items():
        WRITERS[name](root / DATASETS[name].folder)
    return roots


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("given", WRITERS)
def test_every_data_set_refuses_the_folder_of_every_other(given, name, data_roots):
    folder = data_roots[given] / DATASETS[given].folder
    for split, published in DATASETS[name].splits.items():
        if name == given:
            assert 1 <= len(open_dataset(name, folder, split)) < published
            continue
        with pytest.raises((FileNotFoundError, ValueError)) as caught:
            open_dataset(name, folder, split)
        message = str(caught.value)
        assert str(folder) in message
        assert f"{folder} looks like {given}: open it by that name" in message


def test_coarse_labels_of_cityscapes_are_no_obstacles(data_roots):
    folder = data_roots["cityscapes"] / "cityscapes"
    message = r"There is no file .*/\[0-9\]\[0-9\]_\*/.* looks like cityscapes: open it by that"
    with pytest.raises(FileNotFoundError, match=message):
        open_dataset("lost_and_found", folder, "train")


@pytest.mark.parametrize("name", WRITERS)
def test_a_data_root_in_place_of_the_data_sets_own_folder(name, data_roots):
    split, folder = next(iter(DATASETS[name].splits)), data_roots[name] / DATASETS[name].folder
    with pytest.raises(
        FileNotFoundError, match=f"no folder.* The folder {folder} looks like {name}: give that one"
    ):
        open_dataset(name, data_roots[name], split)


def test_an_archive_unpacked_into_a_folder_of_its_own(tmp_path):
    root = write_cityscapes(tmp_path / "cityscapes")
    for folder in ("leftImg8bit", "gtFine"):
        (root / f"{folder}_trainvaltest").mkdir()
        (root / folder).rename(root / f"{folder}_trainvaltest" / folder)
    with pytest.raises(
        FileNotFoundError, match="holds: gtFine_trainvaltest, leftImg8bit_tr.*into one folder"
    ):
        open_dataset("cityscapes", root, "train")


@pytest.mark.parametrize(
    ("name", "part"), [("coco_proxy", "train2017"), ("cityscapes", "leftImg8bit")]
)
def test_advice_does_not_go_in_a_circle(name, part, tmp_path):
    """From a folder beside the labels it leads to theirs, and from there to nowhere else."""
    root = WRITERS[name](tmp_path / "data")
    (root / "pictures").mkdir()
    (root / part).rename(root / "pictures" / part)
    with pytest.raises(FileNotFoundError, match=f"The folder {root} looks like {name}: give that"):
        open_dataset(name, root / "pictures", "train")
    with pytest.raises(FileNotFoundError, match=f"no folder {root}/{part}.*pictures") as caught:
        open_dataset(name, root, "train")
    assert str(caught.value).endswith(
        " The root is right: what is missing must be put where this says."
    )
    (root / "pictures" / part).rename(root / part)
    assert len(open_dataset(name, root, "train")) > 0


def test_scenes_as_jpeg_are_not_cityscapes(tmp_path):
    dataset = open_written("cityscapes", tmp_path)
    for frame in dataset.frames:
        frame.image.rename(frame.image.with_suffix(".jpg"))
    message = r"no file .*/\*_leftImg8bit.png. Unpack the archive there. The root is right"
    with pytest.raises(FileNotFoundError, match=message):
        open_dataset("cityscapes", tmp_path, "train")


@pytest.mark.parametrize("name", WRITERS)
def test_a_missing_folder_is_named_with_what_lies_beside_it(name, tmp_path):
    (tmp_path / "archive").mkdir()
    with pytest.raises(
        FileNotFoundError, match=r"There is no folder .*holds: archive.*Give as root"
    ):
        open_dataset(name, tmp_path, next(iter(DATASETS[name].splits)))
    with pytest.raises(
        FileNotFoundError, match=r"There is no folder .*holds: archive.*Give as root"
    ):
        open_dataset(name, tmp_path / "no" / "such" / "root", next(iter(DATASETS[name].splits)))


@pytest.mark.parametrize("name", WRITERS)
def test_the_home_of_nobody_is_missed_like_any_other_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root, split = "~nobody-of-this-name/data", next(iter(DATASETS[name].splits))
    with pytest.raises(FileNotFoundError, match=f"There is no folder {root}/.* Give as root the"):
        open_dataset(name, root, split)


def open_written(name: str, root: Path):
    return open_dataset(name, WRITERS[name](root), next(iter(DATASETS[name].splits)))


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_half_a_download_is_no_smaller_data_set(name, tmp_path):
    dataset = open_written(name, tmp_path)
    split = next(iter(DATASETS[name].splits))
    image, label = dataset.frames[0].image, dataset.frames[0].label
    for absent, present, partner in ((label, image, "label"), (image, label, "image")):
        content = absent.read_bytes()
        absent.unlink()
        with pytest.raises(FileNotFoundError) as caught:
            open_dataset(name, tmp_path, split)
        assert f"{present} has no {partner}: {absent} is missing (1 in all)" in str(caught.value)
        assert f"Unpack the archive of the {partner}s" in str(caught.value)
        absent.write_bytes(content)
    assert open_dataset(name, tmp_path, split).ids == dataset.ids


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_an_empty_split(name, tmp_path):
    dataset = open_written(name, tmp_path)
    folder = dataset.frames[0].image.parent
    for frame in dataset.frames:
        frame.image.unlink()
        frame.label.unlink()
    with pytest.raises(
        FileNotFoundError, match=r"There is no file .*/\*.*Unpack the archive"
    ) as caught:
        open_dataset(name, tmp_path, next(iter(DATASETS[name].splits)))
    assert str(folder.parent) in str(caught.value)


@pytest.mark.parametrize("kind", ["image", "label"])
@pytest.mark.parametrize("name", sorted(PICTURES))
def test_damaged_and_vanished_files(name, kind, tmp_path):
    """PNG, JPEG and WebP, cut short wherever it may be, and what is no picture at all."""
    dataset = open_written(name, tmp_path)
    path = getattr(dataset.frames[0], kind)
    whole = path.read_bytes()
    for content in (
        b"",
        b"not an image",
        whole[:12],
        whole[:40],
        whole[: len(whole) // 2],
        whole[:-24],
    ):
        path.write_bytes(content)
        with pytest.raises(
            ValueError, match=f"{path} cannot be read as an image .*Give a sound copy"
        ):
            dataset[0]
    path.unlink()
    with pytest.raises(FileNotFoundError, match=f"{path} is not there"):
        dataset[0]


@pytest.mark.parametrize(
    ("name", "unknown", "last"),
    [
        ("cityscapes", 34, 33),
        ("lost_and_found", 44, 43),
        ("fishyscapes_static", 2, 1),
        ("fishyscapes_lost_and_found", 254, 1),
        ("road_anomaly", 3, 2),
        ("road_anomaly_21", 2, 1),
        ("road_obstacle_21", 3, 1),
    ],
)
def test_labels_that_the_data_set_does_not_define_or_of_another_kind(name, unknown, last, tmp_path):
    dataset = open_written(name, tmp_path / DATASETS[name].folder)
    label = dataset.frames[0].label
    save(label, np.full((24, 40), unknown))
    with pytest.raises(
        ValueError,
        match=rf"{label} holds the label ids \[{unknown}\].*its ids end at {last}\).*Is it",
    ):
        dataset[0]
    save(label, np.zeros((24, 39)))
    with pytest.raises(
        ValueError, match=rf"{label} gives a target .*\(24, 39\), the image .* is of \(24, 40\)"
    ):
        dataset[0]
    save(label, np.full((24, 40, 3), (9, 0, 0)))
    with pytest.raises(
        ValueError, match=f"{label} should hold one label id of 8 bits.*not the colours"
    ):
        dataset[0]
    Image.fromarray(np.zeros((24, 40), dtype=np.uint16)).save(label)
    with pytest.raises(
        ValueError, match=f"{label} should hold one label id of 8 bits.*pixels are uint16"
    ):
        dataset[0]


def test_a_png_whose_parts_do_not_follow_each_other(tmp_path):
    dataset = open_written("cityscapes", tmp_path)
    image = dataset.frames[0].image
    content = bytearray(image.read_bytes())
    content[33:37] = (100).to_bytes(4, "big")  # the length of the part with the pixels
    image.write_bytes(content)
    with pytest.raises(
        ValueError,
        match=f"{image} cannot be read as an image .broken PNG file.*Give a sound copy",
    ):
        dataset[0]


def test_an_image_of_another_size_than_its_labels(tmp_path):
    dataset = open_written("cityscapes", tmp_path)
    save(dataset.frames[0].image, noise(0, 12, 20))
    with pytest.raises(
        ValueError, match=r"gives a target .*\(24, 40\), the image .* is of \(12, 20\)"
    ):
        dataset[0]


TURNS = {  # EXIF orientation -> how the camera's pixels come from the picture that viewers show
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def save_turned(path: Path, pixels: np.ndarray, orientation: int) -> Path:
    """Store the pixels as a camera does that was held otherwise, with a note of how."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).transpose(TURNS[orientation]).save(path, exif=exif)
    return path


class OwnPhotos(SegmentationDataset):
    """As on the page about data of one's own."""

    def __init__(self, root: Path) -> None:
        super().__init__(Layout("images/*.png", "masks/*.png").frames(root))

    def read_target(self, frame):
        return (read_labels(frame.label) > 127).astype(np.uint8)


@pytest.mark.parametrize("orientation", TURNS)
def test_pictures_of_ones_own_and_their_masks_are_upright(orientation, tmp_path):
    picture, mask = noise(1), 255 * (noise(2)[..., 0] > 99).astype(np.uint8)
    for ending in ("png", "tif", "webp"):
        path = save_turned(tmp_path / f"picture.{ending}", picture, orientation)
        assert read_image(path).shape == picture.shape
        if ending != "webp":  # which loses a little
            assert np.array_equal(read_image(path), picture)
    save_turned(tmp_path / "images" / "a.png", picture, orientation)
    save(tmp_path / "masks" / "a.png", mask)  # painted over what is seen
    save_turned(tmp_path / "images" / "b.png", picture, orientation)
    save_turned(tmp_path / "masks" / "b.png", mask, orientation)  # by an editor that keeps the note
    for sample in OwnPhotos(tmp_path):
        assert np.array_equal(sample.image.permute(1, 2, 0), picture)
        assert np.array_equal(sample.target, mask > 0)


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_published_images_stay_as_they_are_stored_like_their_labels(name, tmp_path):
    dataset = open_written(name, tmp_path)
    stored = dataset[0]
    frame = dataset.frames[0]
    for path in (frame.image, frame.label):
        exif = Image.Exif()
        exif[0x0112] = 3
        with Image.open(path) as image:
            image.load()
        image.save(path, exif=exif, **({"lossless": True} if path.suffix == ".webp" else {}))
    turned = dataset[0]
    assert np.array_equal(turned.target, stored.target)
    difference = turned.image.float() - stored.image.float()
    assert difference.abs().mean() < 12  # that of a second JPEG; turned, it were 80


def test_grey_of_16_bits_keeps_its_upper_eight(tmp_path):
    ramp = np.arange(2**16).reshape(256, 256)
    expected = np.stack([ramp >> 8] * 3, axis=2)
    for name in ("a.png", "a.tif", "a.jp2"):
        Image.fromarray(ramp.astype(np.uint16)).save(tmp_path / name)
        assert np.array_equal(read_image(tmp_path / name), expected)
    big_endian = Image.frombytes("I;16B", (256, 256), ramp.astype(">u2").tobytes())
    big_endian.save(tmp_path / "b.tif")
    assert np.array_equal(read_image(tmp_path / "b.tif"), expected)
    dataset = open_written("cityscapes", tmp_path / "cityscapes")
    image = dataset.frames[0].image
    Image.fromarray(np.full((24, 40), 40_000, dtype=np.uint16)).save(image)
    assert dataset[0].image.unique().tolist() == [40_000 >> 8]


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_grey_of_32_bits_is_refused(kind, tmp_path):
    """Its range may be 0 to 1, to 255, to 65535 or any other."""
    dataset = open_written("cityscapes", tmp_path)
    image = dataset.frames[0].image.with_suffix(".tif")
    Image.fromarray(np.ones((24, 40), dtype=kind)).save(image)
    dataset.frames[0] = dataset.frames[0]._replace(image=image)
    with pytest.raises(ValueError, match=f"{image} cannot be read as an image .it has 32 bits"):
        dataset[0]


def test_too_large_a_picture_is_refused_with_its_name(tmp_path):
    path = tmp_path / "large.png"
    Image.new("1", (20_000, 9_000)).save(path)
    for read in (read_image, read_labels):
        with pytest.raises(
            ValueError, match=f"{path} cannot be read .*exceeds limit.*a smaller one"
        ):
            read(path)
