import re
import weakref

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from studied import write_experiment

from ood_lib.data.photographs import is_painted_street
from ood_lib.data.sample import read_image
from ood_lib.inference import _WithinMemory
from ood_lib.miniature import Size, ensure_miniature
from ood_lib.models import build_model, save_checkpoint
from ood_lib.score import SLUGS, main
from ood_lib.scores import max_logit
from ood_lib.scores.by_name import SCORES, make_score
from ood_lib.segments import metric_names
from ood_lib.settings import load_settings
from ood_lib.training.closed_set import closed_set_ensemble, closed_set_network

NEED_NO_SCENES = {"max_softmax", "margin", "entropy", "max_logit", "energy", "odin", "ensemble"}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    return write_experiment(tmp_path_factory.mktemp("experiment"))


@pytest.fixture
def pictures(tmp_path) -> list:
    draws = np.random.default_rng(0)
    paths = [tmp_path / "one.png", tmp_path / "two.jpg"]
    for path, size in zip(paths, ((40, 56, 3), (32, 48, 3)), strict=True):
        Image.fromarray(draws.integers(0, 256, size, dtype=np.uint8)).save(path)
    return paths


@pytest.fixture
def undrawn(monkeypatch) -> None:
    """No sheets, which take most of the time, where a test looks at none."""
    monkeypatch.setattr("ood_lib.sheets._draw", lambda sheet: None)


def command(experiment, pictures, out, *more: str) -> int:
    where = [
        "--profile",
        str(experiment.data_root / "tiny.yml"),
        "--data-root",
        str(experiment.data_root),
    ]
    return main([*map(str, pictures), "--out", str(out), *where, *more])


def test_everything_is_written_and_agrees(experiment, pictures, tmp_path, capsys):
    out = tmp_path / "out"
    assert command(experiment, pictures, out, "--score", "max_logit") == 0
    said = capsys.readouterr().out
    scores = [np.load(out / f"{path.stem}_score.npy") for path in pictures]
    assert [score.shape for score in scores] == [(40, 56), (32, 48)]
    pixels = torch.from_numpy(np.array(Image.open(pictures[0]))).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        expected = max_logit(closed_set_network(experiment)(pixels))[0]
    np.testing.assert_allclose(scores[0], expected.numpy(), atol=1e-4)
    masks = [np.array(Image.open(out / f"{path.stem}_mask.png")) for path in pictures]
    marked = sum((mask == 255).sum() for mask in masks) / sum(mask.size for mask in masks)
    assert marked == pytest.approx(0.01, abs=0.003) and "strangest 1% of all pixels" in said
    table = pd.read_csv(out / "segments.csv")
    assert set(metric_names()) <= set(table) and set(table["picture"]) <= {"one.png", "two.jpg"}
    assert table["S"].sum() == sum((mask == 255).sum() for mask in masks)
    assert f"{len(table)} segments" in said
    one = table[table["picture"] == "one.png"]
    assert one["score_max"].max() == pytest.approx(scores[0].max(), abs=1e-5)
    assert Image.open(out / "one_score.png").size == (56, 40) and (out / "one.png").is_file()


@pytest.mark.usefixtures("undrawn")
def test_a_threshold_that_nothing_reaches_gives_an_empty_table(
    experiment, pictures, tmp_path, capsys
):
    assert command(experiment, pictures, tmp_path / "out", "--threshold", "1.5") == 0
    assert len(pd.read_csv(tmp_path / "out" / "segments.csv")) == 0
    assert capsys.readouterr().out.startswith("0 segments")


LACKING = {
    "ensemble": "at least two networks",
    "nearest_neighbours": "pixels hold [0-9]+ of their commonest class",
}


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("name", SLUGS)
def test_every_score_can_be_asked_for(name, experiment, pictures, tmp_path, capsys):
    if name in LACKING:  # in so small an experiment
        assert command(experiment, pictures[:1], tmp_path / "out", "--score", name) == 1
        assert re.search(LACKING[name], capsys.readouterr().err)
        return
    assert command(experiment, pictures[:1], tmp_path / "out", "--score", name) == 0
    assert np.isfinite(np.load(tmp_path / "out" / "one_score.npy")).all()


