"""The runs of requests: those that came in otherwise, what each says of its request, and how it ended."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from cxr_tasks.contracts.plain_text import plain_markdown
from cxr_tasks.worklist.airflow_api import AirflowApi, DagRun
from cxr_tasks.worklist.airflow_facts import RunFacts
from cxr_tasks.worklist.request import Request, Wanted, kind_of, storable, version_number
from cxr_tasks.worklist.store import Worklist

logger = logging.getLogger(__name__)

#: Of a note, by which one of ours is told from a person's.
NOTE_BEGINS = "Request "
#: The list as a page of the Airflow UI.
PAGE = "/cxr/requests"
_ACTIVE = ("queued", "running")
_TERMINAL = ("success", "failed")
#: Airflow's word for how a run without a user began -> ours. Events started runs by themselves before there was a list.
_BEGUN_BY = {"asset_triggered": "by an event", "backfill": "by a backfill"}


def add_run(worklist: Worklist, facts: RunFacts) -> Request:
    """The request that a run does which came from a form, a shell or a clock."""
    dag_id, run_id, conf = facts["dag_id"], facts["dag_run_id"], dict(facts["conf"] or {})
    kind, model = kind_of(dag_id) or ("dataset", "")
    who = facts.get("triggering_user_name")
    wanted = Wanted(
        kind=kind,
        key=f"run {run_id} of {dag_id}",
        model=model or storable(str(conf.get("model") or "")),
        version=version_number(conf.get("version")),
        conf=conf,
        source=f"by hand: {who}" if who else _BEGUN_BY.get(str(facts.get("run_type")), "by the clock"),
    )
    return worklist.add_run(wanted, dag_id, run_id, datetime.now(UTC))


def _has_run_again(request: Request, facts: RunFacts) -> bool:
    """Whether the run of an ended request was cleared: it goes on, or has ended anew between two passes."""
    if facts["state"] in _ACTIVE:
        return True
    ended = facts.get("end_date")
    if not ended or request.ended_at is None:
        return False
    # An end that is still to come was written by a clock that was ahead; it would be news at every pass.
    return request.ended_at < datetime.fromisoformat(ended) <= datetime.now(UTC)


def follow_run(api: AirflowApi, worklist: Worklist, request: Request, facts: RunFacts) -> bool:
    """Whether this pass saw the request's end; one whose run was cleared and runs again is open again."""
    if request.is_ended and _has_run_again(request, facts):
        worklist.reopen(request.number, "its run was cleared and runs again")
        request = worklist.find(request.number) or request
    if facts["state"] not in _TERMINAL or request.is_ended:
        return False
    is_well = facts["state"] == "success"
    # Read anew: a task may have told of its result since.
    told = worklist.find(request.number) or request
    outcome = told.result or "done" if is_well else _failure(api, told)
    is_first = worklist.end(request.number, "done" if is_well else "failed", outcome)
    if is_first:
        logger.info("request %d: %s", request.number, outcome)
        if (facts.get("note") or NOTE_BEGINS).startswith(NOTE_BEGINS):
            api.note(request.dag_id, request.run_id, f"{note_of(request)}\n\nOutcome: {plain_markdown(outcome)}")
    return is_first


def _failure(api: AirflowApi, request: Request) -> str:
    """The failed tasks of a run by name, with the first one's error."""
    failed = [task for task in api.tasks(DagRun(request.dag_id, request.run_id, "failed")) if task.state == "failed"]
    if not failed:
        return request.result or "the run failed, but none of its tasks did"
    names = ", ".join(dict.fromkeys(task.task_id for task in failed))
    return f"{names} failed: {api.error_of(failed[0])}"[:2000]


def note_of(request: Request) -> str:
    """What a run says of its request in the UI, which takes a note for Markdown."""
    said = plain_markdown(f"{request.kind} of {request.subject}; {request.source}")
    return f"{NOTE_BEGINS}{request.number}: {said} ([all requests]({PAGE}#request-{request.number}))"
