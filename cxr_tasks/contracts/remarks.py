"""What a reader of numbers has to know beside them, though no rule of the gate is broken by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: Remark's name -> how report and card call it.
TITLES = {
    "clock": "Ended by a clock",
    "test_reuse": "Use of the test split",
    "leak": "Images seen in training",
    "starting_weights": "Starting weights",
}


@dataclass(frozen=True, slots=True)
class Remark:
    """One of ``remarks`` in ``metrics.json`` and ``decision.json``: ``name`` is one of ``TITLES``."""

    name: str
    sentence: str


def clock_remark(epochs_run: int, epochs_asked: int, stopped_by: str) -> Remark:
    """Of a training that ``train.max_minutes`` ended."""
    asked = f" of {epochs_asked}" if epochs_asked else ""
    return Remark(
        "clock",
        f"A clock ended training after epoch {epochs_run}{asked} ({stopped_by}). How far it came hangs on how busy the "
        "machine was: the same recipe may give a better model without train.max_minutes.",
    )


def remarks_in(decision: Mapping[str, Any] | None) -> tuple[Remark, ...]:
    """The remarks of a ``decision.json``; none where there is no decision, or it is of before there were any."""
    told = (decision or {}).get("remarks") or []
    return tuple(
        Remark(str(entry["name"]), str(entry["sentence"]))
        for entry in told
        if isinstance(entry, Mapping) and {"name", "sentence"} <= entry.keys()
    )


def remark_lines(remarks: Iterable[Remark]) -> list[str]:
    """One line each, for a text table's foot."""
    return [f"REMARK {remark.name}: {remark.sentence}" for remark in remarks]
