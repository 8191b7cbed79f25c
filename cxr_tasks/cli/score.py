"""``cxr score``: what a served version says of every image of a folder or table, as one table."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from cxr_tasks.cli.predict import NO_SERVER, NOT_ALL_ANSWERED, NOT_SERVED, require_named, version_or_label
from cxr_tasks.cli.predict_show import UNUSUAL, Progress
from cxr_tasks.contracts.errors import ConfigurationError, ServiceUnavailable
from cxr_tasks.contracts.handoffs.afterwards import ScoredBatch, ScorePlan
from cxr_tasks.contracts.labels import display_name
from cxr_tasks.contracts.plain_text import without_controls
from cxr_tasks.images.files_below import shown_path
from cxr_tasks.installation.settings import StackSettings
from serving.client import NotServed

EXIT_CODES = (
    f"exit codes: 0 every image has its answer; {NOT_ALL_ANSWERED} some have none, or nothing was scored;\n"
    f"2 wrong usage; {NO_SERVER} no server answers, or somebody else is at it;\n"
    f"{NOT_SERVED} it does not serve that model, version or label. "
    "The same command goes on with what was broken off."
)


def add_score_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", metavar="FOLDER|TABLE", help="a folder, or a table (.csv, .parquet) with a column 'file'"
    )
    parser.add_argument("--model", default="cxr_binary", help="served model (default: %(default)s)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--version", type=int, metavar="N", help="a version instead of a label")
    which.add_argument("--label", default="stable", help="stable or canary (default: %(default)s)")
    parser.add_argument(
        "--out", metavar="DIR", help="folder for the tables, new or unfinished (default: var/scores/...)"
    )
    parser.add_argument("--new", action="store_true", help="begin anew although an unfinished scoring could go on")
    parser.add_argument("--server", metavar="ADDRESS", help="another model server: host:port, or http://host:port")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    parser.epilog = "\n\n".join(filter(None, (parser.epilog, EXIT_CODES)))


def score_command(options: argparse.Namespace) -> int:
    """Score, or go on with it; where the tables are is printed at the end."""
    from cxr_tasks.score.stage import ScoreRequest, plan_scoring, score_all

    require_named(options, "out")
    if not options.source:
        raise ConfigurationError("expected a folder or table, found an empty name")
    request = ScoreRequest(
        source=Path(options.source).expanduser().absolute(),
        model=options.model,
        at=version_or_label(options),
        address=options.server or StackSettings.load().grpc_address,
        out=Path(options.out).expanduser().absolute() if options.out else None,
        is_new=options.new,
    )
    try:
        plan = plan_scoring(request)
        with Progress(is_shown=True, n_items=plan.n_images) as progress:
            batch = score_all(plan, progress.add)
    except KeyboardInterrupt:
        print("cxr: stopped; the same command goes on", file=sys.stderr)
        return 130
    except (NotServed, ServiceUnavailable) as error:
        print(without_controls(f"cxr: {error}"), file=sys.stderr)
        return NOT_SERVED if isinstance(error, NotServed) else NO_SERVER
    print(json.dumps(_as_json(plan, batch), indent=2) if options.json else _told(plan, batch))
    for problem in plan.problems:
        print(without_controls(f"cxr: {problem}"), file=sys.stderr)
    return NOT_ALL_ANSWERED if batch.n_refused or batch.problems else 0


def _as_json(plan: ScorePlan, batch: ScoredBatch) -> dict[str, object]:
    return {"source": shown_path(plan.source), "folder": plan.folder, **batch.to_payload()}


def _told(plan: ScorePlan, batch: ScoredBatch) -> str:
    positive = ", ".join(f"{display_name(finding)} {n}" for finding, n in batch.n_positive.items())
    lines = [
        f"{batch.model_name} version {batch.version}: {batch.n_answered} of {batch.n_images} images scored",
        f"positive: {positive}" if positive else "",
        f"without an answer: {batch.n_refused}, each with its reason in column 'error'" if batch.n_refused else "",
        f"{batch.n_unusual} {UNUSUAL} (column 'is_unusual')" if batch.n_unusual else "",
        batch.parquet.uri,
        batch.csv.uri,
        "Research use only; not a medical device.",
    ]
    return without_controls("\n".join(filter(None, lines)))
