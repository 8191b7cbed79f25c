"""How often something that a person should hear of has happened, kept beside the stack: metrics and alerts read it.

Counts alone: what happened, and why, stands in logs and in the audit log.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cxr_tasks.installation.storage.files import write_json
from cxr_tasks.installation.storage.locks import file_lock
from cxr_tasks.installation.storage.paths import home

Kind = Literal["dag_failed", "deadline_missed"]


@dataclass(frozen=True, slots=True)
class Signal:
    """One kind of thing that happened to one DAG."""

    kind: str
    name: str
    n: int
    last_s: float
    """When it last happened, in seconds since 1970."""


def signals_file() -> Path:
    return home() / "stack" / "signals.json"


def count(kind: Kind, name: str) -> None:
    """One more; what is in the file and cannot be read begins anew."""
    path = signals_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(path.with_suffix(".lock"), what=str(path), purpose="counting", wait_s=30):
        counts = {(signal.kind, signal.name): signal.n for signal in signals()}
        last = {(signal.kind, signal.name): signal.last_s for signal in signals()}
        counts[kind, name] = counts.get((kind, name), 0) + 1
        last[kind, name] = time.time()
        write_json(path, [[*key, n, last[key]] for key, n in sorted(counts.items())])


def signals() -> list[Signal]:
    """All that were counted so far; none where there is no file, or it is not one of these."""
    try:
        rows = json.loads(signals_file().read_text(encoding="utf-8"))
        return [Signal(str(kind), str(name), int(n), float(last_s)) for kind, name, n, last_s in rows]
    except (OSError, ValueError, TypeError):
        return []
