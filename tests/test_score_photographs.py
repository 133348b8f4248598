"""Folders of photographs as telephones leave them, and a score that learns from some."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from test_score_command import NEED_NO_SCENES

from ood_lib.data.photographs import Photographs, find_pictures, look_at
from ood_lib.models import build_model
from ood_lib.score import LEARN, SLUGS, KnownStreets, main, score_folder

RNG = np.random.default_rng(0)


def photograph(path, width=96, height=64, **options):
    """Soft patches of colour, as a file."""
    patches = Image.fromarray(RNG.integers(0, 256, (4, 6, 3), dtype=np.uint8))
    path.parent.mkdir(exist_ok=True)
    patches.resize((width, height), Image.Resampling.BICUBIC).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path):
    """As it comes from a telephone: other endings, sizes and depths, and things between them."""
    place = tmp_path / "photos"
    photograph(place / "b.JPG")
    photograph(place / "a.png", 64, 96)  # upright
    Image.fromarray(RNG.integers(0, 2**16, (64, 80), dtype=np.uint16)).save(place / "c.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    photograph(place / "d.jpeg", exif=exif)
    (place / "notes.txt").write_text("seen on Monday")
    (place / "._b.JPG").write_bytes(b"of a Mac")
    (place / "more").mkdir()
    return place


def test_of_a_folder_all_pictures_are_taken_and_the_rest_is_named(folder, capsys):
    assert [path.name for path in find_pictures(folder)] == ["a.png", "b.JPG", "c.png", "d.jpeg"]
    assert "2 (more, notes.txt)" in capsys.readouterr().out
    assert find_pictures([folder / "b.JPG", str(folder / "a.png")]) == [
        folder / "b.JPG",
        folder / "a.png",
    ]
    with pytest.raises(FileNotFoundError, match=r"more holds no picture \(\.avif"):
        find_pictures(folder / "more")
    with pytest.raises(ValueError, match="No picture is given"):
        find_pictures([])


def test_python_and_the_command_give_the_same(folder, tmp_path, capsys):
    shown = []
    sheets = score_folder(folder, tmp_path / "a", show=shown.append)
    assert "c.png is no painted" not in (said := capsys.readouterr()).err
    assert re.search("a.png is no painted street .* --model segformer", said.err)
    assert main([str(folder), "--out", str(tmp_path / "b")]) == 0
    assert shown == sheets and [sheet.name for sheet in sheets][::3] == ["a.png", "d.jpeg"]
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "b").iterdir()) and len(names) == 22
    for name in names:
        if not name.endswith((".png", "y")) or "_" in name:  # sheets have no style to compare
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    with pytest.raises(ValueError, match="photos holds the photographs. Choose another folder"):
        score_folder(folder, folder)


def test_a_sheet_has_what_its_files_have(folder, tmp_path):
    upright, *_, turned = score_folder(folder, tmp_path / "out", threshold=0.5)
    assert upright.picture().shape == (96, 64, 3) and turned.score().shape == (96, 64)
    assert upright.threshold == 0.5 and upright.limits[1] >= turned.score().max()
    assert turned.segments["S"].sum() == (turned.score() >= 0.5).sum()
    classes = upright.classes()
    assert classes.shape == (96, 64) and classes.max() < 19
    drawn = upright.draw()
    titles = [axis.get_title() for axis in drawn.axes]
    assert titles[:4] == ["picture", "classes", "entropy", "from 0.5 on"]
    legend = {text.get_text() for text in drawn.legends[0].get_texts()}
    assert legend and len(legend) <= len(np.unique(classes))
    assert Image.open(tmp_path / "out" / "d.png").width > 1800  # each panel can be looked at
    colors = np.array(Image.open(tmp_path / "out" / "a_classes.png").convert("RGB"))
    assert colors[classes == 0].tolist() in ([], [[128, 64, 128]] * (classes == 0).sum())


def test_large_pictures_are_shrunk_unless_told(tmp_path, capsys):
    path = photograph(tmp_path / "large.jpg", 4000, 3000)
    assert Photographs([path])[0].image.shape == (3, 1536, 2048)
    assert Photographs([path], None)[0].image.shape == (3, 3000, 4000)
    small = photograph(tmp_path / "small.jpg", 200, 100)
    assert Photographs([small])[0].image.shape == (3, 100, 200)  # never enlarged
    arguments = [str(path), str(small), "--out", str(tmp_path / "out"), "--longest-side", "160"]
    assert main(arguments) == 0
    assert "2 of 2 are shrunk, as large.jpg, so that no side is longer than 160 pixels" in (
        capsys.readouterr().out
    )
    assert np.load(tmp_path / "out" / "large_score.npy").shape == (120, 160)
    assert np.load(tmp_path / "out" / "small_score.npy").shape == (80, 160)
    with pytest.raises(ValueError, match="longest_side=8 pixels show nothing; give 32 or more"):
        score_folder(path, tmp_path / "out", longest_side=8)


def test_all_problems_are_named_before_anything_is_computed(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("ood_lib.score.load_settings", lambda *_, **__: pytest.fail("too late"))
    known = Image.registered_extensions().items()
    extensions = {ending: kind for ending, kind in known if ending != ".heic"}
    monkeypatch.setattr(Image, "registered_extensions", lambda: extensions)
    (folder / "text.jpg").write_text("no picture")
    (folder / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    streets = photograph(tmp_path / "known" / "street.png").parent
    (streets / "short.png").write_bytes((streets / "street.png").read_bytes()[:300])
    with pytest.raises(ValueError) as raised:
        score_folder(folder, tmp_path / "out", score="nearest neighbours", known=streets)
    lines = str(raised.value).splitlines()
    assert len(lines) == 3 and not (tmp_path / "out").exists()
    assert "phone.HEIC is in Apple's format HEIC" in lines[0] and "pillow-heif" in lines[0]
    assert "text.jpg cannot be read" in lines[1] and "short.png" in lines[2]
    assert look_at([folder / "a.png"], progress=False) == [folder / "a.png"]


def test_other_networks_come_with_their_published_weights(folder, tmp_path, monkeypatch, capsys):
    asked = []

    def build(name, *_, pretrained=False):
        asked.append((name, pretrained))
        return build_model("deeplabv3plus_miniature")

    monkeypatch.setattr("ood_lib.training.closed_set.build_model", build)
    score_folder(folder / "b.JPG", tmp_path / "out", model="segformer")
    assert "segformer" in asked[0][0] and asked[0][1] is True
    assert "painted street" not in capsys.readouterr().err


class TestKnownStreets:
    def test_a_score_learns_from_them(self, folder, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr("ood_lib.miniature.ensure_miniature", lambda *_, **__: pytest.fail())
        known = photograph(tmp_path / "known" / "street.png", 256, 128).parent
        options = {"score": "nearest_neighbours", "longest_side": 192}
        sheets = score_folder(folder / "b.JPG", tmp_path / "a", known=known, **options)
        assert "learns from 1 known streets, as street.png" in capsys.readouterr().out
        itself = score_folder(known, tmp_path / "b", known=known, **options)
        assert itself[0].score().mean() < sheets[0].score().mean()
        arguments = ["--score", "nearest_neighbours", "--known", str(known), "--longest-side"]
        arguments += ["192", "--out", str(tmp_path / "c"), str(folder / "b.JPG")]
        assert main(arguments) == 0
        np.testing.assert_array_equal(np.load(tmp_path / "c" / "b_score.npy"), sheets[0].score())
        assert len(pd.read_csv(tmp_path / "c" / "segments.csv")) == len(sheets[0].segments)

    def test_their_targets_are_what_the_network_names(self, folder):
        torch.manual_seed(0)
        network = build_model("deeplabv3plus_miniature").eval()
        sample = KnownStreets([folder / "a.png"], 48, network)[0]
        with torch.no_grad():
            expected = network(sample.image[None] / 255).argmax(1)[0]
        assert sample.target.shape == (48, 32) and torch.equal(sample.target.long(), expected)

    def test_a_score_that_does_not_learn_refuses_them(self, folder, tmp_path):
        assert set(LEARN) == set(SLUGS) - NEED_NO_SCENES - {"mc_dropout"}
        with pytest.raises(ValueError, match="entropy learns nothing from known streets"):
            score_folder(folder, tmp_path / "out", known=folder)
        with pytest.raises(ValueError, match="no score 'nonsense'; choose one of: max_softmax"):
            score_folder(folder, tmp_path / "out", score="nonsense")
