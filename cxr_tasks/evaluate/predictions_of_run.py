"""The predictions as the MLflow run keeps them: without image ids, which can hold a source's patient numbers.

An image is called by its split and its place in the dataset's stored order instead; with the dataset at hand the table
is the one it was made from, which ``rows_sha256`` of the metrics bears out. A report then needs no file of the run that
made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.contracts.handoffs.judgement import EvaluatedModel
from cxr_tasks.evaluate.table import read_predictions, rows_sha256
from cxr_tasks.installation.storage.files import replaced_file, verified_path

#: Its name among the artifacts in the folder of the evaluation.
FILE = "predictions.parquet"


def without_image_ids(table: pd.DataFrame) -> pd.DataFrame:
    """``table`` with each image called by its split and its place there from 0, such as ``test/17``."""
    place = table.groupby("split").cumcount()
    return table.assign(image_id=table["split"] + "/" + place.astype(str))


def with_image_ids(table: pd.DataFrame, index: pd.DataFrame) -> pd.DataFrame:
    """The table that ``without_image_ids`` was given; ``index`` is the dataset's.

    Raises:
        DataDefect: The dataset holds another number of images.
    """
    names = without_image_ids(index).assign(before=index["image_id"]).set_index("image_id")["before"]
    image_ids = table["image_id"].map(names)
    n_unknown = int(image_ids.isna().sum())
    if n_unknown:
        raise DataDefect(
            f"{n_unknown} of {len(table)} predictions are of places that the dataset's index does not have; it is not "
            "the dataset they were made on"
        )
    return table.assign(image_id=image_ids)


def predictions_of_run(
    fetched: Path,
    evaluated: EvaluatedModel,
    prepared: PreparedDataset,
    rows_sha256_stated: str,
    findings: Sequence[str],
    out: Path,
) -> Path:
    """The table of predictions with image ids, written to ``out``, from what the MLflow run keeps.

    Args:
        rows_sha256_stated: Of the test rows that the metrics were measured on (``Evaluation.rows_sha256``).
        fetched: Folder with the run's artifacts of the evaluation. Runs made before the table was kept there have
            none; then it is the file that the run left in its own folder.

    Raises:
        DataDefect: There is neither, or its rows are not those that the metrics were measured on.
    """
    kept = fetched / FILE
    if not kept.is_file():
        return verified_path(evaluated.predictions)
    index = pd.read_parquet(verified_path(prepared.index), columns=["image_id", "split"])
    table = with_image_ids(read_predictions(kept, findings), index)
    sha256 = rows_sha256(table, findings)
    if sha256 != rows_sha256_stated:
        raise DataDefect(
            f"{kept}: expected the test rows with sha256 {rows_sha256_stated[:12]}..., found {sha256[:12]}...; "
            "predictions, metrics and dataset do not belong together"
        )
    with replaced_file(out) as aside:
        table.to_parquet(aside, index=False)
    return out
