"""Records of runs: how they are written, told from damaged ones, packed and read.

A folder of records holds ``runs.jsonl``, a line of JSON for each run; the runs' tables, as
``proxy.parquet``; and the digests of all, ``digests.json``. It appears whole. A study's folder has
one for each run, named by the run's key; packed, it is one folder of all runs.
"""

import hashlib
import json
import math
import shutil
import warnings
from itertools import compress
from pathlib import Path
from typing import Any

import pandas as pd

from ood_lib.files import atomic_path, user_path
from ood_lib.kept import digest
from ood_lib.settings import Settings, TrainingSettings, load_settings
from ood_lib.studies.measure import RunResult
from ood_lib.studies.runs import run_inputs

RUNS, DIGESTS = "runs.jsonl", "digests.json"
TABLES = {"proxy": "proxy.parquet", "verdicts": "verdicts.parquet"}  # those of a `RunResult`
# Of the book's records: in the repository, and in a library installed without it.
_PLACES = (Path(__file__).parents[2] / "book/records", Path(__file__).parent / "book_records")


def write_record(folder: Path, inputs: dict[str, Any], result: RunResult,
                 circumstances: dict[str, Any]) -> None:
    """Write the record of a run into the study's folder, also in the place of a damaged one."""
    key = digest(inputs)
    for left in folder.glob(f".*-{key}"):  # of a process that was killed while it wrote
        shutil.rmtree(left)
    numbers = result.measures.items()
    measures = {name: value if math.isfinite(value) else None for name, value in numbers}
    record = {"key": key, "inputs": inputs, "measures": measures, "seconds": result.seconds}
    tables = {name: table.assign(run=key) for name, table in result.tables.items()}
    _write(folder / key, [record | circumstances], tables)


def find_record(path: Path) -> dict[str, Any] | None:
    """The record in a run's folder; None if there is none, or, with a warning, a damaged one."""
    if not path.is_dir():
        return None
    try:
        (record,) = _read(path)
        if not record["key"] == path.name == digest(record["inputs"]):
            other = f"{path} holds the record of another run, {record['key']}"
            raise ValueError(f"{other}. Name it so, or delete it.")
        return record
    except ValueError as error:
        warnings.warn(f"{error} Doing the study again makes it anew.", stacklevel=3)
        return None


def run_folders(folder: Path) -> list[Path]:
    """The folders of a study's runs, whole or damaged, in the order of their keys."""
    return sorted(path for path in folder.glob("[0-9a-f]" * 16) if path.is_dir())


def book_records(study: str = "") -> Path:
    """The packed runs that the book reports; FileNotFoundError where they are missing."""
    # Those of the studies "published", "draws" and "verdicts" lie in folders of their names.
    for place in _PLACES:
        if (place / study / RUNS).is_file():
            return place / study
    missing = f"The book's records are missing in {_PLACES[0] / study}"
    raise FileNotFoundError(f"{missing}. Do: make study.")


def read_study(folder: Path | str, settings: Settings | None = None) -> pd.DataFrame:
    """One row for each run whose network was measured on all test sets, by its key, ``run``.

    ``folder`` is a study's, packed or not. Columns: the settings that decide a run; the measures of
    `RunResult`; ``seconds_{part}``; profile, device, python, started, resumed; and ``current``:
    whether today's code, packages, images and starting weights, those of ``settings`` (by default
    of the profile miniature), would give a run with these settings the same key.
    A damaged record is left out and named in a warning.
    """
    records = _records(folder, verdicts=False)
    current = _are_current(records, settings or load_settings())
    return pd.DataFrame(map(_row, records)).assign(current=current).set_index("run")


def read_proxy(folder: Path | str) -> pd.DataFrame:
    """The proxy images that each run drew in each epoch: run, epoch, id, `CocoProxy.properties`."""
    return _table("proxy", folder, _records(folder, verdicts=False))


def read_verdicts(folder: Path | str) -> pd.DataFrame:
    """What `ood_lib.studies.verdicts` measured of each network: run, and the columns there."""
    return _table("verdicts", folder, _records(folder, verdicts=True))


def pack(folder: Path | str, to: Path | str, settings: Settings | None = None) -> int:
    """Write all current runs of a study as one folder of records, and give their number.

    An earlier packed study is replaced; FileExistsError for anything else in its place.
    """
    folder, to, settings = user_path(folder), user_path(to), settings or load_settings()
    if to.resolve() == folder.resolve():
        raise ValueError(f"{to} is the study itself. Pack it into another folder.")
    if to.exists() and not (to / RUNS).is_file():
        raise FileExistsError(f"{to} is no packed study. Give another folder, or delete this one.")
    records = _records(folder)
    records = list(compress(records, _are_current(records, settings)))
    if not records:
        raise ValueError(f"No run in {folder} is of today's code and data. Do the study anew.")
    tables = {name: _table(name, folder, records) for name in TABLES}
    _write(to, records, {name: table for name, table in tables.items() if len(table)})
    return len(records)


