"""The audit log's lines in a bucket that lets nobody change them, where ``CXR_AUDIT_BUCKET`` names one.

Each line is one object under its number, put there once and locked for ``CXR_AUDIT_YEARS`` (S3 object lock, compliance
mode): not the owner of the keys nor whoever has the machines can take it away before. Whoever writes in its place only
adds a version, and both are seen. What could not be copied, as the store did not answer, the next record copies.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cxr_tasks.contracts.errors import ConfigurationError, CxrError
from cxr_tasks.installation.storage.files import replaced_file
from cxr_tasks.installation.storage.locked_objects import LockedBucket, Versions
from cxr_tasks.installation.storage.locks import file_lock
from cxr_tasks.installation.storage.paths import audit_log
from cxr_tasks.registry.audit.chain import Problem, split_lines
from cxr_tasks.registry.audit.kept import stored

logger = logging.getLogger(__name__)

BUCKET, YEARS = "CXR_AUDIT_BUCKET", "CXR_AUDIT_YEARS"
PREFIX = "audit/"
_KEY = re.compile(r"audit/[0-9]{12}")
_USUAL_YEARS = "10"
#: Copies read side by side.
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Settings:
    """Where copies go, and how long they are locked."""

    bucket: str
    years: int


def copy_settings(environment: Mapping[str, str]) -> Settings | None:
    """None where lines are not copied; ``ConfigurationError`` for a number of years that is none."""
    years = environment.get(YEARS) or _USUAL_YEARS
    if not (years.isdecimal() and 1 <= int(years) <= 100):
        raise ConfigurationError(f"{YEARS}={years}: expected a number of years from 1 to 100")
    name = environment.get(BUCKET, "")
    return Settings(name, int(years)) if name else None


def copy_lines() -> None:
    """Copy what is not copied yet. That it could not be is said, and no reason to fail what happened."""
    if not os.environ.get(BUCKET):
        return
    try:
        settings = copy_settings(os.environ)
        with file_lock(audit_log().with_name(".copies.lock"), what="the audit log's copies", purpose="copying"):
            _copy(settings)
    except (CxrError, OSError) as error:
        logger.warning("audit log: recorded, but not copied to its bucket: %s; the next record copies it", error)


def problems() -> list[Problem]:
    """Where log and copies differ; empty where every copy is the line it was made of.

    Raises:
        ServiceUnavailable: The store does not answer.
    """
    bucket = LockedBucket(os.environ[BUCKET])
    faults, lines = [], split_lines(stored())[0]
    copies, others = _numbered(bucket.versions(PREFIX))
    if others:
        text = f"the bucket holds {len(others)} objects that copy no line, the first is {others[0][:100]!r}"
        faults.append(Problem(0, f"{text}: somebody else writes there"))
    with ThreadPoolExecutor(_AT_ONCE) as hands:
        first_ones = hands.map(lambda copy: bucket.first(f"{PREFIX}{copy[0]:012d}", copy[1]), sorted(copies.items()))
    for (number, versions), first in zip(sorted(copies.items()), first_ones, strict=True):
        if versions.n_versions != 1 or versions.is_hidden:
            faults.append(Problem(number, "its copy in the bucket was written again or removed; the first one is kept"))
        if number > len(lines):
            faults.append(Problem(number, "the bucket has a copy of it, the log has no such line: its end was removed"))
        elif first != lines[number - 1] + b"\n":
            faults.append(Problem(number, "is not what was copied to the bucket when it was recorded"))
    return faults


def n_missing() -> int:
    """Lines that have no copy yet."""
    bucket = LockedBucket(os.environ[BUCKET])
    return max(len(split_lines(stored())[0]) - len(_numbered(bucket.versions(PREFIX))[0]), 0)


def _numbered(objects: Mapping[str, Versions]) -> tuple[dict[int, Versions], list[str]]:
    """The copies by the number of their line, and the keys of what is none."""
    copies = {key: versions for key, versions in objects.items() if _KEY.fullmatch(key)}
    numbered = {int(key.removeprefix(PREFIX)): versions for key, versions in copies.items()}
    return numbered, sorted(set(objects) - set(copies))


def is_locked() -> bool:
    """Whether the bucket keeps its objects from everybody."""
    return LockedBucket(os.environ[BUCKET]).can_lock()


def _copy(settings: Settings | None) -> None:
    if settings is None:
        return
    lines = split_lines(stored())[0]
    done = _done(settings)
    if done >= len(lines):
        return
    bucket = LockedBucket(settings.bucket)
    bucket.ensure()
    until = datetime.now(UTC) + timedelta(days=round(365.25 * settings.years))
    for number in range(done + 1, len(lines) + 1):
        # One that is there stays: it was put by a process that died before it took note, or it is for doctor to name.
        bucket.put_once(f"{PREFIX}{number:012d}", lines[number - 1] + b"\n", until)
    with replaced_file(_note(), is_private=True) as aside:
        aside.write_text(f"{settings.bucket} {len(lines)}\n", encoding="utf-8")


def _done(settings: Settings) -> int:
    """How many lines were copied to this bucket, as noted beside the log; 0 copies all again, which changes nothing."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        bucket, number = _note().read_text(encoding="utf-8").split()
        if bucket == settings.bucket:
            return int(number)
    return 0


def _note() -> Path:
    return audit_log().with_name("copied")
