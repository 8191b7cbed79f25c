"""The volume of the run-time folder: whether several machines can share it, by the kernel's own list of mounts."""

from __future__ import annotations

from pathlib import Path

from cxr_tasks.cli.doctor.findings import Finding, Level
from cxr_tasks.installation.storage.addresses import is_shared
from cxr_tasks.installation.storage.paths import home

#: Kinds of file system that several machines mount and whose renames all of them see.
_CARRY = {"nfs4", "ceph", "lustre", "gpfs"}
_CHECK = "volume"


def volume_findings(mounts: str | None = None) -> list[Finding]:
    """What is to be said of the volume; nothing on one machine with a disk of its own.

    Args:
        mounts: The text of ``/proc/self/mounts``; read where None.
    """
    if mounts is None:
        source = Path("/proc/self/mounts")
        if not source.is_file():
            return []  # not Linux
        mounts = source.read_text(encoding="utf-8")
    kind, options = _mount_of(home().resolve(), mounts)
    if kind.startswith("nfs"):
        return _nfs(kind, options)
    if kind.startswith("fuse"):
        text = f"{home()} is on {kind}: its locks, and renames as other machines see them, depend on that program"
        return [_finding("WARN", text, "use NFSv4.1, EFS or CephFS for CXR_HOME; keep S3 for CXR_BUCKET")]
    if is_shared() and kind not in _CARRY:
        text = f"{home()} is on {kind}, which other machines see only where it is exported to them"
        return [_finding("WARN", text, "nothing where all workers run on this machine; else mount a shared volume")]
    return [_finding("OK", f"{home()} is on {kind}")] if is_shared() else []


def _nfs(kind: str, options: set[str]) -> list[Finding]:
    found = []
    version = next((one.partition("=")[2] for one in options if one.startswith("vers=")), "")
    if kind != "nfs4" or version == "4.0":
        text = f"{home()} is on NFS {version or kind}, where a client that died may hold its files for long"
        found.append(_finding("WARN", text, "mount it with vers=4.1 or later"))
    if "lookupcache=positive" not in options and "lookupcache=none" not in options:
        text = f"{home()}: this machine remembers what was absent, and may not see what another has just published"
        found.append(_finding("FAIL", text, "mount it with lookupcache=positive"))
    if "soft" in options:
        text = f"{home()} is mounted soft: a server that is slow makes a write fail in the middle"
        found.append(_finding("WARN", text, "mount it hard, which is the default"))
    return found or [_finding("OK", f"{home()} is on NFS {version}, mounted as it should be")]


def _mount_of(path: Path, mounts: str) -> tuple[str, set[str]]:
    """Kind and options of the mount that ``path`` is on: the last of the longest points above it."""
    best, found = -1, ("an unknown file system", set[str]())
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 4:
            continue
        # Blanks and backslashes in a name are written as octal numbers.
        point = Path(fields[1].encode().decode("unicode_escape"))
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, found = len(point.parts), (fields[2], set(fields[3].split(",")))
    return found


def _finding(level: Level, text: str, todo: str = "") -> Finding:
    return Finding(check=_CHECK, level=level, text=text, todo=todo)
