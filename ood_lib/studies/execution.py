"""Doing a study: what is missing of it, in several processes of one machine or on a cluster."""

import platform
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from joblib import Parallel, cpu_count, delayed, parallel_config
from tqdm.auto import tqdm

from ood_lib.profiles import Settings
from ood_lib.studies.definitions import Study, find_study
from ood_lib.studies.inputs import Run, inputs_of, plan
from ood_lib.studies.measure import measure_run
from ood_lib.studies.records import DamagedRecordError, is_finished, read_record, write_record

UNDER_WAY = ".under_way"
"""The folder, in that of the study, of locks and of runs half done. While nothing runs, it may be deleted."""
PATIENCE = 3
"""So many times in a row a worker may die before any run is finished."""
NOTICED_WITHIN = 60
"""Seconds. Ray finds out that a machine is gone after about 20."""


def run_study(
    study: str | Study,
    settings: Settings,
    folder: Path | str,
    seeds: list[int] | None = None,
    *,
    jobs: int | None = None,
    cluster: str | None = None,
    progress: bool = True,
) -> None:
    """Do those runs of a study of which ``folder`` holds no record yet; each record appears when its run is finished.

    ``study`` is a name in `STUDIES` or a `Study` of your own, ``settings`` are those of the profile, of which each arm
    changes some; ``seeds`` are 0, 1, ... if not given. Killed at any moment and called again, it does what is missing,
    and goes on in a run from its last epoch. Several processes, also of other machines that share the folder, may do
    one study at once: a run is locked while one of them does it, and the lock ends with the process.

    The runs are shared out to ``jobs`` processes, by default one for each core, or one if there is a GPU; or to a Ray
    cluster, with ``cluster`` its address ("auto" for the one that this machine is part of, "local" for a new one), one
    GPU for each run where it has any, else one core. Folder and data must then be where all of its machines see them.
    Where several run each has one thread.

    A record that is damaged is named in a warning, and done anew. Where a worker dies, for want of memory or with its
    machine, what is missing is shared out again to those that are left. A run that fails does not stop the others; in
    the end RuntimeError names all that failed.
    """
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs={jobs} must be a number of processes from 1.")
    study, folder = find_study(study), Path(folder).absolute()
    (folder / UNDER_WAY).mkdir(parents=True, exist_ok=True)
    runs = plan(study, _from_anywhere(settings), list(range(study.runs)) if seeds is None else seeds)
    _warn_of_damage(runs, folder)
    done = len(runs) - len(_missing(runs, folder))
    with tqdm(total=len(runs), initial=done, unit="run", disable=not progress) as bar:
        failures = _share_out(runs, folder, jobs, cluster, bar)
    if failures:
        raise RuntimeError(_report(failures, runs))


def do_run(run: Run, folder: Path, wait: bool, one_thread: bool) -> str | None:
    """Do the run and write its record, unless there is one; gives what went wrong, if anything did.

    If another process is at it, this one waits for it or, if it need not ``wait``, leaves the run to it.
    """
    if one_thread:
        torch.set_num_threads(1)
    unfinished = folder / UNDER_WAY / f"{run.key}.safetensors"
    try:
        with FileLock(folder / UNDER_WAY / f"{run.key}.lock", timeout=-1 if wait else 0):
            if is_finished(folder / run.key):
                return None
            if (here := inputs_of(run.settings)) != run.inputs:
                other = ", ".join(name for name in here if here[name] != run.inputs[name])
                raise RuntimeError(f"this machine, {platform.node()}, has other {other} than the one that started it")
            circumstances = _circumstances(run.settings, unfinished.exists())
            result = measure_run(run.settings, unfinished)
            write_record(folder, run.inputs, result, circumstances)
            unfinished.unlink(missing_ok=True)
    except Timeout:
        return None
    except Exception:
        return traceback.format_exc()
    return None


