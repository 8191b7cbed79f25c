"""``cxr evaluate``: a registered model on a dataset that it was not trained on, over the findings that both know."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from cxr_tasks.cli.console import wide_console
from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.handoffs import PreparedDataset
from cxr_tasks.contracts.labels import display_name, findings_of
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.contracts.remarks import TITLES
from cxr_tasks.datasets.catalogue import find_version
from cxr_tasks.datasets.latest import dataset_of
from cxr_tasks.datasets.trained_on import trained_on
from cxr_tasks.evaluate.stage import ARTIFACT_FOLDER as EVALUATION
from cxr_tasks.evaluate.subgroups import FEW_POSITIVES
from cxr_tasks.installation.settings import StackSettings, client_environment
from cxr_tasks.installation.storage.files import read_json
from cxr_tasks.installation.storage.paths import evaluations_root
from cxr_tasks.registry import tracking, version_files, versions
from cxr_tasks.registry.audit import trail

#: Where the numbers stand among the artifacts of the version's MLflow run.
ARTIFACT_FOLDER = "evaluation_elsewhere"
#: Shares that are shown of the served decision.
DECIDED = ("sensitivity", "specificity")


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
    from cxr_tasks.evaluate.assess import SPLITS
    from cxr_tasks.evaluate.elsewhere.measure import evaluate_elsewhere

    if options.split not in SPLITS:
        raise ConfigurationError(f"--split: expected {' or '.join(SPLITS)}, found {options.split!r}")
    stored = find_version(options.on)
    prepared = dataset_of(stored.name, stored.fingerprint)
    settings = StackSettings.load()
    if settings.record.is_file():
        os.environ.update(client_environment(settings))
    number = _version_number(options.model, options.version)
    folder = evaluations_root() / options.model / str(number) / f"{prepared.dataset}-{prepared.fingerprint[:16]}"
    with tempfile.TemporaryDirectory(prefix="cxr-evaluate-") as work:
        loaded = version_files.load_version(options.model, number, Path(work))
        recipe, own = _recipe_of(loaded.run_id, work), _own_metrics(loaded.run_id, work)
        metrics = evaluate_elsewhere(
            loaded.model_path, loaded.contract, recipe, prepared, folder, own=own,
            seen=trained_on(loaded, Path(work)), version=number, who=trail.who(),
            model_sha256=versions.version_tags(options.model, number).get("model.sha256", ""),
        )  # fmt: skip
    outcome = {
        "model": options.model,
        "version": number,
        "trained_on": loaded.contract.dataset,
        "dataset": prepared.dataset,
        "fingerprint": prepared.fingerprint,
        **shown_of(metrics, options.split, loaded.contract.findings, findings_of(prepared.vocabulary)),
        "seen_in_training": metrics["seen_in_training"],
        "metrics": str(folder / "metrics.json"),
        "mlflow_run_id": loaded.run_id,
    }
    _log_to_mlflow(outcome, prepared, folder)
    if options.json:
        print(json.dumps(outcome, indent=2))
    else:
        print_evaluation(wide_console(), outcome)
    return 0


def shown_of(
    metrics: dict[str, Any], split: str, of_model: tuple[str, ...], of_dataset: tuple[str, ...]
) -> dict[str, Any]:
    """What is told of ``metrics`` (as ``cross.evaluate_elsewhere`` makes them): counts, a record per shared finding and
    their mean, each finding's rows on both datasets, and every finding of model or dataset that is left out, with the
    reason."""
    shared = metrics["findings"]
    left_out = {
        **{one: f"{display_name(one)} is not labelled in the dataset" for one in of_model if one not in of_dataset},
        **{one: f"{display_name(one)} is not known to the model" for one in of_dataset if one not in of_model},
    }
    return {
        "split": split,
        **metrics["splits"][split],
        "confidence": metrics["confidence"],
        "findings": {one: _finding(metrics["by_finding"][one], split) for one in shared},
        "mean_auroc": next(one for one in metrics["mean"][split] if one["name"] == "auroc"),
        "datasets": metrics["datasets"].get(split, {}),
        "left_out": left_out,
        "remarks": metrics.get("remarks", []),
    }


def _finding(found: dict[str, Any], split: str) -> dict[str, Any]:
    (auroc,) = [one for one in found["metrics"][split] if one["name"] == "auroc"]
    points = [one[split]["metrics"] for one in found["operating_points"].values() if one["served"]]
    decided = {one["name"]: one for records in points for one in records}
    return {
        **found["counts"][split],
        "auroc": auroc,
        **{name: decided.get(name) for name in DECIDED},
        "note": auroc["reason"],
    }


def print_evaluation(console: Console, outcome: dict[str, Any]) -> None:
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
    for finding, one in outcome["findings"].items():
        shares = [_with_interval(one[name]) for name in DECIDED]
        counted = f"{one['n_positive']:,} of {one['n']:,}"
        table.add_row(display_name(finding), counted, _with_interval(one["auroc"]), *shares)
    if len(outcome["findings"]) > 1:
        table.add_row("mean of those with an AUROC", "", _with_interval(outcome["mean_auroc"]))
    console.print(table)
    _print_datasets(console, outcome)
    for finding, one in outcome["findings"].items():
        if one["note"]:
            console.print(f"{display_name(finding)}: {one['note']}", soft_wrap=True)
        if one["n_unknown"]:
            console.print(
                f"{display_name(finding)}: {one['n_unknown']:,} images whose label is not known are not counted",
                soft_wrap=True,
            )
    for one in outcome["remarks"]:
        console.print(f"{TITLES[one['name']]}: {one['sentence']}", soft_wrap=True)
    for reason in outcome["left_out"].values():
        console.print(f"left out: {reason}", style="dim", soft_wrap=True)
    console.print(f"all numbers: {outcome['metrics']}, and on MLflow run {outcome['mlflow_run_id']}", soft_wrap=True)


def _print_datasets(console: Console, outcome: dict[str, Any]) -> None:
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
            table.add_row(name, row["value"], counted, *(_bounds(row[one]) for one in shown), weak)
        gaps = [_bounds(rows[0][f"{one}_gap"], sign="+") for one in shown]
        table.add_row("", "gap", "", *gaps, "few positives" if rows[0]["is_gap_weak"] else "")
    console.print(table)


def _bounds(found: list[float] | None, sign: str = "") -> str:
    if found is None:
        return "-"
    value, lower, upper = (f"{one:{sign}.3f}" for one in found)
    return f"{value} ({lower} to {upper})"


def _with_interval(record: dict[str, Any] | None) -> str:
    if record is None or record["value"] is None:
        return "-"
    return f"{record['value']:.3f} ({record['lower']:.3f} to {record['upper']:.3f})"


def _version_number(model: str, text: str) -> int:
    """A version by its number or by an alias such as ``champion``."""
    if text.isdecimal():
        return int(text)
    found = versions.version_with_alias(model, text)
    if found is None:
        raise versions.NoSuchVersion(
            f"{model}: expected a version number or an alias, found {text!r}; 'cxr models' lists what there is"
        )
    return int(found.version)


def _recipe_of(run_id: str, folder: str) -> Recipe:
    """The recipe that a run trained by, as it stood then."""
    with tracking.outside_failures("MLflow"):
        file = Path(tracking.client().download_artifacts(run_id, "recipe.yaml", folder))
    return Recipe.from_dict(yaml.safe_load(file.read_text(encoding="utf-8")), "recipe.yaml")


def _own_metrics(run_id: str, folder: str) -> dict[str, Any] | None:
    """The version's numbers on the dataset it was trained on; None where its run holds none."""
    path = f"{EVALUATION}/metrics.json"
    with tracking.outside_failures("MLflow"):
        if not any(one.path == path for one in tracking.client().list_artifacts(run_id, EVALUATION)):
            return None
        return dict(read_json(Path(tracking.client().download_artifacts(run_id, path, folder))))


def _log_to_mlflow(outcome: dict[str, Any], prepared: PreparedDataset, folder: Path) -> None:
    """AUROCs as metrics ``on_<dataset>_<fingerprint>/...``, all numbers as a file. The run's status stays as it is."""
    group = f"on_{prepared.dataset}_{prepared.fingerprint[:8]}"
    records = {"mean_auroc": outcome["mean_auroc"]}
    records |= {f"auroc_{finding}": one["auroc"] for finding, one in outcome["findings"].items()}
    values = {
        f"{group}/{outcome['split']}_{name}{ending}": record[key]
        for name, record in records.items()
        for ending, key in (("", "value"), ("_lower", "lower"), ("_upper", "upper"))
        if record[key] is not None
    }
    run = tracking.RunLog(tracking.client(), outcome["mlflow_run_id"])
    with tracking.outside_failures("MLflow"):
        run.metrics(values)
        # The predictions table stays out: its image ids can hold a source's patient numbers.
        run.artifact(folder / "metrics.json", f"{ARTIFACT_FOLDER}/{folder.name}")
