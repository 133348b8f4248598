import json
import re
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from layouts import (
    bird,
    save,
    write_cityscapes,
    write_coco,
    write_fishyscapes,
    write_fishyscapes_lost_and_found,
    write_lost_and_found,
    write_original_road_anomaly,
    write_overlays,
    write_road_anomaly,
    write_road_obstacle,
)

from ood_lib.data import DATASETS, SegmentationDataset
from ood_lib.data.__main__ import main
from ood_lib.data.cityscapes import Cityscapes
from ood_lib.data.doctor import NEEDED, examine, judge, report, require
from ood_lib.data.folders import Layout
from ood_lib.data.labels import TRAIN_ID_OF_LABEL_ID
from ood_lib.data.sample import read_labels
from ood_lib.settings import PROFILE_FOLDER, load_settings

WRITTEN = {
    "cityscapes": {"train": 10, "val": 2},
    "coco_proxy": {"train": 3},
    "lost_and_found": {"train": 5, "test": 4},
    "fishyscapes_static": {"val": 2},
    "fishyscapes_lost_and_found": {"val": 4},
    "road_anomaly": {"val": 2},
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
    write_cityscapes(folder / "cityscapes", "train", 10)
    write_cityscapes(folder / "cityscapes", "val", 2)
    person = bird(3, 0, 0, 4, 4) | {"category_id": 1}  # so that one image of COCO is no proxy image
    write_coco(folder / "coco", [bird(1, 0, 0, 4, 4), person], [(20, 30)] * 3)
    write_lost_and_found(folder / "lost_and_found", "train", 5)
    write_fishyscapes(folder / "fishyscapes", 2)
    write_fishyscapes_lost_and_found(folder / "fishyscapes", 4)
    write_original_road_anomaly(folder / "RoadAnomaly_jpg", 2)
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


@pytest.fixture
def enough(monkeypatch):
    """As if so few images were enough for every chapter."""
    for name, value in {"SCENES": 1, "PROXIES": 1, "KINDS": {}, "ANOMALIES": {}}.items():
        monkeypatch.setattr(f"ood_lib.data.enough.{name}", value)
    monkeypatch.setattr("ood_lib.data.enough._has_nonhazard", bool)


def row_of(table, name, split):
    return table[(table["data set"] == name) & (table["split"] == split)].iloc[0]


def middle_label(root: Path) -> Path:
    """The label of sample 5 of the ten of Cityscapes."""
    return root / "cityscapes/gtFine/train/ulm/ulm_000000_000019_gtFine_labelIds.png"


def test_fewer_images_than_published_are_incomplete(root):
    table = examine(root)
    found = {(row["data set"], row["split"]): row["images"] for _, row in table.iterrows()}
    assert found == {
        (name, split): count for name, splits in WRITTEN.items() for split, count in splits.items()
    }
    published = [2975, 500, 118287, 1036, 1203, 30, 100, 60, 10, 100, 30, 327]
    assert table["published"].tolist() == published
    assert set(table["verdict"]) == {"incomplete"}
    assert table["decoded"].tolist() == [
        f"{min(3, n)} of {min(3, n)}" for n in [10, 2, 2, 5, 4, 2, 4, 2, 2, 3, 3, 1]
    ]
    not_public = table["labels"].isna()
    assert table[not_public]["split"].tolist() == ["test", "test"]
    assert (table["labels"] == table["images"])[~not_public].all()
    text = report(table, details=True)
    assert "There are not as many as published" in text
    for dataset in DATASETS.values():
        assert str(root / dataset.folder) in text and dataset.page in text


def test_what_is_incomplete_takes_one_line_unless_details_are_wanted(
    root, as_published, monkeypatch, capsys
):
    whole = len(report(examine(root)).splitlines())
    for name, dataset in DATASETS.items():
        monkeypatch.setattr(dataset, "splits", dict.fromkeys(WRITTEN[name], 99))
    table = examine(root)
    lines = report(table).splitlines()
    assert len(lines) == whole + 1 == 16  # heading, empty line, names of the columns, 12, the note
    assert lines[-1].startswith("Incomplete: not as many as published") and "http" not in lines[-1]
    assert report(table, details=True).count("Get it from: http") == len(DATASETS)
    shutil.rmtree(root / "coco")  # what is wrong is always told
    text = report(examine(root))
    assert text.count("Get it from: http") == 1 and "coco_proxy train: missing" in text
    for details in ([], ["--details"]):
        assert main(["check", "--root", str(root), *details]) == 0
        told = capsys.readouterr().out.count("Get it from")
        assert told >= len(DATASETS) if details else told == 1


def test_the_table_is_aligned_and_fits_the_screen(root):
    lines = report(examine(root), NEEDED).splitlines()
    start = next(i for i, line in enumerate(lines) if "verdict" in line)
    table = lines[start : start + 13]
    assert len({len(line) for line in table}) == 1
    assert max(map(len, table)) < 120
    assert [line[0] for line in table[1:]] == ["*"] * 6 + [" "] * 6
    assert " ".join(table[4].split()) == "* lost_and_found train 5 5 0 3 1036 3 of 3 incomplete"
    assert " ".join(table[10].split()) == "road_anomaly_21 test 3 - - 3 100 3 of 3 incomplete"


def test_all_that_was_published_is_complete(root, as_published):
    table = examine(root)
    assert len(table) == 12
    assert set(table["verdict"]) == {"complete"}
    assert set(table["problem"]) == {""}
    assert row_of(table, "coco_proxy", "train")["labels"] == 3
    assert "http" not in report(table)


def test_more_than_published_is_not_complete(root, as_published, monkeypatch):
    monkeypatch.setattr(Cityscapes, "splits", {"train": 9, "val": 2})
    row = examine(root, [("cityscapes", "train")]).iloc[0]
    assert row["verdict"] == "incomplete"
    assert row["problem"] == "" and "There are not as many as published" in row["note"]


def test_a_missing_folder(root, as_published):
    shutil.rmtree(root / "coco")
    table = examine(root)
    assert table[table["verdict"] != "complete"]["data set"].tolist() == ["coco_proxy"]
    text = report(table)
    assert "coco_proxy train: missing" in text
    words = ("coco_proxy", str(root / "coco"))
    told = [line for line in text.splitlines() if any(word in line for word in words)]
    assert len(told) == 4  # of the table, and three of what to do, but for the address
    assert told[2].startswith(f"  It is not there. Expected directly in: {root / 'coco'}")
    assert "\n  Get it from: https://cocodataset.org/#download" in text
    held = "RoadAnomaly_jpg, cityscapes, dataset_AnomalyTrack, dataset_ObstacleTrack, "
    assert f"holds: {held}" in text


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
        10,
        10,
    )
    assert f"{label} cannot be read as an image" in row["problem"]
    assert (table["verdict"] == "broken").sum() == 1


