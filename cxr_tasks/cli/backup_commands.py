"""Arguments of ``backup`` and ``restore``."""

from __future__ import annotations

import argparse
from pathlib import Path

from cxr_tasks.cli.commands import add_command, lazily


def add_backup_commands(commands: argparse._SubParsersAction) -> None:
    """Add both commands to the parser of ``cxr``."""
    backup = add_command(
        commands,
        "backup",
        lazily("backup", "backup_command"),
        "write everything made at run time into one file; the stack may run",
        "CXR_BACKUP_PASSPHRASE=... cxr backup ~/cxr-2026-11-29.tar.gz",
    )
    backup.add_argument("file", type=Path, metavar="FILE", help="a new file")
    backup.add_argument("--without-secrets", action="store_true", help="no logins, no key of patient ids")
    backup.add_argument("--without-datasets", action="store_true", help="only the fingerprints of prepared datasets")
    backup.add_argument("--without-runs", action="store_true", help="no tables and pages of the runs")
    backup.add_argument("--only-databases", action="store_true", help="what an upgrade changes, and no secrets")
    restore = add_command(
        commands,
        "restore",
        lazily("backup", "restore_command"),
        "put a backup in place, here or under another CXR_HOME; the stack is down",
        "CXR_HOME=/new/disk/var cxr restore ~/cxr-2026-11-29.tar.gz",
    )
    restore.add_argument("file", type=Path, metavar="FILE", help="what 'cxr backup' wrote")
    restore.add_argument("--without-secrets", action="store_true", help="those that are there stay")
    restore.add_argument("--replace", action="store_true", help="move what is in the way aside; nothing is removed")
    restore.add_argument("--check", action="store_true", help="only read it and hold it against its digests")
    for one in (backup, restore):
        one.add_argument("--json", action="store_true", help="print the outcome as JSON")
