"""Doing a study: what is missing of it, in several processes of one machine or on a cluster."""

import platform
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from filelock import FileLock, Timeout
from joblib import Parallel, cpu_count, delayed, parallel_config
from tqdm.auto import tqdm

from ood_lib.files import user_path
from ood_lib.settings import Settings
from ood_lib.studies.definitions import STUDIES, Study
from ood_lib.studies.measure import measure_run
from ood_lib.studies.records import find_record, write_record
from ood_lib.studies.runs import Run, plan, run_inputs
from ood_lib.studies.verdicts import measure_verdicts

IN_PROGRESS = ".in_progress"  #: a study's folder of locks and of runs half done
MAX_LOSSES = 3  #: so many times in a row workers may die before any run has ended


def run_study(study: str | Study, settings: Settings, folder: Path | str,
              seeds: list[int] | None = None, *, jobs: int | None = None,
              cluster: str | None = None, progress: bool = True) -> None:
    """Do those runs of a study of which ``folder`` holds no record yet.

    ``study`` is a name in `STUDIES` or a `Study` of your own; ``seeds`` are 0, 1, ... if not given.
    A record appears when its run is finished. Killed at any moment and called again, it goes on
    from the last epoch. Several processes, also of other machines that share the folder, may do one
    study at once: each run is locked by the one that does it.

    The runs are shared out to ``jobs`` processes, by default one for each core, or one if there is
    a GPU; or to a Ray cluster, with ``cluster`` its address ("auto" for the one that this machine
    is part of, "local" for a new one), one GPU for each run where it has any, else one core. Folder
    and data must then be where all of its machines see them.

    A damaged record is named in a warning, and done anew; so is what a worker left that died.
    RuntimeError in the end names all runs that failed. ValueError for other studies, or no jobs.
    """
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs={jobs} must be a number of processes from 1.")
    if isinstance(study, str) and study not in STUDIES:
        names = ", ".join(STUDIES)
        raise ValueError(f"There is no study {study!r}; choose one of: {names}, or make a Study.")
    study = STUDIES[study] if isinstance(study, str) else study
    folder = user_path(folder).absolute()
    (folder / IN_PROGRESS).mkdir(parents=True, exist_ok=True)
    seeds = list(range(study.runs)) if seeds is None else seeds
    runs = plan(study, settings, seeds)
    if progress:
        _announce(study, runs, folder, jobs or _usual_jobs())
    with tqdm(total=len(runs), unit="run", disable=not progress) as bar:
        failures = _do_missing(runs, folder, jobs, cluster, bar)
    if failures:
        raise RuntimeError(_report(failures, runs))


def _announce(study: Study, runs: list[Run], folder: Path, jobs: int) -> None:
    """Say what is to be done, and how long that takes if runs last as long as those done before."""
    records = [record for run in runs if (record := find_record(folder / run.key))]
    seconds = [sum(record["seconds"].values()) for record in records] or [study.seconds]
    left = len(runs) - len(records)
    hours = left * mean(seconds) / min(jobs, max(left, 1)) / 3600
    about = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.0f} minutes"
    tqdm.write(f"{len(records)} of {len(runs)} runs are done; the others take about {about}.")


def _usual_jobs() -> int:
    return 1 if torch.cuda.is_available() else cpu_count()


def do_run(run: Run, folder: Path, wait: bool) -> dict[str, str]:
    """Do the run and write its record, unless there is one; what went wrong, by the run's key.

    If another process is at it, this one waits for it, or leaves the run to it without ``wait``.
    """
    unfinished = folder / IN_PROGRESS / f"{run.key}.safetensors"
    try:
        with FileLock(unfinished.with_suffix(".lock"), timeout=-1 if wait else 0):
            if find_record(folder / run.key) is None:
                _require_same_inputs(run)
                circumstances = _circumstances(run.settings, unfinished.exists())
                measure = measure_verdicts if run.verdicts else measure_run
                result = measure(run.settings, unfinished)
                write_record(folder, run.inputs, result, circumstances)
                unfinished.unlink(missing_ok=True)
    except Timeout:
        pass
    except Exception:
        return {run.key: traceback.format_exc()}
    return {}


