"""Put the inspected parts together: duplicates and splits over all images, the manifest, the quarantine."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs.dataset import IngestedStudies, IngestPlan, InspectedPart
from cxr_tasks.contracts.labels import SPLITS, LabelState, label_column
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.contracts.text_table import text_table
from cxr_tasks.datasets.latest import previous_splits
from cxr_tasks.images.duplicates import duplicate_groups_of
from cxr_tasks.ingest.grouping.splits import assign_splits
from cxr_tasks.ingest.ledger import open_ledger
from cxr_tasks.ingest.manifest import manifest_schema
from cxr_tasks.ingest.quarantine import check_bound, describe_refusals, write_quarantine
from cxr_tasks.ingest.rows import read_batches, read_even_batches, read_table, table_writer
from cxr_tasks.installation.storage.files import reference_to, verified_path
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.installation.storage.space import MIB, room_for
from cxr_tasks.sources.base import about_source
from cxr_tasks.sources.reading.patients import crowded, splits_fault

logger = logging.getLogger(__name__)

_HASHES = ["image_id", "pixel_hash", "perceptual_hash"]


@room_for("collecting the manifest", 2 * MIB)
def collect_parts(
    recipe: Recipe, plan: IngestPlan, inspected: Sequence[InspectedPart], paths: RunPaths
) -> IngestedStudies:
    """``manifest.parquet`` and ``quarantine.csv`` (columns: ``contracts.records``) of all parts, in any order given.

    Of the rows only what duplicates and splits follow from is held in memory, the manifest is written as it is read.
    The same files and recipe give a byte-identical manifest, in however many parts and however much was known before
    (patients of the last prepared version keep their splits, see ``ingest.grouping.splits``).

    Raises:
        DataDefect: A part is missing or not what it was, too many files cannot be used, or all images are of one
            patient.
    """
    images, refusal_files = _verified(plan, inspected)
    folder = paths.stage("ingest")
    quarantine = folder / "quarantine.csv"
    refusals = _read(refusal_files)
    n_usable = sum(part.n_usable for part in inspected)
    write_quarantine(quarantine, refusals)
    check_bound(refusals, n_usable=n_usable, bound=recipe.dataset.quarantine_bound, quarantine=quarantine)
    if len(refusals):
        logger.warning("%d files are in quarantine: %s\n%s", len(refusals), quarantine, describe_refusals(refusals))

    duplicate_group = duplicate_groups_of(lambda: _frames(images, _HASHES))
    dealt = _dealt(recipe, images, duplicate_group)
    _check_patients(dealt, recipe.dataset.source)
    manifest = folder / "manifest.parquet"
    _write_manifest(manifest, recipe, images, {"split": dealt["split"], "duplicate_group": duplicate_group})
    logger.info("manifest: %s\n%s", manifest, describe_manifest(dealt, recipe.findings))
    _forget_gone(plan)
    return IngestedStudies(
        dataset=plan.dataset,
        root=plan.root,
        manifest=reference_to(manifest),
        quarantine=reference_to(quarantine),
        n_images=n_usable,
        n_patients=int(dealt["patient_id"].nunique()),
        n_quarantined=len(refusals),
    )


def _check_patients(table: pd.DataFrame, source: str) -> None:
    """``DataDefect`` where all images are of one patient; a warning where most are, or a split is empty.

    Few patients leave a split empty by chance; whether that may be, is for ``validate`` to say.
    """
    fault = splits_fault(table, source)
    if fault and table["patient_id"].nunique() == 1 and len(table) > 1:
        raise DataDefect(fault)
    if fault:
        logger.warning("%s", fault)
    elif told := crowded(table, source):
        logger.warning("%s", told)


def describe_manifest(table: pd.DataFrame, findings: Sequence[str]) -> str:
    """Images, patients and positive images per split, as a text table for a log."""
    rows: list[list[object]] = []
    # A patient is in one split only.
    n_patients = table.drop_duplicates("patient_id")["split"].value_counts()
    for split in SPLITS:
        is_in = table["split"] == split
        positives = [
            int((is_in & (table[label_column(finding)] == LabelState.POSITIVE.value)).sum()) for finding in findings
        ]
        rows.append([split, int(is_in.sum()), int(n_patients.get(split, 0)), *positives])
    return text_table(["split", "images", "patients", *findings], rows)


def _verified(plan: IngestPlan, inspected: Sequence[InspectedPart]) -> tuple[list[Path], list[Path]]:
    """Files of usable images in the order of the parts, and all files of refusals."""
    by_part = {part.part: part for part in inspected}
    expected = set(range(len(plan.parts)))
    if len(by_part) != len(inspected) or set(by_part) != expected:
        raise DataDefect(
            f"expected each of the parts 0 to {len(plan.parts) - 1} once, found "
            f"{sorted(part.part for part in inspected)}; run the ingest again"
        )
    n_found = sum(part.n_usable + part.n_refused for part in inspected)
    if n_found != plan.n_images:
        raise DataDefect(f"expected {plan.n_images} images in the parts, found {n_found}; run the ingest again")
    ordered = [by_part[part] for part in sorted(by_part)]
    refusals = [plan.refusals, *(part.refusals for part in ordered)]
    return [verified_path(part.images) for part in ordered], [verified_path(refusal) for refusal in refusals]


def _frames(files: Sequence[Path], columns: list[str]) -> Iterator[pd.DataFrame]:
    for file in files:
        for batch in read_batches(file, columns):
            yield batch.to_pandas()


def _read(files: Sequence[Path]) -> pd.DataFrame:
    return pa.concat_tables([read_table(path) for path in files]).to_pandas()


def _dealt(recipe: Recipe, images: Sequence[Path], duplicate_group: pd.Series) -> pd.DataFrame:
    """Patient, label and split of every image."""
    label_columns = [label_column(finding) for finding in recipe.findings]
    coded = ["official_split", *label_columns]
    batches = itertools.chain.from_iterable(
        read_batches(image, ["patient_id", *coded], coded=coded) for image in images
    )
    table = pa.Table.from_batches(batches).to_pandas()
    splits_hold = about_source(recipe.dataset.source).splits_hold
    table["split"] = assign_splits(
        table["patient_id"],
        table["official_split"],
        table[label_columns],
        recipe.split,
        duplicate_group=duplicate_group,
        previous=_held_splits(table) if splits_hold else previous_splits(recipe, table["patient_id"]),
    )
    return table


def _held_splits(table: pd.DataFrame) -> pd.Series:
    """Patient -> split, as the source has dealt all of them."""
    told = table.drop_duplicates("patient_id").set_index("patient_id")["official_split"].astype(str)
    return told[told != ""].astype(object)


def _write_manifest(path: Path, recipe: Recipe, images: Sequence[Path], added: dict[str, pd.Series]) -> None:
    """The rows of all parts, one after the other, with the columns that are only known now."""
    schema = manifest_schema(recipe.findings)
    done = 0
    with table_writer(path, schema) as write:
        for table in read_even_batches(images):
            taken = {name: values.iloc[done : done + len(table)] for name, values in added.items()}
            columns = dict(zip(table.column_names, table.columns, strict=True)) | taken
            write(pa.table({name: columns[name] for name in schema.names}, schema))
            done += len(table)


def _forget_gone(plan: IngestPlan) -> None:
    with open_ledger(Path(plan.root)) as ledger:
        listed = (batch.column(0).to_pylist() for part in plan.parts for batch in read_batches(part.uri, ["image_id"]))
        n_gone = ledger.drop_gone(Path(plan.root), listed)
    if n_gone:
        logger.info("%d files of earlier ingests are gone from %s", n_gone, plan.root)
