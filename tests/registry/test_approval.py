"""What follows from a person's answer: a real registry and audit log, and the answers as Airflow hands them on."""

from __future__ import annotations

import dataclasses
import re
from datetime import timedelta

import pytest

from cxr_tasks.contracts.errors import DataDefect, NotApproved, ReleaseRefused
from cxr_tasks.registry import versions
from cxr_tasks.registry.approve.approval import Answer, Recorded
from cxr_tasks.registry.approve.approval import settle as settle_recorded
from cxr_tasks.registry.approve.evidence_page import approval_request
from cxr_tasks.registry.approve.promotion import promote
from cxr_tasks.registry.audit import trail
from cxr_tasks.registry.questions import ended_because
from tests.registry.proposed import MODEL, champion

pytestmark = pytest.mark.mlflow

RUN = "manual__2026-11-26"


def answered(choice: str, reason: str = "looked at the report") -> Answer:
    person = {"id": "dr.weber", "name": "dr.weber"}
    return Answer.from_hitl(
        {"chosen_options": [choice], "params_input": {"reason": reason}, "responded_by_user": person}
    )


def silence() -> Answer:
    return Answer.from_hitl({"chosen_options": [], "params_input": {}, "responded_by_user": None})


def settle(request, answer, *, run=RUN, recorded=None, approvers=("dr.weber", "dr.okafor")):
    """``settle`` with an answer that Airflow has recorded as the task handed it on."""
    kept = Recorded(subject=request.subject, body=request.body, answer=answer) if recorded is None else recorded
    return settle_recorded(request, kept, answer, run=run, approvers=approvers)


@pytest.fixture
def asked(propose_version, tmp_path):
    """A question about a new version."""

    def ask(**changed):
        return approval_request(
            MODEL,
            propose_version(**changed),
            tmp_path,
            run=RUN,
            limit=timedelta(hours=36),
            has_report=False,
            is_checked=False,
        )

    return ask


def logged() -> list[tuple[str, str, str]]:
    answers = ("approved", "rejected", "not_approved", "promoted")
    return [(one.kind, one.who, one.why) for one in trail.entries(MODEL) if one.kind in answers]


def test_an_approved_version_is_champion(asked):
    request = asked()
    made = settle(request, answered("Approve"), run=RUN)
    assert (made.version, champion()) == (request.version, request.version)
    assert logged() == [
        ("approved", "dr.weber", "looked at the report"),
        ("promoted", "dr.weber", "looked at the report"),
    ]
    tags = versions.version_tags(MODEL, request.version)
    assert (tags["approval.outcome"], tags["approval.approved_by"]) == ("approved", "dr.weber")
    entry = trail.entries(MODEL)[-2]
    assert entry.detail == {
        "run": RUN,
        "decision_sha256": request.decision_sha256,
        "mlflow_run_id": request.mlflow_run_id,
    }
    assert entry.known_by == "Airflow login"


def test_a_retried_approval_is_written_once(asked):
    request = asked()
    settle(request, answered("Approve"), run=RUN)
    settle(request, answered("Approve"), run=RUN)
    assert [kind for kind, *_ in logged()].count("approved") == 1
    assert champion() == request.version


def test_a_rejected_version_keeps_the_reason_and_what_serves_stays(asked):
    first = asked().version
    promote(MODEL, first, who="dr.okafor", why="first model")
    request = asked()
    assert settle(request, answered("Reject", "misses effusions in children"), run=RUN) is None
    assert champion() == first
    assert logged()[-1] == ("rejected", "dr.weber", "misses effusions in children")
    tags = versions.version_tags(MODEL, request.version)
    assert (tags["approval.rejected_by"], tags["approval.reason"]) == ("dr.weber", "misses effusions in children")


def test_no_answer_is_not_an_approval(asked):
    request = asked()
    with pytest.raises(NotApproved, match=rf"version {request.version} was not approved: nobody answered within 36 h"):
        settle(request, silence(), run=RUN)
    assert champion() is None
    assert logged() == [("not_approved", "airflow", "nobody answered within 36 h")]
    tags = versions.version_tags(MODEL, request.version)
    assert (tags["approval.outcome"], tags["approval.reason"]) == ("not approved", "nobody answered within 36 h")


