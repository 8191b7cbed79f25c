from __future__ import annotations

import itertools
import time
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from cxr_tasks.cli.following import follow as follow_module
from cxr_tasks.cli.following.follow import TaskFailed, combined, follow, release_of
from cxr_tasks.cli.following.followed_run import CHAINS, triggered
from cxr_tasks.contracts.errors import ServiceUnavailable
from cxr_tasks.worklist.airflow_api import DagRun, TaskRun
from cxr_tasks.worklist.champions import ask_for_release
from cxr_tasks.worklist.request import KINDS, Wanted, kind_of
from cxr_tasks.worklist.runs import add_run
from cxr_tasks.worklist.store import Worklist

BINARY, MULTILABEL = CHAINS["cxr_binary"], CHAINS["cxr_multilabel"]


class ScriptedAirflow:
    """Answers as Airflow would after each poll: every run ends at its second poll, as ``states`` says."""

    page = "http://127.0.0.1:8080"

    def __init__(self, states: dict[str, dict[str, str]], *, starts_next: bool = True, rejected: int | None = None):
        self.states = states
        self.starts_next = starts_next
        self.rejected = rejected
        self.answers: list[tuple[int, str, dict[str, str]]] = []
        self.polls: dict[str, int] = {}

    def run(self, dag_id, run_id):
        self.polls[run_id] = self.polls.get(run_id, 0) + 1
        if self.polls[run_id] < 2:
            return DagRun(dag_id, run_id, "running")
        failed = "failed" in self.states.get(dag_id, {}).values()
        self._lead_on(DagRun(dag_id, run_id, "success"))
        return DagRun(dag_id, run_id, "failed" if failed else "success")

    def tasks(self, run):
        changed = self.states.get(run.dag_id, {})
        names = (BINARY | MULTILABEL)[run.dag_id]
        return [
            TaskRun(run.dag_id, run.run_id, name, self._state(run, name, changed), 1, 2.0, self._place(run, name))
            for name in names
        ]

    def _state(self, run, name, changed):
        is_waiting = (run.dag_id, name) == ("cxr_promote", "approve") and self.polls[run.run_id] < 2
        return "awaiting_input" if is_waiting else changed.get(name, "success")

    def _place(self, run, name):
        return 0 if run.dag_id == "cxr_promote" and name != "find" else -1

    def _lead_on(self, run):
        """What follows a run comes into the list, beside what another run of the same DAG led to."""
        kind, model = kind_of(run.dag_id)
        place = KINDS.index(kind) + 1
        if not self.starts_next or place == len(KINDS):
            return
        facts = {"dag_id": run.dag_id, "dag_run_id": run.run_id, "conf": {"model": model}}
        parent = Worklist().of_run(run.dag_id, run.run_id) or add_run(Worklist(), facts)
        model = parent.model
        for number, key in ((None, f"of another run {run.run_id}"), (parent.number, f"of {run.run_id}")):
            wanted = Wanted(kind=KINDS[place], key=key, model=model, version=3, parent=number)
            Worklist().start(Worklist().add(wanted)[0].number)

    def xcom(self, task):
        model = Worklist().of_run(task.dag_id, task.run_id).model
        if task.task_id == "find":
            return [{"model": model, "version": 3}]
        return None if self.rejected == task.map_index else {"version": 3}

    def answer(self, question, choice, inputs):
        self.answers.append((question.map_index, choice, inputs))

    def error_of(self, task):
        return "DataDefect: no such folder"


@pytest.fixture(autouse=True)
def quick(monkeypatch, cxr_home):
    monkeypatch.setattr(follow_module, "POLL_S", 0)
    monkeypatch.setattr(follow_module, "NEXT_RUN_LIMIT_S", 0.05)
    monkeypatch.setattr(follow_module, "ANSWER_AFTER_S", 0)


def followed(api, started, show=lambda followed: None):
    follow(api, Worklist(), started, show)


def binary():
    return triggered("cxr_binary", DagRun("cxr_dataset_binary", "manual__1", "queued"))


