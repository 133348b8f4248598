"""All meta classifiers on the segments of painted drives, judged as the library judges."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

import ood_lib.studies.execution
from ood_lib.claims import OnDrives, book_claims
from ood_lib.meta import LogisticMetaClassifier, NeuralMetaClassifier, cross_validate
from ood_lib.metrics.curves import over_networks_and_drives
from ood_lib.miniature import Size, ensure_miniature
from ood_lib.segments import metric_names, segment_table
from ood_lib.settings import load_settings
from ood_lib.studies import Study, verdicts
from ood_lib.studies.execution import do_run
from ood_lib.studies.records import find_record, pack, read_study, read_verdicts
from ood_lib.studies.runs import plan
from ood_lib.training import fine_tuned_network

SMALL = Size(width=128, height=64, train=3, val=1, proxy=4, tuning_sequences=1,
             test_sequences=2, frames=2, fishyscapes=1)  # fmt: skip
FEW = Study("few", 1, [{"epochs": 1, "num_in_distribution": 2, "proxy_fraction": 0.5}], True)


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    root = ensure_miniature(tmp_path_factory.mktemp("city"), size=SMALL, jobs=1)
    return load_settings("miniature", root, crop=48, max_ood_share=1.0)


@pytest.fixture
def drives(settings, monkeypatch, tmp_path):
    """Eight drives of two frames, and a few of the classifiers."""
    size = replace(verdicts.DRIVES, test_sequences=8, frames=2, width=128, height=64)
    monkeypatch.setattr(verdicts, "DRIVES", size)
    monkeypatch.setenv("OOD_LIB_CACHE", str(tmp_path / "cache"))
    few = {"ENDS": (0.3,), "THRESHOLDS": (0.3, 0.4), "PREFIXES": (3,), "DRAWS": 5, "FOLDS": 2}
    few |= {"LARS_AT": 0.4, "ARCHITECTURES": {"NN-L-0": ()}, "ALONE": 4}
    for name, value in few.items():
        monkeypatch.setattr(verdicts, name, value)
    return verdicts.open_drives(settings)


def some_segments(drives=12, of_each=6, seed=0) -> pd.DataFrame:
    """Segments of which the false ones are smaller and surer, but not all."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(size=(drives * of_each, 75)), columns=metric_names())
    false = rng.random(len(table)) < 0.6
    table["iou"] = np.where(false, 0, rng.uniform(0.1, 1, len(table)))
    table["S"] = rng.integers(1, 30, len(table)) + 8 * ~false
    table["E"] += 2 * ~false
    table["sequence"] = np.repeat([f"drive {n}" for n in range(drives)], of_each)
    return table


def test_segments_are_those_of_the_library_at_each_threshold(drives, settings, tmp_path):
    network = fine_tuned_network(settings.changed(**FEW.arms[0]), checkpoint=None, progress=False)
    found = verdicts.segment_tables(network, drives, tmp_path)
    again = verdicts.segment_tables(None, drives, tmp_path)  # read
    assert list(found) == list(again) == [0.3, 0.4]
    for threshold, table in found.items():
        wanted = segment_table(network, drives, threshold, progress=False)
        columns = [*metric_names(), "iou", "sequence"]
        pd.testing.assert_frame_equal(table[columns], wanted[columns], check_dtype=False)
        pd.testing.assert_frame_equal(table, again[threshold])


def test_every_classifier_is_judged_on_what_it_has_not_seen(monkeypatch, tmp_path):
    monkeypatch.setattr(verdicts, "ENDS", (0.7,))
    monkeypatch.setattr(verdicts, "PREFIXES", (3,))
    monkeypatch.setattr(verdicts, "LARS_AT", 0.4)
    monkeypatch.setattr(verdicts, "ALONE", 4)
    table = some_segments()
    false = table["iou"] == 0
    found = {
        (threshold, judged.left_out, judged.classifier): judged
        for threshold in (0.4, 0.7)
        for judged in verdicts.judge(table, threshold, 3, tmp_path)
    }
    usual = {"LR", "NN", "five nearest", "boosting", "size alone"}
    for threshold in (0.4, 0.7):
        assert usual <= {name for at, how, name in found if (at, how) == (threshold, "drive")}
    at_the_end = {name for at, how, name in found if (at, how) == (0.7, "fold")}
    assert at_the_end == usual | {"sigmoid", "tanh"} | set(verdicts.ARCHITECTURES)
    assert len(verdicts.ARCHITECTURES) == 18  # of the 19 in tables 4.4 to 4.6
    on_first = {name for at, how, name in found if (at, how) == (0.4, "drive")} - usual
    assert on_first == {"LR on 3", "NN on 3"}
    # The same numbers as by hand.
    metrics, fifth = table[metric_names()], np.repeat(np.arange(12) % 5, 6)
    by_drive, by_fold = {"scheme": "group", "groups": fifth}, {"folds": 5, "seed": 3}
    wanted = {
        (0.4, "drive", "NN"): (NeuralMetaClassifier(seed=3), by_drive),
        (0.4, "fold", "LR"): (LogisticMetaClassifier(), {"scheme": "k-fold"} | by_fold),
    }
    for key, (classifier, scheme) in wanted.items():
        p = cross_validate(classifier, metrics, false, progress=False, **scheme)
        np.testing.assert_array_equal(found[key].probability, p)
    alone = found[0.7, "segment", "LR"]
    assert set(alone.table["sequence"]) == {f"drive {n}" for n in range(4)}
    part = cross_validate(LogisticMetaClassifier(), metrics[:24], false[:24], progress=False)
    np.testing.assert_array_equal(alone.probability, part)
    assert (np.argsort(found[0.4, "fold", "size alone"].probability, kind="stable")
            == np.argsort(-table["S"], kind="stable")).all()  # fmt: skip