def _share_out(runs: list[Run], folder: Path, jobs: int | None, cluster: str | None, bar: tqdm) -> dict[str, str]:
    """Have all runs done of which there is no record yet; gives what went wrong, by the key of the run."""
    failures: dict[str, str] = {}
    todo, wait, losses = _missing(runs, folder), False, 0
    while todo:
        with _workers(jobs, cluster, len(todo)) as number:
            work = (delayed(do_run)(run, folder, wait, number > 1) for run in todo)
            try:
                said = _WithBar(bar, runs, folder)(work)
                failures |= {run.key: what for run, what in zip(todo, said, strict=True) if what}
            except Exception as error:  # what a run raises is told, so a worker is gone
                losses = losses + 1 if len(_missing(todo, folder)) == len(todo) else 0
                if losses == PATIENCE:
                    raise
                reason = f"{type(error).__name__}: {error}".splitlines()[0]
                tqdm.write(f"A worker is gone; the others do its runs. {reason}", sys.stderr)
                if cluster is not None:
                    _wait_until_noticed(cluster, number)
        todo = [run for run in _missing(todo, folder) if run.key not in failures]
        wait = True  # what is left then is being done by another process, or was by one that is gone
    return failures


def _from_anywhere(settings: Settings) -> Settings:
    """With absolute paths, since the workers of a cluster stand in other folders."""
    checkpoint = settings.checkpoint.absolute() if isinstance(settings.checkpoint, Path) else settings.checkpoint
    return replace(settings, data_root=settings.data_root.absolute(), checkpoint=checkpoint)


def _warn_of_damage(runs: list[Run], folder: Path) -> None:
    for path in (folder / run.key for run in runs):
        try:
            read_record(path)
        except FileNotFoundError:
            pass
        except DamagedRecordError as error:
            warnings.warn(f"{error} The run is done anew.", stacklevel=3)


def _missing(runs: list[Run], folder: Path) -> list[Run]:
    return [run for run in runs if not is_finished(folder / run.key)]


def _circumstances(settings: Settings, resumed: bool) -> dict[str, Any]:
    """What a record tells of how the numbers came about, beside what decides them."""
    return {
        "profile": settings.profile,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {platform.machine()}",
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "resumed": resumed,
    }


def _report(failures: dict[str, str], runs: list[Run]) -> str:
    failed = [run for run in runs if run.key in failures]
    lines = [f"seed {run.settings.seed}, {run.key}: {failures[run.key].splitlines()[-1]}" for run in failed]
    first = failures[failed[0].key]
    return "\n".join([f"{len(failed)} of {len(runs)} runs failed.", *lines, "The first of them:", first])


class _WithBar(Parallel):
    """Shows how many runs there are records of, whoever did them."""

    def __init__(self, bar: tqdm, runs: list[Run], folder: Path) -> None:
        super().__init__(batch_size=1)
        self._bar, self._runs, self._folder = bar, runs, folder

    def print_progress(self) -> None:
        """Called by joblib whenever a run is done."""
        self._bar.update(len(self._runs) - len(_missing(self._runs, self._folder)) - self._bar.n)


@contextmanager
def _workers(jobs: int | None, cluster: str | None, runs: int) -> Iterator[int]:
    """Let joblib share so many runs out to processes here or on the cluster; gives how many these are."""
    if cluster is not None:
        places = _places(cluster, runs)
        with parallel_config("ray", **places):
            yield places["n_jobs"]
        return
    jobs = min(runs, jobs or (1 if torch.cuda.is_available() else cpu_count()))
    with parallel_config("loky", n_jobs=jobs, inner_max_num_threads=1):
        yield jobs


def _places(cluster: str, runs: int) -> dict[str, Any]:
    """How many runs the cluster can do at once, and what each of them needs."""
    try:
        import ray
        from ray.util.joblib import register_ray
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("A cluster needs Ray: pip install 'ood-lib[cluster]'.") from error
    if not ray.is_initialized():
        ray.init(address=cluster)
    register_ray()
    there = ray.cluster_resources()
    on_gpus = there.get("GPU", 0) >= 1
    jobs = int(min(runs, there["CPU"], there["GPU"] if on_gpus else runs))
    if jobs == 1 and on_gpus and not torch.cuda.is_available():  # joblib does a single job where it is called
        raise RuntimeError(
            "The cluster has one GPU, and not in this machine. Start the study on the machine that has it, without "
            "cluster, or give the cluster another GPU."
        )
    return {"n_jobs": jobs, "ray_remote_args": {"num_cpus": 1, "num_gpus": 1 if on_gpus else 0}}


def _wait_until_noticed(cluster: str, number: int) -> None:
    """Wait until the cluster says that it has fewer places than this number, for Ray would wait for those lost."""
    end = time.monotonic() + NOTICED_WITHIN
    while _places(cluster, number)["n_jobs"] == number and time.monotonic() < end:
        time.sleep(1)
