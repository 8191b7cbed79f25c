"""What a reader of numbers has to know beside them, though no rule of the gate is broken by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
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

    def to_json(self) -> dict[str, str]:
        return asdict(self)


def clock_remark(epochs_run: int, epochs_asked: int, stopped_by: str) -> Remark:
    """Of a training that ``train.max_minutes`` ended."""
    asked = f" of {epochs_asked}" if epochs_asked else ""
    return Remark(
        "clock",
        f"A clock ended training after epoch {epochs_run}{asked} ({stopped_by}). How far it came hangs on how busy the "
        "machine was: the same recipe may give a better model without train.max_minutes.",
    )


def remarks_in(*holders: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """The remarks of the mappings, each once, in order; files that know of none have none."""
    found: list[dict[str, str]] = []
    for holder in holders:
        told = (holder or {}).get("remarks") or []
        found += [dict(one) for one in told if isinstance(one, Mapping) and {"name", "sentence"} <= one.keys()]
    return [one for place, one in enumerate(found) if one not in found[:place]]


def remark_lines(remarks: list[dict[str, str]]) -> list[str]:
    """One line each, for a text table's foot."""
    return [f"REMARK {one['name']}: {one['sentence']}" for one in remarks]