def test_measures_of_drawn_drives_are_those_of_their_segments_repeated():
    table = some_segments()
    p = 1 / (1 + np.exp(table["E"].to_numpy()))
    drives = list(dict.fromkeys(table["sequence"]))
    counts = np.random.default_rng(0).multinomial(12, np.full(12, 1 / 12), 3)
    weights = pd.DataFrame(np.vstack([np.ones((1, 12), int), counts]), columns=drives)
    rows = list(verdicts.measure(verdicts.Judged("fold", "LR", table, p), 0.4, weights))
    assert {row["segments"] for row in rows} == {"all", "small"}
    for row in rows:
        part = table if row["segments"] == "all" else table[table["S"] < verdicts.SMALL]
        for draw, drawn in enumerate(weights.to_numpy()):
            times = pd.Series(drawn, drives).loc[part["sequence"]].to_numpy()
            true = np.repeat((part["iou"] > 0).to_numpy(), times)
            score = np.repeat(1 - p[part.index], times)
            if true.all() or (not true.any() and row["measure"] != "removed"):
                assert row["draws"][draw - 1] == -1
                continue
            wanted = {
                "auroc": lambda true, score: roc_auc_score(true, score),
                "auprc": lambda true, score: average_precision_score(true, score),
                "auprc of false": lambda true, score: average_precision_score(~true, -score),
                "removed": lambda true, score: (score[~true] <= 0.5).mean(),
            }[row["measure"]](true, score)
            found = row["value"] if draw == 0 else row["draws"][draw - 1] / 1e4
            assert found == pytest.approx(wanted, abs=1e-9 if draw == 0 else 6e-5)


def test_where_a_draw_lacks_a_kind_there_is_no_value():
    table = some_segments(drives=2, of_each=2)
    table["iou"] = [0.0, 0.0, 0.5, 0.5]  # one kind in each drive
    weights = pd.DataFrame([[1, 1], [2, 0]], columns=["drive 0", "drive 1"])
    judged = verdicts.Judged("fold", "LR", table, np.array([0.9, 0.8, 0.1, 0.2]))
    rows = [row for row in verdicts.measure(judged, 0.4, weights) if row["segments"] == "all"]
    assert [row["value"] for row in rows] == [1, 1, 1, 1]
    assert [row["draws"].tolist() for row in rows] == [[-1], [-1], [-1], [10_000]]


def test_a_run_is_recorded_beside_others_and_done_once(drives, settings, tmp_path, monkeypatch):
    torch.set_num_threads(1)
    (run,) = plan(FEW, settings, [0])
    folder = tmp_path / "study"
    (folder / ".in_progress").mkdir(parents=True)
    assert do_run(run, folder, wait=True) == {}
    record = find_record(folder / run.key)
    assert record["inputs"]["measured"]["drives"].startswith("miniature-")
    table = read_verdicts(folder)
    assert set(table["threshold"]) == {0.3, 0.4} and len(table) > 10
    assert not table.drop(columns=["value", "draws"]).duplicated().any()
    assert all(len(draws) == 5 for draws in table["draws"])
    assert record["measures"]["segments at 0.3"] > record["measures"]["segments at 0.4"] > 0
    assert [path.name for path in (folder / ".in_progress").iterdir()] == [f"{run.key}.lock"]
    # Beside it there is no run of another study, and packed it stays what it is.
    with pytest.raises(FileNotFoundError, match="holds no finished run"):
        read_study(folder, settings)
    assert pack(folder, tmp_path / "packed", settings) == 1
    pd.testing.assert_frame_equal(read_verdicts(tmp_path / "packed"), table)
    monkeypatch.setattr(ood_lib.studies.execution, "measure_verdicts", lambda *_: pytest.fail())
    assert do_run(run, folder, wait=True) == {}
    # Another number of drives is another study.
    monkeypatch.setattr(verdicts, "DRIVES", replace(verdicts.DRIVES, test_sequences=4))
    assert plan(FEW, settings, [0])[0].key != run.key


