import dataclasses
from pathlib import Path

import pytest
from layouts import write_lost_and_found

import ood_lib.profiles
from ood_lib.models import ARCHITECTURES
from ood_lib.profiles import RULES, Settings, load_settings


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
    assert RULES.keys() | {"profile", "data_root"} == {field.name for field in dataclasses.fields(Settings)}


def test_overrides(tmp_path):
    settings = load_settings(
        data_root=tmp_path, lambda_=0, crop=64, checkpoint=tmp_path / "a.safetensors", num_in_distribution=None
    )
    assert settings.lambda_ == 0
    assert settings.crop == (64, 64)
    assert settings.checkpoint == tmp_path / "a.safetensors"
    assert settings.num_in_distribution is None
    assert load_settings(data_root=tmp_path, checkpoint=None).checkpoint is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": 1.5}, "threshold=1.5 in the arguments must be a number from 0 to 1"),
        ({"lambda_": -0.1}, "lambda_=-0.1 in the arguments must be a number from 0 to 1"),
        ({"lambda_": float("nan")}, "lambda_=nan"),
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
    profile_with(tmp_path, monkeypatch, lambda text: text)
    with pytest.raises(ValueError, match="'own' needs data_root, the folder that holds cityscapes"):
        load_settings("own")


def test_miniature_paints_its_data_where_none_is_given(tmp_path, monkeypatch):
    monkeypatch.setattr("ood_lib.miniature.ensure_miniature", lambda: tmp_path)
    assert load_settings().data_root == tmp_path


def test_open_finds_the_folder_of_a_data_set(tmp_path):
    write_lost_and_found(tmp_path / "lost_and_found")
    settings = load_settings(data_root=tmp_path)
    assert len(settings.open("lost_and_found", "test")) == 4
    with pytest.raises(FileNotFoundError, match=str(tmp_path / "coco")):
        settings.open("coco_proxy", max_ood_share=0.2)
    with pytest.raises(ValueError, match="no data set 'kitti'"):
        settings.open("kitti")
