"""Hold a table of predictions against the index of its dataset before any gate decides on it."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd

from cxr_tasks.contracts.artifacts import ArtifactRef
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.contracts.handoffs.judgement import EvaluatedModel
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.installation.storage.files import verified_path
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.installation.storage.space import MIB, room_for
from cxr_tasks.installation.storage.tables import read_table
from cxr_tasks.validate.record import conclude

logger = logging.getLogger(__name__)


@room_for("validating the predictions", 16 * MIB)
def validate_predictions(
    evaluated: EvaluatedModel, prepared: PreparedDataset, recipe: Recipe, paths: RunPaths
) -> ArtifactRef:
    """``validation.json`` of the predictions, in ``validate_predictions`` with its Data Docs beside it.

    Raises:
        DataDefect: A critical expectation is not met, or predictions or index cannot be read or were changed.
    """
    from cxr_tasks.validate.checkpoint import CheckedTable, run_checkpoints
    from expectations.predictions import build_coverage_suite, build_predictions_suite
    from expectations.predictions_table import checked_predictions, coverage

    predictions = _read(verified_path(evaluated.predictions))
    index = _read(verified_path(prepared.index))
    folder = paths.stage("validate_predictions")
    suite = build_predictions_suite(recipe.dataset.vocabulary)
    run = run_checkpoints(
        [
            CheckedTable(
                name="predictions", table=checked_predictions(predictions, index, recipe.findings), suite=suite,
                row_key=("image_id", "split"),
            ),
            CheckedTable(
                name="coverage", table=coverage(predictions, index), suite=build_coverage_suite(),
                row_key=("image_id", "split"),
            ),
        ],
        data_docs=folder / "data_docs",
    )  # fmt: skip
    logger.info("Data Docs: %s", run.data_docs)
    return conclude(
        run.outcomes,
        folder / "validation.json",
        subject=f"model {evaluated.model_name}, predictions on {prepared.dataset}",
        facts={
            "suites": [str(suite.name), "predictions_coverage"],
            "model_name": evaluated.model_name,
            "mlflow_run_id": evaluated.mlflow_run_id,
            "predictions_sha256": evaluated.predictions.sha256,
            "dataset_fingerprint": prepared.fingerprint,
            "n_predictions": len(predictions),
        },
        remedy="evaluate the model again on the dataset it was trained on",
    )


def _read(path: Path) -> pd.DataFrame:
    return read_table(path, "a Parquet file", "run the task that wrote it again")
