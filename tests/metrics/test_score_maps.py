"""Score maps in files: which are taken for a data set, and what road-anomaly-benchmark reads."""

import sys
from pathlib import Path

import numpy as np
import pytest
from layouts import (
    SIZE,
    write_fishyscapes,
    write_fishyscapes_lost_and_found,
    write_lost_and_found,
    write_overlays,
    write_road_anomaly,
    write_road_obstacle,
)

from ood_lib.data import SegmentationDataset, open_dataset
from ood_lib.data.fishyscapes import FishyscapesStatic
from ood_lib.metrics.__main__ import main
from ood_lib.metrics.protocols import TEST_DATA
from ood_lib.metrics.score_maps import export_maps, find_maps


def write_maps(folder: Path, dataset: SegmentationDataset, ending: str = "_score") -> Path:
    """A map of random scores for each frame, float32 in [0, 1), as `ood_lib.score` names it."""
    folder.mkdir(exist_ok=True)
    for i, name in enumerate(dataset.ids):
        scores = np.random.default_rng(i).random(SIZE, dtype=np.float32)
        np.save(folder / f"{name}{ending}.npy", scores)
    return folder


def refusal(folder: Path, dataset: SegmentationDataset) -> list[str]:
    with pytest.raises(ValueError) as caught:
        find_maps(folder, dataset)
    first, *faults = str(caught.value).splitlines()
    assert str(folder) in first and f"{len(dataset)} frames" in first
    assert f"Mend these {len(faults)}:" in first
    return [fault.strip() for fault in faults]


@pytest.mark.parametrize("ending", ["", "_score"])
def test_maps_are_joined_to_frames_by_their_names(street, tmp_path, ending) -> None:
    folder = write_maps(tmp_path / "maps", street, ending)
    (folder / "segments.csv").touch()  # what else the command writes there
    (folder / "._forgotten.npy").touch()
    expected = {name: folder / f"{name}{ending}.npy" for name in street.ids}
    found = find_maps(folder, street)
    assert found == expected and list(found) == street.ids


def test_all_that_do_not_fit_are_named_at_once(street, tmp_path) -> None:
    folder = write_maps(tmp_path / "maps", street)
    first, second, third, last = (folder / f"{name}_score.npy" for name in street.ids)
    first.unlink()
    scores = np.load(second)
    np.save(second, scores.T)
    np.save(folder / f"{street.ids[2]}.npy", scores)
    scores[3, :2] = np.nan, np.inf
    np.save(last, scores)
    (folder / "elsewhere_score.npy").touch()
    assert refusal(folder, street) == [
        "elsewhere_score.npy: there is no such frame",
        f"{street.ids[0]}: there are 0 maps, not 1",
        f"{second.name}: float32 (40, 24), but the frame needs floats (24, 40)",
        f"{street.ids[2]}: there are 2 maps, not 1",
        f"{last.name}: 2 scores are NaN, infinite or too large for a float32",
    ]


@pytest.mark.parametrize(
    "values",
    [np.zeros(SIZE, dtype=np.uint8), np.zeros((1, *SIZE)), np.full(SIZE, 1e39), np.array("text")],
)
def test_what_is_no_map_is_refused(street, tmp_path, values) -> None:
    folder = write_maps(tmp_path / "maps", street)
    np.save(folder / f"{street.ids[1]}_score.npy", values)
    (fault,) = refusal(folder, street)
    assert fault.startswith(f"{street.ids[1]}_score.npy: ")


def test_damaged_files_are_refused_and_never_unpickled(street, tmp_path) -> None:
    folder = write_maps(tmp_path / "maps", street)
    paths = [folder / f"{name}_score.npy" for name in street.ids]
    paths[0].write_bytes(paths[0].read_bytes()[:-5])
    paths[1].write_bytes(b"")
    np.save(paths[2], np.array([print], dtype=object), allow_pickle=True)
    np.savez(folder / "archive.npz", np.zeros(SIZE))
    (folder / "archive.npz").rename(paths[3])
    assert [fault.partition(":")[0] for fault in refusal(folder, street)] == [
        path.name for path in paths
    ]


