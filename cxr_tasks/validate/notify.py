"""Tell people of expectations that are not met.

A message holds counts and the sentences of expectations, never a row: image ids can hold patient numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

from cxr_tasks.installation.notices import send
from cxr_tasks.validate.outcomes import Outcome, count_failed


def notify(subject: str, outcomes: Sequence[Outcome]) -> int:
    """Send the expectations not met to every address of ``$CXR_NOTIFY``; to how many it was delivered."""
    return send(*message(subject, outcomes))


def message(subject: str, outcomes: Sequence[Outcome]) -> tuple[str, str]:
    """Title and text: how many expectations are not met, and the sentence of each with how many rows it is about."""
    n_critical, n_warnings = count_failed(outcomes, "critical"), count_failed(outcomes, "warning")
    verdict = "is stopped" if n_critical else "goes on"
    title = f"Chest X-ray data, {subject}: critical {n_critical}, warnings {n_warnings}"
    lines = [
        f"{subject}: of {len(outcomes)} expectations {n_critical + n_warnings} are not met "
        f"(critical {n_critical}, warnings {n_warnings}); the run {verdict}."
    ]
    for severity in ("critical", "warning"):
        for outcome in outcomes:
            if outcome.severity == severity and not outcome.success:
                rows = f" ({outcome.n_unexpected} rows of {outcome.table})" if outcome.n_unexpected else ""
                lines.append(f"- {severity}: {outcome.about or outcome.expectation}{rows}")
    lines.append("Rows and numbers: the task's log and the Data Docs linked on the task.")
    return title, "\n".join(lines)
