"""How long the tasks and runs of a DAG may take, and who hears when one fails."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import dag_lineage
from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference
from dag_defaults import DEFAULT_ARGS

from cxr_tasks.stack.deadlines import deadline_of, tell_of_missed
from cxr_tasks.stack.pools import QUEUES
from cxr_tasks.stack.time_limits import LIMITS, run_limit, task_limit

#: What the library code of a task gets to end by itself before its process is ended.
_GRACE_S = 60.0
_STDERR = 2


def rules(kind: str, *, pool: str, tasks: str = "", waits: timedelta = timedelta(0)) -> dict[str, Any]:
    """Arguments of ``@dag`` for work of ``kind``: time limits, pool, retries, and the message when a run fails.

    Args:
        kind: One of ``LIMITS``, by which a run is limited.
        pool: Whose slots its tasks take, so that what is long never holds up what is urgent.
        tasks: The kind of a task that names none of its own; as the run where empty.
        waits: How long a run may wait for a person besides.
    """
    return {
        "default_args": {
            **DEFAULT_ARGS,
            "pool": pool,
            "queue": QUEUES[pool],
            "execution_timeout": task_limit(os.environ, tasks or kind),
            "pre_execute": begins,
            "post_execute": dag_lineage.ended,
            "on_failure_callback": dag_lineage.failed,
            "on_retry_callback": dag_lineage.failed,
        },
        "dagrun_timeout": run_limit(os.environ, kind) + waits,
        "deadline": _deadline(deadline_of(os.environ, run_limit(os.environ, kind)) + waits),
        "on_failure_callback": tell_of_failure,
    }


def _deadline(after: timedelta) -> DeadlineAlert:
    return DeadlineAlert(
        name="takes long",
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=after,
        callback=AsyncCallback(tell_of_missed, kwargs={"after": str(after)}),
    )


def limit(kind: str) -> dict[str, Any]:
    """Arguments of ``@task`` for a task of another kind than its DAG."""
    return {"execution_timeout": task_limit(os.environ, kind)}


def begins(context: Any) -> None:
    """What is done before each task."""
    watched(context)
    dag_lineage.began(context)


def watched(context: Any) -> None:
    """End the task's process some time after its limit, if it has not ended by then.

    Airflow raises an error in the task at its limit, which Python delivers between two of its own instructions: a
    task that hangs inside a library never sees it.
    """
    ti, allowed = context["ti"], context["task"].execution_timeout
    if allowed is None:
        return
    seconds = allowed.total_seconds()
    name = f"{ti.dag_id}.{_place(ti)}"

    def say() -> None:
        # What a task writes here stands in its log, whatever has become of Python's own logging.
        told = f"task {name} took longer than its limit of {allowed} ({_variables()}) and is ended"
        print(told, file=sys.stderr, flush=True)

    said = threading.Timer(seconds, say)
    said.daemon = True
    said.start()
    faulthandler.dump_traceback_later(seconds + _GRACE_S, exit=True, file=_STDERR)


def tell_of_failure(context: Any) -> None:
    """Tell the addresses of ``CXR_NOTIFY`` which run failed at which task; called by Airflow for each run that fails.

    Runs in the DAG processor, so nothing heavy is imported unless there is an address.
    """
    from cxr_tasks.installation.notices import send
    from cxr_tasks.installation.settings import StackSettings
    from cxr_tasks.installation.signals import count

    dag_id, run_id = context["dag"].dag_id, context["run_id"]
    count("dag_failed", dag_id)
    ti = context.get("ti")
    at = "" if ti is None else f" at task {_place(ti)}"
    reason = str(context.get("reason") or "")
    why = f"it took longer than {context['dag'].dagrun_timeout}" if reason == "timed_out" else reason.replace("_", " ")
    page = f"{StackSettings.load().airflow_page}/dags/{dag_id}/runs/{quote(run_id, safe='')}"
    send(f"Chest X-rays: {dag_id} failed{at}", f"Run {run_id} of {dag_id} failed{at}: {why}.\nIts log: {page}")


def tell_of_question(subject: str, limit: timedelta) -> None:
    """Tell the addresses of ``CXR_NOTIFY`` that a version waits for a person's answer."""
    from cxr_tasks.installation.notices import send
    from cxr_tasks.installation.settings import StackSettings

    hours = limit.total_seconds() / 3600
    where = f"under Required Actions of Airflow, {StackSettings.load().airflow_page}"
    send(f"Chest X-rays: {subject}", f"{subject}: an answer is waited for, at most {hours:g} hours, {where}")


def _place(ti: Any) -> str:
    """The task, and which of its parts where it runs several times side by side."""
    return ti.task_id if ti.map_index is None or ti.map_index < 0 else f"{ti.task_id} [{ti.map_index}]"


def _variables() -> str:
    return ", ".join(variable for variable, _ in LIMITS.values())
