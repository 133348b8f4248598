import shutil
from pathlib import Path

import numpy as np
import pytest
from layouts import write_lost_and_found

import ood_lib.settings
from ood_lib.miniature import MANIFEST, Size
from ood_lib.models import ARCHITECTURES
from ood_lib.settings import PROFILE_FOLDER, ClosedSetRecipe, Settings, load_settings, profile_names


def test_miniature_profile(tmp_path):
    settings = load_settings("miniature", data_root=str(tmp_path), seed=3)
    assert (settings.profile, settings.seed, settings.data_root) == ("miniature", 3, tmp_path)
    assert settings.model in ARCHITECTURES
    assert settings.checkpoint.parent == Path(ood_lib.settings.__file__).parent / "models/weights"
    assert settings.crop == (96, 128)
    assert (settings.threshold, settings.lambda_) == (0.4, 0.9)
    with pytest.raises(ValueError, match="frozen"):
        settings.seed = 4


def test_settings_know_which_of_them_train(tmp_path):
    settings = load_settings(data_root=tmp_path)
    others = {"profile", "data_root", "is_painted", "to_paint"}  # of the run, not of the training
    others |= {"checkpoint", "closed_set", "threshold", "nonhazards", "bins", "published"}
    assert settings.recipe() == {
        name: getattr(settings, name) for name in Settings.model_fields.keys() - others
    }


def test_a_changed_copy_is_checked(tmp_path):
    settings = load_settings(data_root=tmp_path)
    changed = settings.changed(lambda_=0, seed=3, crop=32, data_root=tmp_path / "other")
    assert (changed.lambda_, changed.seed, changed.crop) == (0, 3, (32, 32))
    assert (settings.lambda_, settings.seed) == (0.9, 0) and changed.changed(seed=0) != settings
    assert settings.changed() == settings
    with pytest.raises(ValueError, match="lambda_=2 in the arguments must be less than or equal"):
        settings.changed(lambda_=2)
    with pytest.raises(ValueError, match="the arguments set 'lamda', which is no setting"):
        settings.changed(lamda=0.5)


def test_numbers_of_numpy_and_of_papermill(tmp_path, monkeypatch):
    (tmp_path / "2025").mkdir()
    of_numpy = {"lambda_": np.float32(0.5), "epochs": np.int64(2), "crop": (np.uint8(8), 16)}
    settings = load_settings(data_root=tmp_path, seed=np.int32(4), **of_numpy)
    assert (settings.lambda_, settings.epochs, settings.crop) == (0.5, 2, (8, 16))
    assert type(settings.seed) is int and type(settings.epochs) is int
    assert load_settings(data_root=tmp_path, crop=np.array([8, 16])).crop == (8, 16)
    assert load_settings(data_root=tmp_path, crop=np.int64(8)).crop == (8, 8)
    with pytest.raises(ValueError, match="epochs=2.0"):
        load_settings(data_root=tmp_path, epochs=np.float64(2))
    monkeypatch.chdir(tmp_path)
    assert load_settings(data_root=2025, checkpoint=7).checkpoint == tmp_path / "2025/7"
    assert load_settings(data_root="2025", checkpoint="1e5").checkpoint == tmp_path / "2025/1e5"
    assert settings.changed(data_root=Path("2025")).data_root == tmp_path / "2025"
    with pytest.raises(ValueError, match="no profile '2025'; choose one of"):
        load_settings(2025)
    shutil.copy(PROFILE_FOLDER / "miniature.yml", "2e4.yml")
    assert load_settings("2e4.yml", data_root=2025).profile == "2e4"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1e-4", 1e-4),
        ("2E-4", 2e-4),
        ("+2e-4", 2e-4),
        (".2e-3", 2e-4),
        ("2.0e4", 2e4),
        ("3.e-4", 3e-4),
    ],
)
def test_a_number_is_one_however_it_is_written(tmp_path, written, read):
    """To YAML most of these are text."""
    text = (PROFILE_FOLDER / "miniature.yml").read_text().replace("0.00005", written)
    rate = f"{{learning_rate: {written}}}"
    (tmp_path / "own.yml").write_text(f"{text}\nclosed_set: {rate}\nreal_data: {rate}")
    real = load_settings(tmp_path / "own.yml", data_root=tmp_path)
    (tmp_path / MANIFEST).write_text("{}")
    painted = load_settings(tmp_path / "own.yml", data_root=tmp_path)
    rates = (painted.learning_rate, real.learning_rate, painted.closed_set.learning_rate)
    assert rates == (read, read, read)


