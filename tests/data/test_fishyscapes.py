"""Fishyscapes Static, composed and as overlays, and the labels for LostAndFound."""

import shutil

import numpy as np
import pytest
from layouts import (
    anomaly,
    difference,
    noise,
    save,
    write_cityscapes,
    write_fishyscapes,
    write_fishyscapes_lost_and_found,
    write_lost_and_found,
    write_overlay,
    write_overlays,
)

from ood_lib.data import open_dataset


@pytest.fixture
def root(tmp_path):
    return tmp_path / "fishyscapes"


def test_targets_are_as_stored_under_either_name(root):
    write_fishyscapes(root, 1)
    save(root / "Static" / "original" / "0001_ulm_rgb.png", noise(1))
    save(root / "Static" / "labels" / "0001_ulm_labels.png", np.full((24, 40), 255))
    dataset = open_dataset("fishyscapes_static", root)
    assert dataset.ids == ["0000", "0001_ulm_rgb"]
    assert [(dataset[0].target == value).sum().item() for value in (0, 1, 255)] == [720, 80, 160]
    assert dataset[1].target.unique().tolist() == [255]
    assert dataset[0].sequence == "0000"


def test_an_overlay_is_added_to_the_cityscapes_image_and_clipped(root):
    write_overlays(root, "v3")
    dataset = open_dataset("fishyscapes_static", root, version="v3")
    assert dataset.ids == ["0000_aachen_000001_000019_rgb", "0001_ulm_000000_000019_rgb"]
    sample = dataset[0]
    scene, change = noise(1).astype(int), difference(0, anomaly())
    assert change.min() < -255 or change.max() > 200  # so that there is something to clip
    expected = np.minimum(np.maximum(scene + change, 0), 255)
    np.testing.assert_array_equal(sample.image.permute(1, 2, 0).numpy(), expected)
    np.testing.assert_array_equal(sample.target.numpy(), anomaly())
    assert sample.sequence == sample.id


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int64, np.uint64])
def test_overlays_of_any_integers_do_not_wrap_around(root, dtype):
    write_overlays(root, count=1)
    overlay = next(root.rglob("*.npz"))
    for value in (100, -100) if np.dtype(dtype).kind == "i" else (100, 200):
        if value <= np.iinfo(dtype).max:
            write_overlay(overlay, np.full((24, 40, 3), value, dtype=dtype))
            image = (
                open_dataset("fishyscapes_static", root, version="v3")[0]
                .image.permute(1, 2, 0)
                .numpy()
            )
            np.testing.assert_array_equal(image, np.clip(noise(0).astype(int) + value, 0, 255))


def test_versions_are_read_from_their_own_folder_or_from_root(root, tmp_path):
    write_fishyscapes(root)
    write_overlays(root, "v1", 1)
    write_overlays(root, "v2", 2)
    lengths = {
        v: len(open_dataset("fishyscapes_static", root, version=v))
        for v in ("composed", "v1", "v2")
    }
    assert lengths == {"composed": 2, "v1": 1, "v2": 2}
    with pytest.raises(
        FileNotFoundError, match=r"no folder .*fs_val_v3. .*holds: Static, fs_val_v1, fs_val_v2"
    ):
        open_dataset("fishyscapes_static", root, version="v3")
    with pytest.raises(ValueError, match="version='3' must be one of: composed, v1, v2, v3"):
        open_dataset("fishyscapes_static", root, version="3")
    flat = (root / "fs_val_v2").rename(tmp_path / "overlays")
    assert len(open_dataset("fishyscapes_static", flat, version="v2")) == 2
    named = (root / "fs_val_v1").rename(tmp_path / "fs_val_v1")
    assert len(open_dataset("fishyscapes_static", named, version="v1")) == 1
    with pytest.raises(FileNotFoundError, match="There is no folder .*fs_val_v1/fs_val_v3"):
        open_dataset("fishyscapes_static", named, version="v3")


