"""What chapters keep for the scoreboard comes back as it was, or is refused."""

import math

import pytest
from studied import write_experiment

from ood_lib.notebook import keep_findings, read_findings


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("OOD_LIB_CACHE", str(tmp_path / "cache"))
    return write_experiment(tmp_path)


def test_findings_come_back_by_name(settings):
    assert read_findings(settings).empty
    keep_findings(settings, "04", {"auprc gain": (0.25, 0.125, 0.5)})
    keep_findings(settings, "06", {"old": (0, 0, 0)})
    keep_findings(
        settings, "06", {"network gain": (0.0, -1, 1), "size": (3, 2, 4)}
    )  # in the place of the old
    table = read_findings(settings)
    assert table.index.tolist() == ["auprc gain", "network gain", "size"]
    assert table.loc["auprc gain"].tolist() == [0.25, 0.125, 0.5, "", "04", settings.lambda_]
    assert read_findings(settings.changed(seed=1)).empty
    assert read_findings(settings.changed(data_root=settings.data_root / "coco")).empty


def test_a_finding_may_say_over_what_it_was_taken(settings):
    keep_findings(settings, "08", {"gain": (0.5, 0, 1), "loss": (0.5, 0, 1)}, n="50 runs")
    keep_findings(settings, "09", {"a": (0.5, 0, 1), "b": (0.5, 0, 1)}, n={"b": "10 runs"})
    assert read_findings(settings)["n"].tolist() == ["50 runs", "50 runs", "", "10 runs"]


@pytest.mark.parametrize("found", [(math.nan, 0, 1), (0.5, 0, math.inf), (2, 0, 1), (0, 1, -1)])
def test_what_is_no_finding(settings, found):
    with pytest.raises(ValueError, match="'gain' is .* must be a number within its interval"):
        keep_findings(settings, "04", {"gain": found})
    assert read_findings(settings).empty


def test_a_name_belongs_to_one_chapter(settings):
    for chapter in ("04", "05"):
        keep_findings(settings, chapter, {"gain": (0.5, 0, 1)})
    with pytest.raises(ValueError, match="'gain'"):
        read_findings(settings)
