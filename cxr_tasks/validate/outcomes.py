"""What came of each expectation: plain records, as JSON and as tables for a task's log."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cxr_tasks.contracts.text_table import text_table

#: Offending rows kept per expectation; the count is exact beside them.
KEPT_ROWS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One expectation, what it saw, and which rows did not meet it."""

    table: str
    """Which of the tables checked together."""
    expectation: str
    """Type, such as ``expect_column_values_to_be_unique``."""
    column: str
    """Empty for expectations of the whole table."""
    about: str
    """The sentence that says what it is for."""
    severity: str
    success: bool
    expected: Mapping[str, Any]
    observed: str
    n_unexpected: int | None
    """None where the expectation is about the table, not about rows."""
    offending_rows: tuple[Mapping[str, Any], ...] = ()


def outcome_of(result: Mapping[str, Any], table: str) -> Outcome:
    """The outcome in one expectation's result, as Great Expectations gives it in ``to_json_dict()``."""
    config, numbers = result["expectation_config"], result.get("result") or {}
    arguments = {name: value for name, value in config["kwargs"].items() if name not in {"batch_id", "column"}}
    rows = numbers.get("unexpected_index_list") or numbers.get("partial_unexpected_index_list") or []
    return Outcome(
        table=table,
        expectation=config["type"],
        column=config["kwargs"].get("column", ""),
        about=_text(config.get("notes")),
        severity=config["severity"],
        success=bool(result["success"]),
        expected=arguments,
        observed=_observed(result.get("exception_info") or {}, numbers),
        n_unexpected=numbers.get("unexpected_count"),
        offending_rows=tuple(_row(row) for row in rows[:KEPT_ROWS]),
    )


def _row(told: Any) -> dict[str, Any]:
    """The row's telling columns; its place in the table where it has none, as where the column of ids is missing."""
    cells = told if isinstance(told, Mapping) else {"row": told}
    return {name: _jsonable(value) for name, value in cells.items()}


def _jsonable(value: Any) -> Any:
    """A cell as JSON holds it: what is planted in a table may be anything, an infinite number for one."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _text(notes: str | Sequence[str] | None) -> str:
    return notes if isinstance(notes, str) else " ".join(notes or ())


def _observed(exception_info: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    # One exception stands in the mapping itself; several stand under a key per metric.
    for info in (exception_info, *exception_info.values()):
        if isinstance(info, Mapping) and info.get("exception_message"):
            return f"could not be checked: {info['exception_message']}"
    if missing := result.get("partial_missing_list"):
        return f"missing: {', '.join(sorted(map(str, missing)))}"
    if mismatched := (result.get("details") or {}).get("mismatched"):
        # Missing before unexpected: what is missing is why it failed, and it must not be cut off.
        return "; ".join(f"{kind}: {', '.join(map(str, mismatched[kind]))}" for kind in sorted(mismatched))
    if result.get("observed_value") is not None:
        return str(result["observed_value"])
    if result.get("unexpected_count") is not None:
        return f"{result['unexpected_count']} of {result['element_count']} rows do not meet it"
    return ""


def count_failed(outcomes: Sequence[Outcome], severity: str) -> int:
    """How many expectations of that severity are not met."""
    return sum(not outcome.success and outcome.severity == severity for outcome in outcomes)


def failures_table(outcomes: Sequence[Outcome]) -> str:
    """The expectations not met, critical ones first, one line each."""
    failed = sorted(
        (outcome for outcome in outcomes if not outcome.success), key=lambda outcome: outcome.severity != "critical"
    )
    rows = [
        [outcome.severity, outcome.about or outcome.expectation, _shown(outcome.expected), outcome.observed]
        for outcome in failed
    ]
    return text_table(["severity", "expectation", "expected", "found"], rows, max_width=72)


def offending_rows_text(outcomes: Sequence[Outcome]) -> str:
    """Under each failed expectation about rows, the first rows that do not meet it; empty where there are none."""
    parts = []
    for outcome in outcomes:
        if outcome.success or not outcome.offending_rows:
            continue
        header = list(outcome.offending_rows[0])
        table = text_table(header, [[row.get(name) for name in header] for row in outcome.offending_rows])
        more = (outcome.n_unexpected or 0) - len(outcome.offending_rows)
        parts.append(f"{outcome.about} ({outcome.severity})\n{table}" + (f"\n... and {more} more" if more > 0 else ""))
    return "\n\n".join(parts)


def _shown(expected: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in expected.items())
