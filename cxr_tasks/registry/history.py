"""What the audit log says of a model's past: which version served when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.registry.audit.chain import AuditEntry

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
    mlflow_run_id: str = ""
    """The run that the version was registered from: a number may come again; '' in old entries."""
    export_sha256: str = ""


def spells(entries: Iterable[AuditEntry]) -> list[Spell]:
    """The versions of one model that served, in order; the same version served anew begins no new spell.

    Another run under the same number is another version.
    """
    history: list[Spell] = []
    for entry in entries:
        if entry.kind not in SERVES_AFTER or entry.version is None:
            continue
        run, export = (str(entry.detail.get(key) or "") for key in ("mlflow_run_id", "export_sha256"))
        if (
            history
            and history[-1].version == entry.version
            and (run == history[-1].mlflow_run_id or "" in (run, history[-1].mlflow_run_id))
        ):
            continue
        since = datetime.fromisoformat(entry.at)
        if history:
            history[-1] = replace(history[-1], until=since)
        history.append(
            Spell(
                version=entry.version, since=since, until=None, seq=entry.seq, mlflow_run_id=run, export_sha256=export
            )
        )
    return history


def served_at(entries: Iterable[AuditEntry], time: datetime | None) -> Spell | None:
    """The spell that ``time`` (with a zone) lies in; None before the first.

    For now, ask with None: the last spell, also where a clock that was ahead has dated its beginning to come.
    """
    if time is None:
        return next(reversed(spells(entries)), None)
    return next((spell for spell in reversed(spells(entries)) if spell.since <= time), None)


def numbers_come_again(entries: Iterable[AuditEntry]) -> list[str]:
    """A sentence for each version number that the log knows of more than one run: the registry was made anew."""
    runs: dict[int, dict[str, AuditEntry]] = {}
    for entry in entries:
        run = str(entry.detail.get("mlflow_run_id") or "")
        if entry.kind == "registered" and entry.version is not None and run:
            runs.setdefault(entry.version, {}).setdefault(run, entry)
    told = []
    for version, of_it in sorted(runs.items()):
        *before, (run, entry) = of_it.items()
        if before:
            named = " and ".join(sha256[:8] for sha256, _ in before)
            told.append(
                f"version {version} is another model since {entry.at[:19]} UTC (seq {entry.seq}, run {run[:8]}): the "
                f"number had been given before, to run {named}"
            )
    return told


def parsed_time(text: str) -> datetime:
    """An ISO 8601 date or time; without a zone it is UTC, as the log's times are. Anything else is named."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"expected a time such as 2026-11-26T14:30 (UTC) or 2026-11-26T15:30+01:00, found {text!r}"
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
