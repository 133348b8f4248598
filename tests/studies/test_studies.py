"""What a study's runs are, what is kept of them, and that nothing stands in a record which is not
so."""

import argparse
import ast
import copy
import dataclasses
import importlib
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from studied import write_experiment

import ood_lib.studies.execution
import ood_lib.studies.records
import ood_lib.studies.runs
from ood_lib import acting_code
from ood_lib.data import training_transform
from ood_lib.data.labels import CLASSES
from ood_lib.kept import digest
from ood_lib.metrics.evaluate import evaluate_anomalies, evaluate_segmentation
from ood_lib.models import save_checkpoint
from ood_lib.settings import Settings, load_settings
from ood_lib.studies import (
    STUDIES,
    Study,
    book_records,
    pack,
    read_proxy,
    read_study,
    run_study,
)
from ood_lib.studies.__main__ import main, parse_seeds
from ood_lib.studies.execution import _announce
from ood_lib.studies.measure import MEASURED, measure_run
from ood_lib.studies.records import find_record, run_folders, summarize
from ood_lib.studies.runs import data_fingerprint, plan, run_inputs
from ood_lib.training import fine_tune
from ood_lib.training.closed_set import closed_set_network

ONCE = Study("one run", 1)
FEW = {"max_ood_share": 0.4}
MANY = {"min_ood_share": 0.3, "ood_share": 0.1, "proxy_query": "boundary < 100"}
SHARES = Study("two kinds of proxy images", 2, [FEW, MANY])
KEEP = {"jobs": 1, "progress": False}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> Settings:
    return write_experiment(tmp_path_factory.mktemp("experiment"))


@pytest.fixture(scope="module")
def done(experiment, tmp_path_factory) -> Path:
    """The folder of `SHARES`, done; not to be changed."""
    folder = tmp_path_factory.mktemp("done")
    torch.set_num_threads(1)
    run_study(SHARES, experiment, folder, **KEEP)
    return folder


@pytest.fixture
def own(done, tmp_path) -> Path:
    """A copy of it that may be changed."""
    return shutil.copytree(done, tmp_path / "own")


@pytest.fixture
def measured(monkeypatch) -> list[Settings]:
    """The runs that are computed from now on."""
    seen = []
    monkeypatch.setattr(
        ood_lib.studies.execution,
        "measure_run",
        lambda settings, path: seen.append(settings) or measure_run(settings, path),
    )
    return seen


@pytest.mark.parametrize("arm", SHARES.arms)
def test_a_record_holds_what_the_functions_of_the_library_give(experiment, done, arm):
    settings = experiment.changed(**arm, seed=1)
    model, transform = closed_set_network(settings), training_transform(16)
    scenes = settings.open("cityscapes", "train", transform=transform)
    chosen = {
        name.replace("proxy_query", "query"): value
        for name, value in arm.items()
        if name != "ood_share"
    }
    proxy = settings.open("coco_proxy", transform=transform, **chosen)
    recipe = {
        "epochs": 2,
        "proxy_fraction": 0.5,
        "batch_size": 4,
        "learning_rate": 0.001,
        "lambda_": 0.9,
    }
    recipe["ood_share"] = arm.get("ood_share")
    drawn = fine_tune(model, scenes, proxy, seed=1, progress=False, **recipe).proxy_ids
    table, images = read_study(done, settings), read_proxy(done)
    (key,) = table.index[(table["seed"] == 1) & (table["max_ood_share"] == settings.max_ood_share)]
    row = table.loc[key]
    for name, (data, split) in MEASURED.items():
        if data == "cityscapes":
            continue
        pixels = evaluate_anomalies(model, settings.open(data, split), progress=False)
        assert {
            measure: row[f"{name}_{measure}"] for measure in pixels.compute()
        } == pixels.compute()
        bounds = pixels.interval()
        assert {
            each: (row[f"{name}_{each}_low"], row[f"{name}_{each}_high"]) for each in bounds
        } == bounds
    segmentation = evaluate_segmentation(
        model, settings.open("cityscapes", "val"), progress=False
    ).compute()
    assert row["cityscapes_miou"] == segmentation["miou"]
    assert row["cityscapes_miou_low"] <= row["cityscapes_miou"] <= row["cityscapes_miou_high"]
    found = [row[f"cityscapes_iou_{c.name}"] for c in CLASSES]
    np.testing.assert_array_equal(np.array(found, dtype=float), segmentation["iou"])
    own = images[images["run"] == key]
    assert [own["id"][own["epoch"] == epoch].tolist() for epoch in (0, 1)] == drawn
    expected = proxy.properties.loc[own["id"]].reset_index()
    pd.testing.assert_frame_equal(
        own.drop(columns=["run", "epoch"]).reset_index(drop=True), expected
    )
    assert table["current"].all() and len(table) == 4 and table["crop"].tolist() == [(16, 16)] * 4
    assert table["ood_share"].notna().sum() == 2 and not table["resumed"].any()
    assert (table.filter(like="seconds_") > 0).all(axis=None) and "seconds_cityscapes" in table