def test_a_label_that_is_missing(root, as_published):
    middle_label(root).unlink()
    row = row_of(examine(root), "cityscapes", "train")
    assert (row["verdict"], row["decoded"], row["images"], row["labels"]) == ("broken", "-", 10, 9)
    assert str(middle_label(root)) in row["problem"]
    line = report(examine(root, [("cityscapes", "train")])).splitlines()[3]
    assert line.split() == ["cityscapes", "train", "10", "9", "-", "-", "10", "-", "broken"]


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
    assert read == [0, 5, 9]
    assert listed == ["image", "label"]


def write_manifest(root: Path) -> None:
    sizes = {
        "train": 10,
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
    assert table["published"].tolist() == [10, 2, 3, 2, 4, 2]
    assert set(table["verdict"]) == {"complete"}
    assert "fewer images than published, by design" in report(table)
    for file in (root / "cityscapes").rglob("ulm_000000_000019*"):
        file.unlink()
    assert row_of(examine(root), "cityscapes", "train")["verdict"] == "incomplete"


def test_fishyscapes_static_in_its_versions(root, as_published, enough):
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
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "cityscapes train 10 10 0 10 2975 3 of 3 incomplete" in lines


def test_require_names_all_that_is_missing_or_broken_at_once(root, capsys):
    shutil.rmtree(root / "coco")
    middle_label(root).write_text("no picture")
    (root / "cityscapes_best.pth").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        require(load_settings("thesis", root))
    sentence, broken, folder, _, account, *missing = str(caught.value).splitlines()
    assert sentence == (
        "The profile thesis cannot run: cityscapes train is broken, coco_proxy train is missing, "
        f"the weights {root / 'cityscapes_best.pth'} are missing (get them, "
        "1,071 MB, by the README of https://github.com/NVIDIA/semantic-segmentation/tree/sdcnet)."
    )
    assert broken.startswith(f"{middle_label(root)} cannot be read as an image")
    assert folder == f"Expected directly in: {root / 'cityscapes'}"
    assert account.startswith("It needs an account: gtFine_trainvaltest.zip (253 MB) and leftImg")
    assert missing == [
        f"It is not there. Expected directly in: {root / 'coco'}",
        "Get it from: https://cocodataset.org/#download",
        f"or by: python -m ood_lib.data get coco_proxy --root {root}",
    ]
    assert "cityscapes train: broken" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"num_in_distribution": 11},
            "lower num_in_distribution=11 to 10 or less, or null for all.",
        ),
        ({"num_in_distribution": 10}, None),
        ({"batch_size": 11}, "lower batch_size=11 to 10 or less."),
        ({"num_in_distribution": 9}, "proxy_fraction=0.1 is 0 of 2 proxy images: raise it."),
        ({"proxy_fraction": 0.3}, "proxy_fraction=0.3 is 3 of 2 proxy images: lower it."),
        ({"proxy_fraction": 0.2}, None),
        ({"proxy_fraction": 0.0}, None),
        ({"min_ood_share": 0.9}, "min_ood_share=0.9 and max_ood_share=1.0 leave no"),
        ({"proxy_query": "objects > 9"}, "The query 'objects > 9' holds for none"),
    ],
    ids=str,
)
def test_settings_that_ask_for_more_than_there_is(change, sentence, root, enough):
    settings = load_settings("thesis", root, **change)
    can_run, told = judge(examine(root, NEEDED), settings)
    if sentence is None:
        assert (can_run, told) == (True, "The profile thesis can run on this data.")
        return
    assert not can_run and told.startswith(f"The profile thesis cannot run: {sentence}")
    with pytest.raises(FileNotFoundError) as caught:
        require(settings)
    assert str(caught.value) == told