@pytest.mark.usefixtures("undrawn")
def test_other_networks_and_weights(experiment, pictures, tmp_path, capsys):
    torch.manual_seed(3)
    other = build_model("deeplabv3plus_miniature")
    save_checkpoint(other, tmp_path / "other.safetensors")
    own = [
        "--model",
        "deeplabv3plus_miniature",
        "--checkpoint",
        str(tmp_path / "other.safetensors"),
    ]
    assert command(experiment, pictures[:1], tmp_path / "a", *own, "--threshold", "0.5") == 0
    assert command(experiment, pictures[:1], tmp_path / "b", "--threshold", "0.5") == 0
    assert not np.allclose(*(np.load(tmp_path / name / "one_score.npy") for name in "ab"))
    assert (
        command(experiment, pictures[:1], tmp_path / "c", "--model", "deeplabv3plus_nonsense") == 1
    )
    assert "no network 'deeplabv3plus_nonsense'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def painted_streets(tmp_path_factory) -> list:
    """Streets of every kind that the painter paints, whatever is in them."""
    size = Size(256, 128, train=6, val=2, proxy=1, tuning_sequences=2, test_sequences=2, frames=2,
                fishyscapes=3)  # fmt: skip
    root = ensure_miniature(tmp_path_factory.mktemp("city"), size=size, jobs=1)
    folders = (
        "cityscapes/leftImg8bit",
        "lost_and_found/leftImg8bit",
        "fishyscapes/Static/original",
    )
    return [path for folder in folders for path in sorted((root / folder).rglob("*.png"))]


def test_a_picture_is_read_as_a_viewer_turns_it(experiment, pictures, tmp_path):
    """A telephone notes how it was held, and stores the pixels as the sensor has them."""
    upright, exif = Image.open(pictures[0]), Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    paths, out = [pictures[0], tmp_path / "turned.png"], tmp_path / "out"
    assert command(experiment, paths, out) == 0
    maps = (("_score.npy", np.load), ("_score.png", Image.open), ("_mask.png", Image.open))
    for ending, read in maps:
        one, turned = (np.asarray(read(out / f"{path.stem}{ending}")) for path in paths)
        assert one.shape[:2] == (40, 56) and np.array_equal(one, turned)
    of_one, of_turned = (
        pd.read_csv(out / "segments.csv").query("picture == @path.name").drop(columns="picture")
        for path in paths
    )
    assert len(of_one) and np.array_equal(of_one, of_turned)


class TestResultsReplaceNothing:
    """Data of the user are worth more than results: all is refused before anything is computed."""

    def refused(self, experiment, pictures, out, capsys, *words: str) -> None:
        before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
        assert command(experiment, pictures, out) == 1
        said = capsys.readouterr().err
        assert all(word in said for word in words), said
        assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def test_a_picture_that_is_given(self, experiment, pictures, tmp_path, capsys):
        words = (f"replace {pictures[0]},", "Choose another folder as --out")
        self.refused(experiment, pictures, tmp_path, capsys, *words)
        (tmp_path / "one_score.npy").touch()  # even where it looks like a result
        self.refused(experiment, pictures, tmp_path, capsys, *words)
        (tmp_path / "link").symlink_to(tmp_path)
        self.refused(experiment, [tmp_path / "link" / "one.png"], tmp_path, capsys, "one.png,")

    def test_a_picture_that_is_not_given(self, experiment, pictures, tmp_path, capsys):
        other = tmp_path / "two.png"  # beside two.jpg
        Image.open(pictures[0]).save(other)
        self.refused(experiment, pictures[1:], tmp_path, capsys, f"replace {other},")

    @pytest.mark.parametrize("name", ["one_mask.png", "one_SCORE.jpg", "One.jpg"])
    def test_the_result_of_another_picture(self, name, experiment, pictures, tmp_path, capsys):
        other = tmp_path / name
        Image.open(pictures[0]).convert("RGB").save(other)
        words = ("Two pictures have the same name for a result, one", "rename one")
        self.refused(experiment, [pictures[0], other], tmp_path / "out", capsys, *words)
        self.refused(experiment, [other] * 2, tmp_path / "out", capsys, "Two pictures")

    @pytest.mark.parametrize("name", ["one.png", "one_score.npy", "two_mask.png"])
    def test_a_file_that_only_has_the_name_of_a_result(
        self, name, experiment, pictures, tmp_path, capsys
    ):
        out = tmp_path / "out"
        out.mkdir()
        for own in {name, "one_score.npy"}:  # a score map says nothing of whose the others are
            (out / own).write_bytes(b"the user's own")
        self.refused(experiment, pictures, out, capsys, f"replace {out / 'one'}")
        (out / "one_score.npy").unlink(missing_ok=True)
        if name != "one_score.npy":
            self.refused(experiment, pictures, out, capsys, f"replace {out / name},")

    @pytest.mark.usefixtures("undrawn")
    def test_a_table_of_someone_else(self, experiment, pictures, tmp_path, capsys):
        out = tmp_path / "out"
        out.mkdir()
        (out / "segments.csv").write_text("segment,length\n1,3 km\n")
        self.refused(experiment, pictures, out, capsys, f"replace {out / 'segments.csv'},")
        (out / "segments.csv").unlink()
        assert command(experiment, pictures, out, "--threshold", "2") == 0
        assert command(experiment, pictures, out) == 0  # its own it may
        assert len(pd.read_csv(out / "segments.csv"))
        self.refused(experiment, pictures, pictures[0], capsys, "one.png is no folder")


