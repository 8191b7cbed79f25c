from __future__ import annotations

import pytest

from cxr_tasks.cli import follow as follow_module
from cxr_tasks.cli.airflow_api import DagRun, TaskRun
from cxr_tasks.cli.follow import TaskFailed, chain_of, combined, follow
from cxr_tasks.contracts.errors import ServiceUnavailable

CHAIN = chain_of("cxr_binary")


class ScriptedAirflow:
    """Answers as Airflow would after each poll: every run ends at its second poll, as ``states`` says."""

    def __init__(self, states: dict[str, dict[str, str]], *, starts_next: bool = True):
        self.states = states
        self.starts_next = starts_next
        self.polls: dict[str, int] = {}

    def run(self, dag_id, run_id):
        self.polls[dag_id] = self.polls.get(dag_id, 0) + 1
        if self.polls[dag_id] < 2:
            return DagRun(dag_id, run_id, "running")
        failed = "failed" in self.states.get(dag_id, {}).values()
        return DagRun(dag_id, run_id, "failed" if failed else "success")

    def tasks(self, run):
        changed = self.states.get(run.dag_id, {})
        return [
            TaskRun(run.dag_id, run.run_id, name, changed.get(name, "success"), 1, 2.0) for name in CHAIN[run.dag_id]
        ]

    def runs_started_by(self, run):
        names = list(CHAIN)
        following = names[names.index(run.dag_id) + 1]
        return [DagRun(following, f"after_{run.run_id}", "queued")] if self.starts_next else []

    def error_of(self, task):
        return "DataDefect: no such folder"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(follow_module, "POLL_S", 0)
    monkeypatch.setattr(follow_module, "NEXT_RUN_LIMIT_S", 0.05)


FIRST = DagRun("cxr_dataset_binary", "manual__1", "queued")


def test_the_whole_chain_is_followed():
    shown = []
    progress = follow(ScriptedAirflow({}), FIRST, CHAIN, shown.append)
    assert list(progress.runs) == list(CHAIN)
    assert not progress.refused
    assert progress.seconds_per_stage()["cxr_release.publish"] == 2.0
    assert len(shown) >= 2 * len(CHAIN)


def test_a_refused_model_ends_the_chain_without_error():
    refused = {"cxr_train_binary": {"register": "skipped", "promote": "skipped"}}
    progress = follow(ScriptedAirflow(refused), FIRST, CHAIN, lambda progress: None)
    assert progress.refused
    assert "cxr_release" not in progress.runs


def test_a_failed_task_is_named_with_error_and_log(cxr_home):
    with pytest.raises(TaskFailed) as caught:
        follow(ScriptedAirflow({"cxr_dataset_binary": {"validate": "failed"}}), FIRST, CHAIN, lambda progress: None)
    text = str(caught.value)
    assert "cxr_dataset_binary.validate failed at try 1: DataDefect: no such folder" in text
    assert f"{cxr_home}/airflow/logs/dag_id=cxr_dataset_binary/run_id=manual__1/task_id=validate/attempt=1.log" in text


def test_a_next_dag_that_never_starts_is_said():
    with pytest.raises(ServiceUnavailable, match="expected cxr_train_binary to start"):
        follow(ScriptedAirflow({}, starts_next=False), FIRST, CHAIN, lambda progress: None)


@pytest.mark.parametrize(
    ("states", "shown"),
    [
        (["success", "failed", "running"], "failed"),  # a failure is told at once
        (["success", "running", "queued"], "running"),
        (["success", "queued"], "queued"),  # not done before all are
        (["success", "success"], "success"),
    ],
)
def test_a_mapped_task_is_shown_as_one(states, shown):
    parts = [
        TaskRun("d", "r", "inspect", state, 1, float(place), map_index=place) for place, state in enumerate(states)
    ]
    (task,) = combined(parts)
    assert task.state == shown
    assert (task.n_done, task.n_mapped) == (states.count("success"), len(states))
    assert task.seconds == len(states) - 1


def test_the_log_of_a_mapped_task_is_that_of_its_instance(cxr_home):
    task = TaskRun("d", "r", "inspect", "failed", 2, 1.0, map_index=3)
    assert str(follow_module.log_path(task)).endswith("task_id=inspect/map_index=3/attempt=2.log")
