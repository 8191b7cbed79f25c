"""An Airflow that keeps the runs it is asked to start, for passes over the list without a stack."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cxr_tasks.contracts.errors import ServiceUnavailable
from cxr_tasks.worklist.airflow_api import DagRun, TaskRun
from cxr_tasks.worklist.airflow_calls import Refused


class ScriptedAirflow:
    """Keeps the runs it is asked to start, and tells of them and of ``events``."""

    def __init__(self):
        self.events, self.runs, self.notes, self.n_calls = [], {}, {}, 0
        self.refuses: Refused | None = None
        self.dies_after_trigger = False

    def asset_events_since(self, moment):
        return [one for one in self.events if datetime.fromisoformat(one["timestamp"]) >= moment]

    def trigger(self, dag_id, conf, run_id, note):
        self.n_calls += 1
        if self.refuses:
            raise self.refuses
        self.run(dag_id, run_id, "queued", conf=conf, note=note)
        if self.dies_after_trigger:
            raise ServiceUnavailable("the answer was lost")
        return DagRun(dag_id, run_id, "queued")

    def run(self, dag_id, run_id, state, **changed):
        facts = {"dag_id": dag_id, "dag_run_id": run_id, "conf": {}, "triggering_user_name": "admin", "note": None}
        self.runs[dag_id, run_id] = {**facts, **self.runs.get((dag_id, run_id), {}), "state": state, **changed}

    def runs_changed_since(self, moment):
        return list(self.runs.values())

    def run_facts(self, dag_id, run_id):
        return self.runs.get((dag_id, run_id))

    def note(self, dag_id, run_id, text):
        self.notes[run_id] = text

    def tasks(self, run):
        return [
            TaskRun(run.dag_id, run.run_id, name, state, 1, 1.0)
            for name, state in (("plan", "success"), ("train", "failed"))
        ]

    def error_of(self, task):
        return "DataDefect: no such folder"


def now(seconds: float = 0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