def multilabel():
    return triggered("cxr_multilabel", DagRun("cxr_dataset_multilabel", "manual__2", "queued"))


def test_the_whole_chain_is_followed():
    shown, progress = [], binary()
    followed(ScriptedAirflow({}), [progress], shown.append)
    assert list(progress.runs) == list(BINARY)
    assert not progress.refused
    assert progress.seconds_per_stage()["release.publish"] == 2.0
    assert progress.ended_after_s is not None
    assert len(shown) > len(BINARY)


def test_a_chain_may_be_taken_up_at_a_later_dag():
    progress = triggered("cxr_binary", DagRun("cxr_release", "manual__1", "queued"))
    followed(ScriptedAirflow({}), [progress])
    assert list(progress.runs) == ["cxr_release", "cxr_report"]


def test_a_person_is_waited_for_and_told_where_to_answer():
    airflow, progress, asked = ScriptedAirflow({}), binary(), []
    followed(airflow, [progress], lambda followed: asked.append(followed[0].question))
    question = progress.runs["cxr_promote"].run_id
    page = f"/dags/cxr_promote/runs/{question}/tasks/approve/mapped/0/required_actions"
    assert [one for one in asked if one] == [f"http://127.0.0.1:8080{page}"]
    assert (airflow.answers, progress.question, progress.champion) == ([], "", 3)
    release = Worklist().of_run("cxr_release", progress.runs["cxr_release"].run_id)
    # No other run of that DAG, of which there is one too.
    assert release.parent == Worklist().of_run("cxr_promote", question).number


def test_an_approval_that_was_given_beforehand_is_answered_once_for_its_own_model():
    airflow = ScriptedAirflow({})
    progress = triggered("cxr_multilabel", DagRun("cxr_dataset_multilabel", "manual__2", "queued"), "synthetic")
    followed(airflow, [progress])
    assert airflow.answers == [(0, "Approve", {"reason": "synthetic"})]
    assert progress.champion == 3


def test_a_question_is_answered_once_it_has_stood_and_again_when_it_is_asked_again(monkeypatch):
    class AsksAgain(ScriptedAirflow):
        """The question waits for four polls of its run; after two of them Airflow forgets it and asks again."""

        def tasks(self, run):
            n = self.polls[run.run_id]
            return [
                replace(one, state="awaiting_input", try_number=1 if n <= 2 else 2)
                if (one.dag_id, one.task_id) == ("cxr_promote", "approve") and n <= 4
                else one
                for one in super().tasks(run)
            ]

        def run(self, dag_id, run_id):
            found = super().run(dag_id, run_id)
            return replace(found, state="running") if dag_id == "cxr_promote" and self.polls[run_id] <= 4 else found

    clock = itertools.count()
    steps = {"monotonic": lambda: float(next(clock))}
    monkeypatch.setattr(follow_module, "time", SimpleNamespace(**{**vars(time), **steps}))
    monkeypatch.setattr(follow_module, "NEXT_RUN_LIMIT_S", 1000)
    for after_s, n_answers in ((0, 2), (1, 2), (1000, 0)):
        monkeypatch.setattr(follow_module, "ANSWER_AFTER_S", after_s)
        airflow = AsksAgain({})
        progress = triggered("cxr_binary", DagRun("cxr_dataset_binary", "manual__1", "queued"), "synthetic")
        followed(airflow, [progress])
        assert len(airflow.answers) == n_answers


def test_a_rejected_version_ends_the_chain_without_error():
    progress = binary()
    followed(ScriptedAirflow({}, rejected=0), [progress])
    assert progress.refused
    assert list(progress.runs)[-1] == "cxr_promote"


def test_a_release_alone_is_followed_to_its_end_and_no_further():
    airflow = ScriptedAirflow({})
    worklist = Worklist()
    request, _ = ask_for_release(worklist, "cxr_binary", 7)
    worklist.start(request.number)
    # One that was under way when the alias moved is that of the move.
    progress = release_of(worklist, "cxr_binary", 7, datetime.now(UTC))
    followed(airflow, [progress])
    assert list(progress.runs.values()) == [DagRun("cxr_release", request.run_id, "success")]
    worklist.end(request.number, "done", "version 7 serves")
    with pytest.raises(ServiceUnavailable, match="expected cxr_release to start"):
        release_of(worklist, "cxr_binary", 7, datetime.now(UTC))


