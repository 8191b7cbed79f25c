"""``cxr prune``: show what is old and needed by nothing; remove it with ``--yes``."""

from __future__ import annotations

import argparse
import json
import os

from cxr_tasks.contracts.shapes import plain
from cxr_tasks.installation.settings import StackSettings, client_environment, require_up
from cxr_tasks.installation.storage.space import shown


def add_prune_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="remove it; without this it is only shown")
    parser.add_argument(
        "--clock-is-right", action="store_true", help="remove also where a long pause may be a clock that is far ahead"
    )
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON, each thing by name")


def prune_command(options: argparse.Namespace) -> int:
    settings = StackSettings.load()
    require_up(settings)
    os.environ.update(client_environment(settings))
    from cxr_tasks.prune.stage import KEPT_DAYS, kept_days, prune

    outcome = prune(os.environ, do=options.yes, is_clock_right=options.clock_is_right)
    if options.json:
        print(json.dumps(plain(outcome), indent=2, ensure_ascii=False))
        return 1 if options.yes and outcome.doubt else 0
    days = kept_days(os.environ)
    for kind, (variable, _) in KEPT_DAYS.items():
        some = [removable for removable in outcome.found if removable.kind == kind]
        size = "" if kind == "mlflow runs" else f", {shown(sum(removable.n_bytes for removable in some))}"
        print(f"{kind}: {len(some)} older than {days[kind]} days ({variable}) and needed by nothing{size}")
    if outcome.n_kept_as_needed:
        print(f"{outcome.n_kept_as_needed} old runs stay: a version, report, dataset or open request needs them")
    if outcome.n_not_removed:
        print(
            f"{outcome.n_not_removed} of these stay: written to again since, or not to be removed (the log says which)"
        )
    if outcome.doubt:
        print(outcome.doubt)
        return 1 if options.yes else 0
    print("removed" if outcome.is_done else "nothing is removed yet; 'cxr prune --yes' removes it")
    return 0