@pytest.mark.parametrize("batch_size", [10, 11])
def test_a_network_to_be_trained_needs_a_batch_of_scenes(batch_size, root, enough):
    recipe = {"closed_set": {"batch_size": batch_size}, "checkpoint": None}
    settings = load_settings("thesis", root, **recipe)
    can_run, told = judge(examine(root, NEEDED), settings)
    assert can_run == (batch_size == 10)
    assert can_run or "lower batch_size=11 of closed_set to 10 or less" in told


@pytest.mark.parametrize(
    ("name", "split"), [("cityscapes", "val"), ("lost_and_found", "test")], ids=str
)
def test_an_interval_needs_two_sequences(name, split, root):
    settings = load_settings("thesis", root)
    frames = settings.open(name, split).frames
    for frame in frames:
        if frame.sequence != frames[0].sequence:
            frame.image.unlink()
            frame.label.unlink()
    can_run, told = judge(examine(root, NEEDED), settings)
    assert not can_run
    assert told.endswith(f"{name} {split} is one sequence, and an interval needs two: add another.")


def test_blank_labels_are_counted_and_named_and_no_error(root, as_published, enough):
    blank = root / "lost_and_found/gtCoarse/test/02_Hanns_Klemm_Str_44"
    for drive in (0, 1):
        name = f"02_Hanns_Klemm_Str_44_{drive:06d}_000010_gtCoarse_labelIds.png"
        save(blank / name, np.zeros((24, 40)))
    table = examine(root)
    row = row_of(table, "lost_and_found", "test")
    assert (row["verdict"], row["images"], row["blank"]) == ("complete", 4, 2)
    assert table["blank"].sum() == 2
    told = report(table)
    assert "\nBlank label files: 2, which no measure counts; as published LostAndFound has" in told
    assert "000000_000010" not in told
    details = report(table, details=True)
    names = [f"02_Hanns_Klemm_Str_44_{drive:06d}_000010_leftImg8bit" for drive in (0, 1)]
    assert f"lost_and_found test: complete\n  Blank: {', '.join(names)}" in details
    assert judge(table, load_settings("thesis", root))[0]


