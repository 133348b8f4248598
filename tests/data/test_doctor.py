import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from layouts import (
    bird,
    write_cityscapes,
    write_coco,
    write_fishyscapes,
    write_fishyscapes_lost_and_found,
    write_lost_and_found,
    write_overlays,
    write_road_anomaly,
    write_road_obstacle,
)

from ood_lib.data import DATASETS, SegmentationDataset
from ood_lib.data.__main__ import main
from ood_lib.data.cityscapes import Cityscapes
from ood_lib.data.doctor import NEEDED, examine, judge, report, require
from ood_lib.data.folders import Layout
from ood_lib.settings import PROFILE_FOLDER, load_settings

WRITTEN = {
    "cityscapes": {"train": 6, "val": 2},
    "coco_proxy": {"train": 3},
    "lost_and_found": {"train": 5, "test": 4},
    "fishyscapes_static": {"val": 2},
    "fishyscapes_lost_and_found": {"val": 4},
    "road_anomaly_21": {"val": 2, "test": 3},
    "road_obstacle_21": {"val": 3, "test": 1},
}
"""How many images `root` holds."""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OOD_LIB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path) -> Path:
    """A data root with a few images of every split of every data set, and the weights of the
    profile ``thesis``."""
    folder = tmp_path / "data"
    write_cityscapes(folder / "cityscapes", "train", 6)
    write_cityscapes(folder / "cityscapes", "val", 2)
    person = bird(3, 0, 0, 4, 4) | {"category_id": 1}  # so that one image of COCO is no proxy image
    write_coco(folder / "coco", [bird(1, 0, 0, 4, 4), person], [(20, 30)] * 3)
    write_lost_and_found(folder / "lost_and_found", "train", 5)
    write_fishyscapes(folder / "fishyscapes", 2)
    write_fishyscapes_lost_and_found(folder / "fishyscapes", 4)
    for split, anomalies, obstacles in (("val", 2, 3), ("test", 3, 1)):
        write_road_anomaly(folder / "dataset_AnomalyTrack", split, anomalies)
        write_road_obstacle(folder / "dataset_ObstacleTrack", split, obstacles)
    (folder / "cityscapes_best.pth").touch()
    return folder


@pytest.fixture
def as_published(monkeypatch):
    """As if no more had been published than was written."""
    for name, splits in WRITTEN.items():
        monkeypatch.setattr(DATASETS[name], "splits", splits)


def row_of(table, name, split):
    return table[(table["data set"] == name) & (table["split"] == split)].iloc[0]


def middle_label(root: Path) -> Path:
    """The label of sample 3 of the six of Cityscapes."""
    return root / "cityscapes/gtFine/train/ulm/ulm_000000_000019_gtFine_labelIds.png"


def test_fewer_images_than_published_are_incomplete(root):
    table = examine(root)
    found = {(row["data set"], row["split"]): row["images"] for _, row in table.iterrows()}
    assert found == {
        (name, split): count for name, splits in WRITTEN.items() for split, count in splits.items()
    }
    assert table["published"].tolist() == [2975, 500, 118287, 1036, 1203, 30, 100, 10, 100, 30, 327]
    assert set(table["verdict"]) == {"incomplete"}
    assert table["decoded"].tolist() == [
        f"{min(3, n)} of {min(3, n)}" for n in [6, 2, 2, 5, 4, 2, 4, 2, 3, 3, 1]
    ]
    not_public = table["labels"].isna()
    assert table[not_public]["split"].tolist() == ["test", "test"]
    assert (table["labels"] == table["images"])[~not_public].all()
    text = report(table)
    assert "There are not as many as published" in text
    for dataset in DATASETS.values():
        assert str(root / dataset.folder) in text and dataset.page in text


def test_the_table_is_aligned_and_fits_the_screen(root):
    lines = report(examine(root), NEEDED).splitlines()
    start = next(i for i, line in enumerate(lines) if "verdict" in line)
    table = lines[start : start + 12]
    assert len({len(line) for line in table}) == 1
    assert max(map(len, table)) < 120
    assert [line[0] for line in table[1:]] == ["*"] * 6 + [" "] * 5
    assert " ".join(table[4].split()) == "* lost_and_found train 5 5 1036 3 of 3 incomplete"
    assert " ".join(table[9].split()) == "road_anomaly_21 test 3 - 100 3 of 3 incomplete"


def test_all_that_was_published_is_complete(root, as_published):
    table = examine(root)
    assert len(table) == 11
    assert set(table["verdict"]) == {"complete"}
    assert set(table["problem"]) == {""}
    assert row_of(table, "coco_proxy", "train")["labels"] == 3
    assert "http" not in report(table)