def test_the_studies_are_those_of_the_thesis():
    names = Settings.model_fields.keys()
    assert all(arm.keys() <= names for study in STUDIES.values() for arm in study.arms)
    assert (STUDIES["repetitions"].runs, STUDIES["repetitions"].arms) == (
        50,
        [STUDIES["proxy"].arms[1]],
    )
    plain, alike = STUDIES["proxy"], STUDIES["proxy_equal_weight"]
    assert [(arm["min_ood_share"], arm["max_ood_share"]) for arm in plain.arms] == [
        (0, 0.2),
        (0, 1),
        (0.8, 1),
    ]
    assert plain.runs == alike.runs == 10
    (share,) = {arm["ood_share"] for arm in alike.arms}
    assert [arm | {"ood_share": share} for arm in plain.arms] == alike.arms


def test_arms_take_turns_and_every_run_has_a_key_of_its_own(experiment):
    runs = plan(SHARES, experiment, [0, 5])
    assert [(run.settings.seed, run.settings.max_ood_share) for run in runs] == [
        (0, 0.4),
        (0, 1),
        (5, 0.4),
        (5, 1),
    ]
    assert len({run.key for run in runs}) == 4 and all(len(run.key) == 16 for run in runs)
    assert [run.inputs for run in runs] == [run_inputs(run.settings) for run in runs]


def test_the_key_changes_with_all_that_decides_a_run(experiment, tmp_path, monkeypatch):
    root = shutil.copytree(experiment.data_root, tmp_path / "data")
    settings = experiment.changed(data_root=root)
    original = digest(run_inputs(settings))
    assert (
        original
        == digest(run_inputs(experiment))
        == digest(run_inputs(settings.changed(threshold=0.1, profile="a")))
    )
    for change in (
        {"seed": 1},
        {"lambda_": 0.5},
        {"crop": (8, 8)},
        {"ood_share": 0.5},
        {"proxy_query": "objects > 1"},
    ):
        assert digest(run_inputs(settings.changed(**change))) != original, change
    with monkeypatch.context() as patch:
        patch.setattr(
            ood_lib.studies.runs, "version", lambda name: "1.2+cpu" if name == "torch" else "0"
        )
        assert (
            run_inputs(settings)["versions"]["torch"] == "1.2"
            and digest(run_inputs(settings)) != original
        )
    fingerprint = data_fingerprint(settings)
    scene = next((root / "lost_and_found" / "gtCoarse" / "test").rglob("*.png"))
    scene.write_bytes(scene.read_bytes() + b" ")
    assert data_fingerprint(settings) != fingerprint
    (root / "miniature.json").write_text('{"key": "abc"}')
    assert data_fingerprint(settings.changed(is_painted=True)) == "abc"
    network, weights = closed_set_network(settings), run_inputs(settings)["starting_weights"]
    with torch.no_grad():
        network.bot_fine.weight[0] += 1
    save_checkpoint(network, root / "weights.safetensors")
    other = load_settings(root / "tiny.yml", root)
    assert run_inputs(other)["starting_weights"] != weights
    assert run_inputs(experiment)["starting_weights"] == weights