def test_two_chains_are_followed_side_by_side():
    first, second, ended = binary(), multilabel(), []
    refused = {"cxr_train_binary": {"register": "skipped", "propose": "skipped"}}
    followed(
        ScriptedAirflow(refused),
        [first, second],
        lambda followed: ended.append([one.ended_after_s is not None for one in followed]),
    )
    assert (list(first.runs), list(second.runs)) == (list(BINARY)[:2], list(MULTILABEL))
    # The one that has ended waits for the other, and keeps its time.
    assert [True, False] in ended
    assert [False, True] not in ended
    assert first.ended_after_s < second.ended_after_s
    assert [one.label for one in first.stages()] == [one.label for one in second.stages()]


def test_a_refused_model_ends_the_chain_without_error():
    progress = binary()
    refused = {"cxr_train_binary": {"register": "skipped", "propose": "skipped"}}
    followed(ScriptedAirflow(refused), [progress])
    assert progress.refused
    assert "cxr_release" not in progress.runs


def test_a_failed_task_of_either_chain_is_named_with_error_and_log(cxr_home):
    airflow = ScriptedAirflow({"cxr_dataset_multilabel": {"validate": "failed"}})
    shown, second = [], multilabel()
    with pytest.raises(TaskFailed) as caught:
        followed(airflow, [binary(), second], lambda followed: shown.append(followed[1].tasks))
    text = str(caught.value)
    assert "cxr_dataset_multilabel.validate failed at try 1: DataDefect: no such folder" in text
    where = "dag_id=cxr_dataset_multilabel/run_id=manual__2/task_id=validate/attempt=1.log"
    assert f"{cxr_home}/airflow/logs/{where}" in text
    # The display shows it too.
    assert shown[-1]["cxr_dataset_multilabel", "validate"].state == "failed"


def test_an_airflow_that_does_not_answer_for_a_while_is_asked_again_and_that_is_said(monkeypatch):
    class Restarting(ScriptedAirflow):
        """Answers two calls, then refuses as many as ``away``, and so on."""

        n, away = 0, 5

        def run(self, dag_id, run_id):
            self.n += 1
            if self.n % (2 + self.away) >= 2:
                raise ServiceUnavailable("Airflow at 127.0.0.1: expected an answer, found ConnectionError")
            return super().run(dag_id, run_id)

    said, progress = [], binary()
    followed(Restarting({}), [progress], lambda shown: said.append(shown[0].outage))
    assert list(progress.runs) == list(BINARY)
    assert {one[:40] for one in said} == {"", "Airflow does not answer; the run goes on"}
    monkeypatch.setattr(follow_module, "OUTAGE_LIMIT_S", 0.05)
    for_ever = Restarting({})
    for_ever.away = 10**9
    with pytest.raises(ServiceUnavailable, match="no answer for 0 s: Airflow at"):
        followed(for_ever, [binary()])


def test_a_request_that_airflow_refused_ends_the_chain_with_its_reason():
    class Refuses(ScriptedAirflow):
        def _lead_on(self, run):
            worklist = Worklist()
            parent = add_run(worklist, {"dag_id": run.dag_id, "dag_run_id": run.run_id, "conf": {}})
            made, _ = worklist.add(Wanted(kind="training", key="k", model="cxr_binary", parent=parent.number))
            worklist.end(made.number, "failed", "nothing was run: Airflow refuses epochs -1")

    with pytest.raises(TaskFailed, match="training of cxr_binary: nothing was run: Airflow refuses epochs -1"):
        followed(Refuses({}), [binary()])


def test_a_next_dag_that_never_starts_is_said():
    with pytest.raises(ServiceUnavailable, match="expected cxr_train_binary to start"):
        followed(ScriptedAirflow({}, starts_next=False), [binary()])


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
