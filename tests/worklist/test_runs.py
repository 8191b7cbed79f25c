"""The runs of requests as passes over the list see them: outcomes, notes, runs cleared, deleted or begun otherwise."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cxr_tasks.registry.addresses import requests_page
from cxr_tasks.report.requests import render_requests
from cxr_tasks.worklist.work_off import work_off
from tests.worklist.scripted_airflow import now
from tests.worklist.test_events import event


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


def test_runs_of_other_dags_are_no_business_of_the_list(airflow, worklist):
    airflow.run("cxr_rollback", "manual__1", "success")
    work_off(airflow, worklist)
    assert worklist.listing() == []


@pytest.mark.parametrize(("run_type", "said"), [("asset_triggered", "by an event"), ("scheduled", "by the clock")])
def test_a_run_that_nobody_started_says_what_did(airflow, worklist, run_type, said):
    """Runs that Assets started by themselves are of the time before the list."""
    airflow.run("cxr_report", "x__1", "success", triggering_user_name=None, run_type=run_type)
    work_off(airflow, worklist)
    (request,) = worklist.listing()
    assert request.source == said
