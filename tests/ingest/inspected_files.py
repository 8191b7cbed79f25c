"""Inspections without what ingest notes beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cxr_tasks.ingest.inspection.inspect import Inspection, open_files
from cxr_tasks.sources.base import Refusal


def inspect_file(root: Path, image_id: str) -> Inspection | Refusal:
    """What is in the file ``root / image_id``, or why it is refused."""
    return inspect_files([(str(root), image_id)])[0]


def inspect_files(work: Sequence[tuple[str, str]]) -> list[Inspection | Refusal]:
    """``inspect_file`` of every (root, image_id)."""
    opened = open_files([(root, image_id, "") for root, image_id in work])
    return [one.found for one in opened if one.found is not None]
