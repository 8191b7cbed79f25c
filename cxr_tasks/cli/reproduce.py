"""``cxr reproduce``: a registered version trained again from what is recorded of it, and the numbers compared."""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Sequence
from typing import Any

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.plain_text import without_controls
from cxr_tasks.contracts.text_table import text_table
from cxr_tasks.installation.settings import StackSettings, client_environment, require_up
from cxr_tasks.reproduce.comparison import Comparison

#: Rows of the table of differences; ``--json`` and the MLflow run have all.
MOST_SHOWN = 20

OUTCOMES = {
    "equal": "equal: every number is the same to the last bit",
    "close": "close: no AUROC differs by more than {tolerance:g}",
    "different": "different: an AUROC differs by more than {tolerance:g}, or other rows were scored",
}


def add_reproduce_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="name in the registry")
    parser.add_argument("version", type=int)
    parser.add_argument(
        "--tolerance", type=float, help="difference of an AUROC that still counts as the same model (default: 0.005)"
    )
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")


def reproduce_command(options: argparse.Namespace) -> int:
    """Exit code 1 where the outcome is ``different``."""
    from cxr_tasks.reproduce.stage import TOLERANCE, reproduce_version

    tolerance = TOLERANCE if options.tolerance is None else options.tolerance
    if not 0 <= tolerance < 1:
        raise ConfigurationError(f"--tolerance: expected a number from 0 to 1, found {tolerance}")
    settings = StackSettings.load()
    require_up(settings)
    # MLflow prints addresses of its runs to stdout, where the comparison goes.
    os.environ.update({**client_environment(settings), "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"})
    # Training takes its time; epochs and steps go to stderr as they come.
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("cxr_tasks").setLevel(logging.INFO)
    comparison = reproduce_version(options.model, options.version, tolerance=tolerance)
    print(json.dumps(comparison, indent=2) if options.json else without_controls(readable(comparison)))
    return 1 if comparison["outcome"] == "different" else 0


def readable(comparison: Comparison) -> str:
    """The comparison for a person: what was repeated, the verdict, what differs."""
    pairs: dict[str, Sequence[Any]] = {
        "test AUROC": comparison["test_auroc"],
        "best epoch": comparison["best_epoch"],
        "epochs": comparison["epochs_run"],
        **comparison["environment"],
    }
    lines = [
        f"{comparison['model_name']} version {comparison['version']}: recipe {comparison['recipe']}, dataset "
        f"{comparison['dataset']}@{comparison['fingerprint'][:16]}",
        text_table(["", "recorded", "now"], [[name, *map(_shown, pair)] for name, pair in pairs.items()]),
    ]
    deviations = comparison["differences"]
    if deviations:
        rows = [
            [
                deviation["name"],
                _shown(deviation["recorded"]),
                _shown(deviation["reproduced"]),
                _shown(deviation["size"]),
            ]
            for deviation in deviations
        ]
        lines.append(text_table(["number", "recorded", "now", "difference"], rows[:MOST_SHOWN]))
        if len(deviations) > MOST_SHOWN:
            lines.append(f"and {len(deviations) - MOST_SHOWN} more; --json shows all")
        lines.append(f"{len(deviations)} of {comparison['n_numbers']} numbers differ")
    if comparison["first_other_epoch"] is not None:
        lines.append(f"the first epoch that went otherwise is {comparison['first_other_epoch']}")
    if comparison["recorded_stopped_by"]:
        lines.append(f"the recorded training ended early: {comparison['recorded_stopped_by']}")
    lines.append(OUTCOMES[comparison["outcome"]].format(tolerance=comparison["tolerance"]))
    if comparison["folder"]:
        lines.append(f"its files stay in {comparison['folder']}")
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.6f}" if isinstance(value, float) else str(value)
