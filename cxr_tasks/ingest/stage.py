"""Stage ingest: a data folder in, ``manifest.parquet`` and ``quarantine.csv`` out.

Three steps, so that a large folder spreads over workers: ``list_images``, then ``inspect_part`` for each part, in any
order and anywhere that sees the files, then ``collect_parts``.
"""

from __future__ import annotations

from cxr_tasks.contracts.handoffs import IngestedStudies
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.ingest.collect import collect_parts
from cxr_tasks.ingest.listing import list_images
from cxr_tasks.ingest.part import inspect_part
from cxr_tasks.installation.storage.paths import RunPaths

__all__ = ["collect_parts", "ingest_source", "inspect_part", "list_images"]


def ingest_source(recipe: Recipe, data_folder: str | None, paths: RunPaths) -> IngestedStudies:
    """Every image of the recipe's source, opened once: the usable ones in a manifest, the others in quarantine.

    Writes ``manifest.parquet`` and ``quarantine.csv`` (columns: ``contracts.records``) under ``paths``; the data
    folder is only read. The same files and recipe give a byte-identical manifest.

    Raises:
        DataDefect: The folder is not there or has another layout, or too many files cannot be used.
        ConfigurationError: No folder is known, or the recipe's dataset settings do not suit its source.
        ServiceUnavailable: What is known of earlier ingests cannot be read or kept.
    """
    plan = list_images(recipe, data_folder, paths)
    inspected = [inspect_part(recipe, plan, part, paths) for part in range(len(plan.parts))]
    return collect_parts(recipe, plan, inspected, paths)