def test_more_than_published_is_not_complete(root, as_published, monkeypatch):
    monkeypatch.setattr(Cityscapes, "splits", {"train": 5, "val": 2})
    row = examine(root, [("cityscapes", "train")]).iloc[0]
    assert row["verdict"] == "incomplete"
    assert "There are not as many as published" in row["problem"]


def test_a_missing_folder(root, as_published):
    shutil.rmtree(root / "coco")
    table = examine(root)
    assert table[table["verdict"] != "complete"]["data set"].tolist() == ["coco_proxy"]
    text = report(table)
    assert "coco_proxy train: missing" in text
    assert (
        f"  Expected directly in: {root / 'coco'}\n  Get it from: https://cocodataset.org/#download"
        in text
    )
    assert "holds: cityscapes, dataset_AnomalyTrack, dataset_ObstacleTrack, fishyscapes, " in text


def test_a_folder_unpacked_one_level_too_deep(root, as_published):
    (root / "lost_and_found").rename(root / "archive")
    (root / "lost_and_found").mkdir()
    (root / "archive").rename(root / "lost_and_found" / "lost_and_found")
    table = examine(root, NEEDED)
    bad = table[table["verdict"] != "complete"]
    assert bad["data set"].tolist() == ["lost_and_found"] * 2
    assert set(bad["verdict"]) == {"missing"}
    assert (
        bad["problem"].str.contains(str(root / "lost_and_found" / "leftImg8bit"), regex=False).all()
    )
    assert (
        bad["problem"]
        .str.contains(f"The folder {root}/lost_and_found/lost_and_found looks like", regex=False)
        .all()
    )


def test_a_truncated_label_in_the_middle(root, as_published):
    label = middle_label(root)
    label.write_bytes(label.read_bytes()[:100])
    table = examine(root)
    row = row_of(table, "cityscapes", "train")
    assert (row["verdict"], row["decoded"], row["images"], row["labels"]) == (
        "broken",
        "2 of 3",
        6,
        6,
    )
    assert f"{label} cannot be read as an image" in row["problem"]
    assert (table["verdict"] == "broken").sum() == 1


def test_a_label_that_is_missing(root, as_published):
    middle_label(root).unlink()
    row = row_of(examine(root), "cityscapes", "train")
    assert (row["verdict"], row["decoded"], row["images"], row["labels"]) == ("broken", "-", 6, 5)
    assert str(middle_label(root)) in row["problem"]
    line = report(examine(root, [("cityscapes", "train")])).splitlines()[3]
    assert line.split() == ["cityscapes", "train", "6", "5", "6", "-", "broken"]


def test_an_error_of_any_kind_is_told_with_its_kind(root, as_published, monkeypatch):
    def fail(self, frame):
        raise KeyError("rgb")

    monkeypatch.setattr(Cityscapes, "read_target", fail)
    table = examine(root)
    assert row_of(table, "cityscapes", "val")["problem"].startswith("KeyError: 'rgb'.\n")
    assert (table["verdict"] == "broken").sum() == 2


def test_three_samples_are_read_and_files_listed_once(root, as_published, monkeypatch):
    read, listed = [], []
    get, files = SegmentationDataset.__getitem__, Layout.files
    monkeypatch.setattr(
        SegmentationDataset, "__getitem__", lambda self, i: read.append(i) or get(self, i)
    )
    monkeypatch.setattr(Layout, "files", lambda *args: listed.append(args[-1]) or files(*args))
    examine(root, [("cityscapes", "train")])
    assert read == [0, 3, 5]
    assert listed == ["image", "label"]


def write_manifest(root: Path) -> None:
    sizes = {
        "train": 6,
        "val": 2,
        "proxy": 3,
        "tuning_sequences": 1,
        "test_sequences": 2,
        "frames": 2,
        "fishyscapes": 9,
    }
    (root / "miniature.json").write_text(
        json.dumps({"key": "0", "seed": 0, "width": 40, "height": 24} | sizes)
    )


def test_painted_data_are_compared_with_what_was_painted(root):
    shutil.rmtree(root / "lost_and_found")
    write_lost_and_found(root / "lost_and_found", "train", 2)
    write_lost_and_found(root / "lost_and_found", "test", 4)
    write_manifest(root)
    table = examine(root)
    assert table["published"].tolist() == [6, 2, 3, 2, 4, 2]
    assert set(table["verdict"]) == {"complete"}
    assert "fewer images than published, by design" in report(table)
    for file in (root / "cityscapes").rglob("ulm_000000_000019*"):
        file.unlink()
    assert row_of(examine(root), "cityscapes", "train")["verdict"] == "incomplete"


