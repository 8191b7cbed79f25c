"""``cxr feedback``: labels that came later, and what the version that serves is worth on them."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from cxr_tasks.cli.console import wide_console
from cxr_tasks.cli.following.followed_run import CHAINS
from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.families import MODELS
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.installation.settings import StackSettings, client_environment, require_up
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.worklist.airflow_api import AirflowApi

if TYPE_CHECKING:
    from cxr_tasks.feedback.stage import Feedback


def add_feedback_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", type=Path, nargs="?", metavar="FILE.csv",
        help="columns: pixel_hash, request_id or file; finding; label (positive, negative, uncertain; or 1, 0, -1); "
        "who; when; and, if known, patient (kept as a keyed hash). As a spreadsheet saves it: cells parted by commas, "
        "semicolons or tabs, UTF-8 or Unicode text, dates such as 29.11.2026 14:30. Without a file the labels so far "
        "are measured",
    )  # fmt: skip
    parser.add_argument("--model", default=MODELS[0], choices=MODELS, help=f"name in the registry ({MODELS[0]})")
    parser.add_argument("--version", type=int, help="instead of the champion")
    parser.add_argument(
        "--images", metavar="DIR",
        help="keep the labelled images out of this folder, for training and calibration; 'recorded': out of the "
        "requests that CXR_REQUEST_LOG recorded",
    )  # fmt: skip
    parser.add_argument(
        "--recalibrate", action="store_true",
        help="where a finding's calibration alone is off: propose the version calibrated anew, by way of the gate and "
        "a person",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def feedback_command(options: argparse.Namespace) -> int:
    settings = StackSettings.load()
    require_up(settings)
    os.environ.update(client_environment(settings))
    from datetime import UTC, datetime

    from cxr_tasks.feedback.stage import nothing_to_recalibrate, recalibration_of, take_feedback
    from cxr_tasks.registry import versions

    version = options.version
    if version is None:
        champion = versions.version_with_alias(options.model, versions.CHAMPION)
        if champion is None:
            raise ConfigurationError(f"{options.model} has no champion; name a version with --version")
        version = int(champion.version)
    registered = versions.registered_model(options.model, version)
    paths = RunPaths.for_run("feedback", f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}")
    feedback = take_feedback(registered, options.file, paths, options.images)
    run = None
    if options.recalibrate and feedback.calibration_only:
        run = AirflowApi(settings).trigger(next(iter(CHAINS[options.model])), recalibration_of(feedback))
    if options.json:
        told = plain(feedback) if run is None else {**plain(feedback), "dag_id": run.dag_id, "run_id": run.run_id}
        print(json.dumps(told, indent=2, ensure_ascii=False))
        return 0
    _print(feedback)
    if run is not None:
        print(f"version {version} is calibrated anew: {settings.airflow_page}/dags/{run.dag_id}/runs/{run.run_id}")
    elif options.recalibrate:
        print(nothing_to_recalibrate(feedback))
    elif feedback.calibration_only:
        print(f"'cxr feedback --model {options.model} --recalibrate' proposes the version with another calibration")
    return 0


def _print(feedback: Feedback) -> None:
    from cxr_tasks.feedback.stage import not_served_words, selection_words, table_of

    print(f"{feedback.model_name} version {feedback.version}: {feedback.n_new} new labels")
    rows = table_of(feedback)
    if rows:
        table = Table(box=None, pad_edge=False)
        for name in rows[0]:
            table.add_column(name)
        for row in rows:
            table.add_row(*row.values())
        wide_console().print(table)
    if words := not_served_words(feedback):
        print(words)
    for finding in feedback.findings:
        print(selection_words(finding))
        if finding.recalibrated:
            a, b = finding.recalibrated
            print(
                f"{finding.finding}: it ranks as promised and its probabilities are off; logits times {a:.3f} plus "
                f"{b:.3f} would mend them on these labels"
            )
