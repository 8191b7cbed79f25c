"""Files that did not get into the manifest: their table, and when there are too many of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

import pandas as pd

from cxr_tasks.contracts.artifacts import replaced_file
from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.records import QUARANTINE_COLUMNS
from cxr_tasks.contracts.tables import text_table
from cxr_tasks.sources.base import Refusal

_SHOWN_ROWS = 20


def write_quarantine(path: Path, refusals: Sequence[Refusal]) -> None:
    """``quarantine.csv``: one row per refused file, sorted by ``image_id``."""
    rows = [astuple(one) for one in sorted(refusals, key=lambda one: one.image_id)]
    table = pd.DataFrame(rows, columns=list(QUARANTINE_COLUMNS))
    with replaced_file(path) as aside:
        table.to_csv(aside, index=False, lineterminator="\n")


def describe_refusals(refusals: Sequence[Refusal]) -> str:
    """Counts by reason, and the first rows, as text for a log."""
    counts = Counter(one.reason for one in refusals)
    reasons = sorted(counts, key=lambda reason: (-counts[reason], reason))
    by_reason = text_table(["reason", "files"], [[reason, counts[reason]] for reason in reasons])
    first = sorted(refusals, key=lambda one: one.image_id)[:_SHOWN_ROWS]
    rows = text_table(["file", "reason", "detail"], [[one.image_id, one.reason, one.detail] for one in first])
    more = f"\n... and {len(refusals) - len(first)} more" if len(refusals) > len(first) else ""
    return f"{by_reason}\n\n{rows}{more}"


def check_bound(refusals: Sequence[Refusal], *, n_usable: int, bound: float, quarantine: Path) -> None:
    """Nothing, or a ``DataDefect`` when more than the share ``bound`` of the files cannot be used, or all of them."""
    n_files = len(refusals) + n_usable
    share = len(refusals) / n_files
    if share > bound or not n_usable:
        raise DataDefect(
            f"{len(refusals)} of {n_files} files ({share:.1%}) cannot be used, at most {bound:.1%} expected "
            f"(quarantine_bound); all of them: {quarantine}\n{describe_refusals(refusals)}"
        )
