"""What a version served in some days, one row per picture, from the prediction log."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING

from cxr_tasks.predictions.log import image_of_requests, read_log

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Served:
    """Rows of the log that count, and how many do not."""

    rows: pd.DataFrame
    n_again: int
    """Answers to a picture that had been asked before: a person who looks twice says nothing new."""
    n_lost: int
    """Requests that were not logged, as the log did not keep up."""
    image_of: dict[str, str] = field(default_factory=dict)
    """Request id -> pixel hash, of any version, pictures asked again too; '' where one id is of several pictures."""


def served_rows(model: str, version: int, first: date, last: date, since: datetime | None = None) -> Served:
    """What ``version`` answered from ``first`` to ``last``, both included.

    Args:
        since: When this version began to serve; a number may have been another version's before.
    """
    table = read_log(model, first, last)
    if table.empty:
        return Served(table, 0, 0)
    n_lost = int(table["n_lost_before"].sum())
    rows = table[(table["version"] == version) & (table["label"] != "canary")]
    if since is not None:
        rows = rows[rows["time"] >= since]
    again = rows["pixel_hash"].duplicated() & (rows["pixel_hash"] != "")
    return Served(rows[~again].reset_index(drop=True), int(again.sum()), n_lost, image_of_requests(table))
