"""Versions of datasets as tables, lines and records: what ``cxr datasets`` prints."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from cxr_tasks.contracts.dataset_files import Provenance, Statistics
from cxr_tasks.contracts.labels import SPLITS, display_name
from cxr_tasks.datasets.catalogue import StoredVersion
from cxr_tasks.datasets.difference import Differences


def checks_shown(provenance: Provenance) -> dict[str, str]:
    """What validation and ingest said; versions made by older code do not tell."""
    validation, quarantine = provenance.get("validation"), provenance.get("quarantine")
    checks = (
        {"validation": f"{validation['n_expectations']} expectations, {validation['n_warnings']} warnings"}
        if validation
        else {}
    )
    if quarantine is not None:
        checks["quarantine"] = ", ".join(f"{reason} {n}" for reason, n in quarantine.items()) or "none"
    return checks


def counts_table(statistics: Statistics) -> Table:
    """Images, patients and labels of each split."""
    table = plain_table("", *SPLITS)
    for name in ("n_images", "n_patients"):
        table.add_row(name.removeprefix("n_"), *(f"{statistics[split][name]:,}" for split in SPLITS))
    for finding in statistics[SPLITS[0]]["labels"]:
        of_splits = [statistics[split]["labels"][finding] for split in SPLITS]
        table.add_row(f"{display_name(finding)}, positive", *(f"{split['positive']:,}" for split in of_splits))
        unknown = [split["uncertain"] + split["unmentioned"] for split in of_splits]
        if any(unknown):
            table.add_row("  not known", *(f"{n:,}" for n in unknown))
    return table


def difference_lines(differences: Differences) -> list[str]:
    """The differences as counts; image ids, which may hold patient numbers, are for ``--json`` only."""
    images, patients = differences["images"], differences["patients"]
    lines = [f"setting {name}: {old} -> {new}" for name, (old, new) in differences["settings"].items()]
    if patients is None:
        lines.append("patients cannot be compared: their keys were made with another salt")
    else:
        lines.append(
            f"patients: {patients['n_before']:,} -> {patients['n_after']:,}; {patients['in']:,} in, "
            f"{patients['out']:,} out, {patients['split']:,} in another split"
        )
    lines.append(
        f"images: {images['n_before']:,} -> {images['n_after']:,}; {len(images['in']):,} in, "
        f"{len(images['out']):,} out, {len(images['content']):,} with other content"
    )
    lines += [f"split: {len(ids):,} images {change}" for change, ids in images["split"].items()]
    for finding, changes in differences["labels"].items():
        lines += [f"label {finding}: {len(ids):,} images {change}" for change, ids in changes.items()]
    lines += [f"{name}: {len(ids):,} images changed" for name, ids in images["details"].items()]
    lines += [f"finding {way}: {', '.join(names)}" for way, names in differences["findings"].items() if names]
    changed = [differences["settings"], differences["labels"], *differences["findings"].values()]
    changed += [images[key] for key in ("in", "out", "content", "split", "details")]
    if not any(changed):
        lines.append("nothing changed")
    return lines


def record_of(version: StoredVersion) -> dict[str, Any]:
    """What ``--json`` tells of a version."""
    values = {name: getattr(version, name) for name in StoredVersion.__dataclass_fields__}
    return {**values, "folder": str(version.folder)}


def plain_table(*columns: str) -> Table:
    """A table without lines; numbers stand to the right."""
    table = Table(box=None, pad_edge=False)
    for name in columns:
        is_number = name in {"px", "images", "patients", "MiB", *SPLITS}
        table.add_column(name, justify="right" if is_number else "left", overflow="fold")
    return table
