"""Stage ingest: a data folder in, ``manifest.parquet`` and ``quarantine.csv`` out.

Three steps, so that a large folder spreads over workers: ``list_images``, then ``inspect_part`` for each part, in any
order and anywhere that sees the files, then ``collect_parts``.
"""

from __future__ import annotations

from cxr_tasks.ingest.collect import collect_parts
from cxr_tasks.ingest.listing import list_images
from cxr_tasks.ingest.part import inspect_part

__all__ = ["collect_parts", "inspect_part", "list_images"]
