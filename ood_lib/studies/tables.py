"""Reading studies: one row for each run, their curves, the proxy images they drew, and a summary of it all."""

import json
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from ood_lib.files import atomic_path
from ood_lib.profiles import Settings, load_settings
from ood_lib.studies.definitions import STUDIES
from ood_lib.studies.inputs import SETTINGS, inputs_of, surroundings
from ood_lib.studies.records import (
    CURVES,
    PROXY,
    DamagedRecordError,
    read_record,
    require_whole,
    run_folders,
    write_digests,
    write_table,
)

RUNS, COMMANDS = "runs.jsonl", "commands.txt"
"""In a packed study: a line of JSON for each run, and what makes them."""
LOWER_IS_BETTER = ("fpr95",)
_PLACES = (Path(__file__).parents[2] / "book" / "records", Path(__file__).parent / "book_records")
"""Of the book's records: in the repository, and in a library installed without it."""


def book_records() -> Path:
    """The folder of the runs that the book reports, packed; ``make study`` does them. FileNotFoundError without it."""
    for place in _PLACES:
        if (place / RUNS).is_file():
            return place
    raise FileNotFoundError(f"The book's records are missing in {_PLACES[0]}. Make them, in an hour: make study.")


def read_study(folder: Path | str, settings: Settings | None = None) -> pd.DataFrame:
    """One row for each finished run of a study's folder, packed or not, with its key as the index ``run``.

    Columns: the settings that decide a run; ``{name}_{measure}``, the names being those in
    `ood_lib.studies.measure.MEASURED`, with ``_low`` and ``_high``, the bounds of its interval; ``seconds_{part}``;
    profile, device, threads, python, started, resumed; and ``current``: whether today's code, packages, images and
    starting weights would give a run with these settings the same key. Images and weights are those of ``settings``, by
    default of the profile miniature. A damaged record is left out and named in a warning.
    """
    records = _records(Path(folder))
    current = _are_current(records, settings or load_settings())
    return pd.DataFrame([_row(record) for record in records]).assign(current=current).set_index("run")


def read_curves(folder: Path | str) -> pd.DataFrame:
    """ROC and PR curves of all runs: run, data (set), curve (roc or pr), x and y, as `thin_curves` gives them."""
    return _read_tables(Path(folder), CURVES)


def read_proxy(folder: Path | str) -> pd.DataFrame:
    """The proxy images that each run drew in each epoch: run, epoch, id, and their `CocoProxy.properties`."""
    return _read_tables(Path(folder), PROXY)


def pack(folder: Path | str, to: Path | str, settings: Settings | None = None) -> int:
    """Write all current runs of a study's folder as five small files in the folder ``to``; gives how many they are.

    One of them, ``commands.txt``, says what makes these runs from nothing.
    A packed study of earlier times is replaced, anything else in the place of ``to`` refused with FileExistsError.
    """
    folder, to, settings = Path(folder), Path(to), settings or load_settings()
    if to.exists() and not (to / RUNS).is_file():
        raise FileExistsError(f"{to} is no packed study. Give another folder, or delete this one.")
    records = _records(folder)
    current = _are_current(records, settings)
    records = [record for record, is_current in zip(records, current, strict=True) if is_current]
    if not records:
        raise ValueError(
            f"No run in {folder} is of today's code and data, so there is nothing to pack. Do the study anew."
        )
    with atomic_path(to) as aside:
        aside.mkdir()
        (aside / RUNS).write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        (aside / COMMANDS).write_text("".join(_commands(records, settings)), encoding="utf-8")
        for name in (CURVES, PROXY):
            write_table(_gather(records, folder, name), aside / name)
        write_digests(aside)
        if to.exists():
            shutil.rmtree(to)
    return len(records)


def summarize(table: pd.DataFrame) -> pd.DataFrame:
    """Mean, sd and best of each measure over the runs whose settings agree but for the seed.

    A row for each combination of the settings that differ in the table of `read_study`, and each measure; the best is
    the lowest FPR95 and the highest of all others. Runs that are not current stand apart.
    """
    names = [*(name for name in SETTINGS if name != "seed"), "current"]
    differing = [name for name in names if table[name].map(str).nunique() > 1] or ["model"]
    measures = [name for name in table if f"{name}_low" in table]
    rows = []
    for values, own in table.groupby(differing, dropna=False):
        for measure in measures:
            best = own[measure].min() if measure.endswith(LOWER_IS_BETTER) else own[measure].max()
            rows.append((*values, measure, len(own), own[measure].mean(), own[measure].std(), best))
    columns = [*differing, "measure", "runs", "mean", "sd", "best"]
    return pd.DataFrame(rows, columns=columns).set_index([*differing, "measure"])


def _records(folder: Path) -> list[dict[str, Any]]:
    """Those of all finished runs, packed or in folders of their own."""
    if (folder / RUNS).is_file():
        require_whole(folder)
        return [json.loads(line) for line in (folder / RUNS).read_text(encoding="utf-8").splitlines()]
    found = []
    for path in run_folders(folder):
        try:
            found.append(read_record(path))
        except DamagedRecordError as error:
            warnings.warn(str(error), stacklevel=3)
    if not found:
        raise FileNotFoundError(f"{folder} holds no finished run. Do a study there: python -m ood_lib.studies run.")
    return found


def _commands(records: list[dict[str, Any]], settings: Settings) -> Iterator[str]:
    """A line for each study of which all arms were run with some seeds."""
    done = {json.dumps(record["inputs"]["settings"], sort_keys=True) for record in records}
    for name, study in STUDIES.items():
        arms = [inputs_of(replace(settings, **arm), {})["settings"] for arm in study.arms]
        every = range(max(record["inputs"]["settings"]["seed"] for record in records) + 1)
        seeds = [s for s in every if all(json.dumps(arm | {"seed": s}, sort_keys=True) in done for arm in arms)]
        if seeds:
            own = ",".join(map(str, seeds)) if seeds != list(range(len(seeds))) else f"0-{len(seeds) - 1}"
            yield f"python -m ood_lib.studies run {name} --profile {settings.profile} --seeds {own} --out DIR\n"


def _row(record: dict[str, Any]) -> dict[str, Any]:
    seconds = {f"seconds_{part}": value for part, value in record["seconds"].items()}
    others = {name: value for name, value in record.items() if name not in ("key", "inputs", "measures", "seconds")}
    chosen = record["inputs"]["settings"] | {"crop": tuple(record["inputs"]["settings"]["crop"])}
    row = {"run": record["key"], **chosen, **record["measures"], **seconds, **others}
    return {name: float("nan") if value is None else value for name, value in row.items()}


def _are_current(records: list[dict[str, Any]], settings: Settings) -> list[bool]:
    """For each record whether all but its settings is as it is today."""
    today = json.loads(json.dumps(surroundings(settings)))
    return [
        record["inputs"] == {"settings": record["inputs"]["settings"], **today}
        and record["inputs"]["settings"].keys() == set(SETTINGS)
        for record in records
    ]


def _read_tables(folder: Path, name: str) -> pd.DataFrame:
    if (folder / RUNS).is_file():
        require_whole(folder)
        return pd.read_parquet(folder / name)
    return _gather(_records(folder), folder, name)


def _gather(records: list[dict[str, Any]], folder: Path, name: str) -> pd.DataFrame:
    """The tables of that name in the folders of the runs as one, with the column run before all others."""
    tables = [pd.read_parquet(folder / record["key"] / name).assign(run=record["key"]) for record in records]
    together = pd.concat(tables, ignore_index=True)
    return together[["run", *together.columns.drop("run")]]
