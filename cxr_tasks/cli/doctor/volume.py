"""Whether the file system of the run-time folder does what the platform rests on: locks, renames that others see."""

from __future__ import annotations

import fcntl
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cxr_tasks.cli.doctor.findings import Finding, Level
from cxr_tasks.installation.storage.addresses import is_shared
from cxr_tasks.installation.storage.changes import work_folder, write_bytes
from cxr_tasks.installation.storage.paths import home

MOUNTS = Path("/proc/self/mountinfo")
_NFS = {"nfs", "nfs4"}
#: Mounts of a store as if it were a disk: a rename is a copy, or others see it late or never; locks are local.
_OBJECT_STORES = re.compile(r"fuse\.(seaweed|weed|s3|goofys|rclone|gcs|geesefs|mountpoint)", re.IGNORECASE)
_MOUNT_AGAIN = "mount it again with -o {wanted}"


@dataclass(frozen=True, slots=True)
class Mount:
    """Where a folder lies."""

    point: str
    kind: str
    options: frozenset[str]

    @property
    def is_network(self) -> bool:
        return self.kind in _NFS or self.kind in {"cifs", "smb3", "ceph", "glusterfs", "9p"} or "fuse" in self.kind

    def value(self, name: str) -> str:
        return next((option.partition("=")[2] for option in self.options if option.startswith(f"{name}=")), "")


def mount_of(folder: Path, table: str) -> Mount | None:
    """The mount that holds ``folder``, by the text of ``mountinfo``; the last one where several lie on each other.

    >>> line = "36 25 0:32 / /mnt/my\\\\040cxr rw,noatime shared:1 - nfs4 server:/cxr rw,vers=4.1,local_lock=none"
    >>> mount_of(Path("/mnt/my cxr/var"), line).kind
    'nfs4'
    """
    mount, deepest = None, -1
    for line in table.splitlines():
        before, is_whole, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if not is_whole or len(fields) < 6 or len(kind) < 3:
            continue
        point = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        depth = len(Path(point).parts)
        if folder.is_relative_to(point) and depth >= deepest:
            mount = Mount(point, kind[0], frozenset((*fields[5].split(","), *kind[2].split(","))))
            deepest = depth
    return mount


def volume_findings(table: str | None = None) -> list[Finding]:
    """Mount options that matter where several machines share the folder, and whether locks work at all."""
    place = next(folder for folder in (home(), *home().parents) if folder.is_dir()).resolve()
    try:
        text = MOUNTS.read_text(encoding="utf-8", errors="replace") if table is None else table
    except OSError:  # not Linux
        text = ""
    mount = mount_of(place, text)
    findings = [] if mount is None else _faults(mount)
    if (fault := _lock_fault(place)) and not is_shared():
        findings.append(_volume("FAIL", fault, "move CXR_HOME to a local disk, or put locks in Postgres: CXR_DATABASE"))
    if findings:
        return findings
    return [_volume("OK", f"{place} is on {mount.kind if mount else 'a disk'}, mounted as it should be; locks work")]


def _faults(mount: Mount) -> list[Finding]:
    findings, at = [], f"{mount.point} ({mount.kind})"
    if _OBJECT_STORES.match(mount.kind):
        text = f"{at} is a store mounted as a disk: a rename is no rename there, and locks hold on one machine only"
        findings.append(
            _volume("FAIL", text, "move CXR_HOME to NFS 4.1 or later, EFS or CephFS; a store is CXR_BUCKET")
        )
    if mount.is_network and not is_shared():
        text = f"{at} is on the network, and the databases are SQLite files there: two machines would break them"
        findings.append(_volume("WARN", text, "run one machine only on it, or put databases in Postgres: CXR_DATABASE"))
    if mount.kind not in _NFS:
        return findings
    version = mount.value("vers") or mount.value("nfsvers")
    if version.startswith(("2", "3")):
        text = f"{at} is NFS {version}, whose locks are another service's and are lost when it restarts"
        findings.append(_volume("WARN", text, _MOUNT_AGAIN.format(wanted="vers=4.1")))
    local = {"nolock", "local_lock=all", "local_lock=flock", "local_lock=posix"} & mount.options
    if local:
        level: Level = "WARN" if is_shared() else "FAIL"
        text = f"{at} keeps locks to each machine ({', '.join(sorted(local))}): two machines would both have one"
        findings.append(_volume(level, text, _MOUNT_AGAIN.format(wanted="local_lock=none, without nolock")))
    cached = mount.value("lookupcache") or "all"
    if cached in {"all", "pos_neg"} and "noac" not in mount.options:
        text = f"{at} remembers that a file was absent (lookupcache={cached}): what another machine published is missed"
        findings.append(_volume("WARN", text, _MOUNT_AGAIN.format(wanted="lookupcache=positive")))
    if {"soft", "softerr"} & mount.options:
        text = f"{at} gives up on a slow server (soft): a file that was being written is then cut, and nobody told"
        findings.append(_volume("WARN", text, _MOUNT_AGAIN.format(wanted="hard")))
    return findings


def _lock_fault(folder: Path) -> str:
    """Why locks cannot be trusted in ``folder``; '' where a second taker is refused as it should be."""
    try:
        with work_folder(within=folder) as own:
            write_bytes(own / "lock", b"")
            with open(own / "lock", "rb") as first, open(own / "lock", "rb") as second:
                return _second_taker(folder, first, second)
    except OSError as error:
        return f"{folder}: no lock is to be had: {os.strerror(error.errno or 0)}"


def _second_taker(folder: Path, first: IO[bytes], second: IO[bytes]) -> str:
    fcntl.flock(first, fcntl.LOCK_EX)
    try:
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return ""
    return f"{folder}: two hold one lock at once: its file system takes flock for nothing"


def _volume(level: Level, text: str, todo: str = "") -> Finding:
    return Finding(check="volume", level=level, text=text, todo=todo)