@pytest.mark.parametrize(
    ("name", "split", "ids", "sentence"),
    [
        (
            "cityscapes",
            "train",
            TRAIN_ID_OF_LABEL_ID,
            "None of the 10 .* has an id above 18: .* train ids",
        ),
        (
            "lost_and_found",
            "test",
            np.minimum(np.arange(256), 1),
            "has an obstacle, of the ids from 2",
        ),
        (
            "fishyscapes_static",
            "val",
            255 * np.minimum(np.arange(256), 1),
            "None of the 2 .* has an anomaly",
        ),
        (
            "road_anomaly_21",
            "val",
            255 * np.minimum(np.arange(256), 1),
            "has an anomaly: 1 should be one, 0 and 255 not",
        ),
    ],
    ids=str,
)
def test_labels_of_another_convention_are_named(name, split, ids, sentence, root, as_published):
    """Train ids as label ids; free space and the rest only; white for an anomaly."""
    for frame in load_settings("thesis", root).open(name, split).frames:
        save(frame.label, ids[read_labels(frame.label)])
    row = row_of(examine(root), name, split)
    assert row["verdict"] == "broken" and re.search(sentence, row["problem"])
    assert row["decoded"] == f"{min(3, row['images'])} of {min(3, row['images'])}"


def test_exit_codes(root, enough, capsys):
    assert main(["check", "--root", str(root)]) == 0
    assert "cannot run" not in capsys.readouterr().out
    assert main(["check", "--root", str(root), "--profile", "thesis"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "The profile thesis can run on this data."
    assert "*  The notebooks need it." in out
    shutil.rmtree(root / "dataset_AnomalyTrack")  # no notebook needs it
    assert main(["check", "--root", str(root), "--profile", "thesis"]) == 0
    assert "road_anomaly_21 val, test: missing" not in capsys.readouterr().out
    assert main(["check", "--root", str(root), "--profile", "thesis", "--details"]) == 0
    assert "road_anomaly_21 val, test: missing" in capsys.readouterr().out
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
    ],
)
def test_wrong_usage(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_a_profile_that_does_not_exist(capsys):
    assert main(["check", "--root", ".", "--profile", "theses"]) == 1
    assert "There is no profile 'theses'; choose one of: " in capsys.readouterr().err


def test_a_root_that_is_no_folder(tmp_path, capsys):
    assert main(["check", "--root", str(tmp_path / "nowhere")]) == 1
    assert (
        f"There is no folder {tmp_path / 'nowhere'}. Give the one that holds cityscapes, coco"
        in (capsys.readouterr().err)
    )


def test_the_home_of_nobody(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["check", "--root", "~nobody-of-this-name/data"]) == 1
    assert "There is no folder ~nobody-of-this-name/data." in capsys.readouterr().err
    assert set(examine("~nobody-of-this-name/data")["verdict"]) == {"missing"}


def test_the_command(tmp_path, monkeypatch, capsys):
    (tmp_path / "leftImg8bit").mkdir()
    arguments = ["check", "--root", str(tmp_path), "--profile", "thesis"]
    monkeypatch.setattr(sys, "argv", ["ood_lib.data", *arguments])
    monkeypatch.delitem(sys.modules, "ood_lib.data.__main__")
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("ood_lib.data", run_name="__main__")  # as python -m does
    assert ended.value.code == 1
    printed = capsys.readouterr().out
    assert printed.count("missing") >= 12
    assert printed.splitlines()[-1].startswith(
        "The profile thesis cannot run: cityscapes train is missing, "
    )
    assert "which holds: leftImg8bit" in printed