def test_an_interval_over_networks_alone_is_students():
    values = np.random.default_rng(0).normal(0.3, 1, 8)
    alone = over_networks_and_drives(values, np.tile(values[:, None], 50))
    known = stats.ttest_1samp(values, 0)
    interval = known.confidence_interval()
    assert alone == pytest.approx((values.mean(), *interval, known.pvalue), rel=1e-9)
    above_1 = over_networks_and_drives(values, np.tile(values[:, None], 50), bound=1)
    assert above_1[3] == pytest.approx(stats.ttest_1samp(values, 1).pvalue)
    same = over_networks_and_drives(np.full(3, 0.5), np.full((3, 20), 0.5))
    assert same == (0.5, 0.5, 0.5, 0.0)
    with pytest.raises(ValueError, match="at least two, not 1"):
        over_networks_and_drives(values[:1], values[:1, None])


@pytest.mark.parametrize(("sd_networks", "sd_drives"), [(1, 0), (0, 1), (1, 3), (0.2, 3)])
def test_the_interval_holds_for_other_networks_and_other_drives(sd_networks, sd_drives):
    """Of means over drives, in many experiments."""
    rng, held, repeats = np.random.default_rng(1), 0, 400
    for _ in range(repeats):
        drives = rng.normal(0, sd_drives, 100)
        networks = rng.normal(0, sd_networks, 6)
        noise = rng.normal(0, 0.5, (6, 100))
        of_drives = 2 + networks[:, None] + drives + noise
        weights = rng.multinomial(100, np.full(100, 1 / 100), 100) / 100
        found = over_networks_and_drives(of_drives.mean(axis=1), of_drives @ weights.T)
        held += found[1] <= 2 <= found[2]
    assert 0.92 <= held / repeats <= 0.99


def test_a_difference_is_paired_within_each_network():
    rng, rows = np.random.default_rng(2), []
    for run in ("a", "b", "c"):
        for name, level in (("NN", 0.9), ("LR", 0.8)):
            draws = (1e4 * (level + rng.normal(0, 0.01, 20))).astype(np.int16)
            draws[3] = -1 if (run, name) == ("b", "LR") else draws[3]
            rows += [{"run": run, "threshold": t, "left_out": "drive", "segments": s, "measure": m,
                      "classifier": name, "value": level + rng.normal(0, 0.01), "draws": draws}
                     for t in (0.3, 0.4) for s in ("all", "small") for m in ("auroc", "auprc")]
    table = pd.DataFrame(rows).sample(frac=1, random_state=0)
    asked = {"classifiers": ["NN"], "other": "LR", "measure": "auprc", "left_out": "drive"}
    asked = OnDrives(**asked, threshold=0.4)
    found = verdicts.difference(table, "NN", asked)
    own = table[(table["threshold"] == 0.4) & (table["segments"] == "all")]
    own = own[own["measure"] == "auprc"].set_index(["classifier", "run"]).sort_index()
    values = own["value"].loc["NN"] - own["value"].loc["LR"]
    draws = np.stack(own["draws"].loc["NN"]) / 1e4 - np.stack(own["draws"].loc["LR"]) / 1e4
    wanted = over_networks_and_drives(values.to_numpy(), np.delete(draws, 3, axis=1))
    assert found == pytest.approx(wanted) and found[1] < 0.1 < found[2]
    assert verdicts.furthest_ahead(table, asked) == ("NN", *found)
    with pytest.raises(ValueError, match="NN and boosting are not judged once by each network"):
        verdicts.difference(table, "NN", asked.changed(other="boosting"))
    # Of two the better one, with a wider interval.
    both = asked.changed(classifiers=["worse", "NN"])
    low = table[table["classifier"] == "LR"].assign(classifier="worse")
    wider = verdicts.furthest_ahead(pd.concat([table, low]), both)
    assert wider[:2] == ("NN", found[0]) and wider[2] < found[1] and wider[3] > found[2]
    assert wider[4] == pytest.approx(2 * found[3])
    # p is of the bound that is nearest.
    at_1 = verdicts.difference(table, "NN", asked, bound=0.11)[3]
    assert verdicts.furthest_ahead(table, asked, (0, 0.11, np.inf))[4] == pytest.approx(at_1)


def test_what_claims_ask_of_drives_is_measured():
    asked = [own.on_drives for own in (*book_claims().claims, *book_claims().questions)]
    asked = [one for one in asked if one is not None]
    assert len(asked) >= 10
    names = {"LR", "NN", "sigmoid", "tanh", *verdicts.ARCHITECTURES}
    names |= {f"LR on {n}" for n in verdicts.PREFIXES}
    for one in asked:
        assert {*one.classifiers, one.other} <= names and one.threshold in verdicts.ENDS
        if any(" on " in name for name in one.classifiers):
            assert (one.left_out, one.threshold) == ("drive", verdicts.LARS_AT)
        if {"sigmoid", "tanh", *verdicts.ARCHITECTURES} & set(one.classifiers):
            assert one.left_out == "fold"


def test_only_painted_drives(settings):
    real = settings.changed(is_painted=False)
    with pytest.raises(ValueError, match="Verdicts are of painted drives, but .* is not painted"):
        verdicts.open_drives(real)
