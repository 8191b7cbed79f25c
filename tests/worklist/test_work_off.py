"""Passes over the list against an Airflow that is scripted; ``test_race`` does the same with the real one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cxr_tasks.contracts.errors import ServiceUnavailable
from cxr_tasks.registry.addresses import requests_page
from cxr_tasks.report.requests import render_requests
from cxr_tasks.worklist import work_off as module
from cxr_tasks.worklist.airflow_api import DagRun, TaskRun
from cxr_tasks.worklist.airflow_calls import AirflowFailed, Refused
from cxr_tasks.worklist.champions import APPROVED, ask_for_release
from cxr_tasks.worklist.request import Wanted
from cxr_tasks.worklist.store import Worklist
from cxr_tasks.worklist.work_off import begin, work_off
from tests.worklist.test_events import event


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


@pytest.fixture
def worklist(cxr_home):
    made = Worklist()
    begin(made)
    return made


@pytest.fixture
def airflow():
    return ScriptedAirflow()


def now(seconds: float = 0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_every_event_has_a_run_and_an_outcome(airflow, worklist):
    airflow.events = [
        event(id=place, timestamp=now(), extra={"model": "cxr_binary", "version": place}) for place in range(1, 21)
    ]
    done = work_off(airflow, worklist)
    assert (done.n_taken_in, done.n_started) == (20, 20)
    assert [one["conf"]["version"] for one in airflow.runs.values()] == list(range(1, 21))
    for dag_id, run_id in list(airflow.runs):
        airflow.run(dag_id, run_id, "success")
    for _ in range(3):
        work_off(airflow, worklist, thorough=True)
    assert {one.state for one in worklist.listing()} == {"done"}
    assert (len(worklist.listing()), airflow.n_calls) == (20, 20)


def test_an_event_that_was_seen_late_is_found(airflow, worklist):
    airflow.events = [event(id=2, timestamp=now(100))]
    work_off(airflow, worklist)
    airflow.events.insert(0, event(id=1, timestamp=now()))  # its transaction ended after that of the newer one
    assert work_off(airflow, worklist).n_taken_in == 1


def test_events_before_the_list_are_those_of_runs_that_airflow_made(airflow, worklist):
    airflow.events = [event(timestamp=now(-10))]
    assert work_off(airflow, worklist, thorough=True).n_taken_in == 0


def test_a_pass_that_died_after_it_started_a_run_starts_no_second_one(airflow, worklist):
    airflow.events = [event(timestamp=now())]
    airflow.dies_after_trigger = True
    with pytest.raises(ServiceUnavailable):
        work_off(airflow, worklist)
    assert [one.state for one in worklist.listing()] == ["waiting"]
    airflow.dies_after_trigger = False
    work_off(airflow, worklist)
    assert ([one.state for one in worklist.listing()], len(airflow.runs)) == (["started"], 1)


@pytest.mark.parametrize(
    ("refusal", "state"),
    [
        (Refused("'x' is not one of ['a']", 400), "failed"),
        (Refused("Dag with dag_id: 'cxr_promote' not found", 404), "waiting"),  # not parsed yet
        (Refused("Dag has import errors and cannot be triggered", 400), "waiting"),  # until it is mended
    ],
)
def test_a_refusal_ends_a_request_where_waiting_would_not_help(airflow, worklist, refusal, state):
    airflow.events, airflow.refuses = [event(timestamp=now())], refusal
    work_off(airflow, worklist)
    (request,) = worklist.listing()
    assert request.state == state
    assert (str(refusal) in request.outcome) is (state == "failed")


def test_a_failed_run_is_an_outcome_with_task_and_error(airflow, worklist):
    airflow.run("cxr_train_binary", "manual__1", "failed")
    work_off(airflow, worklist)
    (request,) = worklist.listing()
    assert (request.state, request.outcome) == ("failed", "train failed: DataDefect: no such folder")
    assert (request.kind, request.source) == ("training", "by hand: admin")
    assert airflow.notes["manual__1"].endswith("Outcome: train failed: DataDefect: no such folder")


def test_what_others_said_is_only_text_in_a_note(airflow, worklist):
    said = "![x](http://a.example/p) <script>alert(1)</script>"
    airflow.events = [event("new_images_binary", {"recipe": said}, timestamp=now())]
    work_off(airflow, worklist)
    (run,) = airflow.runs.values()
    assert "<script>" not in run["note"]
    assert "![x](" not in run["note"]


def test_the_note_of_a_run_leads_to_its_request_in_the_list(airflow, worklist):
    airflow.events = [event(timestamp=now())]
    work_off(airflow, worklist)
    (run,) = airflow.runs.values()
    (request,) = worklist.listing()
    assert f"]({requests_page()}#request-{request.number})" in run["note"]
    assert f'id="request-{request.number}"' in render_requests(worklist, datetime.now(UTC))


def test_a_note_that_a_person_wrote_stays(airflow, worklist):
    airflow.run("cxr_train_binary", "manual__1", "success", note="for the talk")
    work_off(airflow, worklist)
    assert airflow.notes == {}


def test_a_cleared_run_that_ends_between_two_passes_has_the_outcome_of_its_second_end(airflow, worklist):
    airflow.run("cxr_train_binary", "manual__1", "success", end_date=now())
    work_off(airflow, worklist)
    (request,) = worklist.listing()
    assert request.state == "done"
    work_off(airflow, worklist)
    assert len(worklist.history(request.number)) == len(set(worklist.history(request.number)))
    airflow.run("cxr_train_binary", "manual__1", "failed", end_date=now())
    work_off(airflow, worklist)
    (again,) = worklist.listing()
    assert (again.number, again.state) == (request.number, "failed")
    assert "its run was cleared and runs again" in [what for _, what in worklist.history(request.number)]


def test_an_end_by_a_clock_that_was_ahead_is_told_once(airflow, worklist):
    airflow.run("cxr_train_binary", "manual__1", "success", end_date=now(3600))
    work_off(airflow, worklist)
    (request,) = worklist.listing()
    told = worklist.history(request.number)
    work_off(airflow, worklist)
    assert (worklist.history(request.number), worklist.listing()[0].state) == (told, "done")


def test_a_run_that_was_cleared_is_open_again_and_has_one_outcome(airflow, worklist):
    for state, expected in (("failed", "failed"), ("running", "started"), ("success", "done")):
        airflow.run("cxr_train_binary", "manual__1", state)
        work_off(airflow, worklist)
        assert [one.state for one in worklist.listing()] == [expected]


def test_a_run_that_was_deleted_ends_its_request(airflow, worklist):
    airflow.events = [event(timestamp=now())]
    work_off(airflow, worklist)
    airflow.runs.clear()
    work_off(airflow, worklist, thorough=True)
    assert "was deleted" in worklist.listing()[0].outcome


#: What others can say that no version, no name and no row of a table can be.
HUGE, HALF_A_CHARACTER = 10**30, "\ud800"


@pytest.mark.parametrize(
    "extra",
    [
        {"model": "cxr_binary", "version": HUGE},
        {"model": "cxr_binary", "version": "9" * 5000},
        {"model": HALF_A_CHARACTER, "version": 1},
        {"model": "cxr_binary", "version": 1, "mlflow_run_id": HALF_A_CHARACTER},
        {"model": "cxr_binary", "version": 1, "why": HALF_A_CHARACTER},
        {"model": {"a": 1}, "version": 1},
        {"from_trigger": True, "payload": [1]},
    ],
)
def test_an_event_that_cannot_be_a_request_keeps_no_other_from_being_worked_off(airflow, worklist, extra):
    airflow.events = [event(id=1, timestamp=now(), extra=extra), event(id=2, timestamp=now())]
    work_off(airflow, worklist)
    work_off(airflow, worklist, thorough=True)
    first, second = worklist.listing()
    assert second.state == "started"
    assert first.state == "started" or first.outcome.startswith("nothing was run: ")


@pytest.mark.parametrize("version", [HUGE, {"a": 1}, [1], HALF_A_CHARACTER, "newest", True, -1, 1.5])
def test_a_run_that_asks_for_no_version_there_can_be_is_listed_beside_all_others(airflow, worklist, version):
    airflow.run("cxr_report", "manual__1", "failed", conf={"model": "cxr_binary", "version": version})
    airflow.run("cxr_report", "manual__2", "success", conf={"model": "cxr_binary", "version": "3"})
    for _ in range(2):
        work_off(airflow, worklist, thorough=True)
    assert [(one.version, one.state) for one in worklist.listing()] == [(None, "failed"), (3, "done")]


def test_what_is_not_run_is_told_of_without_what_was_sent(airflow, worklist, webhook, monkeypatch):
    """There is no run that could fail, so nobody would hear of it."""
    monkeypatch.setenv("CXR_NOTIFY", f"json://127.0.0.1:{webhook.server_port}/hook")
    airflow.refuses = Refused("'person134' is not one of ['a']", 400)
    airflow.events = [
        event(id=1, timestamp=now(), extra={"model": "cxr_binary", "version": "person134"}),
        event("new_images_binary", {"data_folder": "/x/person134"}, id=2, timestamp=now()),
    ]
    for _ in range(2):
        work_off(airflow, worklist)
    assert [one["title"] for _, one in webhook.received] == [
        "Chest X-rays: request 1 (promotion) is not run",
        "Chest X-rays: request 2 (dataset of cxr_binary) is not run",
    ]
    assert all(
        "cxr runs" in one["message"] and "/cxr/requests#request-" in one["message"] for _, one in webhook.received
    )
    assert "person134" not in str(webhook.received)


def test_a_request_whose_run_cannot_be_started_holds_up_no_other(airflow, worklist, monkeypatch):
    """Airflow fails over the first one's fields, each time: that must not end the pass before the second."""
    airflow.events = [
        event(id=place, timestamp=now(), extra={"model": "cxr_binary", "version": place}) for place in (1, 2)
    ]
    start = airflow.trigger

    def trigger(dag_id, conf, run_id, note):
        if conf["version"] == 1:
            raise AirflowFailed("POST /dags/cxr_promote/dagRuns was refused with 500: Internal Server Error", 500)
        return start(dag_id, conf, run_id, note)

    airflow.trigger = trigger
    work_off(airflow, worklist)
    assert [one.state for one in worklist.listing()] == ["waiting", "started"]
    monkeypatch.setattr(module, "START_LIMIT", timedelta(0))
    work_off(airflow, worklist)
    assert [(one.state, one.outcome[:15]) for one in worklist.listing()] == [
        ("failed", "nothing was run"),
        ("started", ""),
    ]


