"""``cxr backup`` and ``cxr restore``: everything made at run time in one file, and back."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

from cxr_tasks.backup.archive import write_backup
from cxr_tasks.backup.encryption import asked_passphrase
from cxr_tasks.backup.manifest import SEALED
from cxr_tasks.backup.reading import check_backup, read_manifest
from cxr_tasks.backup.restore import restore_backup
from cxr_tasks.backup.units import SECRETS, Choice
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.installation.storage.paths import home, secrets_root
from cxr_tasks.installation.storage.space import shown


def add_backup_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="a new file")
    parser.add_argument("--without-secrets", action="store_true", help="no logins, no key of patient ids")
    parser.add_argument("--without-datasets", action="store_true", help="only the fingerprints of prepared datasets")
    parser.add_argument("--without-runs", action="store_true", help="no tables and pages of the runs")
    parser.add_argument("--without-bucket", action="store_true", help="nothing of CXR_BUCKET")
    parser.add_argument("--only-databases", action="store_true", help="what an upgrade changes, and no secrets")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def backup_command(options: argparse.Namespace) -> int:
    """Works while the stack runs, and while it is down."""
    began = time.monotonic()
    os.environ.update(StackSettings.load().engines.as_environment())
    without: set[Choice] = set()
    if options.without_datasets:
        without.add("datasets")
    if options.without_runs:
        without.add("runs")
    if options.without_bucket:
        without.add("bucket")
    keeps_secrets = not options.without_secrets and not options.only_databases
    manifest = write_backup(
        options.file.absolute(),
        passphrase=asked_passphrase(os.environ, twice=True) if keeps_secrets else None,
        without=frozenset(without),
        only_databases=options.only_databases,
    )
    record = {
        "file": str(options.file.absolute()),
        "n_bytes": options.file.stat().st_size,
        "n_files": len(manifest.files),
        "n_bytes_before": manifest.n_bytes,
        "seconds": round(time.monotonic() - began, 1),
        "units": manifest.units,
        "left_out": manifest.left_out,
        "datasets": manifest.datasets,
        "has_secrets": SEALED in manifest.files,
        "gone": manifest.gone,
        "links": manifest.links,
    }
    if options.json:
        print(json.dumps(record, indent=2))
        return 0
    size = shown(options.file.stat().st_size)
    print(f"{record['file']}: {size}, {len(manifest.files)} files of {home()} in {record['seconds']} s")
    print(f"holds {', '.join(manifest.units)}{', secrets (sealed)' if record['has_secrets'] else ''}")
    print(f"left out: {', '.join(manifest.left_out) or 'nothing'}")
    if "datasets" in manifest.left_out:
        print(f"of the datasets it holds the fingerprints: {', '.join(manifest.datasets) or 'there are none'}")
    for what, names in (("removed by a task meanwhile", manifest.gone), ("links, not followed", manifest.links)):
        if names:
            print(f"{len(names)} {what}, among them {names[0]}")
    return 0


def add_restore_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="what 'cxr backup' wrote")
    parser.add_argument("--without-secrets", action="store_true", help="those that are there stay")
    parser.add_argument("--replace", action="store_true", help="move what is in the way aside; nothing is removed")
    parser.add_argument("--check", action="store_true", help="only read it and hold it against its digests")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def restore_command(options: argparse.Namespace) -> int:
    """Needs a stack that is down; changes nothing before the whole file has been read and found to be what it was."""
    began = time.monotonic()
    if options.check:
        manifest = check_backup(options.file)
        print(f"{options.file}: whole; made {manifest.made_at} of {manifest.home}, {len(manifest.files)} files")
        return 0
    has_secrets = SEALED in read_manifest(options.file).files
    with_secrets = has_secrets and not options.without_secrets
    passphrase = asked_passphrase(os.environ, twice=False) if with_secrets else None
    restored = restore_backup(options.file, passphrase=passphrase, replace=options.replace)
    seconds = round(time.monotonic() - began, 1)
    manifest = restored.manifest
    if options.json:
        aside = str(restored.moved_aside) if restored.moved_aside else None
        record = {
            "home": str(home()),
            "units": restored.units,
            "seconds": seconds,
            "moved_aside": aside,
            "kept_as": restored.kept_as,
        }
        print(json.dumps({**record, "has_secrets": restored.with_secrets, "made_at": manifest.made_at}, indent=2))
        return 0
    print(f"{home()}: {len(manifest.files)} files as of {manifest.made_at} restored in {seconds} s")
    if restored.moved_aside:
        print(f"what was there before is in {restored.moved_aside}; remove it when all is well")
    if restored.kept_as:
        print(f"databases and bucket keep what was there before as {restored.kept_as}; remove it when all is well")
    if restored.with_secrets and secrets_root() != home() / SECRETS:
        print(f"secrets are in {home() / SECRETS}; CXR_SECRETS={secrets_root()} is for you to fill from there")
    if not restored.with_secrets:
        print("no secrets were restored: those that are there stay; where there are none, logins are made anew, and")
        print("patients get new keys, so that a new version of a dataset deals them to splits anew")
    missing = [dataset for dataset in manifest.datasets if not (home() / "datasets" / dataset).is_dir()]
    if missing:
        print(f"datasets to bring back or to prepare again, with the same fingerprint: {', '.join(missing)}")
    print("'make up', then 'cxr doctor'")
    return 0
