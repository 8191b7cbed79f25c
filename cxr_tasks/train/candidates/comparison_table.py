"""The comparison of candidates as people read it: in a task's log, in MLflow, in a report."""

from __future__ import annotations

from typing import Any

from cxr_tasks.contracts.text_table import text_table

HEADER = ("candidate", "what differs", "epochs", "best", "val AUROC", "interval", "to winner", "seconds", "outcome")


def as_text(comparison: dict[str, Any]) -> str:
    """For a task's log: the table, then what it was measured on and why candidates ended or failed."""
    table = text_table(_header(comparison), _rows(comparison))
    return "\n".join([table, summary_of(comparison), *_reasons(comparison)])


def as_markdown(comparison: dict[str, Any]) -> str:
    header, rows = _header(comparison), _rows(comparison)
    lines = [header, ["---"] * len(header), *rows]
    table = "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)
    parts = [f"# Candidates of {comparison['run_name']}", table, summary_of(comparison)]
    reasons = _reasons(comparison)
    if reasons:
        parts.append("\n".join(f"- {_cell(reason)}" for reason in reasons))
    return "\n\n".join(parts) + "\n"


def summary_of(comparison: dict[str, Any]) -> str:
    """What the numbers are, in words."""
    if comparison["winner"] is None:
        return "No candidate was trained to an end."
    n_findings, n_views = comparison["n_findings"], comparison["n_stressed_views"]
    of = "of the one finding" if n_findings == 1 else f"mean over {n_findings} assessable findings"
    parts = [
        f"AUROC on validation, {of}, {comparison['n_images']} images of {comparison['n_patients']} patients; "
        f"interval: {comparison['interval']}.",
    ]
    if n_views:
        parts.append(f"Candidates are compared by the score: half AUROC, half that on {n_views} stressed views.")
    if len(comparison["candidates"]) > 1:
        parts.append(
            "To winner: the difference on the same patients with its paired interval; one that holds 0 may be chance. "
            "The best of several on one split looks better there than it is; the test split was not read."
        )
    return " ".join(parts)


def _header(comparison: dict[str, Any]) -> list[str]:
    if not comparison["n_stressed_views"]:
        return list(HEADER)
    place = HEADER.index("to winner")
    return [*HEADER[:place], "score", *HEADER[place:]]


def _rows(comparison: dict[str, Any]) -> list[list[Any]]:
    rows = []
    for candidate in comparison["candidates"]:
        seconds = None if candidate["seconds"] is None else round(candidate["seconds"])
        score = [_number(candidate["val_score"])] if comparison["n_stressed_views"] else []
        rows.append(
            [
                *(candidate[name] for name in ("number", "name", "epochs_run", "best_epoch")),
                _number(candidate["val_auroc"]),
                _interval(candidate["val_auroc_lower"], candidate["val_auroc_upper"]),
                *score,
                _to_winner(candidate),
                seconds,
                candidate["outcome"],
            ]
        )
    return rows


def _reasons(comparison: dict[str, Any]) -> list[str]:
    return [
        f"{candidate['number']} {candidate['outcome']}: {candidate['reason']}"
        for candidate in comparison["candidates"]
        if candidate["reason"]
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _interval(lower: float | None, upper: float | None) -> str:
    return "-" if lower is None or upper is None else f"{lower:.4f} to {upper:.4f}"


def _to_winner(row: dict[str, Any]) -> str:
    if row["to_winner"] is None:
        return "-"
    return f"{row['to_winner']:+.4f} ({row['to_winner_lower']:+.4f} to {row['to_winner_upper']:+.4f})"


def _cell(value: Any) -> str:
    """One cell of a Markdown table: in one line, its bars and tags as text."""
    text = "-" if value is None else " ".join(str(value).split())
    return text.replace("|", "\\|").replace("<", "&lt;")