def test_the_only_version_that_is_there_is_read(root, tmp_path):
    write_overlays(root, "v2")
    assert open_dataset("fishyscapes_static", root).version == "v2"
    assert (
        open_dataset(
            "fishyscapes_static", root / "fs_val_v2", cityscapes=tmp_path / "cityscapes"
        ).version
        == "v2"
    )
    write_overlays(root, "v3")
    with pytest.raises(ValueError, match=r"holds overlays of v2 and v3.*say which is meant"):
        open_dataset("fishyscapes_static", root)
    write_fishyscapes(root, 1)
    assert open_dataset("fishyscapes_static", root).version == "composed"
    unnamed = (root / "fs_val_v2").rename(tmp_path / "overlays")
    with pytest.raises(ValueError, match="holds overlays of v[?].*in its own folder"):
        open_dataset("fishyscapes_static", unnamed)
    with pytest.raises(FileNotFoundError, match=r"no folder .*Static/original"):
        open_dataset("fishyscapes_static", tmp_path / "cityscapes")


def test_the_scenes_come_from_cityscapes(root, tmp_path):
    write_overlays(root)
    elsewhere = (tmp_path / "cityscapes").rename(tmp_path / "streets")
    missing = tmp_path / "cityscapes/leftImg8bit/val/aachen/aachen_000001_000019_leftImg8bit.png"
    with pytest.raises(FileNotFoundError) as caught:
        open_dataset("fishyscapes_static", root, version="v3")
    for part in (
        f"The image {missing} is missing",
        "0000_aachen",
        "2 such",
        "Cityscapes",
        "as cityscapes",
    ):
        assert part in str(caught.value)
    dataset = open_dataset("fishyscapes_static", root, version="v3", cityscapes=str(elsewhere))
    np.testing.assert_array_equal(dataset[1].image[:, 0, 0], noise(0)[0, 0])


def test_a_linked_folder_is_beside_the_link(root, tmp_path):
    write_overlays(tmp_path / "disk" / "fishyscapes")
    shutil.move(tmp_path / "disk" / "cityscapes", tmp_path / "cityscapes")
    root.symlink_to(tmp_path / "disk" / "fishyscapes")
    assert len(open_dataset("fishyscapes_static", root, version="v3")) == 2


def test_overlays_that_are_not_what_they_should_be(root):
    write_overlays(root, count=1)
    overlay = next(root.rglob("*.npz"))
    dataset = open_dataset("fishyscapes_static", root, version="v3")
    whole = overlay.read_bytes()

    def assert_refused(message):
        with pytest.raises(ValueError, match=message) as caught:
            dataset[0]
        assert str(overlay) in str(caught.value)
        assert "sound copy" in str(caught.value) or "Fetch both again" in str(caught.value)

    for content in (b"", b"text", whole[:100], whole[:-30], whole.replace(b"\x00", b"\x01")):
        overlay.write_bytes(content)
        assert_refused("cannot be read as an overlay")
    np.savez(overlay, other=difference(0, anomaly()))
    assert_refused("'rgb is not a file in the archive'")
    with overlay.open("wb") as file:
        np.save(file, difference(0, anomaly()))
    assert_refused("cannot be read as an overlay")
    write_overlay(overlay, np.array([{"a": 1}]))
    assert_refused("cannot be read .*Object arrays cannot be loaded when allow_pickle=False")
    write_overlay(overlay, np.zeros((24, 40, 3), dtype=np.float32))
    assert_refused("holds float32 .*; expected integers")
    for shape in ((24, 41, 3), (24, 40), (24, 40, 1)):
        write_overlay(overlay, np.zeros(shape, dtype=np.int16))
        assert_refused(
            r"holds int16 \(24, 4.*; expected integers \(24, 40, 3\) to add to .*ulm_000000_000019"
        )
    overlay.unlink()
    with pytest.raises(FileNotFoundError, match=f"{overlay} is not there"):
        dataset[0]


