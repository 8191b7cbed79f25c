"""``cxr history``: who did what to a model's versions, and which one served when."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from cxr_tasks.cli.console import wide_console
from cxr_tasks.contracts.errors import ConfigurationError, nearest
from cxr_tasks.contracts.paths import audit_log
from cxr_tasks.registry import audit
from cxr_tasks.registry.audit import AuditEntry
from cxr_tasks.registry.history import Spell, parsed_time, served_at, spells


def history_command(options: argparse.Namespace) -> int:
    """Needs no running stack: the log is a file. A log that is not whole is said on stderr; ``cxr doctor`` says how."""
    everything = audit.entries()
    entries = [one for one in everything if one.model == options.model]
    if not entries:
        raise ConfigurationError(_unknown(options.model, {one.model for one in everything if one.model}))
    at = parsed_time(options.at) if options.at else None
    problems = audit.verify()
    if options.json:
        print(json.dumps(_record(options.model, entries, at, problems), indent=2, ensure_ascii=False))
    elif at:
        print(sentence(options.model, served_at(entries, at), at))
    else:
        wide_console().print(_table(entries))
        print(sentence(options.model, served_at(entries, datetime.now(UTC)), None))
    for problem in problems:
        print(f"cxr: the log is not whole: {problem}; see 'cxr doctor'", file=sys.stderr)
    return 0


def sentence(model: str, spell: Spell | None, at: datetime | None) -> str:
    """Which version served ``at`` a time, or serves now where that is None."""
    when = f" at {_shown_time(at)}" if at else ""
    if spell is None:
        return f"{model}: no version {'served' if at else 'has served yet'}{when}"
    verb = "served" if at else "serves"
    until = f" until {_shown_time(spell.until)}" if spell.until else ""
    return f"{model}: version {spell.version} {verb}{when}, since {_shown_time(spell.since)}{until} (seq {spell.seq})"


def _unknown(model: str, known: set[str]) -> str:
    if not known:
        return f"{audit_log()}: nothing is recorded yet; the first training that reaches its gate begins the log"
    return f"nothing is recorded of model {model!r}{nearest(model, known)}; recorded: {', '.join(sorted(known))}"


def _table(entries: Sequence[AuditEntry]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("seq", "time (UTC)", "what", "version", "who", "why", "data"):
        table.add_column(name, justify="right" if name in ("seq", "version") else "left", overflow="fold")
    for one in entries:
        version = "" if one.version is None else str(one.version)
        kind = one.kind.replace("_", " ")
        if one.kind == "verdict" and "verdict" in one.detail:
            kind = f"verdict {one.detail['verdict']}"
        time = _shown_time(datetime.fromisoformat(one.at)).removesuffix(" UTC")
        table.add_row(str(one.seq), time, kind, version, one.who, one.why, one.fingerprint[:12])
    return table


def _record(model: str, entries: Sequence[AuditEntry], at: datetime | None, problems: Sequence[str]) -> dict[str, Any]:
    record: dict[str, Any] = {
        "model": model,
        "entries": [asdict(one) for one in entries],
        "served": [_spell_record(one) for one in spells(entries)],
        "problems": list(problems),
    }
    if at:
        spell = served_at(entries, at)
        record["at"] = {"time": at.isoformat(), "served": _spell_record(spell) if spell else None}
    return record


def _spell_record(spell: Spell) -> dict[str, Any]:
    until = spell.until.isoformat() if spell.until else None
    return {"version": spell.version, "since": spell.since.isoformat(), "until": until, "seq": spell.seq}


def _shown_time(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
