import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layouts import bird, box, save, write_coco
from pycocotools import mask as rle
from pycocotools.coco import COCO

from ood_lib.data import open_dataset
from ood_lib.data.coco_index import index_path, open_index
from ood_lib.data.coco_proxy import EXCLUDED_CATEGORIES, CocoProxy

SIZE = (20, 30)
SUPERCATEGORIES = {1: "person", 16: "animal", 7: "vehicle"}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("OOD_LIB_CACHE", str(folder))
    return folder


def annotations_of(root: Path) -> Path:
    return root / "annotations" / "instances_train2017.json"


def rewrite(root: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """Change what the annotation file holds."""
    content = json.loads(annotations_of(root).read_text())
    change(content)
    annotations_of(root).write_text(json.dumps(content))
    return root


def with_supercategories(root: Path) -> Path:
    return rewrite(
        root,
        lambda c: [
            entry.update(supercategory=SUPERCATEGORIES[entry["id"]]) for entry in c["categories"]
        ],
    )


def test_instances_are_merged_and_what_cityscapes_knows_is_dropped(tmp_path):
    crowd = {
        "size": [20, 30],
        "counts": [0, 20, 580],
    }  # run lengths by column: the first column is in the mask
    annotations = [
        bird(1, 0, 0, 10, 10),
        bird(1, 5, 5, 10, 10),
        {"image_id": 2, "category_id": 1, "segmentation": box(0, 0, 5, 5)},
        {"image_id": 3, "category_id": 16, "segmentation": crowd, "iscrowd": 1},
        {"image_id": 3, "category_id": 7, "segmentation": box(20, 10, 10, 10)},
    ]
    dataset = open_dataset("coco_proxy", write_coco(tmp_path, annotations, [SIZE] * 4))
    assert dataset.ids == [
        "000000000001",
        "000000000003",
        "000000000004",
    ]  # no. 2 has a person, a train is allowed
    expected = np.full(SIZE, 255)
    expected[:10, :10] = expected[5:15, 5:15] = 254
    np.testing.assert_array_equal(dataset[0].target.numpy(), expected)
    expected = np.full(SIZE, 255)
    expected[:, 0] = expected[10:, 20:] = 254
    np.testing.assert_array_equal(dataset[1].target.numpy(), expected)
    assert dataset[2].target.unique().tolist() == [255]
    assert dataset.properties["ood_share"].dtype == np.float64
    np.testing.assert_allclose(dataset.properties["ood_share"], [175 / 600, 120 / 600, 0])


def test_masks_are_those_of_cocos_own_tools(tmp_path):
    rng = np.random.default_rng(0)
    polygons = [
        [
            rng.uniform(-1, 32, 2 * rng.integers(3, 9)).round(2).tolist()
            for _ in range(rng.integers(1, 4))
        ]
        for _ in range(24)
    ]
    annotations = [
        {"image_id": 1 + i % 6, "category_id": 16, "segmentation": p}
        for i, p in enumerate(polygons)
    ]
    root = write_coco(tmp_path, annotations, [(20, 30), (31, 17)] * 3)
    tools = COCO(annotations_of(root))
    for sample, number in zip(open_dataset("coco_proxy", root), tools.imgs, strict=True):
        masks = [tools.annToMask(annotation) for annotation in tools.imgToAnns[number]]
        np.testing.assert_array_equal(sample.target.numpy() == 254, np.any(masks, axis=0))


def test_compressed_run_lengths_are_those_of_cocos_own_tools(tmp_path):
    rng, annotations = np.random.default_rng(0), []
    sizes = [(20, 30), (300, 170), (1, 7), (200, 300)]
    for image, (height, width) in enumerate(sizes, start=1):
        # Fine grain has short runs, a few blocks have long ones, whose differences are negative.
        blocks = np.zeros((height, width))
        blocks[height // 5 : height // 2, width // 3 :] = 1
        for mask in (rng.random((height, width)) < 0.1, blocks, np.zeros((height, width))):
            encoded = rle.encode(np.asfortranarray(mask, dtype=np.uint8))
            outline = encoded | {"counts": encoded["counts"].decode()}
            annotations.append({"image_id": image, "category_id": 16, "segmentation": outline})
    root = write_coco(tmp_path, annotations, sizes)
    tools = COCO(annotations_of(root))
    for sample, number in zip(open_dataset("coco_proxy", root), tools.imgs, strict=True):
        masks = [tools.annToMask(annotation) for annotation in tools.imgToAnns[number]]
        np.testing.assert_array_equal(sample.target.numpy() == 254, np.any(masks, axis=0))
        assert (sample.target == 254).any()


def test_images_are_excluded_by_the_name_of_the_category(tmp_path):
    names = sorted(EXCLUDED_CATEGORIES)
    assert names == [
        "bicycle",
        "bus",
        "car",
        "motorcycle",
        "person",
        "stop sign",
        "traffic light",
        "truck",
    ]
    categories = [
        {"id": 50 + i, "name": name, "supercategory": "known"} for i, name in enumerate(names)
    ]
    annotations = [
        {"image_id": 1 + i, "category_id": 50 + i, "segmentation": box(0, 0, 4, 4)}
        for i in range(8)
    ]
    root = write_coco(
        tmp_path, [*annotations, bird(9, 0, 0, 4, 4), bird(3, 0, 0, 4, 4)], [SIZE] * 10
    )
    rewrite(root, lambda content: content["categories"].extend(categories))
    assert open_dataset("coco_proxy", root).ids == ["000000000009", "000000000010"]


def test_images_are_selected_by_their_share(tmp_path):
    annotations = [bird(i, 0, 0, 3 * i, 20) for i in range(1, 11)]  # shares 0.1, 0.2, ..., 1.0
    root = write_coco(tmp_path, annotations, [SIZE] * 10)
    assert len(open_dataset("coco_proxy", root, max_ood_share=0.2)) == 2
    dataset = open_dataset("coco_proxy", root, min_ood_share=0.8)
    np.testing.assert_allclose(dataset.properties["ood_share"], [0.8, 0.9, 1.0])
    np.testing.assert_allclose(dataset.take(2).properties["ood_share"], [0.8, 0.9])
    assert dataset.take(2)[1].target.unique().tolist() == [254, 255]
    with pytest.raises(ValueError, match="Widen the range"):
        open_dataset("coco_proxy", root, min_ood_share=0.01, max_ood_share=0.05)
    with pytest.raises(ValueError, match="min_ood_share=0.8 and max_ood_share=0.2"):
        open_dataset("coco_proxy", root, min_ood_share=0.8, max_ood_share=0.2)


def test_pixels_of_each_supercategory(tmp_path):
    annotations = [
        bird(1, 0, 0, 10, 10),
        bird(1, 5, 0, 10, 10),  # overlaps the other bird
        {
            "image_id": 1,
            "category_id": 7,
            "segmentation": box(10, 0, 10, 10),
        },  # overlaps the second bird
        {"image_id": 2, "category_id": 1, "segmentation": box(0, 0, 5, 5)},
        {"image_id": 4, "category_id": 7, "segmentation": [*box(0, 0, 2, 3), *box(1, 0, 2, 3)]},
    ]
    dataset = open_dataset(
        "coco_proxy", with_supercategories(write_coco(tmp_path, annotations, [SIZE] * 4))
    )
    pixels = dataset.properties.filter(like="pixels of ")
    pixels = pixels.rename(columns=lambda name: name.removeprefix("pixels of "))
    assert pixels.to_dict("index") == {
        "000000000001": {"animal": 150, "person": 0, "vehicle": 100},
        "000000000003": {"animal": 0, "person": 0, "vehicle": 0},
        "000000000004": {"animal": 0, "person": 0, "vehicle": 9},
    }
    assert set(pixels.dtypes) == {np.dtype("int64")}
    np.testing.assert_allclose(dataset.properties["ood_share"], [200 / 600, 0, 9 / 600])
    assert dataset.take(1).properties.index.tolist() == ["000000000001"]


def test_properties_are_those_of_the_masks(tmp_path):
    def thing(image: int, *boxes: tuple[int, ...]) -> list[dict]:
        return [
            {"image_id": image, "category_id": 16 - 9 * (b > 0), "segmentation": box(*x)}
            for b, x in enumerate(boxes)
        ]

    annotations = [
        *thing(1, (3, 4, 5, 2)),
        *thing(2, (0, 0, 4, 4), (4, 4, 2, 3)),  # at the border, and touching at a corner
        *thing(3, (0, 0, 4, 4), (5, 0, 2, 2), (12, 9, 1, 1)),
        *thing(4, (0, 0, 30, 20)),
    ]
    dataset = open_dataset("coco_proxy", write_coco(tmp_path, annotations, [(20, 30)] * 5))
    table = dataset.properties
    assert table.index.tolist() == [f"{i:012d}" for i in range(1, 6)]
    assert table["pixels"].tolist() == [600] * 5
    assert table["ood_share"].tolist() == [10 / 600, 22 / 600, 21 / 600, 1, 0]
    assert table["objects"].tolist() == [1, 1, 3, 1, 0]
    assert table["boundary"].tolist() == [
        2 * (5 + 2),
        4 + 4 + 2 * (2 + 3),
        4 + 4 + 2 + 2 + 2 + 4,
        0,
        0,
    ]
    assert table["pixels of thing"].tolist() == [10, 22, 21, 600, 0]


@pytest.mark.parametrize(
    ("query", "chosen"),
    [
        ("objects >= 2", [3]),
        ("boundary == 14 and `pixels of thing` > 10", [3]),
        ("ood_share == 0 or objects == 1", [1, 2, 4]),
    ],
)
def test_images_are_selected_by_a_query(tmp_path, query, chosen):
    parts = {1: [(3, 4, 5, 2)], 2: [(0, 0, 4, 4), (4, 4, 2, 3)], 3: [(0, 0, 4, 4), (5, 0, 2, 2)]}
    annotations = [bird(image, *part) for image, own in parts.items() for part in own]
    root = write_coco(tmp_path, annotations, [(20, 30)] * 4)
    dataset = open_dataset("coco_proxy", root, query=query)
    assert [int(id_) for id_ in dataset.ids] == chosen
    assert dataset.properties.index.tolist() == dataset.ids


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            "objets >= 2",
            "'objets' is not defined.*yes or no.*pixels, ood_share, objects, boundary, `pixels",
        ),
        ("objects >=", "cannot be answered"),
        ("more = objects", "cannot be answered"),
        ("objects > 99", "holds for none of the 2 images"),
    ],
)
def test_what_is_no_query(tmp_path, query, message):
    root = write_coco(tmp_path, [bird(1, 0, 0, 4, 4)], [SIZE] * 2)
    with pytest.raises(ValueError, match=message):
        open_dataset("coco_proxy", root, query=query)