@pytest.mark.parametrize(
    ("place", "name", "changes"),
    [
        ("ood_lib.training.loss", "entropy_maximization_loss", True),
        ("ood_lib.training.epoch", "EpochImages", True),
        ("ood_lib.training.epoch", "Training", True),
        ("ood_lib.training.epoch", "batches_of_process", True),
        ("ood_lib.training.epoch", "own_draws", True),
        ("ood_lib.training.fine_tune", "_FineTuning", True),
        ("ood_lib.training.fine_tune", "_num_proxy", True),
        ("ood_lib.training.fine_tune", "training_images", True),
        ("ood_lib.inference", "predict", True),
        ("ood_lib.metrics.curves", "measures", True),
        ("ood_lib.data.cityscapes", "Cityscapes", True),
        ("ood_lib.models.logits", "read_logits", True),
        ("ood_lib.studies.measure", "_measures", True),
        ("ood_lib.studies.measure", "one_thread", True),
        ("ood_lib.segments.metrics", "segment_metrics", False),
        ("ood_lib.scores.of_logits", "energy", False),
        ("ood_lib.data.segment_me_if_you_can", "RoadAnomaly21", False),
        ("ood_lib.training.closed_set", "train_closed_set", False),
        ("ood_lib.training.closed_set", "closed_set_network", False),
        ("ood_lib.training.fine_tune", "fine_tune", False),
        ("ood_lib.training.fine_tune", "FineTuneResult", False),
        ("ood_lib.training.recompute", "recomputed_activations", False),
        ("ood_lib.training.state", "TrainingState", False),
        ("ood_lib.files", "atomic_path", False),
        ("ood_lib.studies.execution", "run_study", False),
    ],
)
def test_the_key_changes_with_the_code_that_decides_numbers(
    experiment, monkeypatch, place, name, changes
):
    original = run_inputs(experiment)["code"]
    edited, read = vars(importlib.import_module(place))[name], acting_code._tree

    def tree_of(thing):
        found = read(thing)
        if thing is edited or getattr(edited, "__wrapped__", None) is thing:
            found = copy.deepcopy(found)
            found.body.append(ast.parse("X = 1").body[0])
        return found

    monkeypatch.setattr(acting_code, "_tree", tree_of)
    assert (run_inputs(experiment)["code"] != original) == changes


def test_only_what_is_missing_is_done(experiment, own, measured):
    run_study(SHARES, experiment, own, **KEEP)
    assert measured == []
    run_study(SHARES, experiment, own, [1, 2], **KEEP)
    assert [(settings.seed, settings.max_ood_share) for settings in measured] == [(2, 0.4), (2, 1)]
    run_study(SHARES, experiment.changed(learning_rate=0.01), own, [0], **KEEP)
    assert len(measured) == 4 and len(run_folders(own)) == 8
    table = read_study(own, experiment)
    assert table["current"].all()
    seeds = table.groupby(["learning_rate", "max_ood_share"])["seed"].apply(list).map(sorted)
    assert seeds.tolist() == [[0, 1, 2], [0, 1, 2], [0], [0]]


def damage(path: Path, how: str) -> None:
    if how == "cut":
        (path / "proxy.parquet").write_bytes((path / "proxy.parquet").read_bytes()[:-10])
    elif how == "edited":
        text = (path / "runs.jsonl").read_text()
        (path / "runs.jsonl").write_text(
            text.replace('"lost_and_found_auroc": 0', '"lost_and_found_auroc": 1')
        )
    elif how == "gone":
        (path / "proxy.parquet").unlink()
    elif how == "empty":
        (path / "digests.json").write_text("")
    else:
        shutil.rmtree(path)
        shutil.copytree(next(other for other in run_folders(path.parent) if other != path), path)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("cut", "is damaged: proxy.parquet changed since it was written"),
        ("edited", "is damaged: runs.jsonl changed since it was written"),
        ("gone", "is damaged: .*No such file.*proxy.parquet"),
        ("empty", "is damaged: Expecting value"),
        ("another's", "holds the record of another run"),
    ],
)
def test_a_damaged_record_is_named_and_done_anew(experiment, own, measured, how, said):
    path = run_folders(own)[1]
    before = read_study(own, experiment)
    damage(path, how)
    with pytest.warns(UserWarning, match=f"{path.name}.*{said}"):
        assert read_study(own, experiment).index.tolist() == before.index.drop(path.name).tolist()
    with pytest.warns(UserWarning, match=f"{path.name}.*{said}.*makes it anew"):
        run_study(SHARES, experiment, own, **KEEP)
    assert len(measured) == 1
    names = [name for name in before if not name.startswith(("seconds", "started"))]
    pd.testing.assert_frame_equal(read_study(own, experiment)[names], before[names])
    assert sorted(path.name for path in own.iterdir()) == [".in_progress", *before.index]