def test_there_must_be_a_folder(street, tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        find_maps(tmp_path / "maps", street)


def test_sizes_are_those_of_the_labels_where_the_image_is_an_overlay(tmp_path) -> None:
    dataset = FishyscapesStatic(write_overlays(tmp_path / "fishyscapes"), "val")
    assert dataset.frames[0].image.suffix == ".npz"
    folder = write_maps(tmp_path / "maps", dataset)
    assert list(find_maps(folder, dataset)) == dataset.ids


STORED = {
    "lost_and_found": (
        write_lost_and_found,
        "test",
        "LostAndFound-test/02_Hanns_Klemm_Str_44_000001_000010.hdf5",
    ),
    "fishyscapes_lost_and_found": (
        write_fishyscapes_lost_and_found,
        "val",
        "LostAndFound-test/02_Hanns_Klemm_Str_44_000001_000010.hdf5",
    ),
    "road_anomaly_21": (write_road_anomaly, "val", "AnomalyTrack-all/validation0001.hdf5"),
    "road_obstacle_21": (write_road_obstacle, "val", "ObstacleTrack-all/validation_1.hdf5"),
}


@pytest.mark.parametrize("name", STORED)
def test_the_benchmark_finds_every_map_under_its_own_name(name, tmp_path) -> None:
    h5py = pytest.importorskip("h5py", reason="needs the extra export")
    write, split, last = STORED[name]
    dataset = open_dataset(name, write(tmp_path / "data"), split)
    folder = write_maps(tmp_path / "maps", dataset)
    out = tmp_path / "outputs"
    written = export_maps(folder, dataset, out, TEST_DATA[name]["folder"], "Entropy-2")
    assert written == sorted(out.rglob("*.*")) and len(written) == len(dataset)
    assert written[-1] == out / "anomaly_p" / "Entropy-2" / last
    for path, own in zip(written, find_maps(folder, dataset).values(), strict=True):
        with h5py.File(path) as file:
            assert list(file) == ["value"] and file["value"].dtype == np.float32
            assert np.array_equal(file["value"][:], np.load(own))


def test_frames_without_labels_are_exported(tmp_path) -> None:
    pytest.importorskip("h5py", reason="needs the extra export")
    root = write_road_anomaly(write_road_anomaly(tmp_path / "data"), "test")
    dataset = open_dataset("road_anomaly_21", root, "test")
    folder = write_maps(tmp_path / "maps", dataset)
    written = export_maps(folder, dataset, tmp_path, "AnomalyTrack-all", "ours")
    assert [path.stem for path in written] == ["zebra0000", "zebra0001"]


@pytest.mark.parametrize(("given", "kept"), [("f2", "f2"), ("f4", "f4"), ("f8", "f4")])
def test_float16_is_kept_and_float64_made_float32(street, tmp_path, given, kept) -> None:
    h5py = pytest.importorskip("h5py", reason="needs the extra export")
    folder = write_maps(tmp_path / "maps", street)
    path = folder / f"{street.ids[0]}_score.npy"
    scores = np.load(path).astype(given) / 3
    np.save(path, scores)
    first = export_maps(folder, street, tmp_path, "LostAndFound-{}", "ours")[0]
    with h5py.File(first) as file:
        assert file["value"].dtype == kept
        assert np.array_equal(file["value"][:], scores.astype(kept))


def test_nothing_is_written_if_one_map_does_not_fit(street, tmp_path) -> None:
    pytest.importorskip("h5py", reason="needs the extra export")
    folder = write_maps(tmp_path / "maps", street)
    (folder / f"{street.ids[-1]}_score.npy").unlink()
    with pytest.raises(ValueError, match="do not fit"):
        export_maps(folder, street, tmp_path / "outputs", "LostAndFound-{}", "ours")
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("method", ["", "..", "a/b", "a,b", ".hidden"])
def test_a_method_must_be_a_name_that_the_benchmark_can_be_given(street, tmp_path, method) -> None:
    pytest.importorskip("h5py", reason="needs the extra export")
    folder = write_maps(tmp_path / "maps", street)
    with pytest.raises(ValueError, match="letters, digits"):
        export_maps(folder, street, tmp_path / "outputs", "LostAndFound-{}", method)


def test_the_command_exports(tmp_path, capsys) -> None:
    pytest.importorskip("h5py", reason="needs the extra export")
    root = write_road_anomaly(tmp_path / "dataset_AnomalyTrack")
    folder = write_maps(tmp_path / "maps", open_dataset("road_anomaly_21", root, "val"))
    options = ["--dataset", "road_anomaly_21", "--data-root", str(tmp_path), "--split", "val"]
    out = tmp_path / "outputs"
    command = ["export", str(folder), *options, "--out", str(out), "--method", "ours"]
    assert main(command) == 0
    assert f"2 maps; see {out / 'anomaly_p' / 'ours'}" in capsys.readouterr().out
    assert len(list(out.rglob("*.hdf5"))) == 2
    (folder / "validation0000_score.npy").unlink()
    assert main(command) == 1
    assert "validation0000: there are 0 maps" in capsys.readouterr().err


def test_data_that_the_benchmark_does_not_have(tmp_path, capsys) -> None:
    write_fishyscapes(tmp_path / "fishyscapes")
    options = ["--dataset", "fishyscapes_static", "--data-root", str(tmp_path)]
    assert main(["export", str(tmp_path), *options]) == 1
    assert "has no FishyscapesStatic" in capsys.readouterr().err


def test_without_the_extra_it_says_what_to_install(street, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"ood-lib\[export\]"):
        export_maps(tmp_path, street, tmp_path, "LostAndFound-{}", "ours")
