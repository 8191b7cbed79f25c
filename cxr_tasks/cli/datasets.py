"""``cxr datasets``: which versions of prepared datasets there are, what is in them, what changed; old ones removed."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from cxr_tasks.cli.commands import add_parser
from cxr_tasks.cli.console import wide_console
from cxr_tasks.cli.datasets_shown import checks_shown, counts_table, difference_lines, plain_table, record_of
from cxr_tasks.contracts.errors import ConfigurationError, ServiceUnavailable
from cxr_tasks.datasets import catalogue
from cxr_tasks.installation.storage.changes import remove_tree
from cxr_tasks.installation.storage.files import read_json


def add_datasets_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    listed = add_parser(actions, "list", list_command, "list all versions", "cxr datasets list nih")
    listed.add_argument("name", nargs="?", help="name of a dataset; default: all")

    shown = add_parser(
        actions,
        "show",
        show_command,
        "show what a version holds",
        "cxr datasets show nih@4a43e858",
    )
    shown.add_argument("version", metavar="NAME[@FINGERPRINT]", help="first digits will do; default: the newest")

    compared = add_parser(
        actions,
        "diff",
        diff_command,
        "count patients, images and labels that are in, out or changed",
        "cxr datasets diff nih@4a43e858 nih --json   # with the image ids",
    )
    compared.add_argument("before", metavar="NAME[@FINGERPRINT]", help="the version before")
    compared.add_argument("after", metavar="NAME[@FINGERPRINT]", help="the version after")

    pruned = add_parser(
        actions,
        "prune",
        prune_command,
        "remove old versions; never the newest, nor one that a registered model was trained on",
        "cxr datasets prune nih --keep 3 --yes",
    )
    pruned.add_argument("name", help="name of a dataset")
    pruned.add_argument("--keep", type=int, default=3, help="so many of the newest stay (default: %(default)s)")
    pruned.add_argument("--yes", action="store_true", help="remove them; without it they are only shown")
    pruned.add_argument("--force", action="store_true", help="also those that a registered model was trained on")
    for command in (listed, shown, compared, pruned):
        command.add_argument("--json", action="store_true", help="print the outcome as JSON")


def list_command(options: argparse.Namespace) -> int:
    versions = catalogue.stored_versions(options.name)
    if options.json:
        print(json.dumps([record_of(version) for version in versions], indent=2))
        return 0
    if not versions:
        print("no dataset is prepared yet; 'cxr trigger RECIPE' makes the first one")
        return 0
    table = plain_table("dataset", "version", "", "made (UTC)", "recipe", "px", "images", "patients", "MiB")
    for version in versions:
        made = version.fault or version.made_at[:16].replace("T", " ")
        numbers = (
            ["", "", "", ""]
            if version.fault
            else [version.recipe, version.size_px, f"{version.n_images:,}", f"{version.n_patients:,}"]
        )
        latest = "newest" if version.is_latest else ""
        table.add_row(
            *map(str, (version.name, version.folder.name, latest, made, *numbers, f"{version.n_bytes / 2**20:.1f}"))
        )
    wide_console().print(table)
    return 0


def show_command(options: argparse.Namespace) -> int:
    version = catalogue.find_version(options.version)
    provenance, statistics = (read_json(version.folder / name) for name in ("provenance.json", "statistics.json"))
    if options.json:
        print(json.dumps({**record_of(version), "provenance": provenance, "statistics": statistics}, indent=2))
        return 0
    console = wide_console()
    console.print(f"{version.label}{'  (newest)' if version.is_latest else ''}", style="bold")
    facts = {
        "folder": version.folder,
        "overview": version.folder / "overview.html",
        "fingerprint": version.fingerprint,
        "made": provenance["made_at"],
        "recipe": f"{version.recipe}, {version.vocabulary}, {version.size_px} px",
        "left out": provenance["n_left_out"],
        **checks_shown(provenance),
    }
    for name, value in facts.items():
        console.print(f"  {name:<12} {value}", soft_wrap=True)
    console.print(counts_table(statistics))
    return 0


def diff_command(options: argparse.Namespace) -> int:
    from cxr_tasks.datasets.difference import differences

    before, after = catalogue.find_version(options.before), catalogue.find_version(options.after)
    changes = differences(before.folder, after.folder)
    if options.json:
        print(json.dumps(changes, indent=2))
        return 0
    console = wide_console()
    console.print(f"from {before.label} to {after.label}", style="bold")
    for line in difference_lines(changes):
        console.print(f"  {line}", soft_wrap=True)
    return 0


def prune_command(options: argparse.Namespace) -> int:
    if options.keep < 1:
        raise ConfigurationError(f"--keep: expected 1 or more, found {options.keep}")
    versions = catalogue.stored_versions(options.name)
    notes: list[str] = []
    in_use = _fingerprints_in_use(notes, is_forced=options.force)
    goes, kept = catalogue.removable(versions, keep=options.keep, in_use=in_use)
    left_over = catalogue.left_overs(options.name)
    n_bytes = sum(version.n_bytes for version in goes)
    if options.yes:
        for version in goes:
            catalogue.remove_version(version)
        for path in left_over:
            remove_tree(path, even_if_stuck=True)
    if options.json:
        removed = {"removed" if options.yes else "would_remove": [record_of(version) for version in goes]}
        print(
            json.dumps(
                {**removed, "left_over": [str(folder) for folder in left_over], "kept": kept, "notes": notes}, indent=2
            )
        )
        return 0
    for label, why in kept.items():
        print(f"kept     {label}: {why}")
    for version in goes:
        print(f"{'removed ' if options.yes else 'would go'} {version.label}: {version.fault or version.made_at}")
    for path in left_over:
        print(f"{'removed ' if options.yes else 'would go'} {path.name}: left by a prepare that was killed")
    for note in notes:
        print(f"cxr: {note}", file=sys.stderr)
    if not goes and not left_over:
        print("nothing to remove")
    elif not options.yes:
        print(f"{n_bytes / 2**20:.1f} MiB; nothing was removed: add --yes")
    return 0


def _fingerprints_in_use(notes: list[str], *, is_forced: bool) -> set[str]:
    """Fingerprints of datasets that registered models were trained on; with ``is_forced`` none count.

    Raises:
        ServiceUnavailable: MLflow does not answer, so nobody can tell; ``--force`` goes on without it.
    """
    if is_forced:
        notes.append("--force: versions that registered models were trained on are not kept for them")
        return set()
    from cxr_tasks.installation.settings import StackSettings, client_environment
    from cxr_tasks.registry import tracking, versions

    settings = StackSettings.load()
    if settings.record.is_file():
        os.environ.update(client_environment(settings))
    uri = tracking.tracking_uri()
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        notes.append("there is no model registry yet, so no model was trained on any of them")
        return set()
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    try:
        registered = versions.model_versions()
    except (ServiceUnavailable, OSError) as error:
        raise ServiceUnavailable(
            f"{error}; without MLflow it is not known which versions models were trained on; "
            "start it ('make up'), or add --force"
        ) from error
    return {version.tags["data.fingerprint"] for version in registered if "data.fingerprint" in version.tags}