def test_a_failing_run_does_not_stop_the_others(experiment, tmp_path, monkeypatch):
    def only_even(settings, path):
        if settings.seed % 2:
            raise FloatingPointError(f"The loss became nan with seed {settings.seed}.")
        return measure_run(settings, path)

    monkeypatch.setattr(ood_lib.studies.execution, "measure_run", only_even)
    with pytest.raises(
        RuntimeError, match="2 of 4 runs failed.\nseed 1, .*: FloatingPointError: .*\nseed 3"
    ) as caught:
        run_study(ONCE, experiment, tmp_path, [0, 1, 2, 3], **KEEP)
    assert "in only_even" in str(caught.value)  # where it happened
    assert sorted(read_study(tmp_path, experiment)["seed"]) == [0, 2]


@pytest.mark.parametrize(("deaths", "is_done"), [(2, True), (3, False)])
def test_workers_may_die_a_few_times_in_a_row(
    experiment, tmp_path, monkeypatch, capsys, deaths, is_done
):
    original = ood_lib.studies.execution._of_machine
    left = [OSError(f"death {i}") for i in range(deaths)]

    def of_machine(*rest):
        if left:
            raise left.pop(0)
        yield from original(*rest)

    monkeypatch.setattr(ood_lib.studies.execution, "_of_machine", of_machine)
    with nullcontext() if is_done else pytest.raises(OSError, match="death 2"):
        run_study(ONCE, experiment, tmp_path, **KEEP)
    assert "A worker is gone; the others do its runs. OSError: death 1" in capsys.readouterr().err
    assert len(run_folders(tmp_path)) == is_done


def test_what_is_refused(experiment, tmp_path):
    with pytest.raises(ValueError, match="jobs=0 must be a number of processes from 1"):
        run_study(ONCE, experiment, tmp_path, jobs=0)
    with pytest.raises(
        ValueError, match="no study 'repetition'; choose one of: repetitions, proxy"
    ):
        run_study("repetition", experiment, tmp_path)


@pytest.mark.parametrize(("resources", "gpus"), [({"CPU": 6.0}, 0), ({"CPU": 6.0, "GPU": 1.0}, 1)])
def test_a_run_on_a_cluster_takes_a_gpu_or_a_core(
    experiment, tmp_path, monkeypatch, resources, gpus
):
    """On a cluster that only says what it has, and does at once what it is asked for."""
    asked = []

    def remote(**needs):
        asked.append(needs)
        return lambda function: SimpleNamespace(remote=lambda *given: function(*given))

    monkeypatch.setitem(
        sys.modules,
        "ray",
        SimpleNamespace(
            is_initialized=lambda: True,
            cluster_resources=lambda: resources,
            remote=remote,
            wait=lambda waiting: (waiting[:1], waiting[1:]),
            get=lambda finished: finished,
        ),
    )
    run_study(ONCE, experiment, tmp_path, cluster="auto", progress=False)
    assert asked == [{"num_cpus": 1, "num_gpus": gpus, "max_retries": 3}]
    assert len(run_folders(tmp_path)) == 1


