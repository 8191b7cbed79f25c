"""Ingest of a whole folder, as a test asks for it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cxr_tasks.contracts.handoffs.dataset import IngestedStudies
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.ingest.stage import collect_parts, inspect_part, list_images
from cxr_tasks.installation.storage.files import verified_path
from cxr_tasks.installation.storage.paths import RunPaths


def ingest_source(recipe: Recipe, data_folder: str | None, paths: RunPaths) -> IngestedStudies:
    """All steps of the stage, one after the other."""
    plan = list_images(recipe, data_folder, paths)
    inspected = [inspect_part(recipe, plan, part, paths) for part in range(len(plan.parts))]
    return collect_parts(recipe, plan, inspected, paths)


def ingest(recipe: Recipe, root: Path, cxr_home: Path, run: str = "r1") -> tuple[IngestedStudies, pd.DataFrame]:
    """The handoff and its manifest; asks for ``cxr_home`` because both are written there."""
    ingested = ingest_source(recipe, str(root), RunPaths.for_run("cxr_dataset_binary", run))
    assert verified_path(ingested.manifest).is_relative_to(cxr_home)
    return ingested, pd.read_parquet(verified_path(ingested.manifest))


def quarantined(ingested: IngestedStudies) -> dict[str, str]:
    """``image_id`` -> reason of the files that were not used."""
    return pd.read_csv(verified_path(ingested.quarantine)).set_index("image_id")["reason"].to_dict()
