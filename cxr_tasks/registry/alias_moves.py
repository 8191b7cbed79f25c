"""Who changed the registry through MLflow itself, by login: one JSON object a line, by the stack's MLflow server.

A registry outside the stack has no such file; who moves an alias there is not known.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from cxr_tasks.installation.storage.paths import home

MOVE = "POST registered-models/alias"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryChange:
    """One change, and the login it came with ('' where MLflow asked for none)."""

    at: str
    """UTC, ISO 8601."""
    login: str
    action: str
    """Method and path of MLflow's API, such as ``POST registered-models/alias``."""
    model: str
    alias: str
    version: str

    @classmethod
    def now(cls, *, login: str, action: str, model: str, alias: str, version: str) -> RegistryChange:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        return cls(at=at, login=login, action=action, model=model, alias=alias, version=version)


def changes_path() -> Path:
    return home() / "mlflow" / "registry_changes.jsonl"


def write_change(change: RegistryChange) -> None:
    """Append one line, whole: a single write to a file for the owner only."""
    descriptor = os.open(changes_path(), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        os.write(descriptor, (json.dumps(asdict(change), ensure_ascii=False) + "\n").encode())
    finally:
        os.close(descriptor)


def last_move(model: str, alias: str) -> RegistryChange | None:
    """The last time ``alias`` of ``model`` was set; None where no such move is written. A broken line tells nothing."""
    try:
        lines = changes_path().read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return None
    for line in reversed(lines):
        try:
            change = RegistryChange(**json.loads(line))
        except (ValueError, TypeError):
            continue
        if (change.action, change.model, change.alias) == (MOVE, model, alias):
            return change
    return None