def test_fishyscapes_static_in_its_versions(root, as_published):
    write_overlays(root / "fishyscapes", "v3", 2)
    both = examine(root, [("fishyscapes_static", "val")])
    assert both["data set"].tolist() == ["fishyscapes_static", "fishyscapes_static v3"]
    assert set(both["verdict"]) == {"complete"}
    shutil.rmtree(root / "fishyscapes" / "Static")
    one = examine(root, NEEDED)
    assert one["data set"].tolist()[-1] == "fishyscapes_static v3"
    assert set(one["verdict"]) == {"complete"}
    assert judge(one, load_settings("thesis", root)) == (
        True,
        "The profile thesis can run on this data.",
    )
    write_overlays(root / "fishyscapes", "v2", 2)
    can_run, sentence = judge(examine(root, NEEDED), load_settings("thesis", root))
    assert not can_run
    assert (
        "fishyscapes_static val is not there as the notebooks open it" in sentence
        and "v2 and v3" in sentence
    )
    shutil.rmtree(root / "fishyscapes" / "fs_val_v2")
    for file in (root / "fishyscapes" / "fs_val_v3").iterdir():
        file.rename(root / "fishyscapes" / file.name)
    (root / "fishyscapes" / "fs_val_v3").rmdir()
    assert examine(root, [("fishyscapes_static", "val")])["data set"].tolist() == [
        "fishyscapes_static v?"
    ]


def test_require(root, capsys):
    require(load_settings("thesis", root))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["cityscapes", "train", "6", "6", "2975", "3", "of", "3", "incomplete"] in lines


def test_require_names_all_that_is_missing_or_broken_at_once(root, capsys):
    shutil.rmtree(root / "coco")
    middle_label(root).write_text("no picture")
    (root / "cityscapes_best.pth").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        require(load_settings("thesis", root))
    sentence, broken, folder, _, missing, *where = str(caught.value).splitlines()
    assert sentence == (
        "The profile thesis cannot run: cityscapes train is broken, coco_proxy train is missing, "
        f"the weights {root / 'cityscapes_best.pth'} are missing (get them by "
        "the README of https://github.com/NVIDIA/semantic-segmentation/tree/sdcnet)."
    )
    assert broken.startswith(f"{middle_label(root)} cannot be read as an image")
    assert folder == f"Expected directly in: {root / 'cityscapes'}"
    assert missing == "It is not there."
    assert where == [
        f"Expected directly in: {root / 'coco'}",
        "Get it from: https://cocodataset.org/#download",
    ]
    assert "cityscapes train: broken" in capsys.readouterr().out


def test_exit_codes(root, capsys):
    assert main(["check", "--root", str(root)]) == 0
    assert "cannot run" not in capsys.readouterr().out
    assert main(["check", "--root", str(root), "--profile", "thesis"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "The profile thesis can run on this data."
    assert "*  The notebooks need it." in out
    shutil.rmtree(root / "dataset_AnomalyTrack")  # no notebook needs it
    assert main(["check", "--root", str(root), "--profile", "thesis"]) == 0
    shutil.rmtree(root / "fishyscapes")
    assert main(["check", "--root", str(root)]) == 0
    capsys.readouterr()
    assert main(["check", "--root", str(root), "--profile", "thesis"]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "The profile thesis cannot run: fishyscapes_static val is missing."


def test_a_profile_that_is_a_file(root, capsys):
    text = (PROFILE_FOLDER / "thesis.yml").read_text()
    (root / "own.yml").write_text(text.replace("cityscapes_best.pth", "mine.safetensors"))
    assert main(["check", "--root", str(root), "--profile", str(root / "own.yml")]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert (
        last == f"The profile own cannot run: the weights {root / 'mine.safetensors'} are missing."
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required"),
        (["check"], "required: --root"),
        (
            ["check", "--root", ".", "--profile", "theses"],
            "There is no profile 'theses'; choose one of: ",
        ),
    ],
)
def test_wrong_usage(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_a_root_that_is_no_folder(tmp_path, capsys):
    assert main(["check", "--root", str(tmp_path / "nowhere")]) == 1
    assert (
        f"There is no folder {tmp_path / 'nowhere'}. Give the one that holds cityscapes, coco"
        in (capsys.readouterr().err)
    )


def test_the_command(tmp_path):
    (tmp_path / "leftImg8bit").mkdir()
    command = [
        sys.executable,
        "-m",
        "ood_lib.data",
        "check",
        "--root",
        str(tmp_path),
        "--profile",
        "thesis",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout.count("missing") >= 11
    assert done.stdout.splitlines()[-1].startswith(
        "The profile thesis cannot run: cityscapes train is missing, "
    )
    assert "which holds: leftImg8bit" in done.stdout
    assert "Traceback" not in done.stderr
