"""What follows from a person's answer: a real registry and audit log, and the answers as Airflow hands them on."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cxr_tasks.contracts.errors import NotApproved, ReleaseRefused
from cxr_tasks.registry import audit, versions
from cxr_tasks.registry.approval import Answer, settle
from cxr_tasks.registry.evidence import approval_request
from cxr_tasks.registry.promotion import promote
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


@pytest.fixture
def asked(propose_version, tmp_path):
    """A question about a new version."""

    def ask(**changed):
        return approval_request(
            MODEL, propose_version(**changed), tmp_path, limit=timedelta(hours=36), has_report=False, is_checked=False
        )

    return ask


def logged() -> list[tuple[str, str, str]]:
    answers = ("approved", "rejected", "not_approved", "promoted")
    return [(one.kind, one.who, one.why) for one in audit.entries(MODEL) if one.kind in answers]


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
    assert audit.entries(MODEL)[-2].detail == {"run": RUN, "decision_sha256": request.decision_sha256}


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