def test_nothing_is_painted_before_it_is_opened(tmp_path, monkeypatch):
    painted = []
    paint = lambda root=None, *, size: painted.append((root, size)) or tmp_path  # noqa: E731
    monkeypatch.setattr("ood_lib.miniature.ensure_miniature", paint)
    settings = load_settings("colab", paint=False)
    assert settings.is_painted and painted == [] and not settings.data_root.exists()
    with pytest.raises(FileNotFoundError, match=f"{settings.data_root}"):
        settings.open("cityscapes", "train")
    assert painted == [(settings.data_root, settings.to_paint)]
    assert (settings.to_paint.width, settings.to_paint.height) == (512, 256)
    assert load_settings("colab").data_root == tmp_path and len(painted) == 2
    assert load_settings("colab", data_root=tmp_path, paint=False).to_paint is None


def test_overrides_go_with_the_numbers_that_are_used(tmp_path):
    changed = {"data_root": tmp_path, "min_ood_share": 0.5}  # of real data at most 1 is allowed
    assert load_settings("colab", **changed).min_ood_share == 0.5
    (tmp_path / MANIFEST).write_text("{}")
    with pytest.raises(ValueError, match="max_ood_share=0.2 .*at least min_ood_share=0.5"):
        load_settings("colab", **changed)
    for name in ("painted", "real_data"):
        with pytest.raises(ValueError, match=f"set '{name}', which is no setting"):
            load_settings("colab", data_root=tmp_path, **{name: None})