def test_grey_images_become_rgb(tmp_path):
    root = write_coco(tmp_path, [bird(1, 0, 0, 4, 4)], [SIZE])
    save(root / "train2017" / "000000000001.jpg", np.full(SIZE, 77))
    assert open_dataset("coco_proxy", root)[0].image.unique().tolist() == [77]


def test_images_and_labels_are_counted_for_all_of_coco(tmp_path):
    root = write_coco(
        tmp_path, [{"image_id": 2, "category_id": 1, "segmentation": box(0, 0, 5, 5)}], [SIZE] * 3
    )
    assert len(open_dataset("coco_proxy", root)) == 2
    assert CocoProxy.count(root, "train") == (3, 3)
    (root / "train2017" / "000000000002.jpg").unlink()
    (root / "train2017" / "._000000000001.jpg").write_bytes(b"finder")
    assert CocoProxy.count(root, "train") == (2, 3)
    assert len(open_dataset("coco_proxy", root)) == 2  # an excluded image is not missed
    annotations_of(root).unlink()
    assert CocoProxy.count(root, "train") == (2, 0)


def test_annotations_are_read_once(tmp_path, monkeypatch):
    root = write_coco(tmp_path, [bird(1, 0, 0, 4, 4), bird(2, 3, 3, 9, 9)], [SIZE] * 2)
    first = open_dataset("coco_proxy", root)
    monkeypatch.setattr("json.load", lambda *_, **__: pytest.fail("read again"))
    second = open_dataset("coco_proxy", root)
    assert second.ids == first.ids
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.target.numpy(), other.target.numpy())
    assert first.properties.equals(second.properties)


