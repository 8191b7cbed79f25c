"""Stage ingest: a data folder in, ``manifest.parquet`` and ``quarantine.csv`` out."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import pandas as pd

from cxr_tasks.contracts.artifacts import ArtifactRef
from cxr_tasks.contracts.handoffs import IngestedStudies
from cxr_tasks.contracts.labels import SPLITS, LabelState, label_column
from cxr_tasks.contracts.paths import RunPaths
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.contracts.tables import text_table
from cxr_tasks.ingest.inspect import Inspection, inspect_files
from cxr_tasks.ingest.manifest import build_manifest, write_manifest
from cxr_tasks.ingest.quarantine import check_bound, describe_refusals, write_quarantine
from cxr_tasks.sources._pool import map_in_processes
from cxr_tasks.sources._progress import with_progress
from cxr_tasks.sources.base import ImageRecord, Refusal, SourceScan, get_source, resolve_root

logger = logging.getLogger(__name__)


def ingest_source(recipe: Recipe, data_folder: str | None, paths: RunPaths) -> IngestedStudies:
    """Every image of the recipe's source, opened once: the usable ones in a manifest, the others in quarantine.

    Writes ``manifest.parquet`` and ``quarantine.csv`` (columns: ``contracts.records``) under ``paths``; the data
    folder is only read. The same files and recipe give a byte-identical manifest.

    Raises:
        DataDefect: The folder is not there or has another layout, or too many files cannot be used.
        ConfigurationError: No folder is known, or the recipe's dataset settings do not suit its source.
    """
    spec = recipe.dataset
    root = resolve_root(spec, data_folder)
    scan = get_source(spec.source).scan(root, spec)
    for note in scan.notes:
        logger.info("%s: %s", spec.source, note)
    logger.info("%s: %d files to open in %s", spec.source, len(scan.records), scan.root)
    usable, refusals = _inspect_all(scan)

    folder = paths.stage("ingest")
    quarantine = folder / "quarantine.csv"
    write_quarantine(quarantine, refusals)
    check_bound(refusals, n_usable=len(usable), bound=spec.quarantine_bound, quarantine=quarantine)
    if refusals:
        logger.warning("%d files are in quarantine: %s\n%s", len(refusals), quarantine, describe_refusals(refusals))
    table = build_manifest(usable, source=spec.source, findings=recipe.findings, split=recipe.split)
    manifest = folder / "manifest.parquet"
    write_manifest(manifest, table)
    logger.info("manifest: %s\n%s", manifest, describe_manifest(table, recipe.findings))
    return IngestedStudies(
        dataset=spec.name,
        root=str(scan.root),
        manifest=ArtifactRef.of(manifest),
        quarantine=ArtifactRef.of(quarantine),
        n_images=len(table),
        n_patients=int(table["patient_id"].nunique()),
        n_quarantined=len(refusals),
    )


def describe_manifest(table: pd.DataFrame, findings: Sequence[str]) -> str:
    """Images, patients and positive images per split, as a text table for a log."""
    rows: list[list[object]] = []
    for split in SPLITS:
        part = table[table["split"] == split]
        positives = [int((part[label_column(one)] == LabelState.POSITIVE.value).sum()) for one in findings]
        rows.append([split, len(part), part["patient_id"].nunique(), *positives])
    return text_table(["split", "images", "patients", *findings], rows)


def _inspect_all(scan: SourceScan) -> tuple[list[tuple[ImageRecord, Inspection]], list[Refusal]]:
    work = ((str(scan.root), record.image_id) for record in scan.records)
    found: Iterator[Inspection | Refusal] = map_in_processes(inspect_files, work)
    found = with_progress(found, n_items=len(scan.records), what="images opened", logger=logger)
    usable: list[tuple[ImageRecord, Inspection]] = []
    refusals = list(scan.refusals)
    for record, result in zip(scan.records, found, strict=True):
        if isinstance(result, Refusal):
            refusals.append(result)
        else:
            usable.append((record, result))
    return usable, refusals
