"""Overrides: a person lets a version serve that the gate did not pass, by name and with a reason.

Written to the audit log and as tags on the version, where it stays: nothing here takes one back. The next one on the
same version stands beside it (``override.2.by`` and so on).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.registry import versions
from cxr_tasks.registry.audit import trail
from cxr_tasks.registry.persons import Person

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Who let a version serve, why and when (ISO 8601, UTC)."""

    by: str
    reason: str
    at: str
    known_by: str = ""
    """How the name is known (see ``registry.persons``); '' of those made before this was kept."""


def record_override(model_name: str, version: int, who: str | Person, reason: str) -> Override:
    """Let ``version`` serve whatever its gate said.

    Raises:
        ConfigurationError: The name or the reason is empty.
        NoSuchVersion: The registry has no such version; nothing was recorded.
        ServiceUnavailable: MLflow does not answer; nothing was recorded.
    """
    person, reason = Person.of(who), " ".join(reason.split())
    person = Person(" ".join(person.name.split()), person.known_by)
    for what, text in (("name of a person", person.name), ("reason", reason)):
        if not text:
            raise ConfigurationError(f"override of {model_name} version {version}: expected the {what}, found none")
    registered = versions.find_version(model_name, version)
    tags = dict(registered.tags)
    # The log first: it is what counts, the tags show it.
    entry = trail.record(
        "override",
        model=model_name,
        version=version,
        who=person,
        why=reason,
        fingerprint=tags.get("data.fingerprint", ""),
        detail={
            "verdict": tags.get("gate.verdict", ""),
            "decision_sha256": tags.get("gate.decision_sha256", ""),
            "mlflow_run_id": str(registered.run_id or ""),
        },
    )
    made = Override(by=person.name, reason=reason, at=entry.at, known_by=person.known_by)
    number = len(overrides_of(tags)) + 1
    prefix = "override" if number == 1 else f"override.{number}"
    shown = {f"{prefix}.{name}": str(getattr(made, name)) for name in ("by", "reason", "at", "known_by")}
    versions.set_version_tags(model_name, version, shown)
    logger.warning("%s version %d may serve by override of %s: %s", model_name, version, person, reason)
    return made


def overrides_of(tags: Mapping[str, str]) -> list[Override]:
    """The overrides that a version's tags tell of, in their order."""
    given: list[Override] = []
    while True:
        prefix = "override" if not given else f"override.{len(given) + 1}"
        if f"{prefix}.by" not in tags:
            return given
        by, reason, at, known_by = (tags.get(f"{prefix}.{name}", "") for name in ("by", "reason", "at", "known_by"))
        given.append(Override(by=by, reason=reason, at=at, known_by=known_by))
