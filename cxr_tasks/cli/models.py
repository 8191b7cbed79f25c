"""``cxr models``: registered versions, their aliases, and which one is served."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from rich.table import Table

from cxr_tasks.cli.console import PlainConsole
from cxr_tasks.registry.versions import model_versions
from cxr_tasks.stack.settings import StackSettings, client_environment, require_up
from serving.models_config import LABELS
from serving.rest_client import labelled_version, served_versions


def models_command(options: argparse.Namespace) -> int:
    settings = StackSettings.load()
    require_up(settings)
    os.environ.update(client_environment(settings))
    rows: list[dict[str, Any]] = [
        {
            "model": one.name,
            "version": int(one.version),
            "aliases": list(one.aliases),
            "test_auroc": one.tags.get("test_auroc"),
            "test_auroc_lower": one.tags.get("test_auroc_lower"),
            "test_auroc_upper": one.tags.get("test_auroc_upper"),
            "gate_verdict": one.tags.get("gate.verdict"),
            "recipe": one.tags.get("recipe.name"),
            "served": int(one.version) in served_versions(settings, one.name),
            "labels": [label for label in LABELS if labelled_version(settings, one.name, label) == int(one.version)],
        }
        for one in model_versions()
    ]
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    if not rows:
        print("no model is registered yet; 'cxr trigger RECIPE --wait' makes the first one")
        return 0
    table = Table(box=None, pad_edge=False)
    for name in ("model", "version", "aliases", "test AUROC (95 %)", "gate", "recipe", "served"):
        table.add_column(name)
    for row in rows:
        interval = f"{row['test_auroc']} ({row['test_auroc_lower']} to {row['test_auroc_upper']})"
        served = ", ".join(row["labels"]) or ("yes" if row["served"] else "")
        cells = (
            row["model"],
            str(row["version"]),
            ", ".join(row["aliases"]),
            interval,
            row["gate_verdict"],
            row["recipe"],
        )
        table.add_row(*(str(cell or "") for cell in cells), served)
    PlainConsole().print(table)
    return 0