def test_lost_and_found_frames_of_either_split(root, tmp_path):
    write_fishyscapes_lost_and_found(root)
    street = "02_Hanns_Klemm_Str_44"
    moved = (
        tmp_path
        / "lost_and_found/leftImg8bit/train"
        / street
        / f"{street}_000000_000010_leftImg8bit.png"
    )
    moved.parent.mkdir(parents=True)
    (tmp_path / "lost_and_found/leftImg8bit/test" / street / moved.name).rename(moved)
    dataset = open_dataset("fishyscapes_lost_and_found", root)
    assert dataset.ids == [f"{street}_00000{i // 2}_0000{i % 2}0_leftImg8bit" for i in range(4)]
    assert [frame.image.parts[-3] for frame in dataset.frames] == ["test", "train", "test", "test"]
    assert [sample.sequence for sample in dataset] == [f"{street}_00000{i // 2}" for i in range(4)]
    np.testing.assert_array_equal(dataset[1].image.permute(1, 2, 0).numpy(), noise(1))
    np.testing.assert_array_equal(dataset[1].target.numpy(), anomaly())


def test_lost_and_found_images_from_elsewhere_and_missing_ones(root, tmp_path):
    write_fishyscapes_lost_and_found(root)
    elsewhere = (tmp_path / "lost_and_found").rename(tmp_path / "drives")
    assert len(open_dataset("fishyscapes_lost_and_found", root, lost_and_found=elsewhere)) == 4
    lost = next(elsewhere.glob("leftImg8bit/*/*/*_000001_000000_leftImg8bit.png"))
    lost.unlink()
    with pytest.raises(FileNotFoundError) as caught:
        open_dataset("fishyscapes_lost_and_found", root, lost_and_found=elsewhere)
    for part in (
        lost.name,
        "1 such",
        "0002_02_Hanns",
        "LostAndFound, http",
        "as lost_and_found",
        "train|test",
    ):
        assert part in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"4 such images are.*LostAndFound"):
        open_dataset("fishyscapes_lost_and_found", root)


def test_the_two_do_not_take_each_others_files(root, tmp_path):
    """Both archives unpack flat; here into one folder."""
    write_overlays(root, count=3)
    write_fishyscapes_lost_and_found(root, count=4)
    for folder in (root / "fs_val_v3", root / "fishyscapes_lostandfound"):
        for path in folder.iterdir():
            path.rename(root / path.name)
        folder.rmdir()
    (root / "._0000_02_Hanns_Klemm_Str_44_000000_000000_labels.png").write_bytes(b"finder")
    static = open_dataset("fishyscapes_static", root, version="v3")
    drives = open_dataset("fishyscapes_lost_and_found", root)
    assert (len(static), len(drives)) == (3, 4)
    assert {frame.label.name[5:8] for frame in static.frames} == {"aac", "ulm"}
    assert {frame.label.name[5:8] for frame in drives.frames} == {"02_"}


def test_an_overlay_without_labels_and_labels_without_an_overlay(root, tmp_path):
    write_overlays(root)
    label = next(root.rglob("0001*_labels.png"))
    label.rename(tmp_path / label.name)
    with pytest.raises(
        FileNotFoundError, match=f"0001_ulm_000000_000019_rgb.npz has no label: {label} is missing"
    ):
        open_dataset("fishyscapes_static", root, version="v3")
    (tmp_path / label.name).rename(label)
    overlay = next(root.rglob("0000*_rgb.npz"))
    overlay.unlink()
    with pytest.raises(
        FileNotFoundError, match=f"0000_aachen.*_labels.png has no image: {overlay} is missing"
    ):
        open_dataset("fishyscapes_static", root, version="v3")


def test_a_folder_of_labels_without_those_of_lost_and_found(root, tmp_path):
    write_lost_and_found(tmp_path / "lost_and_found")
    write_cityscapes(tmp_path / "cityscapes", "val", 1)
    save(root / "fishyscapes_lostandfound" / "0000_ulm_000000_000019_labels.png", anomaly())
    with pytest.raises(
        FileNotFoundError, match="There is no file .*fishyscapes_lostandfound/.*_labels.png. Unpack"
    ):
        open_dataset("fishyscapes_lost_and_found", root)
