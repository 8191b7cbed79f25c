"""``cxr evaluate``: a registered model on a dataset that it was not trained on, over the findings that both know."""

from __future__ import annotations

import argparse
import json
import os

from rich.console import Console
from rich.table import Table

from cxr_tasks.cli.console import wide_console
from cxr_tasks.contracts.labels import display_name
from cxr_tasks.contracts.remarks import TITLES
from cxr_tasks.evaluate.elsewhere.outcome import DECIDED, PlainRecord, VersionOutcome
from cxr_tasks.evaluate.subgroups import FEW_POSITIVES
from cxr_tasks.installation.settings import StackSettings, client_environment


def add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="name in the registry")
    parser.add_argument("version", help="number or alias")
    parser.add_argument(
        "--on", required=True, metavar="DATASET[@FINGERPRINT]", help="a prepared dataset ('cxr datasets list')"
    )
    parser.add_argument("--split", default="test", help="test or validation (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def evaluate_command(options: argparse.Namespace) -> int:
    """Measure, print, and leave the numbers in a folder and on the MLflow run that the version came from."""
    from cxr_tasks.evaluate.elsewhere.stage import evaluate_version

    settings = StackSettings.load()
    if settings.record.is_file():
        os.environ.update(client_environment(settings))
    outcome = evaluate_version(options.model, options.version, on=options.on, split=options.split)
    if options.json:
        print(json.dumps(outcome, indent=2))
    else:
        print_evaluation(wide_console(), outcome)
    return 0


def print_evaluation(console: Console, outcome: VersionOutcome) -> None:
    """A table with n and interval for each shared finding, and what is not in it."""
    heading = f"{outcome['model']} version {outcome['version']}, trained on {outcome['trained_on']}"
    console.print(f"{heading}, on {outcome['dataset']} {outcome['fingerprint'][:16]}", style="bold", soft_wrap=True)
    console.print(
        f"{outcome['split']} split: {outcome['n_images']:,} images of {outcome['n_patients']:,} patients; "
        f"{outcome['confidence']:.0%} intervals; calibration and thresholds are the model's own",
        soft_wrap=True,
    )
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("finding")
    table.add_column("positive of n", justify="right")
    for name in ("AUROC", *DECIDED):
        table.add_column(name)
    for finding, measured in outcome["findings"].items():
        shares = [_with_interval(measured[name]) for name in DECIDED]
        counted = f"{measured['n_positive']:,} of {measured['n']:,}"
        table.add_row(display_name(finding), counted, _with_interval(measured["auroc"]), *shares)
    if len(outcome["findings"]) > 1:
        table.add_row("mean of those with an AUROC", "", _with_interval(outcome["mean_auroc"]))
    console.print(table)
    _print_datasets(console, outcome)
    for finding, measured in outcome["findings"].items():
        if measured["note"]:
            console.print(f"{display_name(finding)}: {measured['note']}", soft_wrap=True)
        if measured["n_unknown"]:
            console.print(
                f"{display_name(finding)}: {measured['n_unknown']:,} images whose label is not known are not counted",
                soft_wrap=True,
            )
    for remark in outcome["remarks"]:
        console.print(f"{TITLES[remark['name']]}: {remark['sentence']}", soft_wrap=True)
    for reason in outcome["left_out"].values():
        console.print(f"left out: {reason}", style="dim", soft_wrap=True)
    console.print(f"all numbers: {outcome['metrics']}, and on MLflow run {outcome['mlflow_run_id']}", soft_wrap=True)


def _print_datasets(console: Console, outcome: VersionOutcome) -> None:
    """Each finding on this dataset and on the model's own, and the one less the other."""
    split, own = outcome["split"], outcome["trained_on"]
    if not outcome["datasets"]:
        console.print(f"Numbers on {own} are not kept on the MLflow run: nothing to put beside.", soft_wrap=True)
        return
    console.print(f"beside the {split} split of {own}; gaps are {outcome['dataset']} less {own}", soft_wrap=True)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("finding", "dataset"):
        table.add_column(name)
    table.add_column("positive of n", justify="right")
    for name in ("AUROC", *DECIDED, "note"):
        table.add_column(name)
    shown = ("auroc", *DECIDED)
    for finding, rows in outcome["datasets"].items():
        for place, row in enumerate(rows):
            counted = f"{row['n_positive']:,} of {row['n']:,}"
            weak = f"fewer than {FEW_POSITIVES} positives" if row["is_weak"] else ""
            name = "" if place else display_name(finding)
            table.add_row(name, row["value"], counted, *(_bounds(row[metric]) for metric in shown), weak)
        gaps = [_bounds(rows[0][f"{metric}_gap"], sign="+") for metric in shown]
        table.add_row("", "gap", "", *gaps, "few positives" if rows[0]["is_gap_weak"] else "")
    console.print(table)


def _bounds(numbers: list[float] | None, sign: str = "") -> str:
    if numbers is None:
        return "-"
    value, lower, upper = (f"{number:{sign}.3f}" for number in numbers)
    return f"{value} ({lower} to {upper})"


def _with_interval(record: PlainRecord | None) -> str:
    if record is None or record["value"] is None:
        return "-"
    return f"{record['value']:.3f} ({record['lower']:.3f} to {record['upper']:.3f})"
