"""Overrides: a person lets a version serve that the gate did not pass, by name and with a reason.

Written to the audit log and as tags on the version, where it stays: nothing here takes one back. The next one on the
same version stands beside it (``override.2.by`` and so on).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.registry import audit, versions

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Who let a version serve, why and when (ISO 8601, UTC)."""

    by: str
    reason: str
    at: str


def record_override(model_name: str, version: int, who: str, reason: str) -> Override:
    """Let ``version`` serve whatever its gate said.

    Raises:
        ConfigurationError: The name or the reason is empty.
        NoSuchVersion: The registry has no such version; nothing was recorded.
        ServiceUnavailable: MLflow does not answer; nothing was recorded.
    """
    who, reason = " ".join(who.split()), " ".join(reason.split())
    for what, text in (("name of a person", who), ("reason", reason)):
        if not text:
            raise ConfigurationError(f"override of {model_name} version {version}: expected the {what}, found none")
    tags = versions.version_tags(model_name, version)
    # The log first: it is what counts, the tags show it.
    entry = audit.record(
        "override",
        model=model_name,
        version=version,
        who=who,
        why=reason,
        fingerprint=tags.get("data.fingerprint", ""),
        detail={"verdict": tags.get("gate.verdict", ""), "decision_sha256": tags.get("gate.decision_sha256", "")},
    )
    made = Override(by=who, reason=reason, at=entry.at)
    number = len(overrides_of(tags)) + 1
    prefix = "override" if number == 1 else f"override.{number}"
    shown = {f"{prefix}.by": made.by, f"{prefix}.reason": made.reason, f"{prefix}.at": made.at}
    versions.set_version_tags(model_name, version, shown)
    logger.warning("%s version %d may serve by override of %s: %s", model_name, version, who, reason)
    return made


def overrides_of(tags: Mapping[str, str]) -> list[Override]:
    """The overrides that a version's tags tell of, in their order."""
    found: list[Override] = []
    while True:
        prefix = "override" if not found else f"override.{len(found) + 1}"
        if f"{prefix}.by" not in tags:
            return found
        by, reason, at = (tags.get(f"{prefix}.{name}", "") for name in ("by", "reason", "at"))
        found.append(Override(by=by, reason=reason, at=at))
