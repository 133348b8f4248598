import dataclasses
from pathlib import Path

import pytest
from layouts import write_lost_and_found

import ood_lib.profiles
from ood_lib.closed_set import Recipe
from ood_lib.miniature import MANIFEST, Size
from ood_lib.models import ARCHITECTURES
from ood_lib.profiles import RULES, Settings, load_settings, profile_names


def test_miniature_profile(tmp_path):
    settings = load_settings("miniature", data_root=str(tmp_path), seed=3)
    assert (settings.profile, settings.seed, settings.data_root) == ("miniature", 3, tmp_path)
    assert settings.model in ARCHITECTURES
    assert settings.checkpoint.parent == Path(ood_lib.profiles.__file__).parents[1] / "models" / "weights"
    assert settings.crop == (96, 128)
    assert (settings.threshold, settings.lambda_) == (0.4, 0.9)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.seed = 4


def test_every_setting_has_a_rule():
    assert RULES.keys() | {"profile", "data_root", "is_painted"} == {
        field.name for field in dataclasses.fields(Settings)
    }


def test_overrides(tmp_path):
    settings = load_settings(
        data_root=tmp_path, lambda_=0, crop=64, checkpoint=tmp_path / "a.safetensors", num_in_distribution=None
    )
    assert settings.lambda_ == 0
    assert settings.crop == (64, 64)
    assert settings.checkpoint == tmp_path / "a.safetensors"
    assert settings.num_in_distribution is settings.ood_share is None
    assert load_settings(data_root=tmp_path, ood_share=0.1).ood_share == 0.1
    assert load_settings(data_root=tmp_path, checkpoint=None).checkpoint is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": 1.5}, "threshold=1.5 in the arguments must be a number from 0 to 1"),
        ({"lambda_": -0.1}, "lambda_=-0.1 in the arguments must be a number from 0 to 1"),
        ({"lambda_": float("nan")}, "lambda_=nan"),
        ({"ood_share": 1.1}, "ood_share=1.1 in the arguments must be a number from 0 to 1, or nothing"),
        ({"threshold": "0.7"}, "threshold='0.7'"),
        ({"threshold": True}, "threshold=True"),
        ({"seed": -1}, "seed=-1 in the arguments must be a whole number from 0"),
        ({"seed": 1.0}, "seed=1.0"),
        ({"epochs": 0}, "epochs=0"),
        ({"crop": [96, 128, 3]}, "crop="),
        ({"crop": (0, 128)}, "crop="),
        ({"learning_rate": 0}, "learning_rate=0 in the arguments must be a number above 0"),
        ({"num_in_distribution": 0}, "num_in_distribution=0"),
        ({"min_ood_share": 0.5, "max_ood_share": 0.2}, "min_ood_share=0.5, max_ood_share=0.2"),
        ({"treshold": 0.5}, "the arguments set 'treshold', which is no setting; the settings are: seed, model"),
    ],
)
def test_values_that_cannot_be(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        load_settings(data_root=tmp_path, **change)


def test_unknown_profile_and_missing_data(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="no profile 'minature'; choose one of: .*miniature"):
        load_settings("minature")
    with pytest.raises(
        FileNotFoundError, match="data_root='.*nowhere' is no folder. Give the one that holds cityscapes, coco"
    ):
        load_settings(data_root=tmp_path / "nowhere")


def profile_with(tmp_path, monkeypatch, change) -> None:
    """A profile ``own`` in a folder of its own: the miniature's lines, changed."""
    text = change((Path(ood_lib.profiles.__file__).parent / "miniature.yml").read_text())
    (tmp_path / "own.yml").write_text(text)
    monkeypatch.setattr(ood_lib.profiles, "PROFILE_FOLDER", tmp_path)


def test_mistakes_in_a_profile_name_its_file(tmp_path, monkeypatch):
    profile_with(tmp_path, monkeypatch, lambda text: text.replace("threshold:", "treshold:"))
    with pytest.raises(ValueError, match="the profile own.yml set 'treshold'"):
        load_settings("own", data_root=tmp_path)
    profile_with(tmp_path, monkeypatch, lambda text: text.replace("threshold: 0.4", "threshold: 7"))
    with pytest.raises(
        ValueError, match="threshold=7 in the profile own.yml must be a number from 0 to 1; change it there"
    ):
        load_settings("own", data_root=tmp_path)
    profile_with(tmp_path, monkeypatch, lambda text: text.replace("epochs:", "# epochs:"))
    with pytest.raises(ValueError, match="own.yml lacks epochs"):
        load_settings("own", data_root=tmp_path)
    profile_with(tmp_path, monkeypatch, lambda text: text.replace("painted: {}", ""))
    with pytest.raises(ValueError, match="'own' needs data_root, the folder that holds cityscapes"):
        load_settings("own")
    profile_with(tmp_path, monkeypatch, lambda text: text.replace("painted: {}", "painted: {hight: 3}"))
    with pytest.raises(ValueError, match="'hight': 3.*in the profile 'own' is no ood_lib.miniature.Size"):
        load_settings("own")
    profile_with(tmp_path, monkeypatch, lambda text: text + "real_data: {treshold: 0.7}")
    with pytest.raises(ValueError, match="real_data of the profile own.yml set 'treshold'"):
        load_settings("own", data_root=tmp_path)
    profile_with(tmp_path, monkeypatch, lambda text: "[1, 2")
    with pytest.raises(ValueError, match="own.yml is no YAML"):
        load_settings("own", data_root=tmp_path)
    profile_with(tmp_path, monkeypatch, lambda text: "just words")
    with pytest.raises(ValueError, match="own.yml must hold lines"):
        load_settings("own", data_root=tmp_path)


def test_miniature_paints_its_data_where_none_is_given(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("ood_lib.miniature.ensure_miniature", lambda size: asked.append(size) or tmp_path)
    assert load_settings().data_root == load_settings("colab").data_root == tmp_path
    assert asked[0] == Size() and (asked[1].width, asked[1].height) == (512, 256)


def test_thesis_profile_has_the_numbers_of_section_4_1(tmp_path):
    settings = load_settings("thesis", data_root=tmp_path)
    assert (settings.model, settings.crop, settings.epochs) == ("deeplabv3plus_wrn38", (480, 480), 4)
    assert (settings.threshold, settings.lambda_, settings.learning_rate) == (0.7, 0.9, 1e-5)
    assert int(settings.proxy_fraction * 2975) == 297
    assert (settings.num_in_distribution, settings.min_ood_share, settings.max_ood_share) == (None, 0, 1)
    assert settings.checkpoint == tmp_path / "cityscapes_best.pth"  # not there: named where it is expected
    with pytest.raises(ValueError, match="'thesis' needs data_root"):
        load_settings("thesis")


def test_colab_profile_takes_another_network_for_real_data(tmp_path):
    real = load_settings("colab", data_root=tmp_path)
    assert (real.is_painted, real.checkpoint, real.crop) == (False, "pretrained", (480, 480))
    assert real.model.startswith("transformers:")
    (tmp_path / MANIFEST).write_text("{}")
    painted = load_settings("colab", data_root=tmp_path)
    assert (painted.is_painted, painted.checkpoint, painted.model) == (True, None, "deeplabv3plus_small")
    assert painted.model in ARCHITECTURES and Recipe(**painted.closed_set).crop == 256
    assert painted.threshold != real.threshold == load_settings("thesis", data_root=tmp_path).threshold


def test_a_profile_of_ones_own_is_a_file_anywhere(tmp_path):
    assert profile_names() == ["colab", "miniature", "thesis"]
    own = tmp_path / "mine.yml"
    text = (Path(ood_lib.profiles.__file__).parent / "thesis.yml").read_text()
    own.write_text(text.replace("cityscapes_best.pth", "mine.safetensors").replace("epochs: 4", "epochs: 2"))
    (tmp_path / "data").mkdir()
    settings = load_settings(str(own), data_root=tmp_path / "data")
    assert (settings.profile, settings.epochs) == ("mine", 2)
    assert settings.checkpoint == tmp_path / "data" / "mine.safetensors"
    (tmp_path / "mine.safetensors").write_bytes(b"")
    assert load_settings(str(own), data_root=tmp_path / "data").checkpoint == tmp_path / "mine.safetensors"
    with pytest.raises(ValueError, match="no profile '.*other.yml'.*or give the path of a .yml file"):
        load_settings(str(tmp_path / "other.yml"))


def test_open_finds_the_folder_of_a_data_set(tmp_path):
    write_lost_and_found(tmp_path / "lost_and_found")
    settings = load_settings(data_root=tmp_path)
    assert len(settings.open("lost_and_found", "test")) == 4
    with pytest.raises(FileNotFoundError, match=str(tmp_path / "coco")):
        settings.open("coco_proxy", max_ood_share=0.2)
    with pytest.raises(ValueError, match="no data set 'kitti'"):
        settings.open("kitti")
