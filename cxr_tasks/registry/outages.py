"""Times in which the version that was to serve did not answer, as the watcher found them and the audit log keeps them.

A look is made every ``LOOK_EVERY_S`` seconds of ``serving.release.outage_watch``, so a time is right to about that;
while nothing watched (the stack was down), the outage is from the last look that found the version well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from cxr_tasks.registry.audit.chain import AuditEntry, Kind

BEGAN: Kind = "outage_began"
ENDED: Kind = "outage_ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A stretch of time in which ``version`` was to serve and did not."""

    version: int
    since: datetime
    until: datetime | None
    """None where it goes on."""
    why: str

    def shown(self) -> str:
        """For a person: from when to when, and why."""
        until = f"to {self.until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if self.until else "until now"
        since = f"{self.since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        return f"version {self.version} did not answer from {since} {until}: {self.why}"


def outages(entries: Iterable[AuditEntry]) -> list[Outage]:
    """The outages of one model, in order; an end without a beginning brings its beginning with it."""
    spans: list[Outage] = []
    for entry in entries:
        if entry.kind not in (BEGAN, ENDED) or entry.version is None:
            continue
        since = datetime.fromisoformat(str(entry.detail.get("since", entry.at)))
        until = datetime.fromisoformat(str(entry.detail.get("until", entry.at))) if entry.kind == ENDED else None
        if entry.kind == ENDED and spans and spans[-1].until is None:
            last = spans.pop()
            spans.append(Outage(version=last.version, since=last.since, until=until, why=last.why))
        else:
            spans.append(Outage(version=int(entry.version), since=since, until=until, why=entry.why))
    return spans


def outage_at(entries: Iterable[AuditEntry], time: datetime) -> Outage | None:
    """The outage that ``time`` (with a zone) lies in; None where the version answered, or none was to serve."""
    return next(
        (
            outage
            for outage in outages(entries)
            if outage.since <= time and (outage.until is None or time < outage.until)
        ),
        None,
    )