@pytest.mark.parametrize("ahead", [timedelta(days=400), timedelta(hours=30)])
def test_events_come_in_after_a_clock_that_was_ahead_was_set_back(airflow, worklist, ahead):
    """Marks of the time that was wrong must not keep what comes after from being seen."""
    wrong, before = datetime.now(UTC) + ahead, timedelta(seconds=1)
    airflow.events = [event(id=1, timestamp=wrong.isoformat())]
    for name in ("begun", "events", "runs"):
        worklist.move_mark(name, wrong)
    asked = []
    airflow.runs_changed_since = lambda moment: asked.append(moment) or []
    for place in (2, 3):
        airflow.events.append(event(id=place, timestamp=now()))
        work_off(airflow, worklist)
        assert asked.pop() < datetime.now(UTC) - before
    assert len(worklist.listing()) == 3


def test_runs_of_other_dags_are_no_business_of_the_list(airflow, worklist):
    airflow.run("cxr_rollback", "manual__1", "success")
    work_off(airflow, worklist)
    assert worklist.listing() == []


def test_what_a_run_led_to_names_the_request_it_came_from(airflow, worklist):
    airflow.run("cxr_train_binary", "manual__1", "running")
    work_off(airflow, worklist)
    told_by = {"source_dag_id": "cxr_train_binary", "source_task_id": "propose", "source_run_id": "manual__1"}
    airflow.events = [event(timestamp=now(), **told_by)]
    work_off(airflow, worklist)
    training, promotion = worklist.listing()
    assert (promotion.parent, promotion.source) == (training.number, "cxr_train_binary.propose, run manual__1")


