"""OpenLineage events of every task: one when it begins, one when it ends; never a reason for it to wait or to fail."""

from __future__ import annotations

import logging
import os
from typing import Any

log = logging.getLogger(__name__)


def began(context: Any) -> None:
    _tell("START", context)


def ended(context: Any, result: Any = None) -> None:
    _tell("COMPLETE", context, wrote=result)


def failed(context: Any) -> None:
    """Also of a try that is followed by another, which has a run of its own."""
    _tell("FAIL", context, error=type(context.get("exception") or Exception()).__name__)


def _tell(what: Any, context: Any, *, wrote: Any = None, error: str = "") -> None:
    try:
        from cxr_tasks.stack.lineage.outbox import is_on

        if not is_on(os.environ):
            return
        from cxr_tasks.stack.lineage.events import TaskOfRun, task_event
        from cxr_tasks.stack.lineage.outbox import tell

        ti, task = context["ti"], context["task"]
        place = TaskOfRun(ti.dag_id, ti.run_id, ti.task_id, ti.try_number, -1 if ti.map_index is None else ti.map_index)
        read = [getattr(task, "op_args", ()), getattr(task, "op_kwargs", {}), context.get("params")]
        tell(task_event(what, place, read=[_plain(payload) for payload in read], wrote=wrote, error=error))
    except Exception as problem:  # whatever it is, the task's own work counts
        log.warning("no lineage event %s was written: %s: %s", what, type(problem).__name__, problem)


def _plain(value: Any) -> Any:
    """Mappings and lists of Airflow's own kinds as Python's."""
    if hasattr(value, "items"):
        return {key: _plain(member) for key, member in value.items()}
    return [_plain(member) for member in value] if isinstance(value, list | tuple) else value
