"""Passes over the list against an Airflow that is scripted; ``test_race`` does the same with the real one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cxr_tasks.contracts.errors import ServiceUnavailable
from cxr_tasks.worklist import work_off as module
from cxr_tasks.worklist.airflow_calls import AirflowFailed, Refused
from cxr_tasks.worklist.work_off import work_off
from tests.worklist.scripted_airflow import now
from tests.worklist.test_events import event


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


def test_what_a_run_led_to_names_the_request_it_came_from(airflow, worklist):
    airflow.run("cxr_train_binary", "manual__1", "running")
    work_off(airflow, worklist)
    told_by = {"source_dag_id": "cxr_train_binary", "source_task_id": "propose", "source_run_id": "manual__1"}
    airflow.events = [event(timestamp=now(), **told_by)]
    work_off(airflow, worklist)
    training, promotion = worklist.listing()
    assert (promotion.parent, promotion.source) == (training.number, "cxr_train_binary.propose, run manual__1")
