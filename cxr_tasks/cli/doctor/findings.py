"""One line of ``cxr doctor``, and the checks of files: audit log, secrets, disk."""

from __future__ import annotations

import itertools
import os
import shutil
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from cxr_tasks.backup.units import present_units
from cxr_tasks.contracts.errors import CxrError
from cxr_tasks.installation.storage.paths import audit_log, home, secrets_root
from cxr_tasks.installation.storage.space import MIB, shown
from cxr_tasks.registry.audit import anchors, copies, trail
from cxr_tasks.registry.audit.anchors import Head
from cxr_tasks.registry.audit.chain import KINDS
from cxr_tasks.registry.audit.trail import AuditEntry

Level = Literal["OK", "WARN", "FAIL"]
GIB = 2**30
#: Free space below which nothing should be started, and below which a person should know.
LEAST_FREE, LITTLE_FREE = 1 * GIB, 5 * GIB
#: Of what may go, less than this is not worth a word.
LEAST_SHOWN = MIB
#: Clocks are corrected by fractions of a second all the time.
CLOCK_MARGIN = timedelta(seconds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found, and what to do where it is not well."""

    check: str
    level: Level
    text: str
    todo: str = ""


def audit_findings() -> list[Finding]:
    """The log's chain, and the anchor beside it."""
    problems, n_entries = trail.problems(), len(trail.entries())
    checks = []
    for problem in problems:
        if problem.is_torn:
            checks.append(_audit("WARN", str(problem), "nothing: the next record takes note of it and goes on"))
        else:
            todo = f"find out who had write access; keep a copy of {audit_log().parent} and restore it from a backup"
            checks.append(_audit("FAIL", str(problem), todo))
    torn = sum(entry.kind == "log_torn" for entry in trail.entries())
    if torn:
        checks.append(_audit("OK", f"{torn} unfinished lines of stopped processes are in it, each taken note of"))
    newer = sorted({entry.kind for entry in trail.entries()} - set(KINDS))
    if newer:
        n_newer = sum(entry.kind in newer for entry in trail.entries())
        text = f"{n_newer} entries are of a kind that only a newer version of the code knows: {', '.join(newer)}"
        checks.append(
            _audit("WARN", text, "go on with that version of the code; the one that runs here passes them over")
        )
    checks += clock_findings(trail.entries())
    if not problems:
        checks.append(_audit("OK", f"{n_entries} entries, the chain is whole" if n_entries else "nothing recorded yet"))
    return checks


def clock_findings(entries: list[AuditEntry]) -> list[Finding]:
    """Entries dated before the one they follow: the order of the log is sure, its times are not."""
    checks = []
    for before, after in itertools.pairwise(entries):
        back = datetime.fromisoformat(before.at) - datetime.fromisoformat(after.at)
        if back >= CLOCK_MARGIN:
            text = (
                f"seq {after.seq} is dated {after.at}, {back} before seq {before.seq} which it follows: the clock of "
                "this machine was set back between them, or forward before"
            )
            todo = "let the clock follow a time server; 'cxr history --at' may name another version between these times"
            checks.append(Finding(check="clock", level="WARN", text=text, todo=todo))
    return checks


def anchor_findings(entries: list[AuditEntry]) -> list[Finding]:
    """The log's end as MLflow knows it, by registered model; ``entries`` as the log states them."""
    try:
        heads = anchors.registry_heads()
    except (CxrError, OSError) as error:
        return [_anchor("WARN", f"cannot be compared with MLflow: {error}", "'make up', then 'cxr doctor' again")]
    checks = []
    for model, told in sorted(heads.items()):
        try:
            head = Head.read(told)
            problem = head.contradicts(entries)
        except ValueError as error:
            head, problem = Head(0, ""), str(error)
        if problem:
            todo = (
                f"the log was cut or replaced, or {model} belongs to another installation; restore "
                f"{audit_log().parent} from a backup. To accept the log as it is, delete the tag {anchors.TAG}"
            )
            checks.append(_anchor("FAIL", f"{model}: {problem}", todo))
        else:
            checks.append(_behind(model, head, entries))
    return checks or [_anchor("OK", "no registered model bears an anchor yet")]


def copy_findings() -> list[Finding]:
    """The log's copies in a bucket of its own, where it has one."""
    if not os.environ.get(copies.BUCKET):
        return []
    try:
        problems, n_missing, is_locked = copies.problems(), copies.n_missing(), copies.is_locked()
    except CxrError as error:
        return [
            _copies("WARN", f"cannot be compared with the log: {error}", "'cxr doctor' again when the store answers")
        ]
    todo = f"find out who had write access to log and bucket; keep a copy of {audit_log().parent} and of the bucket"
    findings = [_copies("FAIL", str(problem), todo) for problem in problems]
    if not is_locked:
        todo = (
            f"name a bucket that does not exist yet in {copies.BUCKET}: it is made with object lock if the store has it"
        )
        findings.append(_copies("WARN", "the bucket has no object lock: whoever has its keys can remove copies", todo))
    if n_missing:
        findings.append(
            _copies("WARN", f"{n_missing} lines are not copied yet", "nothing: the next record copies them")
        )
    return findings or [_copies("OK", "every line is in the bucket as it was recorded, locked")]


def _behind(model: str, head: Head, entries: list[AuditEntry]) -> Finding:
    missed = [entry.seq for entry in entries if entry.model == model and entry.seq > head.seq]
    if missed:
        text = f"{model}: anchored at seq {head.seq}; {len(missed)} later entries were recorded without MLflow"
        return _anchor("WARN", text, "nothing: the next record of this model moves the anchor")
    return _anchor("OK", f"{model}: agrees with the log, at seq {head.seq} of {entries[-1].seq}")


def private_findings() -> list[Finding]:
    """That nobody but the owner reads the secrets and the audit log."""
    checks = []
    for name, folder in (("secrets", secrets_root()), ("audit log", audit_log().parent)):
        if not folder.is_dir():
            continue
        wrong = [path for path in [folder, *sorted(folder.rglob("*"))] if _fault(path)]
        for path in wrong:
            todo = f"chmod {'700' if path.is_dir() else '600'} {path}"
            checks.append(Finding(check=f"{name} private", level="FAIL", text=f"{path}: {_fault(path)}", todo=todo))
        if not wrong:
            checks.append(Finding(check=f"{name} private", level="OK", text=f"{folder} is for its owner only"))
    return checks


def _fault(path: Path) -> str:
    state = path.lstat()
    if stat.S_ISLNK(state.st_mode):
        return "is a link"
    if state.st_uid != os.getuid():
        return f"belongs to user {state.st_uid}"
    return f"has mode {stat.S_IMODE(state.st_mode):04o}" if state.st_mode & 0o077 else ""


def disk_findings(free_bytes: int | None = None) -> list[Finding]:
    """Space left where the run-time folder is."""
    place = next(folder for folder in (home(), *home().parents) if folder.is_dir())
    free = shutil.disk_usage(place).free if free_bytes is None else free_bytes
    level: Level = "FAIL" if free < LEAST_FREE else "WARN" if free < LITTLE_FREE else "OK"
    todo = "" if level == "OK" else "what may go stands under 'kept'; 'cxr datasets prune NAME' removes old datasets"
    return [Finding(check="disk", level=level, text=f"{free / GIB:.1f} GiB free at {place}", todo=todo)]


def kept_findings() -> list[Finding]:
    """What of the run-time folder must stay, what is made again, and what may go, with sizes."""
    by_kind: dict[str, list[str]] = {}
    for unit in present_units(home()):
        size = _size(home() / unit.path)
        if size >= LEAST_SHOWN or unit.stays == "must stay":
            by_kind.setdefault(unit.stays, []).append(f"{unit.path} ({shown(size)})")
    return [
        Finding(check="kept", level="OK", text=f"{stays}: {', '.join(by_kind[stays])}")
        for stays in ("must stay", "is made again", "may go")
        if stays in by_kind
    ]


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.lstat().st_size for file in path.rglob("*") if not file.is_symlink() and file.is_file())


def worst(findings: Iterable[Finding]) -> Level:
    levels: list[Level] = [finding.level for finding in findings]
    return "FAIL" if "FAIL" in levels else "WARN" if "WARN" in levels else "OK"


def _audit(level: Level, text: str, todo: str = "") -> Finding:
    return Finding(check="audit log", level=level, text=text, todo=todo)


def _copies(level: Level, text: str, todo: str = "") -> Finding:
    return Finding(check="audit copies", level=level, text=text, todo=todo)


def _anchor(level: Level, text: str, todo: str = "") -> Finding:
    return Finding(check="audit anchor", level=level, text=text, todo=todo)
