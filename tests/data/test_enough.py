"""Whether there are as many data as settings and chapters ask for, and what labels tell of them."""

import numpy as np
import pytest
from layouts import (
    bird,
    save,
    write_cityscapes,
    write_coco,
    write_fishyscapes,
    write_lost_and_found,
)

from ood_lib.data import open_dataset
from ood_lib.data.doctor import NEEDED, examine, judge, report, require
from ood_lib.data.enough import count_anomalies
from ood_lib.data.sample import PublishedDataset, read_labels
from ood_lib.settings import load_settings


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OOD_LIB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path):
    """As few images as chapters 1 to 4 can do with."""
    root = tmp_path / "data"
    write_cityscapes(root / "cityscapes", "train", 4)
    write_cityscapes(root / "cityscapes", "val", 2)
    write_coco(root / "coco", [bird(1, 0, 0, 4, 4), bird(2, 0, 0, 30, 18)], [(20, 30)] * 2)
    write_lost_and_found(root / "lost_and_found", "train", 4)
    write_lost_and_found(root / "lost_and_found", "test", 6)
    write_fishyscapes(root / "fishyscapes", 4)
    (root / "cityscapes_best.pth").touch()
    return root


def settings_of(root, **changes):
    return load_settings("thesis", root, **{"proxy_fraction": 0.5} | changes)


def write_enough(root):
    """Data of which every chapter has enough."""
    write_cityscapes(root / "cityscapes", "train", 40)
    birds = [bird(i, 0, 0, 30, 18 if i % 2 else 2) for i in range(1, 41)]
    write_coco(root / "coco", birds, [(20, 30)] * 40)
    for split, count in (("train", 60), ("test", 100)):
        write_lost_and_found(root / "lost_and_found", split, count)
    write_fishyscapes(root / "fishyscapes", 15)
    label = open_dataset("lost_and_found", root / "lost_and_found", "test").frames[-1].label
    ids = read_labels(label)
    ids[0, 0] = 31
    save(label, ids)


def test_too_few_for_the_later_chapters_is_told_and_stops_no_early_one(root, capsys):
    settings = settings_of(root)
    can_run, sentence = judge(examine(root, NEEDED), settings)
    assert not can_run
    assert sentence == (
        "The profile thesis can run chapters 1 to 4, 3a and 3b on this data, not all of the later "
        "ones, which need 40 images of cityscapes train (here 4), 20 proxy images (here 2), "
        "20 proxy images L-20 % (here 1), 20 proxy images M-80 % (here 1), "
        "60 frames of lost_and_found train with an anomaly (here 4), "
        "12 sequences of lost_and_found train with an anomaly (here 2), "
        "100 frames of lost_and_found test with an anomaly (here 6), "
        "20 sequences of lost_and_found test with an anomaly (here 3), "
        "15 frames of fishyscapes_static val with an anomaly (here 4), "
        "15 sequences of fishyscapes_static val with an anomaly (here 4), "
        "a frame of lost_and_found test with a non-hazard (here 0)."
    )
    require(settings)
    assert capsys.readouterr().out.endswith(f"{sentence}\n")


def test_enough_for_every_chapter(root):
    write_enough(root)
    can_run, sentence = judge(examine(root, NEEDED), settings_of(root, proxy_fraction=0.1))
    assert (can_run, sentence) == (True, "The profile thesis can run on this data.")


def test_a_damaged_label_among_those_that_are_counted_is_named(root):
    write_enough(root)
    label = open_dataset("lost_and_found", root / "lost_and_found", "train").frames[3].label
    label.write_bytes(b"no picture" * 999)  # too large to be taken for a blank one
    table = examine(root, NEEDED)
    assert set(table["verdict"]) == {"incomplete"}  # it is not among the three that are decoded
    can_run, sentence = judge(table, settings_of(root, proxy_fraction=0.1))
    assert not can_run and sentence.startswith(f"The profile thesis cannot run: {label} cannot be")


def test_no_more_labels_are_read_than_needed(root, monkeypatch):
    write_lost_and_found(root / "lost_and_found", "test", 60)
    dataset = open_dataset("lost_and_found", root / "lost_and_found", "test")
    read, frames = PublishedDataset.read_target, []
    noted = lambda self, frame: frames.append(frame) or read(self, frame)  # noqa: E731
    monkeypatch.setattr(PublishedDataset, "read_target", noted)
    assert count_anomalies(dataset, 5, 3)[0] >= 5
    assert len(frames) < 12
    frames.clear()
    assert count_anomalies(dataset, 61, 5) == (60, 30)
    assert len(frames) == 60


def test_details_count_the_frames_with_an_anomaly(root):
    dataset = open_dataset("lost_and_found", root / "lost_and_found", "test")
    save(dataset.frames[4].label, np.zeros((24, 40)))
    save(dataset.frames[5].label, np.zeros((24, 40)))
    table = examine(root, [("lost_and_found", "test")], details=True)
    assert "\n  Frames with an anomaly: 4, in sequences: 2" in report(table, details=True)
    assert "Frames with" not in examine(root, [("lost_and_found", "test")]).iloc[0]["note"]


def test_a_few_blank_frames_are_no_sign_of_foreign_labels(root):
    dataset = open_dataset("lost_and_found", root / "lost_and_found", "test")
    for place in (0, 3, 5):  # the first, the middle and the last
        save(dataset.frames[place].label, np.zeros((24, 40)))
    row = examine(root, [("lost_and_found", "test")]).iloc[0]
    assert (row["verdict"], row["blank"], row["problem"]) == ("incomplete", 3, "")


@pytest.mark.parametrize(("rest", "verdict"), [(0, "incomplete"), (255, "broken")])
def test_train_ids_of_lost_and_found_are_named(rest, verdict, root):
    train_id = np.full(256, rest)
    train_id[1], train_id[17] = 1, 2
    for frame in open_dataset("lost_and_found", root / "lost_and_found", "test").frames:
        save(frame.label, train_id[read_labels(frame.label)])
    table = examine(root, [("lost_and_found", "test")])
    assert table.iloc[0]["verdict"] == verdict
    assert "all have the id 2, as in train ids: give *_gtCoarse_labelIds.png." in report(table)
    assert examine(root, [("lost_and_found", "train")]).iloc[0]["problem"] == ""
