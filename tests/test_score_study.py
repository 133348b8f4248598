import json

import pytest
import torch
from studied import write_experiment

from ood_lib.evaluation import evaluate_anomalies
from ood_lib.scores import entropy
from ood_lib.scores.by_name import SCORES, NamedScore
from ood_lib.studies import scores as study
from ood_lib.studies.scores import compare_scores, measure_scores, networks, read_score_record, relative_costs


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return write_experiment(tmp_path_factory.mktemp("experiment"))


@pytest.fixture
def few(monkeypatch, tmp_path):
    """Three quick scores and a cache of its own."""
    chosen = ("entropy", "ODIN", "Mahalanobis", "ensemble")
    monkeypatch.setattr(study, "SCORES", {name: SCORES[name] for name in chosen})
    monkeypatch.setenv("OOD_LIB_CACHE", str(tmp_path))


def test_a_comparison_measures_before_and_after_and_their_differences(settings, few, tmp_path):
    record = compare_scores(settings, progress=False)
    assert set(record.measures.index.get_level_values("score")) == {"entropy", "ODIN", "Mahalanobis"}
    models = networks(settings)
    for which, data, split in (("before", "lost_and_found", "test"), ("after", "fishyscapes_static", "val")):
        expected = evaluate_anomalies(models[which][0], settings.open(data, split), progress=False).compute()
        row = record.measures.loc[(data, which, "entropy")]
        assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-5)
    before, after = (record.measures.loc[("tuning", which, "Mahalanobis"), "auprc"] for which in ("before", "after"))
    assert before != after
    assert record.gains.loc[("tuning", "Mahalanobis"), "auprc"] == pytest.approx(after - before)
    assert (record.over_entropy.xs("entropy", level="score") == 0).all().all()
    study.write_score_record(record, tmp_path)
    again = read_score_record(tmp_path, settings)
    for name in ("measures", "gains", "over_entropy"):
        assert getattr(again, name).equals(getattr(record, name))


def test_a_record_of_other_settings_or_code_is_not_taken(settings, few, tmp_path, monkeypatch):
    from dataclasses import replace

    assert read_score_record(tmp_path, settings) is None
    study.write_score_record(compare_scores(settings, progress=False), tmp_path)
    assert read_score_record(tmp_path, replace(settings, seed=1)) is None
    monkeypatch.setattr(study, "code_digest", lambda also: "other")
    assert read_score_record(tmp_path, settings) is None


def test_after_an_interruption_finished_data_sets_are_kept(settings, few, tmp_path, monkeypatch):
    measured, measure = [], measure_scores

    def interrupted(scores, dataset, progress):
        if len(measured) == 3:
            raise KeyboardInterrupt
        measured.append(dataset.frames[0].id)
        return measure(scores, dataset, progress)

    monkeypatch.setattr(study, "measure_scores", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compare_scores(settings, progress=False)
    (kept,) = tmp_path.glob("scores-*")
    assert [path.name for path in kept.iterdir()] == ["tuning.json"]
    assert json.loads((kept / "tuning.json").read_text())["gains"]
    measured.clear()
    monkeypatch.setattr(study, "measure_scores", lambda *rest: measured.append(0) or measure(*rest))
    assert len(compare_scores(settings, progress=False).measures) == 3 * 2 * 3
    assert len(measured) == 4  # not the tuning set again


def test_costs_are_relative_to_a_forward_pass(monkeypatch):
    """By a clock that counts convolutions."""
    model, passes = torch.nn.Conv2d(3, 5, 9, padding=4).eval(), [0]
    model.register_forward_hook(lambda *_: passes.__setitem__(0, passes[0] + 1))
    monkeypatch.setattr(study.time, "perf_counter", lambda: float(passes[0]))

    def five_times(images):
        return sum(entropy(model(images)) for _ in range(5))

    scores = {"once": NamedScore(model, entropy), "five": five_times}
    assert relative_costs(scores, model, torch.rand(4, 3, 16, 16)) == {"once": 1, "five": 5}
