"""Every command says what it does, whatever signs its help holds."""

import contextlib
import io
import warnings

import pytest
from PIL import Image

from ood_lib import score
from ood_lib.data import __main__ as data
from ood_lib.metrics import __main__ as metrics
from ood_lib.studies import __main__ as studies

COMMANDS = {
    "score": (score.main, [], "--threshold"),
    "data": (data.main, [], "check"),
    "data check": (data.main, ["check"], "--profile"),
    "data get": (data.main, ["get"], "a browser first need cityscapes and cityscapes_best.pth"),
    "metrics": (metrics.main, [], "side by side"),
    "studies run": (studies.main, ["run"], "--seeds"),
    "studies pack": (studies.main, ["pack"], "folder"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_help(name):
    main, words, said = COMMANDS[name]
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0
    assert said in " ".join(shown.getvalue().split())


def test_a_threshold_that_is_no_number(tmp_path, capsys):
    assert score.main([str(tmp_path), "--out", str(tmp_path / "out"), "--threshold", "nan"]) == 1
    assert "The threshold nan is no number that a score can reach." in capsys.readouterr().err


def test_a_network_without_weights_for_classes_scores_nothing(tmp_path, monkeypatch, capsys):
    def random_head(settings):
        warnings.warn("Only the encoder of it has published weights; others are random.",
                      stacklevel=2)  # fmt: skip

    monkeypatch.setattr(score, "closed_set_ensemble", random_head)
    Image.new("RGB", (64, 64)).save(tmp_path / "street.png")
    assert score.main([str(tmp_path / "street.png"), "--out", str(tmp_path / "out")]) == 1
    assert "Only the encoder of it has published weights" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
