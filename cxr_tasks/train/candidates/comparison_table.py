"""The comparison of candidates as people read it: in a task's log, in MLflow, in a report."""

from __future__ import annotations

from typing import Any, TypedDict

from cxr_tasks.contracts.text_table import text_table

HEADER = ("candidate", "what differs", "epochs", "best", "val AUROC", "interval", "to winner", "seconds", "outcome")


class CandidateRow(TypedDict):
    """What came of one candidate; numbers are None where it has no result, and towards itself of the winner."""

    number: int
    name: str
    settings: dict[str, Any] | None
    outcome: str
    """``winner``, ``finished``, ``ended early``, ``ended by a clock`` or ``failed``."""
    reason: str
    epochs_run: int | None
    best_epoch: int | None
    val_auroc: float | None
    """Of the best epoch, in [0, 1]; its interval has the confidence of the recipe."""
    val_auroc_lower: float | None
    val_auroc_upper: float | None
    val_score: float | None
    """By which candidates are ranked: the AUROC, or half of it and half that on stressed views."""
    to_winner: float | None
    """Score less the winner's on the same patients; None where the two were not measured on the same images."""
    to_winner_lower: float | None
    to_winner_upper: float | None
    seconds: float | None
    mlflow_run_id: str | None
    recipe_sha256: str | None
    dataset_fingerprint: str | None


class Comparison(TypedDict):
    """All candidates of a recipe with what they reached, as ``candidates.json`` holds it."""

    model_name: str
    run_name: str
    recipe: str
    mlflow_run_id: str | None
    """Of the run above those of the candidates; None where there is one candidate only."""
    split: str
    n_images: int
    n_patients: int
    n_findings: int
    n_stressed_views: int
    interval: str
    """How intervals were found, in words."""
    winner: int | None
    """Its number; None where no candidate was trained to an end."""
    candidates: list[CandidateRow]


def as_text(comparison: Comparison) -> str:
    """For a task's log: the table, then what it was measured on and why candidates ended or failed."""
    table = text_table(_header(comparison), _rows(comparison))
    return "\n".join([table, summary_of(comparison), *_reasons(comparison)])


def as_markdown(comparison: Comparison) -> str:
    header, rows = _header(comparison), _rows(comparison)
    lines = [header, ["---"] * len(header), *rows]
    table = "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)
    parts = [f"# Candidates of {comparison['run_name']}", table, summary_of(comparison)]
    reasons = _reasons(comparison)
    if reasons:
        parts.append("\n".join(f"- {_cell(reason)}" for reason in reasons))
    return "\n\n".join(parts) + "\n"


def summary_of(comparison: Comparison) -> str:
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


def _header(comparison: Comparison) -> list[str]:
    if not comparison["n_stressed_views"]:
        return list(HEADER)
    place = HEADER.index("to winner")
    return [*HEADER[:place], "score", *HEADER[place:]]


def _rows(comparison: Comparison) -> list[list[Any]]:
    rows = []
    for candidate in comparison["candidates"]:
        seconds = None if candidate["seconds"] is None else round(candidate["seconds"])
        score = [_number(candidate["val_score"])] if comparison["n_stressed_views"] else []
        rows.append(
            [
                candidate["number"],
                candidate["name"],
                candidate["epochs_run"],
                candidate["best_epoch"],
                _number(candidate["val_auroc"]),
                _interval(candidate["val_auroc_lower"], candidate["val_auroc_upper"]),
                *score,
                _to_winner(candidate),
                seconds,
                candidate["outcome"],
            ]
        )
    return rows


def _reasons(comparison: Comparison) -> list[str]:
    return [
        f"{candidate['number']} {candidate['outcome']}: {candidate['reason']}"
        for candidate in comparison["candidates"]
        if candidate["reason"]
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _interval(lower: float | None, upper: float | None) -> str:
    return "-" if lower is None or upper is None else f"{lower:.4f} to {upper:.4f}"


def _to_winner(row: CandidateRow) -> str:
    if row["to_winner"] is None:
        return "-"
    return f"{row['to_winner']:+.4f} ({row['to_winner_lower']:+.4f} to {row['to_winner_upper']:+.4f})"


def _cell(value: Any) -> str:
    """One cell of a Markdown table: in one line, its bars and tags as text."""
    text = "-" if value is None else " ".join(str(value).split())
    return text.replace("|", "\\|").replace("<", "&lt;")
