"""What every validation ends in: ``validation.json``, a table in the log, a notification, and a stop if need be."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cxr_tasks.contracts.artifacts import ArtifactRef
from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.installation.storage.files import reference_to, write_json
from cxr_tasks.validate.notify import notify
from cxr_tasks.validate.outcomes import Outcome, count_failed, failures_table, offending_rows_text

logger = logging.getLogger(__name__)


def conclude(
    outcomes: Sequence[Outcome],
    path: Path,
    *,
    subject: str,
    facts: Mapping[str, Any],
    remedy: str,
) -> ArtifactRef:
    """Write ``path``, log and send what was not met, and stop at a critical failure; the reference to ``path``.

    Args:
        subject: What was checked, as a person says it: ``dataset nih14, manifest``.
        facts: What ``path`` says of the data checked, beside counts and outcomes.
        remedy: What to do about a critical failure.

    Raises:
        DataDefect: A critical expectation is not met; the message lists all failed ones and offending rows.
    """
    n_critical, n_warnings = count_failed(outcomes, "critical"), count_failed(outcomes, "warning")
    write_json(
        path,
        {
            **facts,
            "n_expectations": len(outcomes),
            "n_failed": {"critical": n_critical, "warning": n_warnings},
            "success": n_critical == 0,
            "outcomes": [plain(outcome) for outcome in outcomes],
        },
    )
    if not n_critical and not n_warnings:
        logger.info("%s: %d expectations, all met", subject, len(outcomes))
        return reference_to(path)
    notify(subject, outcomes)
    text = f"{failures_table(outcomes)}\n\n{offending_rows_text(outcomes)}".rstrip()
    if n_critical:
        raise DataDefect(
            f"{subject}: of {len(outcomes)} expectations {n_critical + n_warnings} are not met (critical {n_critical}, "
            f"warnings {n_warnings}); {remedy}. All outcomes: {path}\n{text}"
        )
    logger.warning("%s: of %d expectations %d are not met (warnings):\n%s", subject, len(outcomes), n_warnings, text)
    return reference_to(path)
