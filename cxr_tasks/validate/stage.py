"""Stage validate: run the expectations on a manifest; a critical failure stops the run and shows the rows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cxr_tasks.contracts.artifacts import ArtifactRef, write_json
from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs import IngestedStudies, ValidatedStudies
from cxr_tasks.contracts.paths import RunPaths
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.validate.outcomes import Outcome, failures_table, offending_rows_text

logger = logging.getLogger(__name__)


def validate_manifest(ingested: IngestedStudies, recipe: Recipe, paths: RunPaths) -> ValidatedStudies:
    """The same manifest, found good; ``validation.json`` and Data Docs are written in either case.

    Warnings are counted and logged, with the rows they are about.

    Raises:
        DataDefect: A critical expectation is not met (the message lists all failed ones and offending rows), or the
            manifest is missing or was changed after ingest.
    """
    from cxr_tasks.validate.checkpoint import run_checkpoint
    from expectations.derived import with_derived_columns
    from expectations.manifest import build_manifest_suite

    manifest = pd.read_parquet(ingested.manifest.verified_path())
    folder = paths.stage("validate")
    run = run_checkpoint(
        with_derived_columns(manifest, recipe.findings),
        build_manifest_suite(recipe.findings),
        name=ingested.dataset,
        row_key="image_id",
        data_docs=folder / "data_docs",
    )
    validation = folder / "validation.json"
    _write_validation(validation, ingested, run.suite, run.outcomes)
    logger.info("Data Docs: %s", run.data_docs)
    _raise_or_log(run.outcomes, validation)
    return ValidatedStudies(
        dataset=ingested.dataset,
        root=ingested.root,
        manifest=ingested.manifest,
        validation=ArtifactRef.of(validation),
        data_docs=str(run.data_docs),
        n_expectations=len(run.outcomes),
        n_warnings=_count_failed(run.outcomes, "warning"),
    )


def _write_validation(path: Path, ingested: IngestedStudies, suite: str, outcomes: Sequence[Outcome]) -> None:
    counts = {severity: _count_failed(outcomes, severity) for severity in ("critical", "warning")}
    write_json(
        path,
        {
            "suite": suite,
            "dataset": ingested.dataset,
            "manifest_sha256": ingested.manifest.sha256,
            "n_images": ingested.n_images,
            "n_expectations": len(outcomes),
            "n_failed": counts,
            "success": counts["critical"] == 0,
            "outcomes": [plain(outcome) for outcome in outcomes],
        },
    )


def _count_failed(outcomes: Sequence[Outcome], severity: str) -> int:
    return sum(not one.success and one.severity == severity for one in outcomes)


def _raise_or_log(outcomes: Sequence[Outcome], validation: Path) -> None:
    n_critical, n_warnings = _count_failed(outcomes, "critical"), _count_failed(outcomes, "warning")
    if not n_critical and not n_warnings:
        logger.info("%d expectations, all met", len(outcomes))
        return
    rows = offending_rows_text(outcomes)
    text = f"{failures_table(outcomes)}\n\n{rows}".rstrip()
    if n_critical:
        raise DataDefect(
            f"{n_critical} critical expectations of {len(outcomes)} are not met, and {n_warnings} warnings; "
            f"correct the data or its labels and ingest again. All outcomes: {validation}\n{text}"
        )
    logger.warning("%d expectations met, %d warnings:\n%s", len(outcomes) - n_warnings, n_warnings, text)
