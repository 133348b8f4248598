"""What a study's runs are, what is kept of them, and that nothing stands in a record which is not so."""

import argparse
import dataclasses
import shutil
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import precision_recall_curve, roc_curve
from studied import write_experiment

import ood_lib.studies.execution
import ood_lib.studies.inputs
import ood_lib.studies.tables
from ood_lib.closed_set import closed_set_network
from ood_lib.data import training_transform
from ood_lib.data.labels import CLASSES
from ood_lib.deciding_code import code_digest
from ood_lib.evaluation import evaluate_anomalies, evaluate_segmentation
from ood_lib.metrics import PixelMetrics
from ood_lib.models import save_checkpoint
from ood_lib.profiles import Settings, load_settings
from ood_lib.studies import (
    STUDIES,
    Study,
    book_records,
    pack,
    read_curves,
    read_proxy,
    read_study,
    run_study,
    summarize,
)
from ood_lib.studies.__main__ import main, parse_seeds
from ood_lib.studies.inputs import data_fingerprint, inputs_of, key_of, plan
from ood_lib.studies.measure import MEASURED, measure_run, thin_curves
from ood_lib.studies.records import run_folders
from ood_lib.training import fine_tune

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
    settings = replace(experiment, **arm, seed=1)
    model, transform = closed_set_network(settings), training_transform(16)
    scenes = settings.open("cityscapes", "train", transform=transform)
    chosen = {name.replace("proxy_query", "query"): value for name, value in arm.items() if name != "ood_share"}
    proxy = settings.open("coco_proxy", transform=transform, **chosen)
    recipe = {"epochs": 2, "proxy_fraction": 0.5, "batch_size": 4, "learning_rate": 0.001, "lambda_": 0.9}
    recipe["ood_share"] = arm.get("ood_share")
    drawn = fine_tune(model, scenes, proxy, seed=1, progress=False, **recipe).proxy_ids
    table, curves, images = read_study(done, settings), read_curves(done), read_proxy(done)
    (key,) = table.index[(table["seed"] == 1) & (table["max_ood_share"] == settings.max_ood_share)]
    row = table.loc[key]
    for name, (data, split) in MEASURED.items():
        if data == "cityscapes":
            continue
        pixels = evaluate_anomalies(model, settings.open(data, split), progress=False)
        assert {measure: row[f"{name}_{measure}"] for measure in pixels.compute()} == pixels.compute()
        bounds = pixels.interval()
        assert {each: (row[f"{name}_{each}_low"], row[f"{name}_{each}_high"]) for each in bounds} == bounds
        own = curves[(curves["run"] == key) & (curves["data"] == name)].drop(columns=["run", "data"])
        pd.testing.assert_frame_equal(own.reset_index(drop=True), thin_curves(pixels))
    segmentation = evaluate_segmentation(model, settings.open("cityscapes", "val"), progress=False)
    assert row["cityscapes_miou"] == segmentation["miou"]
    assert row["cityscapes_miou_low"] <= row["cityscapes_miou"] <= row["cityscapes_miou_high"]
    found = [row[f"cityscapes_iou_{c.name}"] for c in CLASSES]
    np.testing.assert_array_equal(np.array(found, dtype=float), segmentation["iou"])
    own = images[images["run"] == key]
    assert [own["id"][own["epoch"] == epoch].tolist() for epoch in (0, 1)] == drawn
    expected = proxy.properties.loc[own["id"]].reset_index()
    pd.testing.assert_frame_equal(own.drop(columns=["run", "epoch"]).reset_index(drop=True), expected)
    assert table["current"].all() and len(table) == 4 and table["crop"].tolist() == [(16, 16)] * 4
    assert table["ood_share"].notna().sum() == 2 and not table["resumed"].any()
    assert (table.filter(like="seconds_") > 0).all(axis=None) and "seconds_cityscapes" in table


