"""The record of a run: a folder that appears whole, is known by its run's key, and tells if it was damaged since.

It holds ``record.json``, ``curves.parquet``, ``proxy.parquet`` and the digests of these three in ``digests.json``.
"""

import hashlib
import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from ood_lib.files import atomic_path
from ood_lib.studies.inputs import key_of
from ood_lib.studies.measure import RunResult

RECORD, CURVES, PROXY, DIGESTS = "record.json", "curves.parquet", "proxy.parquet", "digests.json"
_KEY = re.compile("[0-9a-f]{16}")


class DamagedRecordError(ValueError):
    """A record that is not as it was written."""


def write_record(folder: Path, inputs: dict[str, Any], result: RunResult, circumstances: dict[str, Any]) -> None:
    """Write the record of a run into the study's folder, where a damaged one of the same key makes way for it."""
    key = key_of(inputs)
    for left in folder.glob(f".*-{key}"):  # of a process that was killed while it wrote
        shutil.rmtree(left)
    measures = {name: value if math.isfinite(value) else None for name, value in result.measures.items()}
    record = {"key": key, "inputs": inputs, "measures": measures, "seconds": result.seconds, **circumstances}
    with atomic_path(folder / key) as aside:
        aside.mkdir()
        (aside / RECORD).write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        write_table(result.curves, aside / CURVES)
        write_table(result.proxy, aside / PROXY)
        write_digests(aside)
        if (folder / key).exists():
            shutil.rmtree(folder / key)


def read_record(path: Path) -> dict[str, Any]:
    """What ``record.json`` holds in the folder of a run, after a look at all of its files.

    FileNotFoundError if there is no such folder, DamagedRecordError if it is not as it was written.
    """
    require_whole(path)
    record = json.loads((path / RECORD).read_text(encoding="utf-8"))
    if not record["key"] == path.name == key_of(record["inputs"]):
        raise DamagedRecordError(f"{path} holds the record of another run, {record['key']}. Name it so, or delete it.")
    return record


def is_finished(path: Path) -> bool:
    """Whether there is a whole record."""
    try:
        read_record(path)
    except (FileNotFoundError, DamagedRecordError):
        return False
    return True


def run_folders(folder: Path) -> list[Path]:
    """The folders of a study's runs, whole or damaged, in the order of their keys."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and _KEY.fullmatch(path.name))


def write_table(table: pd.DataFrame, path: Path) -> None:
    table.to_parquet(path, index=False, compression="zstd")


def write_digests(folder: Path) -> None:
    """The last file of a folder: what all others are."""
    digests = {path.name: _digest(path) for path in sorted(folder.iterdir())}
    (folder / DIGESTS).write_text(json.dumps(digests, indent=1) + "\n", encoding="utf-8")


def require_whole(folder: Path) -> None:
    """DamagedRecordError unless every file of the folder is as `write_digests` saw it."""
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    try:
        digests = json.loads((folder / DIGESTS).read_text(encoding="utf-8"))
        wrong = [name for name, digest in digests.items() if _digest(folder / name) != digest]
    except (OSError, ValueError, AttributeError) as error:
        raise DamagedRecordError(f"{folder} is damaged: {error}.") from error
    if wrong:
        raise DamagedRecordError(f"{folder} is damaged: {', '.join(wrong)} changed since it was written.")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
