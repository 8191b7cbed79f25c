"""``cxr models``: registered versions, their aliases, and which one is served."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from rich.table import Table

from cxr_tasks.cli.console import PlainConsole
from cxr_tasks.contracts.errors import ServiceUnavailable
from cxr_tasks.contracts.families import MODELS
from cxr_tasks.contracts.handoffs.judgement import marked_verdict
from cxr_tasks.installation.settings import StackSettings, client_environment, require_up
from cxr_tasks.registry.versions import model_versions
from serving.client.running import labelled_version, served_versions
from serving.served.agreement import Disagreement, disagreements
from serving.served.models_config import LABELS
from serving.served.state import ServingState, read_state

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


def add_models_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the list as JSON")


def models_command(options: argparse.Namespace) -> int:
    settings = StackSettings.load()
    require_up(settings)
    os.environ.update(client_environment(settings))
    problems = disagreements()
    try:
        registered = model_versions()
    except ServiceUnavailable as error:
        if not problems:  # nothing serves
            raise
        print(f"cxr: {error}", file=sys.stderr)
        return _show_served(options, problems)
    states = {name: read_state(name) for name in MODELS}
    rows = [_row(settings, version, states.get(version.name, ServingState())) for version in registered]
    known = {(version.name, int(version.version)) for version in registered}
    rows += [
        _lost_row(name, version)
        for name, state in states.items()
        for version in state.loaded
        if (name, version) not in known
    ]
    for row in rows:
        row["problems"] = [str(disagreement) for disagreement in problems if disagreement.model == row["model"]]
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    if not rows:
        print("no model is registered yet; 'cxr trigger RECIPE --wait' makes the first one")
        return 0
    _show(rows)
    for problem in problems:
        print(f"! {problem}")
    return 0


def _show_served(options: argparse.Namespace, problems: list[Disagreement]) -> int:
    """What serves, while the registry does not answer; exit code 1, as its versions are not listed."""
    rows = [_lost_row(name, loaded) | {"is_registered": None} for name in MODELS for loaded in read_state(name).loaded]
    for row in rows:
        row["problems"] = [str(disagreement) for disagreement in problems if disagreement.model == row["model"]]
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        _show(rows)
        for problem in problems:
            print(f"! {problem}")
    return 1


def _row(settings: StackSettings, registered: ModelVersion, state: ServingState) -> dict[str, Any]:
    """A version of the registry; it is served where its very run serves, not where its number does."""
    version = int(registered.version)
    is_same = state.content_of(version).is_of_run(str(registered.run_id or ""))
    return {
        "model": registered.name,
        "version": version,
        "aliases": list(registered.aliases),
        "test_auroc": registered.tags.get("test_auroc"),
        "test_auroc_lower": registered.tags.get("test_auroc_lower"),
        "test_auroc_upper": registered.tags.get("test_auroc_upper"),
        "gate_verdict": registered.tags.get("gate.verdict"),
        "gate_floor": json.loads(registered.tags.get("gate.floor") or "null"),
        "recipe": registered.tags.get("recipe.name"),
        "served": is_same and version in served_versions(settings, registered.name),
        "labels": [
            label for label in LABELS if is_same and labelled_version(settings, registered.name, label) == version
        ],
        "mlflow_run_id": str(registered.run_id or ""),
        "is_registered": True,
    }


def _lost_row(name: str, version: int) -> dict[str, Any]:
    """A version that serves, or is to, and that the registry does not have."""
    empty = (
        "test_auroc",
        "test_auroc_lower",
        "test_auroc_upper",
        "gate_verdict",
        "gate_floor",
        "recipe",
        "mlflow_run_id",
    )
    state = read_state(name)
    labels = [label for label, served in zip(LABELS, (state.stable, state.canary), strict=True) if served == version]
    row: dict[str, Any] = {"model": name, "version": version, "aliases": [], **dict.fromkeys(empty)}
    return {**row, "served": True, "labels": labels, "is_registered": False}


def _show(rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("model", "version", "aliases", "test AUROC (95 %)", "gate", "recipe", "served"):
        table.add_column(name)
    for row in rows:
        interval = f"{row['test_auroc']} ({row['test_auroc_lower']} to {row['test_auroc_upper']})"
        if not row["is_registered"]:
            interval = "not in the registry" if row["is_registered"] is False else "registry not asked"
        served = ", ".join(row["labels"]) or ("yes" if row["served"] else "")
        cells = (
            row["model"],
            str(row["version"]),
            ", ".join(row["aliases"]),
            interval,
            marked_verdict(str(row["gate_verdict"] or ""), row["gate_floor"]),
            row["recipe"],
        )
        table.add_row(*(str(cell or "") for cell in cells), served)
    PlainConsole().print(table)