def test_kept_points_of_the_curves_are_on_them():
    rng = np.random.default_rng(0)
    target = (rng.random(5000) < 0.03).astype(np.uint8)
    score = (rng.normal(size=5000) + 1.5 * target).round(2)  # with ties
    pixels = PixelMetrics()
    pixels.update(score, target)
    thinned = thin_curves(pixels)
    fpr, tpr, _ = roc_curve(target, score, drop_intermediate=False)
    precision, recall, _ = precision_recall_curve(target, score)
    roc, pr = (thinned[thinned["curve"] == name] for name in ("roc", "pr"))
    for x, y in zip(roc["x"], roc["y"], strict=True):
        assert y == pytest.approx(max(t for f, t in zip(fpr, tpr, strict=True) if f <= x + 1e-7))
    for x, y in zip(pr["x"], pr["y"], strict=True):
        assert y == pytest.approx(next(p for p, r in zip(precision[::-1], recall[::-1], strict=True) if r >= x - 1e-7))
    assert (roc["x"].min(), roc["x"].max(), pr["x"].min(), pr["x"].max()) == (0, 1, 0, 1)
    assert len(thinned) < 500 and (thinned.dtypes[["x", "y"]] == np.float32).all()
    assert np.trapezoid(roc["y"], roc["x"]) == pytest.approx(pixels.compute()["auroc"], abs=0.005)


def test_the_studies_are_those_of_the_thesis():
    names = {field.name for field in dataclasses.fields(Settings)}
    assert all(arm.keys() <= names for study in STUDIES.values() for arm in study.arms)
    assert (STUDIES["repetitions"].runs, STUDIES["repetitions"].arms) == (50, [STUDIES["proxy"].arms[1]])
    plain, alike = STUDIES["proxy"], STUDIES["proxy_equal_weight"]
    assert [(arm["min_ood_share"], arm["max_ood_share"]) for arm in plain.arms] == [(0, 0.2), (0, 1), (0.8, 1)]
    assert plain.runs == alike.runs == 10
    (share,) = {arm["ood_share"] for arm in alike.arms}
    assert [arm | {"ood_share": share} for arm in plain.arms] == alike.arms


def test_arms_take_turns_and_every_run_has_a_key_of_its_own(experiment):
    runs = plan(SHARES, experiment, [0, 5])
    assert [(run.settings.seed, run.settings.max_ood_share) for run in runs] == [(0, 0.4), (0, 1), (5, 0.4), (5, 1)]
    assert len({run.key for run in runs}) == 4 and all(len(run.key) == 16 for run in runs)
    assert [run.inputs for run in runs] == [inputs_of(run.settings) for run in runs]


def test_the_key_changes_with_all_that_decides_a_run(experiment, tmp_path, monkeypatch):
    root = shutil.copytree(experiment.data_root, tmp_path / "data")
    settings = replace(experiment, data_root=root)
    original = key_of(inputs_of(settings))
    assert original == key_of(inputs_of(experiment)) == key_of(inputs_of(replace(settings, threshold=0.1, profile="a")))
    for change in ({"seed": 1}, {"lambda_": 0.5}, {"crop": (8, 8)}, {"ood_share": 0.5}, {"proxy_query": "objects > 1"}):
        assert key_of(inputs_of(replace(settings, **change))) != original, change
    with monkeypatch.context() as patch:
        patch.setattr(ood_lib.studies.inputs, "version", lambda name: "1.2+cpu" if name == "torch" else "0")
        assert inputs_of(settings)["versions"]["torch"] == "1.2" and key_of(inputs_of(settings)) != original
    fingerprint = data_fingerprint(settings)
    scene = next((root / "lost_and_found" / "gtCoarse" / "test").rglob("*.png"))
    scene.write_bytes(scene.read_bytes() + b" ")
    assert data_fingerprint(settings) != fingerprint
    (root / "miniature.json").write_text('{"key": "abc"}')
    assert data_fingerprint(replace(settings, is_painted=True)) == "abc"
    network, weights = closed_set_network(settings), inputs_of(settings)["starting_weights"]
    with torch.no_grad():
        network.bot_fine.weight[0] += 1
    save_checkpoint(network, root / "weights.safetensors")
    other = load_settings(root / "tiny.yml", root)
    assert inputs_of(other)["starting_weights"] != weights == inputs_of(experiment)["starting_weights"]


