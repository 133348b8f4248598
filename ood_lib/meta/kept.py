"""Probabilities of a cross-validation, kept as they come."""

import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.base import clone

from ood_lib.files import atomic_path


@dataclass(frozen=True)
class KeptProbabilities:
    """p^FP of n rows in a Parquet file with one column, ``probability``, of float64; NaN where it is not known yet."""

    path: Path | None
    rows: int

    @classmethod
    def open(
        cls,
        checkpoint: Path | str | None,
        classifier: Any,
        columns: list[str] | None,
        values: np.ndarray,
        labels: np.ndarray,
        folds: list[np.ndarray],
    ) -> Self:
        """The file in the folder ``checkpoint`` that is named by all that decides the probabilities; none if None.

        ValueError if there is no such folder, or the classifier has a parameter that cannot be told from others.
        """
        if checkpoint is None:
            return cls(None, len(labels))
        if not Path(checkpoint).is_dir():
            raise ValueError(f"checkpoint={str(checkpoint)!r} is no folder; make it, or leave checkpoint out.")
        code = [source.read_text("utf-8") for source in sorted(Path(__file__).parent.glob("*.py"))]
        versions = [version(name) for name in ("torch", "scikit-learn")]
        unfitted = clone(classifier)
        try:
            key = joblib.hash([type(unfitted), unfitted, columns, values, labels, folds, code, versions])
        except Exception as error:  # whatever is raised for what has no bytes of its own
            raise ValueError(
                f"{unfitted} has a parameter by which its results cannot be named ({error}). Define functions with def "
                "at the top of a module, or leave checkpoint out."
            ) from error
        return cls(Path(checkpoint) / f"meta-{key[:16]}.parquet", len(labels))

    def read(self) -> np.ndarray:
        """What is known, (n,); all NaN if there is no file, or, with a warning, if it is damaged."""
        nothing = np.full(self.rows, np.nan)
        if self.path is None or not self.path.is_file():
            return nothing
        try:
            table = pq.read_table(self.path, page_checksum_verification=True)
            probability = table["probability"].to_numpy().copy()
            if probability.shape != nothing.shape or probability.dtype != nothing.dtype:
                raise ValueError(f"it holds {probability.dtype} {probability.shape}, expected {self.rows} numbers")
            if not (np.isnan(probability) | ((probability >= 0) & (probability <= 1))).all():
                raise ValueError("not all of its numbers are from 0 to 1")
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())
            warnings.warn(f"{self.path} is damaged ({reason}); its folds are computed again.", stacklevel=2)
            return nothing
        return probability

    def write(self, probability: np.ndarray) -> None:
        if self.path is None:
            return
        table = pa.Table.from_pandas(pd.DataFrame({"probability": probability}), preserve_index=False)
        with atomic_path(self.path) as aside:
            pq.write_table(table, aside, write_page_checksum=True)
