"""The audit log: who registered, judged, approved, overrode, released or rolled back which version, when and why.

Only ever appended to, under a lock, and on disk before ``record`` answers. A process that is stopped in the middle of a
line leaves it unfinished; the next record ends that line, takes note of it in an entry ``log_torn``, and goes on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cxr_tasks.contracts.errors import ConfigurationError, nearest
from cxr_tasks.installation.storage.locks import file_lock
from cxr_tasks.installation.storage.paths import audit_log
from cxr_tasks.registry.audit import anchors, copies
from cxr_tasks.registry.audit.anchors import Head
from cxr_tasks.registry.audit.chain import (
    GENESIS,
    KINDS,
    LOG_KINDS,
    AuditEntry,
    Kind,
    Problem,
    last_entry,
    parsed,
    sealed,
    split_lines,
    torn_detail,
)
from cxr_tasks.registry.audit.check import check_log
from cxr_tasks.registry.audit.kept import locked, stored
from cxr_tasks.registry.persons import CLAIMED, PROGRAM, SHELL_USER, Person

__all__ = ["AuditEntry", "Kind", "Person", "entries", "problems", "record", "stated", "verify", "who"]

logger = logging.getLogger(__name__)


def record(
    kind: Kind,
    *,
    model: str,
    version: int | None,
    who: str | Person,
    why: str = "",
    fingerprint: str = "",
    detail: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """Append one entry to the log; it is on disk when this returns, and anchored in MLflow where that answers.

    Args:
        version: None where there is no version, such as the verdict on a candidate that was not registered.
        who: The person or the program; of a shell, ``who()``. A bare name is one of ``PROGRAMS``, or a mere claim.
        detail: What else belongs to the event, as JSON.

    Raises:
        ConfigurationError: The kind is not known, nobody is named, or the log is a link or another user's.
        OSError: The log cannot be written; the event must then not go on.
        ValueError: ``detail`` holds NaN.
    """
    if kind not in KINDS or kind in LOG_KINDS:
        raise ConfigurationError(f"audit log: expected a kind of event, found {kind!r}{nearest(kind, KINDS)}")
    person = Person.of(who)
    if not person.name.strip():
        raise ConfigurationError(f"audit log: expected who caused {kind!r} of {model} version {version}, found nobody")
    with locked() as log:
        lines, rest = split_lines(log.content())
        last = last_entry(lines)
        notes = []
        if rest:
            notes.append(_next(last, "log_torn", detail=torn_detail(rest)))
            last = notes[-1]
        if lost := _lost_head(lines):
            notes.append(_next(last, "log_cut", detail={"seq": lost.seq, "digest": lost.digest}))
            last = notes[-1]
        entry = _next(
            last,
            kind,
            model=model,
            version=None if version is None else int(version),
            who=person.name.strip(),
            known_by=person.known_by,
            why=why,
            fingerprint=fingerprint,
            detail=detail or {},
        )
        # An unfinished line is ended, not removed: nothing that stood in the log ever leaves it.
        log.append((b"\n" if rest else b"") + b"".join(written.line() + b"\n" for written in (*notes, entry)))
        anchors.write_local_head(Head.of(entry))
    for note in notes:
        logger.error("audit log: %s %s; 'cxr doctor' says more", note.kind, dict(note.detail))
    _anchor(entry)
    copies.copy_lines()
    return entry


def entries(model: str | None = None) -> list[AuditEntry]:
    """The entries of the log (about one model), in order; lines that are not as they were written are left out."""
    entries_so_far = []
    for line in split_lines(stored())[0]:
        # What is wrong with a line is for verify() to say.
        with contextlib.suppress(ValueError):
            entries_so_far.append(parsed(line))
    return [entry for entry in entries_so_far if model is None or entry.model == model]


def stated() -> list[AuditEntry]:
    """The entries as the log states them, changed or not: what an anchor is held against."""
    return _readable(split_lines(stored())[0])


def verify() -> list[str]:
    """What is wrong with the log, each naming the line; empty when it is whole and ends where its anchor says."""
    return [str(problem) for problem in problems()]


def problems() -> list[Problem]:
    """``verify``, with what a person may judge by."""
    # The anchor first: a record made in between only takes the log beyond it.
    head, broken = None, ""
    try:
        head = anchors.local_head()
    except ValueError as error:
        broken = str(error)
    content = stored()
    faults = check_log(content)
    lines = split_lines(content)[0]
    if broken:
        return [*faults, Problem(len(lines), f"the anchor beside the log is broken: {broken}")]
    if head is None:
        return [*faults, Problem(len(lines), "the anchor beside the log is missing")] if lines else faults
    if contradiction := head.contradicts(_readable(lines)):
        faults.append(Problem(len(lines) + 1, contradiction))
    return faults


def who(by: str = "") -> Person:
    """The person at a shell: the name given, which is a claim, else the user the shell runs as."""
    # Not getpass.getuser: it believes LOGNAME and USER, which anyone can set.
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = f"user {os.getuid()}"
    return Person(by.strip(), f"{CLAIMED} (shell user {user})") if by.strip() else Person(user, SHELL_USER)


def _next(last: AuditEntry | None, kind: Kind, **values: Any) -> AuditEntry:
    about: dict[str, Any] = {
        "model": "",
        "version": None,
        "who": "audit log",
        "why": "",
        "fingerprint": "",
        "detail": {},
        "known_by": PROGRAM,
    }
    return sealed(
        seq=last.seq + 1 if last else 1,
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        kind=kind,
        previous=last.digest if last else GENESIS,
        **(about | values),
    )


def _lost_head(lines: list[bytes]) -> Head | None:
    """The anchor beside the log where the log no longer agrees with it."""
    try:
        head = anchors.local_head()
    except ValueError:
        return Head(0, "unreadable")
    return head if head and head.contradicts(_readable(lines)) else None


def _readable(lines: list[bytes]) -> list[AuditEntry]:
    read = (last_entry([line]) for line in lines)
    return [entry for entry in read if entry is not None]


def _anchor(entry: AuditEntry) -> None:
    """Move the anchor in MLflow on; that it could not be moved is said, and no reason to fail what happened."""
    if not anchors.registry_is_there():
        return
    try:
        # One at a time, each with the end of the log at its turn: the anchor never goes back.
        with file_lock(audit_log().with_name(".anchor.lock"), what="the anchor", purpose="moving it on"):
            is_anchored = anchors.anchor_in_registry(entry.model, stated())
        if not is_anchored:
            logger.info("audit log: seq %d is recorded; no model %s in MLflow yet to anchor on", entry.seq, entry.model)
    except Exception as error:  # whatever MLflow's client raises
        logger.warning("audit log: seq %d is recorded, but not anchored in MLflow: %s", entry.seq, error)
