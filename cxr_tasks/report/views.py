"""What views a dataset has, and which files it was not made of, for report and card."""

from __future__ import annotations

from typing import Any

from cxr_tasks.contracts.dataset_files import Provenance, SplitStatistics, Statistics
from cxr_tasks.contracts.labels import SPLITS

VIEW_NAMES = {"ap": "AP", "pa": "PA", "lateral": "Lateral", "unknown": "Not known"}
#: Reasons for which a file is left out though nothing is wrong with it, as a reader names such files.
_KINDS = {
    "lateral_view": ("lateral view", "lateral views"),
    "other_class": ("image of another class", "images of other classes"),
    "absent": ("listed image that is not there", "listed images that are not there"),
}


def view_rows(statistics: Statistics) -> list[dict[str, Any]]:
    """Per view of any split ``name`` and ``counts``, images in train, validation and test; the known views first.

    Args:
        statistics: ``statistics.json``; empty where a dataset of before views were counted does not say.
    """
    by_split = [statistics.get(split, SplitStatistics()).get("view", {}) for split in SPLITS]
    views = {view for counts in by_split for view in counts}
    order = [*(view for view in VIEW_NAMES if view in views), *sorted(views - set(VIEW_NAMES))]
    return [
        {"name": VIEW_NAMES.get(view, view), "counts": [counts.get(view, 0) for counts in by_split]} for view in order
    ]


def left_out_sentence(provenance: Provenance) -> str:
    """Which files the dataset was not made of, by reason; '' where that was not recorded.

    Args:
        provenance: ``provenance.json``: ``quarantine`` counts the files by reason, ``n_left_out`` images that could not
            be decoded afterwards.
    """
    quarantine, n_undecoded = provenance.get("quarantine"), int(provenance.get("n_left_out", 0))
    if quarantine is None:
        return ""
    parts = [_counted(reason, int(n)) for reason, n in quarantine.items()]
    if n_undecoded:
        parts.append(f"{n_undecoded} that could not be decoded for training")
    if not parts:
        return "No file was left out."
    return f"Left out: {', '.join(parts)}."


def _counted(reason: str, n: int) -> str:
    if reason in _KINDS:
        return f"{n} {_KINDS[reason][n != 1]}"
    return f"{n} refused as {reason.replace('_', ' ')!r}"