@pytest.mark.parametrize(
    ("module", "added", "changes"),
    [
        ("training.py", b"\n# a comment", False),
        ("training.py", b'\n"""Some text."""', False),
        ("training.py", b"\nX = 1", True),
        ("metrics/pixels.py", b"\nX = 1", True),
        ("data/sample.py", b"\nX = 1", True),
        ("models/logits.py", b"\nX = 1", True),
        ("studies/measure.py", b"\nX = 1", True),
        ("figures.py", b"\nX = 1", False),
        ("meta/stacked.py", b"\nX = 1", False),
        ("segments.py", b"\nX = 1", False),
        ("data/doctor.py", b"\nX = 1", False),
        ("metrics/segments.py", b"\nX = 1", False),
        ("studies/tables.py", b"\nX = 1", False),
    ],
)
def test_the_key_changes_with_the_code_that_decides_numbers(monkeypatch, module, added, changes):
    original, read = code_digest(), Path.read_bytes
    assert original == code_digest.__wrapped__()
    monkeypatch.setattr(
        Path, "read_bytes", lambda path: read(path) + added * path.as_posix().endswith(f"ood_lib/{module}")
    )
    assert (code_digest.__wrapped__() != original) == changes


def test_only_what_is_missing_is_done(experiment, own, measured):
    run_study(SHARES, experiment, own, **KEEP)
    assert measured == []
    run_study(SHARES, experiment, own, [1, 2], **KEEP)
    assert [(settings.seed, settings.max_ood_share) for settings in measured] == [(2, 0.4), (2, 1)]
    run_study(SHARES, replace(experiment, learning_rate=0.01), own, [0], **KEEP)
    assert len(measured) == 4 and len(run_folders(own)) == 8
    table = read_study(own, experiment)
    assert table["current"].all()
    assert table.groupby(["learning_rate", "max_ood_share"])["seed"].apply(list).map(sorted).tolist() == [
        [0, 1, 2], [0, 1, 2], [0], [0],
    ]  # fmt: skip


def damage(path: Path, how: str) -> None:
    if how == "cut":
        (path / "curves.parquet").write_bytes((path / "curves.parquet").read_bytes()[:-10])
    elif how == "edited":
        text = (path / "record.json").read_text()
        (path / "record.json").write_text(text.replace('"lost_and_found_auroc": 0', '"lost_and_found_auroc": 1'))
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
        ("cut", "is damaged: curves.parquet changed since it was written"),
        ("edited", "is damaged: record.json changed since it was written"),
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
    with pytest.warns(UserWarning, match=f"{path.name}.*{said}.*The run is done anew"):
        run_study(SHARES, experiment, own, **KEEP)
    assert len(measured) == 1
    names = [name for name in before if not name.startswith(("seconds", "started"))]
    pd.testing.assert_frame_equal(read_study(own, experiment)[names], before[names])
    assert sorted(path.name for path in own.iterdir()) == [".under_way", *before.index]


def test_a_failing_run_does_not_stop_the_others(experiment, tmp_path, monkeypatch):
    def only_even(settings, path):
        if settings.seed % 2:
            raise FloatingPointError(f"The loss became nan with seed {settings.seed}.")
        return measure_run(settings, path)

    monkeypatch.setattr(ood_lib.studies.execution, "measure_run", only_even)
    with pytest.raises(RuntimeError, match="2 of 4 runs failed.\nseed 1, .*: FloatingPointError: .*\nseed 3") as caught:
        run_study(ONCE, experiment, tmp_path, [0, 1, 2, 3], **KEEP)
    assert "in only_even" in str(caught.value)  # where it happened
    assert sorted(read_study(tmp_path, experiment)["seed"]) == [0, 2]


