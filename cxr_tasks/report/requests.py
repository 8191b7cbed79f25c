"""The list of requests as one HTML page: what was asked for, what came of it, and the runs that did it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, get_args
from urllib.parse import quote

from cxr_tasks.registry.addresses import requests_page
from cxr_tasks.worklist.request import Request, State
from cxr_tasks.worklist.store import Worklist

#: So many are shown; `cxr runs --limit N` shows more.
SHOWN = 200
#: Which requests a page shows, as a part of its address.
Shown = Literal["all", "open", "done", "failed"]
_STATES: dict[Shown, tuple[State, ...]] = {
    "all": (),
    "open": ("waiting", "started"),
    "done": ("done",),
    "failed": ("failed",),
}
_BADGES: dict[State, str] = {"done": "PASS", "failed": "FAIL", "waiting": "NOT_APPLICABLE", "started": "NOT_APPLICABLE"}


def render_requests(worklist: Worklist, now: datetime, shown: Shown = "all") -> str:
    """The newest requests first, as HTML that runs no script, with all that others wrote escaped.

    Raises:
        ServiceUnavailable: The list cannot be read.
    """
    from cxr_tasks.report.pages import environment, stylesheet

    requests = worklist.listing(states=_STATES[shown], limit=SHOWN + 1)[::-1]
    template = environment().get_template("requests.html.j2")
    return template.render(
        css=stylesheet(),
        rows=_rows(requests[:SHOWN], now),
        has_more=len(requests) > SHOWN,
        n_shown=SHOWN,
        shown=shown,
        choices={choice: requests_page(choice) for choice in get_args(Shown)},
        now=f"{now:%Y-%m-%d %H:%M:%S}",
    )


def _rows(requests: Sequence[Request], now: datetime) -> list[dict[str, Any]]:
    numbers = {request.number for request in requests}
    return [
        {
            "number": request.number,
            "kind": request.kind,
            "subject": request.subject,
            "source": request.source,
            "parent": request.parent,
            "is_parent_shown": request.parent in numbers,
            "state": request.state,
            "badge": _BADGES[request.state],
            "outcome": request.outcome or request.result,
            "came_at": f"{request.came_at:%Y-%m-%d %H:%M:%S}",
            "age": age(now - request.came_at),
            # A request without a run was ended before one was started, or waits for Airflow to take it.
            "run": run_of(request) if request.started_at is not None else "",
        }
        for request in requests
    ]


def run_of(request: Request) -> str:
    """The page of a request's run in the Airflow UI, on that UI's own address."""
    return f"/dags/{quote(request.dag_id, safe='')}/runs/{quote(request.run_id, safe='')}"


def age(passed: timedelta) -> str:
    """How long ago, in one or two words.

    >>> [age(timedelta(seconds=seconds)) for seconds in (-2, 59, 60, 7300, 86400, 172800)]
    ['0 s', '59 s', '1 min', '2 h', '24 h', '2 days']
    """
    seconds = max(0, int(passed.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h" if seconds < 48 * 3600 else f"{seconds // 86400} days"