@pytest.mark.parametrize(
    ("change", "because"),
    [
        ("decision", "the gate's decision on it has changed since"),
        ("champion", "the champion is version 2, not as shown (there was no champion)"),
        ("permission", "may not serve: its gate verdict is FAIL"),
    ],
)
def test_an_approval_of_something_else_than_was_shown_is_refused(asked, propose_version, change, because):
    request = asked()
    if change == "decision":
        versions.set_version_tags(MODEL, request.version, {"gate.decision_sha256": "12" * 32})
    elif change == "champion":
        promote(MODEL, propose_version(), who="dr.okafor", why="was quicker")
    else:
        versions.set_version_tags(MODEL, request.version, {"gate.verdict": "FAIL"})
    before = champion()
    with pytest.raises(ReleaseRefused) as refused:
        settle(request, answered("Approve"), run=RUN)
    assert because in str(refused.value)
    assert champion() == before
    assert logged()[-1][0] == "not_approved"
    assert logged()[-1][2].startswith("approved by dr.weber, but ")


def test_an_answer_without_a_reason_is_kept_as_such(asked):
    settle(asked(), answered("Reject", "  "), run=RUN)
    assert logged() == [("rejected", "dr.weber", "no reason given")]


def test_an_answer_that_only_the_task_hands_on_is_refused(asked):
    """As when somebody who may edit tasks writes the XCom of the answer."""
    request = asked()
    nobody = Recorded(subject=request.subject, body=request.body, answer=silence())
    with pytest.raises(ReleaseRefused, match="Airflow recorded no answer by nobody, the task handed on Approve by dr"):
        settle(request, answered("Approve"), recorded=nobody)
    rejected = Recorded(subject=request.subject, body=request.body, answer=answered("Reject"))
    with pytest.raises(ReleaseRefused, match=r"Airflow recorded Reject by dr\.weber"):
        settle(request, answered("Approve"), recorded=rejected)
    assert champion() is None
    entry = trail.entries(MODEL)[-1]
    assert (entry.kind, entry.who) == ("not_approved", "airflow")
    assert "approval.approved_by" not in versions.version_tags(MODEL, request.version)


def test_a_login_that_may_not_answer_at_that_moment_is_refused(asked):
    request = asked()
    with pytest.raises(ReleaseRefused, match=r"dr\.weber is not among those who may answer now .*dr\.okafor"):
        settle(request, answered("Approve"), approvers=("dr.okafor",))
    assert champion() is None


@pytest.mark.parametrize("change", ["version", "decision_sha256", "body", "champion_version"])
def test_a_question_that_was_not_asked_is_not_answered(asked, change):
    """As when somebody writes the XCom of the question: another version, other numbers."""
    other, request = asked(), asked()
    forged = dataclasses.replace(
        request, **{change: {"version": other.version, "body": "all is well", "champion_version": 7}.get(change, "12")}
    )
    with pytest.raises(
        ReleaseRefused, match="the audit log does not have the question that was handed on as asked in this run"
    ):
        settle(forged, answered("Approve"))
    assert champion() is None


def test_a_person_who_was_shown_something_else_has_not_answered(asked):
    request = asked()
    shown = Recorded(subject=request.subject, body="AUROC 0.999", answer=answered("Approve"))
    with pytest.raises(ReleaseRefused, match="was shown another question"):
        settle(request, answered("Approve"), recorded=shown)


def test_a_question_asked_in_another_run_is_another(asked):
    with pytest.raises(ReleaseRefused, match="as asked in this run"):
        settle(asked(), answered("Approve"), run="manual__another")


def lost(request) -> None:
    from cxr_tasks.registry import tracking

    tracking.client().delete_model_version(MODEL, str(request.version))


def given_to_another(request) -> None:
    from cxr_tasks.registry import tracking

    tracking.client().delete_registered_model(MODEL)
    tracking.client().create_registered_model(MODEL)
    for _ in range(request.version):
        run = tracking.client().create_run("0")
        tracking.client().create_model_version(MODEL, source="runs:/none", run_id=run.info.run_id)


def promoted(request) -> None:
    promote(MODEL, request.version, who="dr.okafor", why="was quicker")


