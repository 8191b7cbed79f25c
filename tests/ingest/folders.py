"""Ingest of a whole folder, as a test asks for it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cxr_tasks.contracts.handoffs import IngestedStudies
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.ingest.stage import ingest_source
from cxr_tasks.installation.storage.files import verified_path
from cxr_tasks.installation.storage.paths import RunPaths


def ingest(recipe: Recipe, root: Path, cxr_home: Path, run: str = "r1") -> tuple[IngestedStudies, pd.DataFrame]:
    """The handoff and its manifest; asks for ``cxr_home`` because both are written there."""
    ingested = ingest_source(recipe, str(root), RunPaths.for_run("cxr_dataset_binary", run))
    assert verified_path(ingested.manifest).is_relative_to(cxr_home)
    return ingested, pd.read_parquet(verified_path(ingested.manifest))


def quarantined(ingested: IngestedStudies) -> dict[str, str]:
    """``image_id`` -> reason of the files that were not used."""
    return pd.read_csv(verified_path(ingested.quarantine)).set_index("image_id")["reason"].to_dict()