def test_overrides(tmp_path):
    settings = load_settings(
        data_root=tmp_path,
        lambda_=0,
        crop=64,
        checkpoint=tmp_path / "a.safetensors",
        num_in_distribution=None,
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
        (
            {"threshold": 1.5},
            "threshold=1.5 in the arguments must be less than or equal to 1; change it",
        ),
        ({"lambda_": -0.1}, "lambda_=-0.1 in the arguments must be greater than or equal to 0"),
        ({"lambda_": float("nan")}, "lambda_=nan"),
        ({"ood_share": 1.1}, "ood_share=1.1 in the arguments must be less than or equal to 1"),
        ({"threshold": "0.7"}, "threshold='0.7'"),
        ({"threshold": True}, "threshold=True"),
        ({"seed": -1}, "seed=-1 in the arguments must be greater than or equal to 0"),
        ({"seed": 1.0}, "seed=1.0"),
        ({"epochs": 0}, "epochs=0"),
        ({"crop": [96, 128, 3]}, "crop=.* in the arguments must have at most 2 items"),
        ({"crop": [96]}, "crop="),
        ({"crop": (0, 128)}, "crop="),
        ({"learning_rate": 0}, "learning_rate=0 in the arguments must be greater than 0"),
        ({"num_in_distribution": 0}, "num_in_distribution=0"),
        (
            {"min_ood_share": 0.5, "max_ood_share": 0.2},
            "max_ood_share=0.2 .*at least min_ood_share=0.5",
        ),
        ({"checkpoint": True}, "checkpoint=True in the arguments must be a path, pretrained, or"),
        ({"is_painted": True}, "the arguments set 'is_painted', which is no setting"),
        ({"closed_set": {"epochs": "two"}}, "epochs='two' in closed_set of the arguments must be"),
        ({"closed_set": {"batch_size": 0}}, "batch_size=0 in closed_set of the arguments"),
        ({"closed_set": {"epoch": 3}}, "'epoch', which is no setting; the settings are: epochs,"),
        (
            {"treshold": 0.5},
            "the arguments set 'treshold', which is no setting; the settings are: .*, threshold.",
        ),
    ],
)
def test_values_that_cannot_be(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        load_settings(data_root=tmp_path, **change)


def test_unknown_profile_and_missing_data(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="no profile 'minature'; choose one of: .*miniature"):
        load_settings("minature")
    with pytest.raises(
        FileNotFoundError,
        match="data_root='.*nowhere' is no folder. Give that of cityscapes, coco",
    ):
        load_settings(data_root=tmp_path / "nowhere")


def profile_with(tmp_path, monkeypatch, change) -> None:
    """A profile ``own`` in a folder of its own: the miniature's lines, changed."""
    text = change((PROFILE_FOLDER / "miniature.yml").read_text())
    (tmp_path / "own.yml").write_text(text)
    monkeypatch.setattr(ood_lib.settings, "PROFILE_FOLDER", tmp_path)


def test_mistakes_in_a_profile_name_its_file(tmp_path, monkeypatch):
    profile_with(tmp_path, monkeypatch, lambda text: text.replace("threshold:", "treshold:"))
    with pytest.raises(ValueError, match="the profile own.yml set 'treshold'"):
        load_settings("own", data_root=tmp_path)
    profile_with(tmp_path, monkeypatch, lambda text: text.replace("threshold: 0.4", "threshold: 7"))
    with pytest.raises(
        ValueError,
        match="threshold=7 in the profile own.yml must be less than or equal to 1; change it there",
    ):
        load_settings("own", data_root=tmp_path)
    profile_with(tmp_path, monkeypatch, lambda text: text.replace("epochs:", "# epochs:"))
    with pytest.raises(ValueError, match="own.yml lacks epochs"):
        load_settings("own", data_root=tmp_path)
    profile_with(tmp_path, monkeypatch, lambda text: text.replace("painted: {}", ""))
    with pytest.raises(
        ValueError, match="data_root is needed for the profile own.yml: the folder of cityscapes"
    ):
        load_settings("own")
    profile_with(
        tmp_path, monkeypatch, lambda text: text.replace("painted: {}", "painted: {hight: 3}")
    )
    with pytest.raises(
        ValueError, match="painted of the profile own.yml set 'hight', .* are: width, height,"
    ):
        load_settings("own")
    profile_with(tmp_path, monkeypatch, lambda text: text + "real_data: {treshold: 0.7}")
    with pytest.raises(ValueError, match="real_data of the profile own.yml set 'treshold'"):
        load_settings("own", data_root=tmp_path)
    profile_with(tmp_path, monkeypatch, lambda text: text + "real_data: [0.7]")
    with pytest.raises(
        ValueError, match=r"real_data=\[0.7\] in the profile own.yml must be a valid dictionary"
    ):
        load_settings("own", data_root=tmp_path)
    for section, message in (
        ("5", "painted=5 in the profile own.yml must be a valid dictionary"),
        ("{width: '512'}", "width='512' in painted of the profile own.yml must be a valid integer"),
        ("{width: 512.5}", "width=512.5 in painted of the profile own.yml must be a valid integer"),
        ("{train: 0}", "train=0 in painted of the profile own.yml must be greater than or equal"),
    ):
        change = f"painted: {section}"
        profile_with(tmp_path, monkeypatch, lambda text, to=change: text.replace("painted: {}", to))
        for root in (None, tmp_path):
            with pytest.raises(ValueError, match=message):
                load_settings("own", data_root=root)
    profile_with(tmp_path, monkeypatch, lambda text: text + "5: 3")
    with pytest.raises(ValueError, match="the profile own.yml set 5, which is no setting"):
        load_settings("own", data_root=tmp_path)
    profile_with(tmp_path, monkeypatch, lambda text: text + "real_data: []")
    with pytest.raises(ValueError, match=r"real_data=\[\] in the profile own.yml"):
        load_settings("own", data_root=tmp_path)
    profile_with(tmp_path, monkeypatch, lambda text: text + "data_root: /data")
    with pytest.raises(ValueError, match="the profile own.yml set 'data_root'"):
        load_settings("own", data_root=tmp_path)
    for line, message in (
        (
            "epochs: two",
            "epochs='two' in closed_set of the profile own.yml must be a valid integer",
        ),
        ("batch_size: 0", "batch_size=0 in closed_set of the profile own.yml must be greater"),
        ("learning_rate: 3-e3", "learning_rate='3-e3' in closed_set of the profile own.yml"),
    ):
        profile_with(tmp_path, monkeypatch, lambda text, line=line: f"{text}closed_set: {{{line}}}")
        with pytest.raises(ValueError, match=message):
            load_settings("own", data_root=tmp_path)
    profile_with(tmp_path, monkeypatch, lambda text: "[1, 2")
    with pytest.raises(ValueError, match="own.yml is no YAML"):
        load_settings("own", data_root=tmp_path)
    profile_with(tmp_path, monkeypatch, lambda text: "just words")
    with pytest.raises(ValueError, match="own.yml must hold lines"):
        load_settings("own", data_root=tmp_path)


@pytest.mark.parametrize("lines", ["seed: 1\n", "real_data: {seed: 1}\n"])
def test_a_seed_in_a_profile_would_not_count_and_is_refused(tmp_path, lines):
    path = tmp_path / "own.yml"
    path.write_text((PROFILE_FOLDER / "miniature.yml").read_text() + lines)
    with pytest.raises(ValueError, match="the profile own.yml sets seed, .* but a parameter"):
        load_settings(path, data_root=tmp_path)


def test_miniature_paints_its_data_where_none_is_given(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "ood_lib.miniature.ensure_miniature", lambda size: asked.append(size) or tmp_path
    )
    assert load_settings().data_root == load_settings("colab").data_root == tmp_path
    assert asked[0] == Size() and (asked[1].width, asked[1].height) == (512, 256)


def test_thesis_profile_has_the_numbers_of_section_4_1(tmp_path):
    settings = load_settings("thesis", data_root=tmp_path)
    assert (settings.model, settings.crop, settings.epochs) == (
        "deeplabv3plus_wrn38",
        (480, 480),
        4,
    )
    assert (settings.threshold, settings.lambda_, settings.learning_rate) == (0.7, 0.9, 1e-5)
    assert int(settings.proxy_fraction * 2975) == 297
    assert (settings.num_in_distribution, settings.min_ood_share, settings.max_ood_share) == (
        None,
        0,
        1,
    )
    assert (
        settings.checkpoint == tmp_path / "cityscapes_best.pth"
    )  # not there: named where it is expected
    with pytest.raises(ValueError, match="data_root is needed for the profile thesis.yml"):
        load_settings("thesis")


def test_colab_profile_takes_another_network_for_real_data(tmp_path):
    real = load_settings("colab", data_root=tmp_path)
    assert (real.is_painted, real.checkpoint, real.crop) == (False, "pretrained", (480, 480))
    assert real.model.startswith("transformers:")
    (tmp_path / MANIFEST).write_text("{}")
    painted = load_settings("colab", data_root=tmp_path)
    assert (painted.is_painted, painted.checkpoint, painted.model) == (
        True,
        None,
        "deeplabv3plus_small",
    )
    assert painted.model in ARCHITECTURES
    assert painted.closed_set == ClosedSetRecipe(epochs=14, crop=256, batch_size=16)
    assert (
        painted.threshold != real.threshold == load_settings("thesis", data_root=tmp_path).threshold
    )


def test_a_profile_of_ones_own_is_a_file_anywhere(tmp_path):
    assert profile_names() == ["colab", "miniature", "thesis"]
    own = tmp_path / "mine.yml"
    text = (PROFILE_FOLDER / "thesis.yml").read_text()
    for old, new in (("cityscapes_best.pth", "mine.safetensors"), ("epochs: 4", "epochs: 2")):
        text = text.replace(old, new)
    own.write_text(text.replace("0.00001", "2e-4"))  # which is text to YAML
    (tmp_path / "data").mkdir()
    settings = load_settings(str(own), data_root=tmp_path / "data")
    assert (settings.profile, settings.epochs, settings.learning_rate) == ("mine", 2, 2e-4)
    assert settings.checkpoint == tmp_path / "data" / "mine.safetensors"
    (tmp_path / "mine.safetensors").write_bytes(b"")
    assert (
        load_settings(str(own), data_root=tmp_path / "data").checkpoint
        == tmp_path / "mine.safetensors"
    )
    with pytest.raises(
        ValueError, match="no profile '.*other.yml'.*or give the path of a .yml file"
    ):
        load_settings(str(tmp_path / "other.yml"))


def test_open_finds_the_folder_of_a_data_set(tmp_path):
    write_lost_and_found(tmp_path / "lost_and_found")
    settings = load_settings(data_root=tmp_path)
    assert len(settings.open("lost_and_found", "test")) == 4
    with pytest.raises(FileNotFoundError, match=str(tmp_path / "coco")):
        settings.open("coco_proxy", max_ood_share=0.2)
    with pytest.raises(ValueError, match="no data set 'kitti'"):
        settings.open("kitti")
