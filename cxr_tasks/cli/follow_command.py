"""``cxr follow``: take up again a run that goes on, from whichever of its DAGs, to its report."""

from __future__ import annotations

import argparse
import json
import re
from typing import Any
from urllib.parse import unquote

from cxr_tasks.cli.console import PlainConsole
from cxr_tasks.cli.following.approval import require_may_answer
from cxr_tasks.cli.following.followed_run import CHAINS, Progress
from cxr_tasks.cli.following.outcome import print_outcomes
from cxr_tasks.cli.going_on import says_what_goes_on
from cxr_tasks.cli.trigger import follow_to_the_end
from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.plain_text import without_controls
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.worklist.airflow_api import AirflowApi, DagRun
from cxr_tasks.worklist.request import Request
from cxr_tasks.worklist.store import Worklist

_PAGE = re.compile(r"/dags/(?P<dag>[^/]+)/runs/(?P<run>[^/?#]+)")


def add_follow_arguments(parser: argparse.ArgumentParser) -> None:
    # Not "run": under that name stands the command itself.
    parser.add_argument("named", metavar="RUN", help="number in 'cxr runs', run id, or address of the run in the UI")
    parser.add_argument("--approve", metavar="REASON", help="approve the version when asked, as 'cxr trigger' does")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def follow_command(options: argparse.Namespace) -> int:
    """Follow the chain that a run belongs to, from its beginning; what has ended already is shown as such."""
    settings = StackSettings.load()
    if options.approve is not None:
        require_may_answer(settings.approvers)
    worklist, api = Worklist(), AirflowApi(settings)
    path = path_to(worklist, request_named(worklist, options.named))
    progress = progress_of(path, options.approve)
    console = PlainConsole(stderr=options.json)
    with says_what_goes_on([progress], settings.airflow_page):
        (facts,) = follow_to_the_end(console, settings, api, [progress])
    if facts is None:
        told = [_told(request) for request in path_to(worklist, request_named(worklist, options.named))]
        print(json.dumps(told, indent=2) if options.json else without_controls("\n".join(map(_line, told))))
    elif options.json:
        print(json.dumps(facts, indent=2))
    else:
        print_outcomes(console, [facts])
    return 0


def request_named(worklist: Worklist, named: str) -> Request:
    """The request that a person names: by its number, its run's id, or the address of its run in the Airflow UI.

    Raises:
        ConfigurationError: There is none, or several.
    """
    if page := _PAGE.search(named):
        candidates = [worklist.of_run(unquote(page["dag"]), unquote(page["run"]))]
    elif named.isdecimal():
        candidates = [worklist.find(int(named))]
    else:
        candidates = list(worklist.of_run_id(named))
    requests = [request for request in candidates if request is not None]
    if len(requests) == 1:
        return requests[0]
    if requests:
        numbers = ", ".join(f"{request.number} ({request.dag_id})" for request in requests)
        raise ConfigurationError(f"{named}: runs of several DAGs have this id; name one by its number: {numbers}")
    raise ConfigurationError(
        f"{named}: expected the number, run id or address of a run, found no such one; 'cxr runs' shows them"
    )


def path_to(worklist: Worklist, request: Request) -> list[Request]:
    """The requests from the first that led to ``request`` up to itself."""
    path = [request]
    while (parent := path[0].parent) is not None and (before := worklist.find(parent)) is not None:
        path.insert(0, before)
    return path


def progress_of(path: list[Request], approve: str | None) -> Progress:
    """A chain at its beginning, to be followed along ``path`` and on from there."""
    first, request = path[0], path[-1]
    if request.model not in CHAINS:
        raise ConfigurationError(
            f"run {request.run_id}: expected a run about one model ({', '.join(CHAINS)}), found one about "
            f"{request.model or 'all'}; see it in the Airflow UI"
        )
    run = DagRun(first.dag_id, first.run_id, "queued")
    return Progress(
        model=request.model,
        runs={run.dag_id: run},
        approve=approve,
        champion=request.version if first.kind in ("release", "report") else None,
        path=frozenset(request.run_id for request in path),
    )


def _told(request: Request) -> dict[str, Any]:
    return {
        "number": request.number,
        "kind": request.kind,
        "model": request.model,
        "version": request.version,
        "state": request.state,
        "outcome": request.outcome or request.result,
    }


def _line(told: dict[str, Any]) -> str:
    return f"{told['kind']} of {told['model']}: {told['outcome'] or told['state']}"