def test_a_replaced_annotation_file_is_read_again(tmp_path, cache):
    root = write_coco(tmp_path, [bird(1, 0, 0, 4, 4)], [SIZE])
    assert (open_dataset("coco_proxy", root)[0].target == 254).sum() == 16
    path = annotations_of(root)
    before = path.stat()
    path.write_text(path.read_text().replace("4, 4", "4, 6"))
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))
    assert (open_dataset("coco_proxy", root)[0].target == 254).sum() == 20
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("damage", ["short", "flipped", "column", "other"])
def test_a_damaged_index_is_made_again_with_a_warning(damage, tmp_path):
    root = write_coco(tmp_path, [bird(i, 0, 0, i, i) for i in range(1, 11)], [SIZE] * 10)
    properties = open_dataset("coco_proxy", root).properties
    kept = index_path(annotations_of(root))
    content = kept.read_bytes()
    damaged = {
        "short": content[:-200],
        "flipped": content[:100] + bytes([content[100] ^ 255]) + content[101:],
        "column": content.replace(b"ood_share", b"ood_thare"),
        "other": b"no Parquet",
    }
    kept.write_bytes(damaged[damage])
    with pytest.warns(UserWarning, match=f"{kept} is damaged .* it is made again"):
        assert open_dataset("coco_proxy", root).properties.equals(properties)
    with warnings.catch_warnings(action="error"):
        assert open_dataset("coco_proxy", root).properties.equals(properties)


