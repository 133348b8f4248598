import re

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from studied import write_experiment

from ood_lib.models import build_model, save_checkpoint
from ood_lib.score import SLUGS, main
from ood_lib.scores import max_logit
from ood_lib.scores.by_name import SCORES, make_score
from ood_lib.segments import metric_names
from ood_lib.training.closed_set import closed_set_ensemble, closed_set_network


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


@pytest.mark.parametrize("name", SLUGS)
def test_every_score_can_be_asked_for(name, experiment, pictures, tmp_path, capsys):
    if name in LACKING:  # in so small an experiment
        assert command(experiment, pictures[:1], tmp_path / "out", "--score", name) == 1
        assert re.search(LACKING[name], capsys.readouterr().err)
        return
    assert command(experiment, pictures[:1], tmp_path / "out", "--score", name) == 0
    assert np.isfinite(np.load(tmp_path / "out" / "one_score.npy")).all()


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
