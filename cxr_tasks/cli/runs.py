"""``cxr runs``: what was asked for, and what came of it."""

from __future__ import annotations

import argparse
import json
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from cxr_tasks.cli.console import wide_console
from cxr_tasks.cli.following.followed_run import CHAINS
from cxr_tasks.contracts.errors import ConfigurationError, nearest
from cxr_tasks.worklist.request import KINDS, STATES, Request
from cxr_tasks.worklist.store import Worklist

_COLOURS = {"waiting": "dim", "started": "cyan", "done": "green", "failed": "red"}


def add_runs_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="MODEL", help="only requests about this model")
    parser.add_argument("--kind", choices=KINDS, help="only requests of this kind")
    parser.add_argument("--state", choices=STATES, action="append", help="only requests in this state; may be repeated")
    parser.add_argument("--limit", type=int, default=50, help="at most so many, the newest (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def runs_command(options: argparse.Namespace) -> int:
    """The list, read where it is kept: also while the stack is down."""
    if options.model is not None and options.model not in CHAINS:
        raise ConfigurationError(
            f"--model {options.model}: not known{nearest(options.model, CHAINS)} (one of {', '.join(CHAINS)})"
        )
    if options.limit < 1:
        raise ConfigurationError(f"--limit {options.limit}: expected a number of at least 1, for example 50")
    worklist = Worklist()
    requests = worklist.listing(
        kind=options.kind, model=options.model, states=tuple(options.state or ()), limit=options.limit
    )
    if options.json:
        print(json.dumps([facts(request) for request in requests], indent=2))
        return 0
    if not requests:
        print("nothing was asked for yet; 'cxr trigger RECIPE' asks for a model")
        return 0
    wide_console().print(table_of(requests))
    return 0


def facts(request: Request) -> dict[str, Any]:
    """A request as plain JSON."""
    return {
        "number": request.number,
        "kind": request.kind,
        "model": request.model or None,
        "version": request.version,
        "identity": dict(request.identity),
        "state": request.state,
        "outcome": request.outcome or None,
        "result": request.result or None,
        "source": request.source,
        "led_to_by": request.parent,
        "came_at": _moment(request.came_at),
        "started_at": _moment(request.started_at),
        "ended_at": _moment(request.ended_at),
        "dag_id": request.dag_id,
        "run_id": request.run_id,
        "conf": dict(request.conf),
    }


def table_of(requests: list[Request]) -> Table:
    """A line for each request, the newest last."""
    table = Table(box=None, pad_edge=False)
    for name in ("", "came (UTC)", "what", "of", "led to by", "state", "outcome"):
        table.add_column(name, overflow="fold")
    for request in requests:
        table.add_row(
            str(request.number),
            request.came_at.strftime("%m-%d %H:%M:%S"),
            request.kind,
            request.subject,
            request.source if request.parent is None else str(request.parent),
            Text(request.state, _COLOURS[request.state]),
            request.outcome or request.result,
        )
    return table


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds")