def test_only_long_reading_is_announced(tmp_path, monkeypatch, capsys):
    root = write_coco(tmp_path, [bird(1, 0, 0, 4, 4)], [SIZE] * 3)
    open_dataset("coco_proxy", root)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("ood_lib.data.coco_index._LARGE", 0)
    index_path(annotations_of(root)).unlink()
    open_dataset("coco_proxy", root)
    output = capsys.readouterr().err
    assert (
        f"Reading {annotations_of(root)}" in output
        and "indexing COCO: 100%" in output
    )


def test_missing_files(tmp_path):
    root = write_coco(tmp_path, [bird(1, 0, 0, 4, 4)], [SIZE] * 3)
    for number in (2, 3):
        (root / "train2017" / f"{number:012d}.jpg").unlink()
    with pytest.raises(
        FileNotFoundError,
        match="000000000002.jpg, which is missing, .* 1 more .*Unpack train2017.zip",
    ):
        open_dataset("coco_proxy", root)
    annotations_of(root).unlink()
    with pytest.raises(
        FileNotFoundError,
        match="instances_train2017.json are missing. Unpack annotations_trainval2017",
    ):
        open_dataset("coco_proxy", root)


def test_unreadable_images_and_images_of_another_size(tmp_path):
    root = write_coco(tmp_path, [bird(1, 0, 0, 4, 4)], [SIZE] * 2)
    (root / "train2017" / "000000000001.jpg").write_bytes(b"\xff\xd8 not a whole JPEG")
    save(root / "train2017" / "000000000002.jpg", np.zeros((20, 31)))
    dataset = open_dataset("coco_proxy", root)
    with pytest.raises(ValueError, match="000000000001.jpg cannot be read as an image"):
        dataset[0]
    with pytest.raises(
        ValueError, match=r"json gives a target .*\(20, 30\).*000000000002.jpg is of \(20, 31\)"
    ):
        dataset[1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [', "no whole JSON file"),
        ("[1]", "no whole JSON file with COCO's lists .TypeError"),
        ('{"images": []}', "no whole JSON file with COCO's lists .KeyError"),
        (
            '{"images": [1], "annotations": [], "categories": []}',
            "no whole JSON file with COCO's lists .TypeError",
        ),
        ('{"images": [], "annotations": [], "categories": []}', "names no images or no categories"),
        (
            '{"images": [{"id": 1}], "annotations": [], "categories": [{"id": 1}]}',
            r"KeyError\('file_name'\)",
        ),
        (b"\xff\xfe\x00", "no whole JSON file"),
    ],
)
def test_what_is_not_cocos_annotations(content, message, tmp_path, cache):
    root = write_coco(tmp_path, [], [SIZE])
    annotations_of(root).write_bytes(content if isinstance(content, bytes) else content.encode())
    expected = f"instances_train2017.json is not as COCO's annotations: .*{message}"
    expected += ".* Fetch annotations_trainval2017.zip"
    with pytest.raises(ValueError, match=expected):
        open_dataset("coco_proxy", root)
    assert list(cache.iterdir()) == []


