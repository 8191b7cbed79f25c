"""Airflow's REST API, as far as the platform needs it: start a run, watch its tasks, answer a question."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from cxr_tasks.contracts.errors import ServiceUnavailable
from cxr_tasks.installation.logins import airflow_login
from cxr_tasks.installation.settings import StackSettings, require_up
from cxr_tasks.worklist.airflow_calls import AirflowCalls, Refused
from cxr_tasks.worklist.airflow_facts import AssetEvent, RunFacts


@dataclass(frozen=True, slots=True)
class TaskRun:
    """One task of one DAG run as the API shows it."""

    dag_id: str
    run_id: str
    task_id: str
    state: str
    """``none`` while nothing has happened yet."""
    try_number: int
    seconds: float | None
    """Run time of the last try; None before it started."""
    map_index: int = -1
    """Which instance of a mapped task; -1 where the task is not mapped, or not yet."""
    n_done: int = 0
    n_mapped: int = 1
    """How many instances there are, and how many have ended well."""


@dataclass(frozen=True, slots=True)
class DagRun:
    dag_id: str
    run_id: str
    state: str


class AirflowApi:
    """A session with the API server of the running stack, logged in with the generated login."""

    def __init__(self, settings: StackSettings, user: str = "admin"):
        require_up(settings)
        self.page = settings.airflow_page
        self.calls = AirflowCalls(settings.airflow_url, airflow_login(settings.secrets, user))

    def trigger(self, dag_id: str, conf: dict[str, Any], run_id: str = "", note: str = "") -> DagRun:
        """Start a run of ``dag_id``, once: a call that is made again with the same ``run_id`` finds the run it made.

        Args:
            run_id: Of the run; without it one is made up, which no other call makes up.
            note: Shown on the run.

        Raises:
            Refused: Airflow refuses ``conf``, with its reason, or knows a run with this id and another ``conf``.
        """
        run_id = run_id or f"cxr__{datetime.now(UTC):%Y%m%dT%H%M%S}_{secrets.token_hex(4)}"
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf, "note": note or None}
        try:
            answer = self.calls.call("POST", f"/dags/{dag_id}/dagRuns", repeatable=True, json=body)
        except Refused as error:
            if error.status != 409:
                raise
            # The answer to an earlier call was lost.
            answer = self.calls.call("GET", _run(dag_id, run_id))
            if answer["conf"] != conf:
                raise
        return DagRun(dag_id, answer["dag_run_id"], answer["state"])

    def wait_for_dags(self, dag_ids: tuple[str, ...], limit_s: float) -> None:
        """Until Airflow has parsed all of ``dag_ids``; ``ServiceUnavailable`` names those it has not in time."""
        end = time.monotonic() + limit_s
        while True:
            known = {dag["dag_id"] for dag in self.calls.call("GET", "/dags?limit=100")["dags"]}
            missing = [name for name in dag_ids if name not in known]
            if not missing:
                return
            if time.monotonic() > end:
                broken = self.calls.call("GET", "/importErrors")["import_errors"]
                detail = "; ".join(f"{file['filename']}: {file['stack_trace'].splitlines()[-1]}" for file in broken)
                raise ServiceUnavailable(
                    f"Airflow at {self.page}: expected the DAGs {', '.join(missing)}, found none in {limit_s:.0f} s. "
                    f"{detail or 'No DAG file has an import error.'}"
                )
            time.sleep(1)

    def run(self, dag_id: str, run_id: str) -> DagRun:
        answer = self.calls.call("GET", _run(dag_id, run_id))
        return DagRun(dag_id, run_id, answer["state"])

    def runs_changed_since(self, moment: datetime) -> list[RunFacts]:
        """The runs of all DAGs that have begun, gone on or ended since ``moment``, as the API tells of them."""
        return self.calls.pages(f"/dags/~/dagRuns?updated_at_gte={quote(moment.isoformat())}&order_by=id", "dag_runs")

    def run_facts(self, dag_id: str, run_id: str) -> RunFacts | None:
        """All that the API tells of a run; None where there is none."""
        return self.calls.call("GET", _run(dag_id, run_id), missing_is_none=True)

    def note(self, dag_id: str, run_id: str, text: str) -> None:
        """Put a note on a run, in place of the one that it has."""
        self.calls.call("PATCH", f"{_run(dag_id, run_id)}?update_mask=note", json={"note": text[:1000]})

    def asset_events_since(self, moment: datetime) -> list[AssetEvent]:
        """The events of all Assets from ``moment`` on, oldest first, as the API tells of them."""
        asked = f"timestamp_gte={quote(moment.isoformat())}&order_by=timestamp"
        return self.calls.pages(f"/assets/events?{asked}", "asset_events")

    def ensure_pool(self, name: str, n_slots: int, description: str) -> None:
        """Make a pool, or give it as many slots as it shall have."""
        wanted = {"slots": n_slots, "description": description, "include_deferred": False}
        present = self.calls.call("GET", f"/pools/{name}", missing_is_none=True)
        if present is None:
            self.calls.call("POST", "/pools", json={"name": name, **wanted})
        elif any(present[key] != value for key, value in wanted.items()):
            mask = "&".join(f"update_mask={key}" for key in wanted)
            self.calls.call("PATCH", f"/pools/{name}?{mask}", json=wanted)

    def tasks(self, run: DagRun) -> list[TaskRun]:
        """The tasks of a run, in no promised order."""
        answer = self.calls.call("GET", f"{_run(run.dag_id, run.run_id)}/taskInstances?limit=1000")
        return [_task(run.dag_id, instance) for instance in answer["task_instances"]]

    def pid_of(self, task: TaskRun) -> int | None:
        """Process id of a running task, on the machine that runs it."""
        return self.calls.call("GET", _instance(task))["pid"]

    def answer(self, question: TaskRun, choice: str, inputs: dict[str, str]) -> None:
        """Answer a task that waits for a person; ``ServiceUnavailable`` where this login may not."""
        place = f"{_unmapped(question)}/{question.map_index}"
        self.calls.call("PATCH", f"{place}/hitlDetails", json={"chosen_options": [choice], "params_input": inputs})

    def question(self, question: TaskRun) -> dict[str, Any]:
        """What Airflow itself keeps of a task that asks a person: the question, and who answered with which login."""
        return self.calls.call("GET", f"{_unmapped(question)}/{question.map_index}/hitlDetails")

    def waiting(self, dag_id: str) -> list[TaskRun]:
        """The tasks of ``dag_id``, of all its runs, that wait for a person now; at most 1000."""
        answer = self.calls.call("GET", f"/dags/{dag_id}/dagRuns/~/taskInstances?state=awaiting_input&limit=1000")
        return [_task(dag_id, instance) for instance in answer["task_instances"]]

    def end_question(self, question: TaskRun, because: str) -> None:
        """End a task that waits for a person, without an answer; what follows it goes on. The reason is its note."""
        body = {"new_state": "skipped", "note": because[:1000]}
        self.calls.call("PATCH", f"{_unmapped(question)}/{question.map_index}", json=body)

    def xcom(self, task: TaskRun, key: str = "return_value") -> Any:
        """What a task handed on; None where it handed on nothing."""
        path = f"{_unmapped(task)}/xcomEntries/{key}?deserialize=false&stringify=false&map_index={task.map_index}"
        answer = self.calls.call("GET", path, missing_is_none=True)
        return None if answer is None else answer["value"]

    def error_of(self, task: TaskRun) -> str:
        """The last error in a task's log, as ``Class: message``; a hint where the log holds none."""
        path = f"{_unmapped(task)}/logs/{task.try_number}?map_index={task.map_index}"
        answer = self.calls.call("GET", path, headers={"Accept": "application/json"}, missing_is_none=True)
        lines = [line for line in (answer or {}).get("content", []) if isinstance(line, dict)]
        for line in reversed(lines):
            for detail in reversed(line.get("error_detail") or []):
                return f"{detail['exc_type']}: {detail['exc_value']}"
        for line in reversed(lines):
            if line.get("level") in {"error", "critical"}:
                return str(line.get("event"))
        return "the log names no error; the process may have been killed"


def _task(dag_id: str, instance: dict[str, Any]) -> TaskRun:
    return TaskRun(
        dag_id,
        instance["dag_run_id"],
        instance["task_id"],
        instance["state"] or "none",
        instance["try_number"] or 0,
        instance["duration"],
        instance["map_index"],
    )


def _run(dag_id: str, run_id: str) -> str:
    return f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


def _instance(task: TaskRun) -> str:
    return _unmapped(task) if task.map_index < 0 else f"{_unmapped(task)}/{task.map_index}"


def _unmapped(task: TaskRun) -> str:
    return f"/dags/{task.dag_id}/dagRuns/{quote(task.run_id, safe='')}/taskInstances/{task.task_id}"
