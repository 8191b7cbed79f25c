"""Work off the list: take in the Asset events, start a run for each request, and note what came of each run.

Everything may be done again, by another process too: an event is taken in once by its name, a run is started once by
its id, and a request ends once. What a pass that was killed left undone is done by the next one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.installation.notices import send
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.installation.storage.locks import file_lock
from cxr_tasks.worklist.airflow_api import AirflowApi
from cxr_tasks.worklist.airflow_calls import AirflowFailed, Refused
from cxr_tasks.worklist.airflow_facts import AssetEvent
from cxr_tasks.worklist.events import event_name, not_understood, wanted_by
from cxr_tasks.worklist.request import Request, kind_of, storable
from cxr_tasks.worklist.runs import PAGE, add_run, follow_run, note_of
from cxr_tasks.worklist.store import Worklist, worklist_path

logger = logging.getLogger(__name__)

BEGUN, EVENTS, RUNS = "begun", "events", "runs"
#: So much before the newest event that was seen is looked at again: an event has the time at which its transaction
#: began, and is seen when that has ended.
OVERLAP = timedelta(minutes=5)
#: The same for a thorough pass, which also finds events that a clock set back has put before others.
THOROUGH_OVERLAP = timedelta(days=1)
RUN_OVERLAP = timedelta(seconds=30)
#: A start over which Airflow itself fails is tried again for so long.
START_LIMIT = timedelta(hours=1)
#: Of an outcome; whoever sent an event may have sent any amount.
MOST_SAID = 2000
PASS_WAIT_S = 120.0


@dataclass(slots=True)
class Pass:
    """What one pass over the list did."""

    n_taken_in: int = 0
    n_started: int = 0
    n_ended: int = 0


def begin(worklist: Worklist) -> None:
    """Note from when on events and runs are this list's business, where that is not noted yet."""
    for name in (BEGUN, EVENTS, RUNS):
        worklist.mark(name, datetime.now(UTC))


def work_off(api: AirflowApi, worklist: Worklist, *, thorough: bool = False) -> Pass:
    """One pass over the list.

    Args:
        thorough: Look at a day's events again, and at each open request's run: what a quick pass cannot have seen.

    Raises:
        ServiceUnavailable: Airflow does not answer, or the list cannot be read. The next pass goes on.
    """
    done = Pass()
    with file_lock(
        worklist_path().with_name(".lock"), what="the list of requests", purpose="a pass", wait_s=PASS_WAIT_S
    ):
        begin(worklist)
        _take_in_events(api, worklist, done, THOROUGH_OVERLAP if thorough else OVERLAP)
        _start_waiting(api, worklist, done)
        _follow_runs(api, worklist, done)
        if thorough:
            _look_at_open(api, worklist, done)
    return done


def _take_in_events(api: AirflowApi, worklist: Worklist, done: Pass, overlap: timedelta) -> None:
    asked_at = datetime.now(UTC)
    newest, first = _mark(worklist, EVENTS, asked_at), _mark(worklist, BEGUN, asked_at)
    events = api.asset_events_since(max(first, newest - overlap))
    unseen = worklist.unseen(event_name(event) for event in events)
    for event in events:
        if event_name(event) in unseen:
            done.n_taken_in += _take_in(worklist, event)
        newest = max(newest, min(asked_at, datetime.fromisoformat(event["timestamp"])))
    worklist.move_mark(EVENTS, newest)


def _mark(worklist: Worklist, name: str, now: datetime) -> datetime:
    """The moment kept under ``name``, never one that is still to come.

    Such a one was kept while the clock was ahead; all that comes from now on would lie before it, and never be seen.
    """
    kept = worklist.mark(name, now)
    if kept <= now:
        return kept
    logger.warning("the clock was set back: %s was looked at up to %s, now it is %s", name, kept, now)
    worklist.move_mark(name, now - OVERLAP)
    return now - OVERLAP


def _take_in(worklist: Worklist, event: AssetEvent) -> bool:
    """Whether an event made a new request."""
    try:
        wanted = wanted_by(event)
    except (ConfigurationError, ValueError) as error:
        # What others send may be anything; the events after it must not wait for it.
        request, is_new = worklist.add(not_understood(event), event=event_name(event))
        _end_unrun(worklist, request, error)
        return is_new
    if wanted is None:
        return False
    request, is_new = worklist.add(
        replace(wanted, parent=_parent(worklist, event)),
        event=event_name(event),
        # One start of a release is enough, however long it takes.
        unless_open=wanted.kind == "release",
    )
    if is_new:
        logger.info("request %d: %s of %s, by %s", request.number, request.kind, request.subject, request.source)
    return is_new


def _parent(worklist: Worklist, event: AssetEvent) -> int | None:
    if not event.get("source_run_id"):
        return None
    request = worklist.of_run(str(event["source_dag_id"]), str(event["source_run_id"]))
    return None if request is None else request.number


def _start_waiting(api: AirflowApi, worklist: Worklist, done: Pass) -> None:
    for request in worklist.in_state("waiting"):
        try:
            api.trigger(request.dag_id, conf_of(request), request.run_id, note_of(request))
        except Refused as error:
            if error.status == 404 or "import errors" in str(error):
                logger.warning("request %d waits: %s", request.number, error)
                continue
            done.n_ended += _end_unrun(worklist, request, error)
            continue
        except AirflowFailed as error:
            # It answers, so it may start the others.
            logger.warning("request %d waits: %s", request.number, error)
            if error.status >= 500 and datetime.now(UTC) - request.came_at > START_LIMIT:
                done.n_ended += _end_unrun(worklist, request, error)
            continue
        worklist.start(request.number)
        done.n_started += 1


def _end_unrun(worklist: Worklist, request: Request, error: Exception) -> bool:
    """End a request for which there is no run that could fail; whether that is news, which is told then.

    What was sent, and so the reason, may hold anything; it stands in the list only.
    """
    is_news = worklist.end(request.number, "failed", storable(f"nothing was run: {error}")[:MOST_SAID])
    if is_news:
        about = f" of {request.model}" if request.model else ""
        page = f"{StackSettings.load().airflow_page}{PAGE}#request-{request.number}"
        title = f"Chest X-rays: request {request.number} ({request.kind}{about}) is not run"
        send(title, f"{title}. Why stands in 'cxr runs', and at {page}")
    return is_news


def conf_of(request: Request) -> dict[str, Any]:
    """What the run of a request is given: the fields of its form, and its number."""
    return {**request.conf, "request": request.number}


def _follow_runs(api: AirflowApi, worklist: Worklist, done: Pass) -> None:
    """The state of runs that have gone on since the last pass; those that a person or a clock started come in."""
    asked_at = datetime.now(UTC)
    since, begun = _mark(worklist, RUNS, asked_at), _mark(worklist, BEGUN, asked_at)
    for facts in api.runs_changed_since(max(begun, since - RUN_OVERLAP)):
        if kind_of(facts["dag_id"]) is not None:
            request = worklist.of_run(facts["dag_id"], facts["dag_run_id"]) or add_run(worklist, facts)
            done.n_ended += follow_run(api, worklist, request, facts)
    worklist.move_mark(RUNS, asked_at)


def _look_at_open(api: AirflowApi, worklist: Worklist, done: Pass) -> None:
    for request in worklist.in_state("started"):
        facts = api.run_facts(request.dag_id, request.run_id)
        if facts is not None:
            done.n_ended += follow_run(api, worklist, request, facts)
        elif worklist.end(request.number, "failed", "its run was deleted in Airflow before it had ended"):
            done.n_ended += 1