def named(content: dict[str, Any], name: str) -> None:
    content["images"][0]["file_name"] = name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(info={"year": 2014}), "its year is 2014, expected 2017"),
        (
            lambda c: named(c, "COCO_train2014_000000000001.jpg"),
            "the image 1 is named 'COCO_train2014_000000000001.jpg', in 2017 it is",
        ),
        (
            lambda c: named(c, "../1.jpg"),
            "the image 1 is named '../1.jpg', in 2017 it is '000000000001.jpg'",
        ),
        (
            lambda c: c["images"][0].update(height="20"),
            "the image 1 has the height '20' and width 30",
        ),
        (lambda c: c["images"][0].update(width=0), "the image 1 has the height 20 and width 0"),
        (
            lambda c: c["images"][0].update(width=10**10),
            "the image 1 has the height 20 and width 10000000000",
        ),
        (
            lambda c: c["annotations"][0].update(image_id=9),
            "annotation 1 is of image 9 or category 16, which the file does not name",
        ),
        (
            lambda c: c["annotations"][1].update(category_id=99),
            "annotation 2 is of image 1 or category 99, which the file does not name",
        ),
    ],
)
def test_other_years_and_wrong_numbers(change, message, tmp_path):
    root = rewrite(write_coco(tmp_path, [bird(1, 0, 0, 4, 4)] * 2, [SIZE]), change)
    with pytest.raises(ValueError, match=message):
        open_dataset("coco_proxy", root)


@pytest.mark.parametrize("info", [None, {"year": 2017}, {"year": "2017"}, {"description": "COCO"}])
def test_a_file_without_a_year_is_known_by_the_names_of_its_images(info, tmp_path):
    root = rewrite(
        write_coco(tmp_path, [bird(1, 0, 0, 4, 4)], [SIZE]),
        lambda content: content.update(info=info),
    )
    assert len(open_dataset("coco_proxy", root)) == 1


@pytest.mark.parametrize(
    "outline",
    [
        7,
        "mask",
        [[1, 2, 5, 2, 5, 9, 3]],
        [1, 2, 5, 2, 5, 9],
        [[1, 2, 5, 2, 5, "9"]],
        [[1, 2, 5, 2, 5, float("nan")]],
        [[1, 2, 5, 2, 5, 1e12]],
        [[1, 2, 5, 2, 5, 9], None],
        {"size": [20, 30], "counts": [600, 1]},
        {"size": [20, 30], "counts": [601, -1]},
        {"size": [30, 20], "counts": [600]},
        {"size": [20, 30], "counts": "hb"},  # cut short: whole, it is "hb0"
        {"size": [20, 30], "counts": "hb1"},
        {"size": [20, 30], "counts": "\u00fc"},
        {"size": [30, 20], "counts": "hb0"},
        {"size": [20, 30]},
    ],
    ids=str,
)
def test_an_annotation_with_a_wrong_outline_is_named(outline, tmp_path):
    broken = {"image_id": 2, "category_id": 16, "segmentation": outline, "id": 4711}
    root = write_coco(tmp_path, [bird(1, 0, 0, 4, 4), broken], [SIZE] * 2)
    expected = r"annotation 4711 of image 2, 30 x 20, has neither polygons .* Fetch annotations"
    with pytest.raises(ValueError, match=expected):
        open_dataset("coco_proxy", root)