def summarize(table: pd.DataFrame) -> pd.DataFrame:
    """Mean, sd and best of each measure over the runs whose settings agree but for the seed.

    A row for each combination of settings that differ in the table of `read_study`, and measure;
    the best is the lowest FPR95, the highest of all others. Runs that are not current stand apart.
    """
    names = [name for name in [*TrainingSettings.model_fields, "current"] if name in table]
    varied = [name for name in names if name != "seed" and table[name].map(str).nunique() > 1]
    by = [*(varied or ["model"]), "measure"]
    measures = [name for name in table if f"{name}_low" in table]
    values = table.melt(by[:-1], measures, "measure").groupby(by, dropna=False)["value"]
    summary = values.agg(runs="size", mean="mean", sd="std", best="max")
    is_lower = summary.index.get_level_values("measure").str.endswith("fpr95")
    return summary.assign(best=summary["best"].mask(is_lower, values.min()))


def _write(to: Path, records: list[dict[str, Any]], tables: dict[str, pd.DataFrame]) -> None:
    """Write a folder of records in the place of an earlier one."""
    lines = [json.dumps(record, allow_nan=False) + "\n" for record in records]
    with atomic_path(to) as aside:
        if to.exists():
            shutil.copytree(to, aside)  # with what others keep there, as the record of scores
            for old in TABLES.values():
                (aside / old).unlink(missing_ok=True)
        aside.mkdir(exist_ok=True)
        (aside / RUNS).write_text("".join(lines), encoding="utf-8")
        for name, table in tables.items():
            table.to_parquet(aside / TABLES[name], index=False, compression="zstd")
        written = sorted([RUNS, *(TABLES[name] for name in tables)])
        digests = {name: _file_digest(aside / name) for name in written}
        (aside / DIGESTS).write_text(json.dumps(digests, indent=1) + "\n", encoding="utf-8")
        if to.exists():
            shutil.rmtree(to)


def _read(folder: Path) -> list[dict[str, Any]]:
    """The records in a folder of records; ValueError if it is not as it was written."""
    try:
        digests = json.loads((folder / DIGESTS).read_text(encoding="utf-8"))
        wrong = [name for name, told in digests.items() if _file_digest(folder / name) != told]
        if wrong:
            raise ValueError(f"{', '.join(wrong)} changed since it was written")
        lines = (folder / RUNS).read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(f"{folder} is damaged: {error}.") from error


def _records(folder: Path | str, verdicts: bool | None = None) -> list[dict[str, Any]]:
    """Those of all finished runs, packed or in folders of their own; of one kind unless None."""
    folder = user_path(folder)
    if (folder / RUNS).is_file():
        found = _read(folder)
    else:
        found = [record for path in run_folders(folder) if (record := find_record(path))]
    if verdicts is not None:
        found = [record for record in found if _is_of_verdicts(record) == verdicts]
    if not found:
        advice = "Do a study there: python -m ood_lib.studies run."
        raise FileNotFoundError(f"{folder} holds no finished run. {advice}")
    return found


def _table(name: str, folder: Path | str, records: list[dict[str, Any]]) -> pd.DataFrame:
    """The table of that name of all these runs that have one."""
    folder, keys = user_path(folder), [record["key"] for record in records]
    places = [folder] if (folder / RUNS).is_file() else [folder / key for key in keys]
    files = [path for place in places if (path := place / TABLES[name]).is_file()]
    if not files:
        return pd.DataFrame({"run": []})
    table = pd.concat(map(pd.read_parquet, files), ignore_index=True)
    table = table[["run", *table.columns.drop("run")]]
    return table[table["run"].isin(keys)].reset_index(drop=True)


def _is_of_verdicts(record: dict[str, Any]) -> bool:
    return "drives" in record["inputs"]["measured"]


def _are_current(records: list[dict[str, Any]], settings: Settings) -> list[bool]:
    """Whether the settings of each record would today give a run with the same key."""
    kinds = {_is_of_verdicts(record) for record in records}
    today = {kind: run_inputs(settings, verdicts=kind) for kind in kinds}
    current = []
    for record in records:
        inputs, of_today = record["inputs"], today[_is_of_verdicts(record)]
        is_known = inputs["settings"].keys() == of_today["settings"].keys()
        current.append(is_known and inputs == of_today | {"settings": inputs["settings"]})
    return current


def _row(record: dict[str, Any]) -> dict[str, Any]:
    others = dict(record)
    row = {"run": others.pop("key")} | others.pop("inputs")["settings"] | others.pop("measures")
    row["crop"] = tuple(row["crop"])
    row |= {f"seconds_{part}": value for part, value in others.pop("seconds").items()} | others
    return {name: float("nan") if value is None else value for name, value in row.items()}


def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