def test_a_cluster_needs_ray(experiment, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'ood-lib\[cluster\]'"):
        run_study(ONCE, experiment, tmp_path, cluster="auto", progress=False)


def test_the_numbers_do_not_depend_on_threads(experiment, done):
    settings = experiment.changed(**FEW, seed=1)
    torch.set_num_threads(2)  # a fixture puts back what was
    result = measure_run(settings)
    assert torch.get_num_threads() == 2
    table = read_study(done, settings)
    (row,) = table[(table["seed"] == 1) & (table["max_ood_share"] == 0.4)].to_dict("records")
    assert {name: row[name] for name in result.measures} == pytest.approx(
        result.measures, rel=0, abs=0, nan_ok=True
    )


def test_one_sequence_has_no_interval(experiment, tmp_path):
    root = shutil.copytree(experiment.data_root, tmp_path / "data")
    for frame in experiment.open("cityscapes", "val").frames[1:]:
        for path in (frame.image, frame.label):
            (root / path.relative_to(experiment.data_root)).unlink()
    found = measure_run(experiment.changed(data_root=root)).measures
    unknown = {name for name in found if name.endswith(("_low", "_high")) and np.isnan(found[name])}
    assert unknown == {"cityscapes_miou_low", "cityscapes_miou_high"}


def test_data_that_are_missing_are_missed_before_the_training(experiment, tmp_path, monkeypatch):
    root = shutil.copytree(experiment.data_root, tmp_path / "data")
    shutil.rmtree(root / "fishyscapes")
    monkeypatch.setattr(
        "ood_lib.studies.measure.fine_tune_by", lambda *_, **__: pytest.fail("trains")
    )
    with pytest.raises(FileNotFoundError, match="fishyscapes"):
        measure_run(experiment.changed(data_root=root))


def test_another_code_on_a_worker_is_refused(experiment, tmp_path, monkeypatch):
    runs = plan(ONCE, experiment, [0])
    monkeypatch.setattr(ood_lib.studies.runs, "MEASURING", ("edited",))
    (tmp_path / ".in_progress").mkdir()
    (said,) = ood_lib.studies.execution.do_run(runs[0], tmp_path, False).values()
    assert "has other code than the one that started it" in said and not run_folders(tmp_path)


def test_records_of_other_code_are_not_current(experiment, own, monkeypatch):
    monkeypatch.setattr(ood_lib.studies.runs, "MEASURING", ("edited",))
    assert not read_study(own, experiment)["current"].any()
    run_study(SHARES, experiment, own, [0], **KEEP)
    table = read_study(own, experiment)
    assert table["current"].sum() == 2 and len(table) == 6
    assert len(summarize(table)) == 4 * 10  # those of other code stand apart


def test_a_packed_study_reads_as_its_folder(experiment, own, tmp_path, monkeypatch):
    packed = tmp_path / "records" / "packed"
    assert pack(own, packed, experiment) == 4
    assert sorted(path.name for path in packed.iterdir()) == [
        "commands.txt", "digests.json", "proxy.parquet", "runs.jsonl",
    ]  # fmt: skip
    pd.testing.assert_frame_equal(read_study(packed, experiment), read_study(own, experiment))
    pd.testing.assert_frame_equal(read_proxy(packed), read_proxy(own))
    (packed / "scores.json").write_text("of others")
    (packed / "draws").mkdir()
    (packed / "draws/runs.jsonl").write_text("of another study")
    monkeypatch.setattr(ood_lib.studies.runs, "MEASURING", ("edited",))
    run_study(SHARES, experiment, own, [0], **KEEP)
    assert pack(own, packed, experiment) == 2  # in its own place, and the current ones alone
    assert (packed / "scores.json").read_text() == "of others"
    assert (packed / "draws/runs.jsonl").read_text() == "of another study"
    assert (
        read_study(packed, experiment)["current"].all() and read_proxy(packed)["run"].nunique() == 2
    )
    (packed / "runs.jsonl").write_text("")
    with pytest.raises(ValueError, match="packed is damaged: runs.jsonl changed"):
        read_study(packed, experiment)
    with pytest.raises(FileExistsError, match="own is no packed study"):
        pack(packed, own, experiment)


def test_a_packed_study_says_what_makes_it(experiment, tmp_path):
    run_study("repetitions", experiment, tmp_path / "runs", [0, 1], **KEEP)
    pack(tmp_path / "runs", tmp_path / "packed", experiment)
    said = (tmp_path / "packed" / "commands.txt").read_text()
    assert (
        said == "python -m ood_lib.studies run repetitions --profile tiny --seeds 0-1 --out DIR\n"
    )
    run_study("repetitions", experiment, tmp_path / "runs", [4], **KEEP)
    pack(tmp_path / "runs", tmp_path / "packed", experiment)
    assert "--seeds 0,1,4 " in (tmp_path / "packed" / "commands.txt").read_text()


def test_the_books_records_are_found(tmp_path, monkeypatch):
    places = (tmp_path / "repository", tmp_path / "installed")
    monkeypatch.setattr(ood_lib.studies.records, "_PLACES", places)
    with pytest.raises(FileNotFoundError, match="make study"):
        book_records()
    for place in reversed(places):
        place.mkdir()
        (place / "runs.jsonl").touch()
        assert book_records() == place
    with pytest.raises(FileNotFoundError, match="repository/draws. Do: make study"):
        book_records("draws")
    (places[1] / "draws").mkdir()
    (places[1] / "draws/runs.jsonl").touch()
    assert book_records("draws") == places[1] / "draws"


def test_a_folder_may_look_like_a_number(experiment, own, tmp_path, monkeypatch):
    """As papermill gives it."""
    monkeypatch.chdir(tmp_path)
    own.rename("2025")
    assert pack(2025, 2026, experiment) == len(read_study(2026, experiment)) == 4
    assert read_proxy(2026)["run"].nunique() == 4
    run_study(SHARES, experiment, 2025, **KEEP)
    assert len(run_folders(Path("2025"))) == 4


def test_an_empty_folder_is_no_study(experiment, tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no finished run"):
        read_study(tmp_path, experiment)


def test_summary_by_hand(experiment, done):
    table = read_study(done, experiment)
    summary = summarize(table)
    assert summary.index.names == [
        "ood_share",
        "min_ood_share",
        "max_ood_share",
        "proxy_query",
        "measure",
    ]
    row = summary.loc[(0.1, 0.3, 1.0, MANY["proxy_query"], "lost_and_found_fpr95")]
    a, b = table["lost_and_found_fpr95"][table["ood_share"] == 0.1]
    assert row.to_dict() == pytest.approx(
        {"runs": 2, "mean": (a + b) / 2, "sd": abs(a - b) / 2**0.5, "best": min(a, b)}
    )
    best = summary["best"].xs("cityscapes_miou", level="measure")
    assert best.iloc[0] == table["cityscapes_miou"][table["ood_share"] == 0.1].max()


def test_command_line(experiment, own, tmp_path, capsys, measured):
    given = [
        "--profile",
        str(experiment.data_root / "tiny.yml"),
        "--data-root",
        str(experiment.data_root),
    ]
    assert (
        main(
            [
                "run",
                "repetitions",
                "--seeds",
                "3,7",
                "--jobs",
                "1",
                "--out",
                str(tmp_path / "out"),
                *given,
            ]
        )
        == 0
    )
    assert [settings.seed for settings in measured] == [3, 7]
    assert "0 of 2 runs are done; the others take about 3 minutes" in capsys.readouterr().out
    damage(run_folders(own)[0], "cut")
    assert main(["show", str(own), *given]) == 0
    said = capsys.readouterr().out
    assert (
        "lost_and_found_auprc" in said
        and f"{run_folders(own)[0]} is damaged" in said
        and "Of other" not in said
    )
    with pytest.warns(UserWarning, match="is damaged"):
        assert main(["pack", str(own), str(tmp_path / "packed"), *given]) == 0
    assert "3 runs are packed in" in capsys.readouterr().out
    assert main(["show", str(tmp_path / "nowhere"), *given]) == 1
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", [3]), ("0-3,7", [0, 1, 2, 3, 7]), ("5, 2-3,3", [5, 2, 3])]
)
def test_seeds(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "3-1x"])
def test_what_are_no_seeds(text):
    with pytest.raises(argparse.ArgumentTypeError, match="0-49 or 0,2,5-7"):
        parse_seeds(text)


def test_what_is_left_is_foretold_by_what_was_done(experiment, own, capsys):
    runs = plan(SHARES, experiment, [0, 1, 2])
    spent = [sum(find_record(own / run.key)["seconds"].values()) for run in runs[:4]]
    _announce(SHARES, runs, own, jobs=2)
    minutes = f"{2 * np.mean(spent) / 2 / 60:.0f} minutes"
    assert f"4 of 6 runs are done; the others take about {minutes}." in capsys.readouterr().out
    long = dataclasses.replace(SHARES, seconds=9000)
    _announce(long, runs[4:], own, jobs=1)
    assert "0 of 2 runs are done; the others take about 5.0 hours." in capsys.readouterr().out