@pytest.mark.parametrize("outline", [None, [], [[]], [[1, 2, 5, 2]]], ids=str)
def test_annotations_without_an_outline_are_skipped_and_counted(outline, tmp_path):
    boxes = [{"image_id": n, "category_id": 16, "segmentation": outline} for n in (1, 2, 2)]
    root = write_coco(tmp_path / "some", [bird(1, 0, 0, 4, 4), *boxes], [SIZE] * 2)
    for _ in range(2):  # the second time from the cache
        with pytest.warns(UserWarning, match="annotations without an outline, 3 in all"):
            dataset = open_dataset("coco_proxy", root)
        assert [(sample.target == 254).sum() for sample in dataset] == [16, 0]
    root = write_coco(tmp_path / "none", boxes, [SIZE] * 2)
    with pytest.raises(ValueError, match="json outlines nothing.* Fetch annotations_trainval2017"):
        open_dataset("coco_proxy", root)


def test_an_annotation_without_the_key_of_its_outline(tmp_path):
    root = write_coco(tmp_path, [bird(1, 0, 0, 4, 4)] * 2, [SIZE])
    rewrite(root, lambda content: content["annotations"][1].pop("segmentation"))
    with pytest.warns(UserWarning, match="1 in all"):
        assert len(open_dataset("coco_proxy", root)) == 1


def test_the_images_may_lie_in_a_folder_of_their_own(tmp_path):
    root = write_coco(tmp_path / "coco", [bird(1, 0, 0, 4, 4)], [SIZE] * 2)
    usual = open_dataset("coco_proxy", root)
    (root / "images").mkdir()
    (root / "train2017").rename(root / "images" / "train2017")
    (root / "images" / "val2017").mkdir()
    dataset = open_dataset("coco_proxy", root)
    assert dataset.ids == usual.ids and CocoProxy.count(root, "train") == (2, 2)
    assert dataset.frames[0].image == root / "images" / "train2017" / "000000000001.jpg"
    (root / "train2017").mkdir()  # COCO's own folder is the one that counts
    with pytest.raises(FileNotFoundError, match=f"{root}/train2017/000000000001.jpg, which is mis"):
        open_dataset("coco_proxy", root)


def test_two_points_beside_a_polygon_are_no_box(tmp_path):
    outline = [[10, 10, 15, 15], *box(0, 0, 4, 4), [20, 20, 25, 25]]
    root = write_coco(
        tmp_path, [{"image_id": 1, "category_id": 16, "segmentation": outline}], [SIZE]
    )
    assert (open_dataset("coco_proxy", root)[0].target == 254).sum() == 16


def test_what_the_index_holds(tmp_path):
    annotations = [
        bird(2, 0, 0, 4, 4),
        {"image_id": 1, "category_id": 1, "segmentation": box(0, 0, 5, 5)},
    ]
    root = write_coco(tmp_path, annotations, [SIZE, (5, 7)])
    index = open_index(annotations_of(root))
    assert index.attrs["num_images"] == 2
    assert index.drop(columns="counts").to_dict("index") == {
        2: {
            "file_name": "000000000002.jpg",
            "height": 5,
            "width": 7,
            "ood_share": 16 / 35,
            "objects": 1,
            "boundary": 8,
            "skipped": 0,
            "pixels of thing": 16,
        }
    }