def _do_missing(runs: list[Run], folder: Path, jobs: int | None, cluster: str | None,
                bar: tqdm) -> dict[str, str]:
    """Have all runs done that have no record yet; what went wrong, by the key of the run."""
    failures: dict[str, str] = {}
    wait, losses = False, 0
    while todo := _left(runs, folder, failures, bar):
        workers = _of_machine(todo, folder, wait, jobs)
        if cluster is not None:
            workers = _of_cluster(todo, folder, wait, cluster)
        try:
            for wrong in workers:
                failures |= wrong
                _left(runs, folder, failures, bar)
        except Exception as error:  # what a run raises is told, so a worker is gone
            losses = losses + 1 if _left(runs, folder, failures, bar) == todo else 0
            if losses == MAX_LOSSES:
                raise
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            tqdm.write(f"A worker is gone; the others do its runs. {reason}", sys.stderr)
        wait = True  # what is left is being done by another process, or was by one that is gone
    return failures


def _left(runs: list[Run], folder: Path, failures: dict[str, str], bar: tqdm) -> list[Run]:
    """The runs that have no record yet, nor have failed; the bar then shows all others."""
    going = [run for run in runs if run.key not in failures]
    left = [run for run in going if find_record(folder / run.key) is None]
    bar.update(len(runs) - len(left) - bar.n)
    return left


def _of_machine(todo: list[Run], folder: Path, wait: bool,
                jobs: int | None) -> Iterator[dict[str, str]]:
    """What `do_run` gives in processes of this machine, as it comes."""
    jobs = min(len(todo), jobs or _usual_jobs())
    with parallel_config("loky", inner_max_num_threads=1):
        parallel = Parallel(n_jobs=jobs, batch_size=1, return_as="generator_unordered")
        yield from parallel(delayed(do_run)(run, folder, wait) for run in todo)


def _of_cluster(todo: list[Run], folder: Path, wait: bool,
                address: str) -> Iterator[dict[str, str]]:
    """What `do_run` gives on a Ray cluster, as it comes; Ray repeats runs of lost machines."""
    try:
        import ray
    except ModuleNotFoundError as error:
        message = "A cluster needs Ray: pip install 'ood-lib[cluster]'."
        raise ModuleNotFoundError(message) from error
    if not ray.is_initialized():
        ray.init(address=address)
    gpus = int(ray.cluster_resources().get("GPU", 0) >= 1)
    task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=MAX_LOSSES)(do_run)
    waiting = [task.remote(run, folder, wait) for run in todo]
    while waiting:
        finished, waiting = ray.wait(waiting)
        yield from ray.get(finished)


def _require_same_inputs(run: Run) -> None:
    here = run_inputs(run.settings, run.verdicts)
    other = ", ".join(name for name in here if here[name] != run.inputs[name])
    if other:
        machine = f"this machine, {platform.node()}"
        raise RuntimeError(f"{machine}, has other {other} than the one that started it")


def _circumstances(settings: Settings, resumed: bool) -> dict[str, Any]:
    """What a record tells of how the numbers came about, beside what decides them."""
    on_gpu = torch.cuda.is_available()
    return {
        "profile": settings.profile,
        "device": torch.cuda.get_device_name() if on_gpu else f"CPU, {platform.machine()}",
        "python": platform.python_version(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "resumed": resumed,
    }


def _report(failures: dict[str, str], runs: list[Run]) -> str:
    failed = [run for run in runs if run.key in failures]
    lines = [f"{len(failed)} of {len(runs)} runs failed."]
    for run in failed:
        lines.append(f"seed {run.settings.seed}, {run.key}: {failures[run.key].splitlines()[-1]}")
    return "\n".join([*lines, "The first of them:", failures[failed[0].key]])