def test_pictures_are_looked_at_before_all_else(pictures, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ood_lib.score.load_settings", lambda *_, **__: pytest.fail("too late"))

    def said(path) -> str:
        assert main([str(pictures[0]), str(path), "--out", str(tmp_path / "out")]) == 1
        message = capsys.readouterr().err
        assert str(path) in message and "etch" not in message and "data set" not in message
        return message

    assert "is not there: look for it" in said(tmp_path / "missing.jpg")
    (tmp_path / "folder").mkdir()
    assert "holds no picture (" in said(tmp_path / "folder")
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    heic = said(tmp_path / "phone.heic")
    assert "format HEIC" in heic and "pip install pillow-heif. Or give a JPEG" in heic
    (tmp_path / "short.png").write_bytes(pictures[0].read_bytes()[:500])
    assert "truncated" in said(tmp_path / "short.png")
    Image.new("1", (20000, 9000)).save(tmp_path / "large.png")
    assert "exceeds limit" in said(tmp_path / "large.png")
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "float.tif")
    assert "32 bits for each pixel's grey value" in said(tmp_path / "float.tif")
    assert not (tmp_path / "out").exists()


def test_pictures_are_held_one_at_a_time(experiment, pictures, tmp_path, monkeypatch):
    """Probabilities of 19 classes are 76 bytes a pixel."""
    alive = weakref.WeakSet()

    def watch(self, images, judge=_WithinMemory._judge):
        assert not alive, "the probabilities of the picture before are still there"
        results = judge(self, images)
        assert len(results) == 1
        alive.update(result[2] for result in results if result[2] is not None)
        return results

    monkeypatch.setattr(_WithinMemory, "_judge", watch)
    assert command(experiment, pictures, tmp_path / "a") == 0
    assert command(experiment, pictures, tmp_path / "b", "--threshold", "0.5") == 0


def test_the_default_threshold_is_that_of_all_pictures_together(
    experiment, pictures, tmp_path, capsys
):
    assert command(experiment, pictures, tmp_path / "a") == 0
    threshold = float(capsys.readouterr().out.split("from ")[1].split(" on")[0])
    scores = [np.load(tmp_path / "a" / f"{path.stem}_score.npy").ravel() for path in pictures]
    assert threshold == pytest.approx(np.quantile(np.concatenate(scores), 0.99), rel=1e-3)
    assert command(experiment, pictures[:1], tmp_path / "b") == 0  # in a single look
    threshold = float(capsys.readouterr().out.split("from ")[1].split(" on")[0])
    assert threshold == pytest.approx(np.quantile(scores[0], 0.99), rel=1e-3)
    heat = [np.array(Image.open(tmp_path / "a" / f"{path.stem}_score.png")) for path in pictures]
    greatest = int(np.argmax([score.max() for score in scores]))
    brightest = heat[greatest].reshape(-1, 3)[scores[greatest].argmax()]
    assert brightest.tolist() == [252, 254, 164]  # the upper end of the scale, in one of them


def painting(monkeypatch) -> list[str]:
    """Notes where data were to be painted, instead of painting them."""
    asked = []
    monkeypatch.setattr(
        "ood_lib.miniature.ensure_miniature", lambda root=None, **_: asked.append(root)
    )
    return asked


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("slug", [slug for slug in SLUGS if slug in NEED_NO_SCENES])
def test_scores_of_the_logits_need_the_network_alone(slug, pictures, tmp_path, monkeypatch, capsys):
    asked = painting(monkeypatch)
    code = main([str(pictures[0]), "--out", str(tmp_path / "out"), "--score", slug])
    assert (code, asked) == (0, [])
    assert "It learns from" not in capsys.readouterr().out


