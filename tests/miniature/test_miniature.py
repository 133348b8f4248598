"""The painted city: deterministic, in the official layouts, and without test anomalies in anything
trained on."""

import json
from itertools import chain

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from ood_lib.data import open_dataset
from ood_lib.data.labels import CITYSCAPES_IDS
from ood_lib.data.sample import last_with_anomaly, read_labels
from ood_lib.miniature import (
    MANIFEST,
    Size,
    ensure_miniature,
    painted_folder,
    proxy,
    scenes,
    sprites,
)
from ood_lib.miniature.camera import Camera
from ood_lib.miniature.canvas import Canvas
from ood_lib.studies.records import book_records
from ood_lib.studies.verdicts import DRIVES

SMALL = Size(
    width=128,
    height=64,
    train=4,
    val=3,
    proxy=40,
    tuning_sequences=1,
    test_sequences=2,
    frames=3,
    fishyscapes=3,
)


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    return ensure_miniature(tmp_path_factory.mktemp("city"), size=SMALL, jobs=1)


def contents(root):
    return {
        path.relative_to(root): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_the_same_seed_paints_the_same_files_and_another_seed_others(city, tmp_path):
    size = Size(
        width=128,
        height=64,
        train=2,
        val=1,
        proxy=2,
        tuning_sequences=1,
        test_sequences=1,
        frames=1,
    )
    first = contents(ensure_miniature(tmp_path / "a", size=size, jobs=1))
    again = contents(ensure_miniature(tmp_path / "b", size=size, jobs=2))
    other = contents(ensure_miniature(tmp_path / "c", size=size, jobs=1, seed=1))
    assert first == again
    assert first.keys() == other.keys()
    pictures = [name for name in first if name.suffix in (".png", ".jpg")]
    assert all(
        first[name] != other[name]
        for name in pictures
        if "original" in name.parts or "leftImg8bit" in name.parts
    )
    # A scene depends on its own number alone, not on how many others are painted.
    train = [name for name in pictures if "cityscapes" in name.parts and "train" in name.parts]
    assert all(first[name] == contents(city)[name] for name in train)


def test_numbers_of_numpy_paint_what_those_of_python_paint(tmp_path):
    one = dict.fromkeys(
        ("train", "val", "proxy", "tuning_sequences", "test_sequences", "frames"), 1
    )
    numbers = {"width": 128, "height": 64, "fishyscapes": 1, **one}
    of_numpy = {name: np.int64(number) for name, number in numbers.items()}
    first = ensure_miniature(tmp_path / "a", seed=1, size=Size(**numbers), jobs=1)
    again = ensure_miniature(tmp_path / "b", seed=np.int64(1), size=Size(**of_numpy), jobs=1)
    assert contents(first) == contents(again)
    with pytest.raises(TypeError):
        ensure_miniature(tmp_path / "c", seed=1.5)
    assert not (tmp_path / "c").exists()


def test_a_partial_folder_is_finished_and_what_is_there_is_left_alone(city, tmp_path):
    size = Size(
        width=128,
        height=64,
        train=3,
        val=1,
        proxy=4,
        tuning_sequences=1,
        test_sequences=1,
        frames=2,
    )
    root = ensure_miniature(tmp_path / "city", size=size, jobs=1)
    before = contents(root)
    times = {name: (root / name).stat().st_mtime_ns for name in before}
    removed = [name for name in before if name.suffix == ".png"][:2] + [
        next(n for n in before if n.suffix == ".jpg")
    ]
    for name in removed:
        (root / name).unlink()
    assert ensure_miniature(root, size=size, jobs=1) == root
    assert contents(root) == before
    labels = [name for name in before if "lost_and_found" in name.parts]
    assert labels and all(
        (root / name).stat().st_mtime_ns == times[name] for name in labels if name not in removed
    )


def test_a_folder_of_somebody_else_and_one_of_other_settings_are_refused(city, tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"not ours")
    with pytest.raises(FileExistsError, match="is not a miniature"):
        ensure_miniature(tmp_path, size=SMALL)
    with pytest.raises(FileExistsError, match=r"other settings \(key, seed\)"):
        ensure_miniature(city, size=SMALL, seed=7)
    assert json.loads((city / MANIFEST).read_text())["seed"] == 0


def test_the_book_s_records_are_of_the_pictures_that_are_painted_today():
    """A painter that fails here outdates all records, unless it paints the same files."""
    first = (book_records() / "runs.jsonl").read_text(encoding="utf-8").splitlines()[0]
    assert painted_folder().name == f"miniature-{json.loads(first)['inputs']['data']}"
    assert painted_folder(size=DRIVES).name == "miniature-4270977d83"
    assert painted_folder(seed=1).name != painted_folder().name


def test_every_loader_reads_what_was_painted(city):
    cityscapes = open_dataset("cityscapes", city / "cityscapes", "train")
    assert len(cityscapes) == 4 and cityscapes[0].image.shape == (3, 64, 128)
    values = set(chain.from_iterable(np.unique(sample.target).tolist() for sample in cityscapes))
    assert {0, 1, 2, 8, 10} <= values <= {*range(19), 255}
    fishyscapes = open_dataset("fishyscapes_static", city / "fishyscapes")
    assert all({0, 1} <= set(np.unique(sample.target).tolist()) for sample in fishyscapes)
    assert len(open_dataset("lost_and_found", city / "lost_and_found", "train")) == 3


def test_the_obstacle_grows_while_the_camera_drives_towards_it(city):
    frames = open_dataset("lost_and_found", city / "lost_and_found", "test")
    areas: dict[str, list[int]] = {}
    for frame in frames:
        areas.setdefault(frame.sequence, []).append(int((frame.target == 1).sum()))
    assert len(areas) == 2
    first, second = areas.values()
    assert len(first) == 3 and 0 < first[0] < first[1] < first[2]
    assert len(second) == 3 and 0 < second[0] < second[1]


def test_the_last_frame_of_one_test_drive_has_a_blank_label(city):
    labels = {}
    for split in ("train", "test"):
        for frame in open_dataset("lost_and_found", city / "lost_and_found", split).frames:
            labels[frame.id] = read_labels(frame.label)
    blank = [name for name, label in labels.items() if not label.any()]
    assert blank == ["04_Ringstrasse_000000_000030_leftImg8bit"]
    test_set = open_dataset("lost_and_found", city / "lost_and_found", "test")
    assert last_with_anomaly(test_set) == {"02_Muehlgasse_000000": 2, "04_Ringstrasse_000000": 4}
    picture, ids = scenes.approach(0, "test", 1, 2, SMALL.frames, SMALL.width, SMALL.height)
    np.testing.assert_array_equal(test_set[5].image.permute(1, 2, 0), picture)  # as without it
    assert set(np.unique(ids).tolist()) > {0, 1} and test_set[5].target.unique().tolist() == [255]


def test_the_proxy_has_cocos_categories_excluded_images_and_all_shares(city):
    instances = json.loads((city / "coco" / "annotations" / "instances_train2017.json").read_text())
    categories = {c["id"]: c["name"] for c in instances["categories"]}
    assert len(categories) == 80 and categories[1] == "person" and categories[90] == "toothbrush"
    assert {c["supercategory"] for c in instances["categories"]} >= {
        "animal",
        "food",
        "furniture",
        "vehicle",
    }
    named = {categories[a["category_id"]] for a in instances["annotations"]}
    kept = open_dataset("coco_proxy", city / "coco")
    assert named & set(sprites.EXCLUDED) and len(kept) < len(instances["images"]) == 40
    shares = kept.properties["ood_share"]
    assert shares.min() < 0.1 and shares.max() > 0.9
    assert ((shares > 0.2) & (shares < 0.8)).any()
    few = open_dataset("coco_proxy", city / "coco", max_ood_share=0.2)
    assert set(np.unique(few[0].target).tolist()) == {254, 255}


def test_no_drawing_serves_two_purposes():
    groups = {
        "known": set(chain.from_iterable(sprites.KNOWN.values())),
        "proxy": set(chain.from_iterable(sprites.PROXY.values())),
        "tuning": set(sprites.TUNING_ANOMALIES),
        "test": set(sprites.TEST_OBSTACLES + sprites.TEST_ANIMALS),
        "litter": set(sprites.NON_HAZARDS),
    }
    drawn = [emoji for group in groups.values() for emoji in group]
    assert len(drawn) == len(set(drawn))
    assert set(chain.from_iterable(sprites.EXCLUDED.values())) <= groups["known"]
    pictures = [sprites.load_sprite(emoji).rgba.tobytes() for emoji in drawn]
    assert len(pictures) == len(set(pictures))


def test_what_is_trained_or_tuned_on_never_shows_a_test_anomaly(monkeypatch):
    used: set[str] = set()
    load = sprites.load_sprite
    monkeypatch.setattr(sprites, "load_sprite", lambda emoji: used.add(str(emoji)) or load(emoji))
    for index in range(12):
        scenes.everyday(0, "train", index, 64, 32)
        scenes.approach(0, "train", index, 0, 2, 64, 32)
        proxy.paint_proxy(scenes.generator(0, "proxy", index), 48, 36, excluded=index % 4 == 0)
    test = set(sprites.TEST_OBSTACLES + sprites.TEST_ANIMALS)
    assert len(used & set(sprites.TUNING_ANOMALIES)) >= 5 and not used & test
    used.clear()
    for index in range(12):
        scenes.approach(0, "test", index, 0, 2, 64, 32)
        scenes.pasted(0, index, 64, 32)
    assert len(used & test) >= 5 and not used & set(sprites.TUNING_ANOMALIES)


def test_all_nineteen_classes_are_painted():
    seen: set[int] = set()
    for index in range(40):
        image, ids = scenes.everyday(0, "train", index, 128, 64)
        assert (
            image.dtype == ids.dtype == np.uint8
            and image.shape == (64, 128, 3)
            and ids.shape == (64, 128)
        )
        seen |= set(np.unique(ids).tolist())
    trained = {7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33}
    assert trained <= seen <= CITYSCAPES_IDS


def test_the_camera_sees_the_ground_where_it_projects_it():
    camera = Camera(width=200, height=100, focal=190.0, horizon=42.0, x=0.4, z=10.0, eye=1.5)
    first, x, z, ahead = camera.ground()
    row, column = 20, 131
    projected = camera.project(float(x[row, column]), 0.0, float(z[row, 0]))
    assert projected == pytest.approx((column + 0.5, first + row + 0.5), abs=1e-3)
    assert float(ahead[row, 0]) == pytest.approx(190 * 1.5 / (first + row + 0.5 - 42), rel=1e-6)


def test_a_sprite_is_as_tall_as_asked_and_covers_its_mask():
    canvas = Canvas(Camera(width=200, height=100, focal=190.0, horizon=42.0))
    sprite = sprites.load_sprite("📦")
    canvas.sprite(sprite, column=100.0, bottom=80.0, height=40.0, depth=9.0, label=77)
    rows, columns = np.where(canvas.label == 77)
    assert rows.max() - rows.min() + 1 == pytest.approx(
        40, abs=1
    ) and rows.max() + 1 == pytest.approx(80, abs=1)
    assert columns.mean() == pytest.approx(100, abs=1.5)
    assert (canvas.label == 77).sum() == pytest.approx(
        40 * 40 * sprite.aspect * sprite.mask.mean(), rel=0.05
    )
    assert (canvas.depth[canvas.label == 77] == 9.0).all()


def test_annotations_decode_to_the_painted_mask():
    mask = np.zeros((40, 60), dtype=bool)
    mask[5:20, 10:30] = mask[12:33, 25:44] = True
    polygons = proxy._annotation(mask, "cat", crowd=False)
    decoded = coco_mask.decode(
        coco_mask.merge(coco_mask.frPyObjects(polygons["segmentation"], 40, 60))
    ).astype(bool)
    assert (decoded ^ mask).mean() < 0.02
    crowd = proxy._annotation(mask, "cat", crowd=True)
    assert (
        coco_mask.decode(coco_mask.frPyObjects(crowd["segmentation"], 40, 60)).astype(bool) == mask
    ).all()
    assert (
        crowd["area"] == mask.sum() and crowd["bbox"] == [10, 5, 34, 28] and crowd["iscrowd"] == 1
    )
