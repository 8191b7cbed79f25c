"""The predictions table: read and checked, one finding and split at a time, and its rows as one hash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cxr_tasks.contracts.artifacts import sha256_json
from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.records import PREDICTION_COLUMNS, logit_column, target_column
from cxr_tasks.installation.storage.tables import read_table


@dataclass(frozen=True, slots=True)
class Scored:
    """The images of one split whose target of one finding is known; arrays of shape ``(n,)`` in the table's order."""

    finding: str
    split: str
    is_positive: np.ndarray
    logit: np.ndarray
    patient_key: np.ndarray
    image_id: np.ndarray
    n_unknown: int
    """Images of the split left out because the source does not say whether the finding is there."""

    @property
    def n(self) -> int:
        """Images whose target is known."""
        return len(self.is_positive)

    @property
    def n_positive(self) -> int:
        """Of those, how many show the finding."""
        return int(self.is_positive.sum())

    @property
    def n_patients(self) -> int:
        """Whose those images are."""
        return int(pd.unique(self.patient_key).size)

    def too_few(self, min_positives: int) -> str:
        """Why the split is not assessable for this finding; empty where it is."""
        n_negative = self.n - self.n_positive
        if min(self.n_positive, n_negative) < min_positives:
            return (
                f"{self.split} holds {self.n_positive} positive and {n_negative} negative images of {self.finding}; "
                f"at least {min_positives} of each are needed"
            )
        for name, member in (("positive", self.is_positive), ("negative", ~self.is_positive)):
            if pd.unique(self.patient_key[member]).size < 2:
                return (
                    f"all {int(member.sum())} {name} images of {self.finding} in {self.split} are of one patient; at "
                    "least two are needed, as how patients differ cannot be told from one"
                )
        return ""


def read_predictions(path: Path, findings: Sequence[str]) -> pd.DataFrame:
    """The predictions in ``path``, checked by :func:`check_predictions`.

    Raises:
        DataDefect: Not there, not a Parquet file, or its columns or values are not right.
        OSError: The disk, or the rights to the file.
    """
    table = read_table(path, "a Parquet file of predictions")
    try:
        check_predictions(table, findings, str(path))
    except (TypeError, ValueError) as error:
        raise DataDefect(f"{path}: expected numbers in the columns of targets and logits, found {error}") from error
    return table


def check_predictions(table: pd.DataFrame, findings: Sequence[str], where: str) -> None:
    """``DataDefect`` unless the table has its columns, unique image ids, finite logits, and targets 0, 1 or NaN."""
    wanted = [*PREDICTION_COLUMNS, *map(target_column, findings), *map(logit_column, findings)]
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        raise DataDefect(f"{where}: expected the columns of contracts.records, missing: {', '.join(missing)}")
    if not table["image_id"].is_unique:
        raise DataDefect(
            f"{where}: expected one row per image, found {int(table['image_id'].duplicated().sum())} twice"
        )
    for finding in findings:
        n_bad = int((~np.isfinite(table[logit_column(finding)].to_numpy(float))).sum())
        if n_bad:
            raise DataDefect(
                f"{where}: expected finite logits of {finding}, found {n_bad} of {len(table)} that are not"
            )
        targets = table[target_column(finding)].to_numpy(float)
        if not (np.isnan(targets) | np.isin(targets, (0.0, 1.0))).all():
            raise DataDefect(f"{where}: expected targets 0, 1 or empty of {finding}, found others")


def scored(table: pd.DataFrame, split: str, finding: str) -> Scored:
    """The images of ``split`` whose target of ``finding`` is known, in the order of ``table``, which has the columns of
    ``contracts.records`` (:func:`check_predictions`)."""
    rows = table[table["split"] == split]
    target = rows[target_column(finding)].to_numpy(float)
    known = ~np.isnan(target)
    return Scored(
        finding=finding,
        split=split,
        is_positive=target[known] == 1.0,
        logit=rows[logit_column(finding)].to_numpy(float)[known],
        patient_key=rows["patient_key"].astype(str).to_numpy()[known],
        image_id=rows["image_id"].astype(str).to_numpy()[known],
        n_unknown=int((~known).sum()),
    )


def rows_sha256(table: pd.DataFrame, findings: Sequence[str], split: str = "test") -> str:
    """sha256 (hex) over the image ids and targets of a split, in sorted order: which rows a number is about.

    Two models can be compared on a test split only where this is equal for both.
    """
    rows = table.loc[table["split"] == split].sort_values("image_id")
    targets = rows[[target_column(finding) for finding in findings]].to_numpy(float)
    return sha256_json(
        {
            "findings": list(findings),
            "image_id": rows["image_id"].astype(str).tolist(),
            "targets": [[None if np.isnan(value) else int(value) for value in row] for row in targets],
        }
    )
