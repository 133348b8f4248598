import copy
import json
from functools import partial
from timeit import timeit

import pytest
import torch
from studied import write_experiment

from ood_lib.metrics import PixelMetrics
from ood_lib.metrics.evaluate import evaluate_anomalies
from ood_lib.models.logits import as_images
from ood_lib.scores import ImageScore, LogitScore, entropy
from ood_lib.scores.by_name import SCORES
from ood_lib.settings import load_settings
from ood_lib.studies import compare_scores as study
from ood_lib.studies.compare_scores import (
    all_scores,
    compare_scores,
    measure_scores,
    read_score_record,
    relative_costs,
)
from ood_lib.training import closed_set_network, fine_tuned_network


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
    assert set(record.measures.index.get_level_values("score")) == {
        "entropy",
        "ODIN",
        "Mahalanobis",
    }
    before = closed_set_network(settings)
    models = {"before": before, "after": fine_tuned_network(settings, copy.deepcopy(before))}
    for which, data, split in (
        ("before", "lost_and_found", "test"),
        ("after", "fishyscapes_static", "val"),
    ):
        expected = evaluate_anomalies(
            models[which], settings.open(data, split), progress=False
        ).compute()
        row = record.measures.loc[(data, which, "entropy")]
        assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-5)
    before, after = (
        record.measures.loc[("tuning", which, "Mahalanobis"), "auprc"]
        for which in ("before", "after")
    )
    assert before != after
    assert record.gains.loc[("tuning", "Mahalanobis"), "auprc"] == pytest.approx(after - before)
    assert (record.over_entropy.xs("entropy", level="score") == 0).all().all()
    study.write_score_record(record, tmp_path)
    again = read_score_record(tmp_path, settings)
    for name in ("measures", "gains", "over_entropy"):
        assert getattr(again, name).equals(getattr(record, name))


def test_a_record_of_other_settings_or_code_is_not_taken(settings, few, tmp_path, monkeypatch):
    assert read_score_record(tmp_path, settings) is None
    study.write_score_record(compare_scores(settings, progress=False), tmp_path)
    assert read_score_record(tmp_path, settings) is not None
    other = load_settings(settings.data_root / "tiny.yml", settings.data_root, seed=1)
    assert read_score_record(tmp_path, other) is None
    assert read_score_record(tmp_path, settings, frames=1) is None
    monkeypatch.setitem(study.SCORES, "entropy", SCORES["energy"])
    assert read_score_record(tmp_path, settings) is None


def test_a_comparison_on_some_frames_is_of_just_these(settings, few, tmp_path):
    frames = settings.open("lost_and_found", "test").take(2)
    expected = evaluate_anomalies(closed_set_network(settings), frames, progress=False).compute()
    record = compare_scores(settings, progress=False, frames=2)
    row = record.measures.loc[("lost_and_found", "before", "entropy")]
    assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-5)
    study.write_score_record(record, tmp_path)
    assert read_score_record(tmp_path, settings, frames=2) is not None
    assert read_score_record(tmp_path, settings) is None


def test_scores_at_hand_are_not_made_again(settings, few, tmp_path, monkeypatch):
    monkeypatch.setitem(study.SCORES, "MC dropout", SCORES["MC dropout"])
    wanted = compare_scores(settings, progress=False, frames=2)
    made = all_scores([closed_set_network(settings)], settings, progress=False)
    image = as_images(settings.open("lost_and_found", "test")[0].image, torch.device("cpu"))
    for score in made.values():
        score.score(image)  # asked before, as in chapter 3b
    calls = []
    make = all_scores
    monkeypatch.setattr(study, "all_scores", lambda *own: calls.append(own) or make(*own))
    monkeypatch.setenv("OOD_LIB_CACHE", str(tmp_path / "other"))
    (tmp_path / "other").mkdir()
    found = compare_scores(settings, progress=False, frames=2, made=made)
    assert found.measures.equals(wanted.measures) and found.gains.equals(wanted.gains)
    assert len(calls) == 1  # those after entropy maximization


def test_after_an_interruption_finished_data_sets_are_kept(settings, few, tmp_path, monkeypatch):
    written, write = [], study._write

    def interrupted(path, content):
        if written:
            raise KeyboardInterrupt
        written.append(path.name)
        write(path, content)

    monkeypatch.setattr(study, "_write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compare_scores(settings, progress=False)
    (kept,) = tmp_path.glob("scores-*")
    assert [path.name for path in kept.glob("*.json")] == ["tuning.json"]
    assert json.loads((kept / "tuning.json").read_text())["gains"]
    written.clear()
    monkeypatch.setattr(study, "_write", lambda *rest: written.append(rest[0].name) or write(*rest))
    assert len(compare_scores(settings, progress=False).measures) == 3 * 2 * 3
    assert written == ["lost_and_found.json", "fishyscapes_static.json"]  # not the tuning set again


def test_scores_of_one_network_share_its_passes(settings, few, monkeypatch):
    network = closed_set_network(settings)
    scores = all_scores([network], settings, progress=False)
    dataset, passes = settings.open("lost_and_found", "test"), []
    with network.register_forward_hook(lambda *_: passes.append(1)):
        metrics = measure_scores(scores, dataset, progress=False)
    assert len(passes) == 3 * len(dataset)  # one of entropy and Mahalanobis, two of ODIN
    for name, score in scores.items():
        expected = PixelMetrics()
        for sample in dataset:
            score_map = score.score(as_images(sample.image))[0].cpu()
            expected.update(score_map, sample.target, group=sample.sequence)
        assert metrics[name].compute() == pytest.approx(expected.compute(), abs=1e-6)


def test_costs_are_relative_to_a_forward_pass(monkeypatch):
    """By a clock that counts convolutions."""
    model, passes = torch.nn.Conv2d(3, 5, 9, padding=4).eval(), [0]
    model.register_forward_hook(lambda *_: passes.__setitem__(0, passes[0] + 1))
    by_passes = partial(timeit, timer=lambda: float(passes[0]))
    monkeypatch.setattr(study, "timeit", by_passes)

    class FiveTimes(ImageScore):
        def judge(self, images):
            logits = [self.model(images) for _ in range(5)]
            return logits[0], sum(entropy(each) for each in logits)

    scores = {"once": LogitScore(model, entropy), "five": FiveTimes(model)}
    assert relative_costs(scores, model, torch.rand(4, 3, 16, 16)) == {"once": 1, "five": 5}