def promoted_and_rolled_back(request) -> None:
    """The champion is again the one that was shown."""
    before = champion()
    promoted(request)
    versions.set_alias(MODEL, versions.CHAMPION, before)
    trail.record(
        "rolled_back", model=MODEL, version=before, who="dr.okafor", why="missed two", detail={"from": request.version}
    )


def rejected_elsewhere(request) -> None:
    trail.record("rejected", model=MODEL, version=request.version, who="dr.okafor", why="no", detail={"run": "another"})


@pytest.mark.parametrize(
    ("happens", "because"),
    [
        (lost, "the version was deleted from the registry"),
        (given_to_another, "its number given to another model"),
        (promoted, "the version was promoted by dr.okafor at .*: was quicker"),
        (promoted_and_rolled_back, "the version was (promoted|rolled back) by dr.okafor at "),
        (rejected_elsewhere, "the version was rejected by dr.okafor at .* in another question: no"),
    ],
)
@pytest.mark.parametrize("choice", ["Approve", ""])
def test_a_question_that_something_else_has_settled_ends_with_the_reason(
    asked, propose_version, happens, because, choice
):
    promote(MODEL, propose_version(), who="dr.weber", why="first model")
    request = asked()
    assert ended_because(request, RUN) == ""
    happens(request)
    assert re.search(because, ended_because(request, RUN))
    before = champion()
    if choice:
        with pytest.raises(ReleaseRefused, match=because):
            settle(request, answered(choice))
    else:
        recorded = Recorded(subject=request.subject, body=request.body, answer=silence())
        assert settle_recorded(request, recorded, None, run=RUN, approvers=("dr.weber",)) is None
    assert champion() == before
    entry = trail.entries(MODEL)[-1]
    assert entry.kind == "not_approved" and re.search(because, entry.why)


def test_a_question_without_an_answer_and_without_need_of_one_is_an_error(asked):
    request = asked()
    recorded = Recorded(subject=request.subject, body=request.body, answer=silence())
    with pytest.raises(DataDefect, match="expected an answer, or that it is not needed any more"):
        settle_recorded(request, recorded, None, run=RUN, approvers=("dr.weber",))


def test_the_record_of_airflow_is_read_as_its_api_gives_it():
    details = {
        "subject": "Shall it?", "body": "text", "chosen_options": ["Approve"], "params_input": {"reason": " seen "},
        "responded_by_user": {"id": "dr.weber", "name": "Dr. Weber"}, "responded_at": "2026-11-29T07:00:00Z",
        "response_received": True,
    }  # fmt: skip
    answer = Recorded.from_details(details).answer
    assert answer == Answer(choice="Approve", who="dr.weber", reason="seen")
    waiting = {**details, "responded_at": None, "response_received": False}
    assert Recorded.from_details(waiting).answer == Answer(choice="", who="", reason="")


@pytest.mark.parametrize(
    ("recorded", "handed_on", "refused"),
    [
        (("4", "dr.weber"), ("4", "dr.weber"), ""),
        (("4", "ms.lee"), ("4", "ms.lee"), "ms.lee is not among those who may answer now"),
        # Whoever may edit tasks writes an approver's name into what is handed on; Airflow recorded its own.
        (
            ("4", "ms.lee"),
            ("4", "dr.weber"),
            "Airflow recorded Approve by ms.lee, the task handed on Approve by dr.weber",
        ),
        (("4", "ms.lee"), ("dr.weber", "ms.lee"), "Airflow recorded Approve by ms.lee"),
        (None, ("4", "dr.weber"), "Airflow recorded no answer by nobody"),
    ],
)
def test_an_answer_of_logins_in_airflow_s_database_counts_by_the_login_as_recorded(asked, recorded, handed_on, refused):
    def answer(person):
        number, name = person or ("", "")
        return Answer.from_hitl(
            {"chosen_options": ["Approve"], "params_input": {}, "responded_by_user": {"id": number, "name": name}}
        )

    request = asked()
    kept = Recorded(subject=request.subject, body=request.body, answer=answer(recorded) if recorded else silence())

    def settled():
        return settle_recorded(request, kept, answer(handed_on), run=RUN, approvers=("dr.weber",))

    if not refused:
        assert settled().version == request.version
        assert trail.entries(MODEL)[-2].who == "dr.weber"
        return
    with pytest.raises(ReleaseRefused, match=refused):
        settled()
    assert champion() is None