@pytest.mark.parametrize(("deaths", "is_done"), [(2, True), (3, False)])
def test_workers_may_die_a_few_times_in_a_row(experiment, tmp_path, monkeypatch, capsys, deaths, is_done):
    original, left = ood_lib.studies.execution._WithBar.__call__, [OSError(f"death {i}") for i in range(deaths)]

    def share_out(self, work):
        if left:
            raise left.pop(0)
        return original(self, work)

    monkeypatch.setattr(ood_lib.studies.execution._WithBar, "__call__", share_out)
    with nullcontext() if is_done else pytest.raises(OSError, match="death 2"):
        run_study(ONCE, experiment, tmp_path, **KEEP)
    assert "A worker is gone; the others do its runs. OSError: death 1" in capsys.readouterr().err
    assert len(run_folders(tmp_path)) == is_done


def test_what_is_refused(experiment, tmp_path):
    with pytest.raises(ValueError, match="jobs=0 must be a number of processes from 1"):
        run_study(ONCE, experiment, tmp_path, jobs=0)
    with pytest.raises(ValueError, match="no study 'repetition'; choose one of: repetitions, proxy"):
        run_study("repetition", experiment, tmp_path)


@pytest.fixture
def cluster_with(monkeypatch) -> Callable[..., None]:
    """A cluster that only says what it has."""

    def have(**resources: float) -> None:
        ray = SimpleNamespace(is_initialized=lambda: True, cluster_resources=lambda: resources)
        joblib = SimpleNamespace(register_ray=lambda: None)
        for name, module in {"ray": ray, "ray.util": SimpleNamespace(joblib=joblib), "ray.util.joblib": joblib}.items():
            monkeypatch.setitem(sys.modules, name, module)

    return have


