"""Studies in processes that are killed, that meet each other, and that lose their workers."""

import multiprocessing
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import torch
from studied import write_experiment

import ood_lib.studies.execution
import ood_lib.studies.records
from ood_lib.settings import Settings
from ood_lib.studies import Study, read_study, run_study
from ood_lib.studies.measure import RunResult, measure_run
from ood_lib.studies.records import run_folders
from ood_lib.studies.runs import plan
from ood_lib.training.epoch import EpochImages
from ood_lib.training.fine_tune import _FineTuning

ONCE = Study("the same again and again", 4)
SEEDS = [0, 1, 2, 3]
FOREVER = 600
forked = pytest.mark.skipif(
    sys.platform != "linux", reason="a fork has what was loaded and patched before"
)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> Settings:
    return write_experiment(tmp_path_factory.mktemp("experiment"))


@pytest.fixture(scope="module")
def expected(experiment, tmp_path_factory) -> pd.DataFrame:
    """What the study gives if nothing happens."""
    folder = tmp_path_factory.mktemp("expected")
    torch.set_num_threads(1)
    run_study(ONCE, experiment, folder, SEEDS, jobs=1, progress=False)
    return read_study(folder, experiment)


def measures(table: pd.DataFrame) -> pd.DataFrame:
    return table.filter(regex="^(seed|lost_and_found|fishyscapes|cityscapes)").sort_index()


def in_a_process(function: Callable, *arguments: Any) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(
        target=function, args=arguments, daemon=True
    )
    process.start()
    return process


def wait_until(is_so: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


def study_and_note(
    settings: Settings, folder: Path, notes: Path, before_run: Callable[[Settings], None]
) -> None:
    """Do `ONCE`, writing down the seed of every run that is computed, after ``before_run``."""

    def measure(settings: Settings, path: Path | None) -> RunResult:
        with notes.open("a") as file:
            file.write(f"{settings.seed}\n")
        before_run(settings)
        return measure_run(settings, path)

    ood_lib.studies.execution.measure_run = measure
    run_study(ONCE, settings, folder, SEEDS, jobs=1, progress=False)


def noted(notes: Path) -> list[int]:
    return [int(line) for line in notes.read_text().split()] if notes.exists() else []


def nothing(settings: Settings) -> None:
    pass


def hang_in_the_second_epoch(settings: Settings) -> None:
    original = _FineTuning.epoch

    def train(training: _FineTuning, images: EpochImages, epoch: int, **bar) -> list[float]:
        if settings.seed == 2 and epoch == 1:
            time.sleep(FOREVER)
        return original(training, images, epoch, **bar)

    _FineTuning.epoch = train


def hang_while_writing(settings: Settings) -> None:
    if settings.seed == 2:
        ood_lib.studies.records._file_digest = lambda path: time.sleep(FOREVER)


@forked
@pytest.mark.parametrize(
    ("hang", "trace"),
    [
        (hang_in_the_second_epoch, ".in_progress/{}.safetensors"),
        (hang_while_writing, ".*-{}/proxy.parquet"),
    ],
)
def test_killed_at_any_moment_it_loses_no_finished_run(experiment, expected, tmp_path, hang, trace):
    folder, notes = tmp_path / "out", tmp_path / "notes"
    key = plan(ONCE, experiment, [2])[0].key
    process = in_a_process(study_and_note, experiment, folder, notes, hang)
    wait_until(lambda: any(folder.glob(trace.format(key))))
    process.kill()
    process.join()
    assert len(run_folders(folder)) == 2 and noted(notes) == [0, 1, 2]
    again = in_a_process(study_and_note, experiment, folder, notes, nothing)
    again.join(60)
    assert again.exitcode == 0 and noted(notes) == [0, 1, 2, 2, 3]
    table = read_study(folder, experiment)
    pd.testing.assert_frame_equal(measures(table), measures(expected))
    assert table["seed"][table["resumed"]].tolist() == [2]
    assert sorted(path.name for path in folder.iterdir()) == [".in_progress", *table.index]
    assert not list(folder.glob(".in_progress/*.safetensors"))


@forked
def test_two_processes_share_a_study(experiment, expected, tmp_path):
    folder, notes = tmp_path / "out", [tmp_path / "first", tmp_path / "second"]
    both = [
        in_a_process(study_and_note, experiment, folder, own, lambda _: time.sleep(0.2))
        for own in notes
    ]
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    assert sorted(noted(notes[0]) + noted(notes[1])) == SEEDS and all(map(noted, notes))
    pd.testing.assert_frame_equal(measures(read_study(folder, experiment)), measures(expected))


@forked
def test_the_run_of_a_process_that_was_killed_is_done_by_the_other(experiment, expected, tmp_path):
    folder, notes = tmp_path / "out", [tmp_path / "first", tmp_path / "second"]
    first = in_a_process(
        study_and_note, experiment, folder, notes[0], lambda _: time.sleep(FOREVER)
    )
    wait_until(lambda: noted(notes[0]) == [0])
    second = in_a_process(study_and_note, experiment, folder, notes[1], nothing)
    wait_until(lambda: len(run_folders(folder)) == 3)
    time.sleep(0.5)
    assert second.is_alive() and noted(notes[1]) == [1, 2, 3]  # it waits for the first
    first.kill()
    second.join(60)
    assert second.exitcode == 0 and noted(notes[1]) == [1, 2, 3, 0]
    pd.testing.assert_frame_equal(measures(read_study(folder, experiment)), measures(expected))


def kill_a_worker(folder: Path) -> None:
    """As soon as there is a record."""
    wait_until(lambda: folder.is_dir() and len(run_folders(folder)) > 0, 300)
    alive = [
        child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE
    ]
    workers = [child for child in alive if "popen_loky" in " ".join(child.cmdline())]
    workers[-1].kill()


def test_workers_may_die(experiment, expected, tmp_path, capfd):
    killer = threading.Thread(target=kill_a_worker, args=(tmp_path / "out",))
    killer.start()
    run_study(ONCE, experiment, tmp_path / "out", list(range(8)), jobs=2)
    killer.join()
    table = read_study(tmp_path / "out", experiment)
    assert sorted(table["seed"]) == list(range(8))
    pd.testing.assert_frame_equal(measures(table[table["seed"] < 4]), measures(expected))
    assert (
        "8/8" in capfd.readouterr().err
    )  # whether the worker had a run, and was missed, is a matter of luck
