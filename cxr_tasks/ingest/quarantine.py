"""Files that did not get into the manifest: their table, and when there are too many of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.plain_text import write_spreadsheet
from cxr_tasks.contracts.records import QUARANTINE_COLUMNS
from cxr_tasks.contracts.text_table import text_table
from cxr_tasks.installation.storage.files import replaced_file

#: Listed by the source but not on disk; the source itself bounds how many of these there may be.
ABSENT = "absent"
#: Pictures that nothing is wrong with, and that are not what is asked for: however many there are, the rest is good.
LEFT_OUT = ("lateral_view", "other_class")
_SHOWN_ROWS = 20


def write_quarantine(path: Path, refusals: pd.DataFrame) -> None:
    """``quarantine.csv``: the rows (columns: ``QUARANTINE_COLUMNS``), one per refused file, sorted by ``image_id``."""
    table = refusals[list(QUARANTINE_COLUMNS)].sort_values(["image_id", "reason"], kind="stable").fillna("")
    with replaced_file(path) as aside, open(aside, "w", newline="", encoding="utf-8") as stream:
        write_spreadsheet(stream, table.columns, table.itertuples(index=False, name=None))


def describe_refusals(refusals: pd.DataFrame) -> str:
    """Counts by reason, and the first rows, as text for a log."""
    counts = refusals["reason"].value_counts()
    reasons = sorted(counts.index, key=lambda reason: (-counts[reason], reason))
    by_reason = text_table(["reason", "files"], [[reason, int(counts[reason])] for reason in reasons])
    first = refusals.sort_values("image_id", kind="stable").head(_SHOWN_ROWS)
    rows = text_table(["file", "reason", "detail"], first[["image_id", "reason", "detail"]].to_numpy().tolist())
    more = f"\n... and {len(refusals) - len(first)} more" if len(refusals) > len(first) else ""
    return f"{by_reason}\n\n{rows}{more}"


def check_bound(refusals: pd.DataFrame, *, n_usable: int, bound: float, quarantine: Path) -> None:
    """Nothing, or a ``DataDefect`` when more than the share ``bound`` of the files cannot be used, or all of them.

    Absent files are no files here, nor are those of ``LEFT_OUT``, unless nothing is left but them.
    """
    refused = refusals[~refusals["reason"].isin([ABSENT, *LEFT_OUT])]
    if not n_usable and not len(refused):
        refused = refusals[refusals["reason"] != ABSENT]
    n_files = len(refused) + n_usable
    if not n_files:
        raise DataDefect(f"no file is there of {len(refusals)} that the source lists; all of them: {quarantine}")
    share = len(refused) / n_files
    if share > bound or not n_usable:
        raise DataDefect(
            f"{len(refused)} of {n_files} files ({share:.1%}) cannot be used, at most {bound:.1%} expected "
            f"(quarantine_bound); all of them: {quarantine}\n{describe_refusals(refused)}"
        )