def test_a_run_on_a_cluster_takes_a_gpu_or_a_core(cluster_with, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    places = ood_lib.studies.execution._places
    cluster_with(CPU=64.0, GPU=4.0, memory=1e9)
    assert places("auto", 50) == {"n_jobs": 4, "ray_remote_args": {"num_cpus": 1, "num_gpus": 1}}
    assert places("auto", 3)["n_jobs"] == 3
    cluster_with(CPU=6.0)
    assert places("auto", 50) == {"n_jobs": 6, "ray_remote_args": {"num_cpus": 1, "num_gpus": 0}}
    cluster_with(CPU=6.0, GPU=1.0)
    with pytest.raises(RuntimeError, match="one GPU, and not in this machine"):
        places("auto", 50)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert places("auto", 50)["n_jobs"] == 1
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'ood-lib\[cluster\]'"):
        places("auto", 50)


def test_another_code_on_a_worker_is_refused(experiment, tmp_path, monkeypatch):
    runs = plan(ONCE, experiment, [0])
    monkeypatch.setattr(ood_lib.studies.inputs, "code_digest", lambda: "of another machine")
    (tmp_path / ".under_way").mkdir()
    said = ood_lib.studies.execution.do_run(runs[0], tmp_path, False, False)
    assert "has other code than the one that started it" in said and not run_folders(tmp_path)


def test_records_of_other_code_are_not_current(experiment, own, monkeypatch):
    monkeypatch.setattr(ood_lib.studies.inputs, "code_digest", lambda: "edited")
    assert not read_study(own, experiment)["current"].any()
    run_study(SHARES, experiment, own, [0], **KEEP)
    table = read_study(own, experiment)
    assert table["current"].sum() == 2 and len(table) == 6
    assert len(summarize(table)) == 4 * 10  # those of other code stand apart


def test_a_packed_study_reads_as_its_folder(experiment, own, tmp_path, monkeypatch):
    packed = tmp_path / "records" / "packed"
    assert pack(own, packed, experiment) == 4
    assert sorted(path.name for path in packed.iterdir()) == [
        "commands.txt", "curves.parquet", "digests.json", "proxy.parquet", "runs.jsonl",
    ]  # fmt: skip
    pd.testing.assert_frame_equal(read_study(packed, experiment), read_study(own, experiment))
    for read in (read_curves, read_proxy):
        pd.testing.assert_frame_equal(read(packed), read(own))
    monkeypatch.setattr(ood_lib.studies.inputs, "code_digest", lambda: "edited")
    run_study(SHARES, experiment, own, [0], **KEEP)
    assert pack(own, packed, experiment) == 2  # in its own place, and the current ones alone
    assert read_study(packed, experiment)["current"].all() and read_proxy(packed)["run"].nunique() == 2
    (packed / "runs.jsonl").write_text("")
    with pytest.raises(ValueError, match="packed is damaged: runs.jsonl changed"):
        read_study(packed, experiment)
    with pytest.raises(FileExistsError, match="own is no packed study"):
        pack(packed, own, experiment)


def test_a_packed_study_says_what_makes_it(experiment, tmp_path):
    run_study("repetitions", experiment, tmp_path / "runs", [0, 1], **KEEP)
    pack(tmp_path / "runs", tmp_path / "packed", experiment)
    said = (tmp_path / "packed" / "commands.txt").read_text()
    assert said == "python -m ood_lib.studies run repetitions --profile tiny --seeds 0-1 --out DIR\n"
    run_study("repetitions", experiment, tmp_path / "runs", [4], **KEEP)
    pack(tmp_path / "runs", tmp_path / "packed", experiment)
    assert "--seeds 0,1,4 " in (tmp_path / "packed" / "commands.txt").read_text()


def test_the_books_records_are_found(tmp_path, monkeypatch):
    places = (tmp_path / "repository", tmp_path / "installed")
    monkeypatch.setattr(ood_lib.studies.tables, "_PLACES", places)
    with pytest.raises(FileNotFoundError, match="make study"):
        book_records()
    for place in reversed(places):
        place.mkdir()
        (place / "runs.jsonl").touch()
        assert book_records() == place


def test_an_empty_folder_is_no_study(experiment, tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no finished run"):
        read_study(tmp_path, experiment)


def test_summary_by_hand(experiment, done):
    table = read_study(done, experiment)
    summary = summarize(table)
    assert summary.index.names == ["ood_share", "min_ood_share", "max_ood_share", "proxy_query", "measure"]
    row = summary.loc[(0.1, 0.3, 1.0, MANY["proxy_query"], "lost_and_found_fpr95")]
    a, b = table["lost_and_found_fpr95"][table["ood_share"] == 0.1]
    assert row.to_dict() == pytest.approx(
        {"runs": 2, "mean": (a + b) / 2, "sd": abs(a - b) / 2**0.5, "best": min(a, b)}
    )
    best = summary["best"].xs("cityscapes_miou", level="measure")
    assert best.iloc[0] == table["cityscapes_miou"][table["ood_share"] == 0.1].max()


def test_command_line(experiment, own, tmp_path, capsys, measured):
    given = ["--profile", str(experiment.data_root / "tiny.yml"), "--data-root", str(experiment.data_root)]
    assert main(["run", "repetitions", "--seeds", "3,7", "--jobs", "1", "--out", str(tmp_path / "out"), *given]) == 0
    assert [settings.seed for settings in measured] == [3, 7]
    capsys.readouterr()
    damage(run_folders(own)[0], "cut")
    assert main(["show", str(own), *given]) == 0
    said = capsys.readouterr().out
    assert "lost_and_found_auprc" in said and f"{run_folders(own)[0]} is damaged" in said and "Of other" not in said
    with pytest.warns(UserWarning, match="is damaged"):
        assert main(["pack", str(own), str(tmp_path / "packed"), *given]) == 0
    assert "3 runs are packed in" in capsys.readouterr().out
    assert main(["show", str(tmp_path / "nowhere"), *given]) == 1
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "seeds"), [("3", [3]), ("0-3,7", [0, 1, 2, 3, 7]), ("5, 2-3,3", [5, 2, 3])])
def test_seeds(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "3-1x"])
def test_what_are_no_seeds(text):
    with pytest.raises(argparse.ArgumentTypeError, match="0-49 or 0,2,5-7"):
        parse_seeds(text)