def test_a_release_whose_start_takes_long_is_not_asked_for_again(worklist):
    first, is_new = ask_for_release(worklist, "cxr_binary", 3)
    assert is_new
    for state in ("waiting", "started"):
        assert worklist.find(first.number).state == state
        assert ask_for_release(worklist, "cxr_binary", 3) == (worklist.find(first.number), False)
        worklist.start(first.number)
    # Ended without the champion being dealt with: the registry was away.
    worklist.end(first.number, "failed", "find failed: ServiceUnavailable")
    assert ask_for_release(worklist, "cxr_binary", 3)[1]


@pytest.mark.parametrize(("run_type", "said"), [("asset_triggered", "by an event"), ("scheduled", "by the clock")])
def test_a_run_that_nobody_started_says_what_did(airflow, worklist, run_type, said):
    """Runs that Assets started by themselves are of the time before the list."""
    airflow.run("cxr_report", "x__1", "success", triggering_user_name=None, run_type=run_type)
    work_off(airflow, worklist)
    (request,) = worklist.listing()
    assert request.source == said


def test_a_release_follows_from_the_question_that_was_answered_with_it(worklist):
    def asked(key: str, result: str) -> int:
        made, _ = worklist.add(Wanted(kind="promotion", key=key, model="cxr_binary", version=3))
        worklist.tell(made.dag_id, made.run_id, result)
        worklist.end(made.number, "done", result)
        return made.number

    asked("1", "rejected by a: no")
    assert ask_for_release(worklist, "cxr_binary", 3)[0].parent is None  # moved by hand
    worklist.end(worklist.listing(kind="release")[0].number, "done", "")
    question = asked("2", f"{APPROVED} by b: yes")
    release, _ = ask_for_release(worklist, "cxr_binary", 3)
    assert release.parent == question
    worklist.end(release.number, "done", "")
    # Rolled back, and made champion again by hand: that is no answer to the question.
    assert ask_for_release(worklist, "cxr_binary", 3)[0].parent is None


def test_a_champion_of_another_run_under_the_same_number_has_a_release_of_its_own(worklist):
    first, _ = ask_for_release(worklist, "cxr_binary", 1, {"mlflow_run_id": "a"})
    second, is_new = ask_for_release(worklist, "cxr_binary", 1, {"mlflow_run_id": "b"})
    assert is_new
    assert ask_for_release(worklist, "cxr_binary", 1, {"mlflow_run_id": "b"}) == (second, False)
    assert first.run_id != second.run_id