@pytest.mark.parametrize("slug", [slug for slug in SLUGS if slug not in NEED_NO_SCENES])
def test_a_score_that_learns_says_from_what(slug, pictures, tmp_path, monkeypatch, capsys):
    asked = painting(monkeypatch)
    assert main([str(pictures[0]), "--out", str(tmp_path / "out"), "--score", slug]) == 1
    root = load_settings(paint=False).data_root
    said = capsys.readouterr()
    assert asked[0] == root and str(root) in said.err  # where now nothing is found
    first = "coco_proxy" if slug == "outlier_head" else "cityscapes"
    assert f"It learns from painted pictures of {first}, train, in {root}." in said.out


@pytest.mark.usefixtures("undrawn")
def test_of_data_that_are_given_it_says_so_too(experiment, pictures, tmp_path, capsys):
    options = ("--score", "standardised_max_logits")
    assert command(experiment, pictures[:1], tmp_path / "out", *options) == 0
    place = f"pictures of cityscapes, train, in {experiment.data_root}."
    assert f"It learns from {place}" in capsys.readouterr().out


class TestTheShippedNetworkKnowsPaintedStreetsOnly:
    def noise(self, *size: int) -> np.ndarray:
        return np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)

    def test_no_painted_street_raises_an_alarm(self, painted_streets):
        assert len(painted_streets) == 6 + 2 + 4 + 3 + 3
        assert all(is_painted_street(read_image(path)) for path in painted_streets)

    def test_what_is_none_is_seen(self, painted_streets):
        street = Image.open(painted_streets[0])
        assert not is_painted_street(self.noise(128, 256, 3))
        assert not is_painted_street(np.asarray(street.resize((512, 256))))
        assert not is_painted_street(np.asarray(street.rotate(90, expand=True)))
        for file in ("china.jpg", "flower.jpg"):
            photograph = Image.fromarray(load_sample_image(file))
            assert not is_painted_street(np.asarray(photograph))
            assert not is_painted_street(np.asarray(photograph.resize((256, 128))))

    @pytest.mark.usefixtures("undrawn")
    def test_it_says_so(self, experiment, painted_streets, pictures, tmp_path, capsys):
        def said(*paths) -> str:
            assert main([*map(str, paths), "--out", str(tmp_path / "out")]) == 0
            return capsys.readouterr().err

        street = painted_streets[0]
        assert "painted street" not in said(street)
        warned = said(pictures[0], street)
        assert "one.png is no painted street of 256 x 128 pixels" in warned
        assert "knows painted streets only" in warned and "--model segformer" in warned
        # Of other weights nobody knows what they have seen.
        assert command(experiment, pictures, tmp_path / "out") == 0
        assert "painted street" not in capsys.readouterr().err


def test_what_is_wrong_is_said(experiment, pictures, tmp_path, capsys):
    (tmp_path / "text.png").write_text("no picture")
    assert command(experiment, [tmp_path / "text.png"], tmp_path / "out") == 1
    assert "text.png cannot be read as an image" in capsys.readouterr().err
    (tmp_path / "more").mkdir()
    Image.open(pictures[0]).save(tmp_path / "more" / "one.png")
    assert command(experiment, [pictures[0], tmp_path / "more" / "one.png"], tmp_path / "out") == 1
    assert "Two pictures have the same name" in capsys.readouterr().err
    with pytest.raises(ValueError, match="no score 'nonsense'; choose one of: max softmax"):
        make_score("nonsense", [closed_set_network(experiment)], experiment)
    assert {name.lower() for name in SCORES} == {slug.replace("_", " ") for slug in SLUGS}


def test_sisters_lie_beside_the_weights(experiment):
    assert len(closed_set_ensemble(experiment)) == 1
    torch.manual_seed(4)
    sister = build_model("deeplabv3plus_miniature")
    path = experiment.data_root / "weights-1.safetensors"
    save_checkpoint(sister, path)
    try:
        networks = closed_set_ensemble(experiment)
        assert len(networks) == 2
        assert torch.equal(networks[1].final[-1].weight, sister.final[-1].weight)
        make_score("ensemble", networks, experiment)
    finally:
        path.unlink()
