"""``cxr history``: who did what to a model's versions, and which one served when."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from cxr_tasks.cli.console import wide_console
from cxr_tasks.contracts.errors import ConfigurationError, nearest
from cxr_tasks.contracts.handoffs.judgement import marked_verdict
from cxr_tasks.contracts.plain_text import without_controls
from cxr_tasks.installation.settings import StackSettings, client_environment
from cxr_tasks.installation.storage.paths import audit_log
from cxr_tasks.registry.audit import trail
from cxr_tasks.registry.audit.trail import AuditEntry
from cxr_tasks.registry.history import Spell, numbers_come_again, parsed_time, served_at, spells
from cxr_tasks.registry.outages import Outage, outage_at, outages
from cxr_tasks.registry.persons import PROGRAM
from serving.served.agreement import Disagreement, disagreements


def add_history_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="name in the registry")
    parser.add_argument("--at", metavar="TIME", help="say which version served then; UTC where it names no zone")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def history_command(options: argparse.Namespace) -> int:
    """Needs no running stack: the log is a file. A log that is not whole is said on stderr; ``cxr doctor`` says how."""
    everything = trail.entries()
    entries = [entry for entry in everything if entry.model == options.model]
    if not entries:
        raise ConfigurationError(_unknown(options.model, {entry.model for entry in everything if entry.model}))
    at = parsed_time(options.at) if options.at else None
    problems = trail.verify()
    if options.json:
        print(json.dumps(_record(options.model, entries, at, problems), indent=2, ensure_ascii=False))
    elif at:
        print(sentence(options.model, served_at(entries, at), at))
        if outage := outage_at(entries, at):
            print(without_controls(f"{options.model}: {outage.shown()}"))
    else:
        wide_console().print(_table(entries))
        print(sentence(options.model, served_at(entries, None), None))
        for outage in outages(entries):
            print(without_controls(f"{options.model}: {outage.shown()}"))
    for again in numbers_come_again(entries):
        print(f"cxr: {options.model}: {again}", file=sys.stderr)
    for line in _registry_says(options.model):
        print(without_controls(f"cxr: {line}"), file=sys.stderr)
    for problem in problems:
        print(f"cxr: the log is not whole: {problem}; see 'cxr doctor'", file=sys.stderr)
    return 0


def _registry_says(model: str) -> list[Disagreement]:
    """Where the registry no longer agrees with what serves; nothing while the stack is down, as it cannot be asked."""
    settings = StackSettings.load()
    if not settings.record.is_file():
        return []
    os.environ.update(client_environment(settings))
    return disagreements((model,))


def sentence(model: str, spell: Spell | None, at: datetime | None) -> str:
    """Which version served ``at`` a time, or serves now where that is None."""
    when = f" at {_shown_time(at)}" if at else ""
    if spell is None:
        return f"{model}: no version {'served' if at else 'has served yet'}{when}"
    verb = "served" if at else "serves"
    until = f" until {_shown_time(spell.until)}" if spell.until else ""
    run = f", run {spell.mlflow_run_id[:8]}" if spell.mlflow_run_id else ""
    since = f"since {_shown_time(spell.since)}{until} (seq {spell.seq}{run})"
    return f"{model}: version {spell.version} {verb}{when}, {since}"


def _unknown(model: str, known: set[str]) -> str:
    if not known:
        return f"{audit_log()}: nothing is recorded yet; the first training that reaches its gate begins the log"
    return f"nothing is recorded of model {model!r}{nearest(model, known)}; recorded: {', '.join(sorted(known))}"


def _table(entries: Sequence[AuditEntry]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("seq", "time (UTC)", "what", "version", "who", "why", "data"):
        table.add_column(name, justify="right" if name in ("seq", "version") else "left", overflow="fold")
    for entry in entries:
        version = "" if entry.version is None else str(entry.version)
        kind = entry.kind.replace("_", " ")
        if entry.kind == "verdict" and "verdict" in entry.detail:
            kind = f"verdict {marked_verdict(str(entry.detail['verdict']), entry.detail.get('gate_floor'))}"
        time = _shown_time(datetime.fromisoformat(entry.at)).removesuffix(" UTC")
        table.add_row(str(entry.seq), time, kind, version, _who(entry), entry.why, entry.fingerprint[:12])
    return table


def _who(entry: AuditEntry) -> str:
    """The name and how it is known; a program's name needs no proof."""
    return entry.who if entry.known_by in ("", PROGRAM) else f"{entry.who} ({entry.known_by})"


def _record(model: str, entries: Sequence[AuditEntry], at: datetime | None, problems: Sequence[str]) -> dict[str, Any]:
    record: dict[str, Any] = {
        "model": model,
        "entries": [asdict(entry) for entry in entries],
        "served": [_spell_record(spell) for spell in spells(entries)],
        "outages": [_outage_record(outage) for outage in outages(entries)],
        "problems": list(problems),
    }
    if at:
        spell = served_at(entries, at)
        record["at"] = {"time": at.isoformat(), "served": _spell_record(spell) if spell else None}
    return record


def _outage_record(outage: Outage) -> dict[str, Any]:
    until = outage.until.isoformat() if outage.until else None
    return {"version": outage.version, "since": outage.since.isoformat(), "until": until, "why": outage.why}


def _spell_record(spell: Spell) -> dict[str, Any]:
    until = spell.until.isoformat() if spell.until else None
    return {
        "version": spell.version,
        "since": spell.since.isoformat(),
        "until": until,
        "seq": spell.seq,
        "mlflow_run_id": spell.mlflow_run_id,
        "export_sha256": spell.export_sha256,
    }


def _shown_time(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
