"""Stage validate: run the expectations on a manifest; a critical failure stops the run and shows the rows."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pandas as pd

from cxr_tasks.contracts.handoffs.dataset import IngestedStudies, ValidatedStudies
from cxr_tasks.contracts.labels import label_column
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.contracts.records import MANIFEST_COLUMNS
from cxr_tasks.installation.storage.files import reference_to, verified_path, write_json
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.installation.storage.space import MIB, room_for
from cxr_tasks.sources.reading.patients import splits_fault
from cxr_tasks.validate.outcomes import count_failed
from cxr_tasks.validate.record import conclude

if TYPE_CHECKING:
    from cxr_tasks.validate.checkpoint import CheckedTable

logger = logging.getLogger(__name__)


@room_for("validating", 16 * MIB)
def validate_manifest(ingested: IngestedStudies, recipe: Recipe, paths: RunPaths) -> ValidatedStudies:
    """The same manifest, found good; ``validation.json``, ``profile.json`` and Data Docs are left in ``validate``.

    Warnings are counted, logged with the rows they are about, and sent to the addresses in ``$CXR_NOTIFY``. The
    manifest's profile is compared with that of the newest prepared version of the dataset, where there is one.

    Raises:
        DataDefect: A critical expectation is not met (the message lists all failed ones and offending rows), the
            manifest is missing or was changed after ingest, or the last version's profile cannot be read.
    """
    from cxr_tasks.validate.checkpoint import run_checkpoints

    manifest = pd.read_parquet(verified_path(ingested.manifest))
    folder = paths.stage("validate")
    readable = _without_unreadable(manifest)
    checked = _manifest_tables(manifest, readable, recipe)
    profile = None
    if set(_columns(recipe)) <= set(readable.columns):
        profile, more = _compared_with_last(readable, recipe)
        checked += more
    run = run_checkpoints(checked, data_docs=folder / "data_docs")
    logger.info("Data Docs: %s", run.data_docs)
    validation = conclude(
        run.outcomes,
        folder / "validation.json",
        subject=f"dataset {ingested.dataset}, manifest",
        facts={
            "suites": [str(suite.suite.name) for suite in checked],
            "dataset": ingested.dataset,
            "manifest_sha256": ingested.manifest.sha256,
            "n_images": ingested.n_images,
            "drift": profile and profile["drift"],
        },
        remedy=_remedy(ingested, readable, recipe),
    )
    write_json(folder / "profile.json", profile)
    return ValidatedStudies(
        dataset=ingested.dataset,
        root=ingested.root,
        manifest=ingested.manifest,
        validation=validation,
        data_docs=str(run.data_docs),
        profile=reference_to(folder / "profile.json"),
        n_expectations=len(run.outcomes),
        n_warnings=count_failed(run.outcomes, "warning"),
    )


def _remedy(ingested: IngestedStudies, manifest: pd.DataFrame, recipe: Recipe) -> str:
    """What to do, for the message of a critical failure; too few patients make labels look wrong that are right."""
    known = {"patient_id", "split"} <= set(manifest.columns)
    fault = splits_fault(manifest, recipe.dataset.source) if known else ""
    looked_at = f"{ingested.n_images} images of {ingested.n_patients} patients"
    return fault or f"correct the data or its labels ({looked_at}) and ingest again"


def _columns(recipe: Recipe) -> list[str]:
    return [*MANIFEST_COLUMNS, *map(label_column, recipe.findings)]


def _without_unreadable(manifest: pd.DataFrame) -> pd.DataFrame:
    """The manifest without columns that should hold numbers and do not; the suite's rules on types name them."""
    numbers = [name for name, about in MANIFEST_COLUMNS.items() if about.startswith(("int", "float"))]
    present = [name for name in numbers if name in manifest]
    return manifest.drop(columns=[name for name in present if not pd.api.types.is_numeric_dtype(manifest[name])])


def _manifest_tables(manifest: pd.DataFrame, readable: pd.DataFrame, recipe: Recipe) -> list[CheckedTable]:
    from cxr_tasks.validate.checkpoint import CheckedTable
    from expectations.derived import with_derived_columns
    from expectations.information import shortcut_table
    from expectations.label_table import label_table
    from expectations.manifest import build_manifest_suite
    from expectations.manifest_tables import build_findings_suite, build_shortcuts_suite

    derived = with_derived_columns(readable, recipe.findings)
    return [
        CheckedTable(
            name="images",
            table=pd.concat([manifest, derived[[name for name in derived if name not in manifest]]], axis=1),
            suite=build_manifest_suite(recipe.dataset.vocabulary),
            row_key=("image_id",),
        ),
        CheckedTable(
            name="findings",
            table=label_table(readable, recipe.findings),
            suite=build_findings_suite(len(recipe.findings)),
            row_key=("finding", "n_present", "n_absent", "share_present"),
        ),
        CheckedTable(
            name="shortcuts",
            table=shortcut_table(readable, recipe.findings),
            suite=build_shortcuts_suite(),
            row_key=("finding", "property", "bits", "share"),
        ),
    ]


def _compared_with_last(manifest: pd.DataFrame, recipe: Recipe) -> tuple[dict[str, Any], list[CheckedTable]]:
    """The manifest's profile, and the tables that compare it with the last version's; none where it is the first."""
    from cxr_tasks.validate.checkpoint import CheckedTable
    from cxr_tasks.validate.drift import count_table, drift_table, verdict_of
    from cxr_tasks.validate.profile import last_reference, profile_of
    from expectations.manifest_tables import PSI_SOME, PSI_STRONG, build_counts_suite, build_drift_suite

    profile = profile_of(manifest, recipe.dataset.name, recipe.dataset.vocabulary)
    last = last_reference(recipe.dataset.name)
    if last is None:
        logger.info("dataset %s has no earlier version with a profile; nothing to compare with", recipe.dataset.name)
        return {**profile, "drift": {"verdict": "first version", "against": None}}, []
    fingerprint, reference = last
    drift = drift_table(reference, profile)
    verdict = verdict_of(drift, some=PSI_SOME, strong=PSI_STRONG)
    logger.info("drift since version %s: %s", fingerprint[:16], verdict)
    tables = [
        CheckedTable(
            name="drift", table=drift, suite=build_drift_suite(),
            row_key=("property", "before", "now", "psi", "jensen_shannon"),
        ),
        CheckedTable(
            name="counts", table=count_table(reference, profile), suite=build_counts_suite(),
            row_key=("count_of", "before", "now"),
        ),
    ]  # fmt: skip
    return {**profile, "drift": {"verdict": verdict, "against": fingerprint}}, tables
