"""What is known of the platform from its own files: disk, champions, looks for drift, questions, releases, audit log.

No server is asked, so that the numbers are there when one is not. A part that cannot be read is told as such, and the
others are told all the same.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from cxr_tasks.contracts.errors import CxrError
from cxr_tasks.contracts.shapes import build
from cxr_tasks.installation.signals import signals
from cxr_tasks.installation.storage.files import read_json
from cxr_tasks.installation.storage.paths import home, monitor_root, secrets_root
from cxr_tasks.metrics.samples import Metric, Samples
from cxr_tasks.monitor.record import STATE_FILE, State
from cxr_tasks.registry.audit import trail
from cxr_tasks.registry.audit.chain import AuditEntry
from cxr_tasks.registry.history import spells

log = logging.getLogger(__name__)

#: Further certificates to watch, such as the proxy's; paths with ``:`` between them.
CERTIFICATES = "CXR_CERTIFICATES"
#: After so many days a secret shall be another one; unset: secrets do not end.
SECRET_DAYS = "CXR_SECRET_DAYS"  # noqa: S105  a variable's name
_DAY_S = 86_400.0
#: Entries after which a version's question waits no more; a promotion settles those of all versions of the model.
_SETTLES = ("approved", "rejected", "not_approved", "rolled_back")


def platform_metrics(environment: Mapping[str, str] = os.environ) -> list[Metric]:
    """All metrics, and of which parts there are none (``cxr_part_unreadable``)."""
    parts: dict[str, Callable[[], Iterator[Metric]]] = {
        "disk": _disk,
        "audit": _audit,
        "models": _models,
        "drift": _drift,
        "runs": _runs,
        "ends": lambda: _ends(environment),
    }
    metrics: list[Metric] = []
    unreadable: Samples = {}
    for name, part in parts.items():
        try:
            metrics += list(part())
            unreadable[name,] = 0.0
        except (CxrError, OSError, ValueError) as error:
            log.warning("metrics of %s cannot be told: %s", name, error)
            unreadable[name,] = 1.0
    return [
        *metrics,
        Metric(name="cxr_part_unreadable", help="Whether these metrics cannot be told.", labels=("part",),
               samples=unreadable),
    ]  # fmt: skip


def _disk() -> Iterator[Metric]:
    usage = shutil.disk_usage(home())
    yield Metric(name="cxr_disk_free_bytes", help="Free where run-time files lie.", samples={(): float(usage.free)})
    yield Metric(name="cxr_disk_size_bytes", help="Of the disk with run-time files.", samples={(): float(usage.total)})


def _audit() -> Iterator[Metric]:
    problems = [problem for problem in trail.problems() if not problem.is_torn]
    yield Metric(
        name="cxr_audit_problems", help="Places where the chain of the audit log is broken.",
        samples={(): float(len(problems))},
    )  # fmt: skip
    yield Metric(
        name="cxr_audit_checked_timestamp_seconds", help="When the chain was last gone through.",
        samples={(): time.time()},
    )  # fmt: skip


def _models() -> Iterator[Metric]:
    since: Samples = {}
    refused: Samples = {}
    last_refused: Samples = {}
    waiting: Samples = {}
    entries = trail.entries()
    for model in sorted({entry.model for entry in entries if entry.model}):
        own = [entry for entry in entries if entry.model == model]
        served = spells(own)
        if served:
            since[model, str(served[-1].version)] = served[-1].since.timestamp()
        not_released = [entry for entry in own if entry.kind in ("release_refused", "release_failed")]
        refused[model,] = float(len(not_released))
        if not_released:
            last_refused[model,] = datetime.fromisoformat(not_released[-1].at).timestamp()
        for entry in waiting_questions(own):
            waiting[model, str(entry.version)] = datetime.fromisoformat(entry.at).timestamp()
    yield Metric(
        name="cxr_champion_since_timestamp_seconds", help="Since when the version serves.",
        labels=("model", "version"), samples=since,
    )  # fmt: skip
    yield Metric(
        name="cxr_releases_refused_total", help="Releases that were refused or undone.", kind="counter",
        labels=("model",), samples=refused,
    )  # fmt: skip
    yield Metric(
        name="cxr_release_refused_timestamp_seconds", help="When a release was last refused or undone.",
        labels=("model",), samples=last_refused,
    )  # fmt: skip
    yield Metric(
        name="cxr_approval_asked_timestamp_seconds", help="When a question was asked that waits for its answer.",
        labels=("model", "version"), samples=waiting,
    )  # fmt: skip


def waiting_questions(entries: list[AuditEntry]) -> list[AuditEntry]:
    """The questions of one model that nothing has settled yet, by the audit log; the last of each version."""
    last: dict[int | None, AuditEntry] = {}
    for entry in entries:
        if entry.kind == "asked":
            last[entry.version] = entry
        elif entry.kind == "promoted":
            last.clear()
        elif entry.kind in _SETTLES:
            last.pop(entry.version, None)
    return list(last.values())


def _drift() -> Iterator[Metric]:
    looked: Samples = {}
    drifting: Samples = {}
    for path in sorted(monitor_root().glob(f"*/*/{STATE_FILE}")):
        state = build(State, read_json(path), str(path))
        regular = [look for look in state.looks if look.is_regular]
        if regular:
            key: tuple[str, ...] = (state.model_name, str(state.version))
            # The end of the day that was looked at.
            until = datetime.fromisoformat(regular[-1].day).replace(tzinfo=UTC).timestamp() + _DAY_S
            # Numbers come again in a registry that was made anew: the one that was looked at last is meant.
            if until >= looked.get(key, 0.0):
                looked[key], drifting[key] = until, float(regular[-1].verdict == "drift")
    yield Metric(
        name="cxr_drift_looked_timestamp_seconds", help="Up to when a version's answers were looked at for drift.",
        labels=("model", "version"), samples=looked,
    )  # fmt: skip
    yield Metric(
        name="cxr_drifting", help="Whether the last daily look found drift.", labels=("model", "version"),
        samples=drifting,
    )  # fmt: skip


def _runs() -> Iterator[Metric]:
    """Counts, and when it was last: a counter that appears with its first count has no rate."""
    counted = signals()
    for kind, name, said in (
        ("dag_failed", "cxr_dag_failures", "Runs that failed, after all retries"),
        ("deadline_missed", "cxr_deadlines_missed", "Runs that took longer than their deadline"),
    ):
        some = [count for count in counted if count.kind == kind]
        yield Metric(
            name=f"{name}_total", help=f"{said}.", kind="counter", labels=("dag_id",),
            samples={(count.name,): float(count.n) for count in some},
        )  # fmt: skip
        yield Metric(
            name=f"{name}_last_timestamp_seconds", help=f"{said}: when the last was.", labels=("dag_id",),
            samples={(count.name,): count.last_s for count in some},
        )  # fmt: skip


def _ends(environment: Mapping[str, str]) -> Iterator[Metric]:
    """When certificates end, of files in the folder of secrets and those that are named; and secrets, by their age."""
    from cryptography import x509

    named = [Path(name) for name in environment.get(CERTIFICATES, "").split(":") if name]
    secrets = [path for path in sorted(secrets_root().glob("*")) if path.is_file() and not path.name.startswith(".")]
    ends: Samples = {}
    days = environment.get(SECRET_DAYS, "")
    for path in [*named, *(path for path in secrets if path.suffix in (".crt", ".pem", ".cert"))]:
        if b"BEGIN CERTIFICATE" not in (content := path.read_bytes()):
            continue
        certificates = x509.load_pem_x509_certificates(content)
        ends[path.name, "certificate"] = min(
            certificate.not_valid_after_utc for certificate in certificates
        ).timestamp()
    if days:
        if not (days.isdecimal() and int(days)):
            raise ValueError(f"{SECRET_DAYS}={days}: expected a number of days, for example 365")
        for path in secrets:
            if (path.name, "certificate") not in ends:
                ends[path.name, "secret"] = path.stat().st_mtime + int(days) * _DAY_S
    yield Metric(
        name="cxr_ends_timestamp_seconds", help="When a certificate ends, or a secret shall be another one.",
        labels=("name", "kind"), samples=ends,
    )  # fmt: skip
