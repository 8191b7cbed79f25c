"""What the audit log says of a model's past: which version served when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.registry.audit_chain import AuditEntry

#: After an entry of these kinds its version is what serves.
SERVES_AFTER = ("served", "rolled_back")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spell:
    """A stretch of time in which one version served as the champion (a canary beside it is not counted)."""

    version: int
    since: datetime
    until: datetime | None
    """None where it serves still."""
    seq: int
    """Of the entry that began it."""


def spells(entries: Iterable[AuditEntry]) -> list[Spell]:
    """The versions of one model that served, in order; the same version served anew begins no new spell."""
    found: list[Spell] = []
    for entry in entries:
        if entry.kind not in SERVES_AFTER or entry.version is None:
            continue
        if found and found[-1].version == entry.version:
            continue
        since = datetime.fromisoformat(entry.at)
        if found:
            last = found[-1]
            found[-1] = Spell(version=last.version, since=last.since, until=since, seq=last.seq)
        found.append(Spell(version=entry.version, since=since, until=None, seq=entry.seq))
    return found


def served_at(entries: Iterable[AuditEntry], time: datetime) -> Spell | None:
    """The spell that ``time`` (with a zone) lies in; None before the first."""
    return next((one for one in reversed(spells(entries)) if one.since <= time), None)


def parsed_time(text: str) -> datetime:
    """An ISO 8601 date or time; without a zone it is UTC, as the log's times are. Anything else is named."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"expected a time such as 2026-11-26T14:30 (UTC) or 2026-11-26T15:30+01:00, found {text!r}"
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
