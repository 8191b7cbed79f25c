"""Questions that wait in Airflow, looked at as the triggerer does: ended, asked again, or left to wait."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cxr_tasks.contracts.errors import ReleaseRefused
from cxr_tasks.registry import questions
from cxr_tasks.registry.approve.approval import Answer, Recorded, settle
from cxr_tasks.registry.approve.evidence_page import approval_request
from cxr_tasks.registry.approve.promotion import promote
from cxr_tasks.registry.audit import trail
from cxr_tasks.worklist.airflow_api import TaskRun
from cxr_tasks.worklist.settled_questions import end_settled_questions
from cxr_tasks.worklist.store import Worklist
from tests.registry.proposed import MODEL

pytestmark = pytest.mark.mlflow


class ScriptedAirflow:
    """Keeps what waits, by run, and what was handed on to it; says what was ended."""

    def __init__(self):
        self.handed_on, self.ended = {}, {}

    def waiting(self, dag_id):
        names = [one for one in self.handed_on if one not in self.ended]
        return [TaskRun(dag_id, one, "approve", "awaiting_input", 1, None, 0) for one in names]

    def xcom(self, task):
        return self.handed_on[task.run_id]

    def end_question(self, question, because):
        self.ended[question.run_id] = because


@pytest.fixture
def airflow():
    return ScriptedAirflow()


@pytest.fixture
def worklist(propose_version):
    """The list of requests; the run-time folder is shared, so it begins empty."""
    from cxr_tasks.worklist.store import worklist_path

    worklist_path().unlink(missing_ok=True)
    return Worklist()


@pytest.fixture
def ask(propose_version, tmp_path):
    def asked(run: str, version: int | None = None):
        return approval_request(
            MODEL,
            version or propose_version(),
            tmp_path,
            run=run,
            limit=timedelta(hours=1),
            has_report=False,
            is_checked=False,
        )

    return asked


def test_a_question_that_the_log_knows_waits_on(airflow, worklist, ask):
    airflow.handed_on["run1"] = ask("run1").to_payload()
    assert end_settled_questions(airflow) == []
    assert (airflow.ended, worklist.listing()) == ({}, [])


def test_a_question_that_was_asked_before_the_log_kept_them_is_asked_again(airflow, worklist, ask, monkeypatch):
    """After an upgrade: its answer would not count, and a person who gave one would have to find that out."""
    with monkeypatch.context() as former:
        former.setattr("cxr_tasks.registry.approve.evidence_page.record_question", lambda request, run: None)
        request = ask("old")
    payload = request.to_payload()
    del payload["mlflow_run_id"], payload["champion_run_id"]
    airflow.handed_on["old"] = payload
    for _ in range(2):
        end_settled_questions(airflow)
    assert "asked again" in airflow.ended["old"]
    (again,) = worklist.listing()
    assert (again.kind, again.dag_id, again.state) == ("promotion", "cxr_promote", "waiting")
    assert dict(again.conf) == {"model": MODEL, "version": request.version}
    # What waits in the old run then ends well, and nothing was decided.
    nobody = Recorded(subject="", body="", answer=Answer.from_hitl(None))
    assert settle(type(request).from_payload(payload), nobody, None, run="old", approvers=("admin",)) is None
    assert [one.kind for one in trail.entries(MODEL)][-1] == "not_approved"
    # The new question is one that can be answered.
    anew = ask(again.run_id, request.version)
    assert questions.find_question(anew, again.run_id) is not None


def test_an_answer_to_a_question_that_the_log_does_not_know_counts_no_more_than_before(worklist, ask, monkeypatch):
    with monkeypatch.context() as former:
        former.setattr("cxr_tasks.registry.approve.evidence_page.record_question", lambda request, run: None)
        request = ask("old")
    given = Answer(choice="Approve", who="admin", reason="yes")
    recorded = Recorded(subject=request.subject, body=request.body, answer=given)
    with pytest.raises(ReleaseRefused, match="does not count"):
        settle(request, recorded, given, run="old", approvers=("admin",))


def test_one_question_that_cannot_be_looked_at_holds_up_no_other(airflow, worklist, ask):
    good = ask("settled")
    promote(MODEL, good.version, who="anna", why="from a shell")
    airflow.handed_on = {
        "no question": {"model_name": MODEL},
        "text": "[]",
        "odd": {**good.to_payload(), "model_name": "a/b?c", "version": 10**30},
        "settled": good.to_payload(),
    }
    end_settled_questions(airflow)
    assert "in another way" in airflow.ended["settled"]
