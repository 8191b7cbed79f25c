"""What a person answered when asked whether a version shall serve, and what follows from it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cxr_tasks.contracts.errors import CxrError, DataDefect, NotApproved, ReleaseRefused, ServiceUnavailable
from cxr_tasks.contracts.handoffs.release import ApprovalRequest, RegisteredModel
from cxr_tasks.registry import rest, versions
from cxr_tasks.registry.approve.promotion import promote, require_permission
from cxr_tasks.registry.audit import trail
from cxr_tasks.registry.persons import AIRFLOW_LOGIN, Person
from cxr_tasks.registry.questions import ended_because, find_question, was_asked_in

logger = logging.getLogger(__name__)

APPROVE, REJECT = "Approve", "Reject"
NO_REASON = "no reason given"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A person's answer; ``choice`` and ``who`` are '' where nobody answered."""

    choice: str
    who: str
    reason: str

    @classmethod
    def from_hitl(cls, given: Mapping[str, Any] | None) -> Answer:
        """From Airflow's record of who responded, or from what its human-in-the-loop task hands on."""
        given = given or {}
        chosen = given.get("chosen_options") or [""]
        person = given.get("responded_by_user") or {}
        reason = str((given.get("params_input") or {}).get("reason") or "").strip()
        # The id is the login's name, but for logins in Airflow's database, where it is the number of a row: the name is
        # the login's there. Elsewhere a name is one that people may choose as they like.
        login, name = str(person.get("id") or ""), str(person.get("name") or "")
        return cls(choice=chosen[0], who=name if name and not login.strip("0123456789") else login, reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What Airflow itself keeps of a question: what it showed, and who answered with which login."""

    subject: str
    body: str
    answer: Answer

    @classmethod
    def from_details(cls, details: Mapping[str, Any]) -> Recorded:
        """From the answer of ``GET .../hitlDetails``."""
        is_answered = bool(details.get("response_received") or details.get("responded_at"))
        answer = Answer.from_hitl(details if is_answered else None)
        return cls(subject=str(details.get("subject") or ""), body=str(details.get("body") or ""), answer=answer)


def settle(
    request: ApprovalRequest, recorded: Recorded, handed_on: Answer | None, *, run: str, approvers: Collection[str]
) -> RegisteredModel | None:
    """Do as was answered: the new champion on approval, None on rejection or where the question has ended meanwhile.
    The answer is kept in the audit log.

    The answer is the one that Airflow recorded with the login of who gave it. What the tasks hand on (the question, the
    answer) can be written through Airflow's API by whoever may edit tasks; it is held against that record and the audit
    log. It may be repeated after a failure in the middle: the answer to ``run`` is recorded once.

    Args:
        handed_on: The answer as the task before handed it on; None where it was ended without one.
        run: The DAG run in which the question was asked.
        approvers: Logins that may answer, at this moment.

    Raises:
        ReleaseRefused: Question or answer are not those of the records, the login may not answer, or the version is
            not what the evidence showed any more.
        NotApproved: Nobody answered in time.
        DataDefect: The task that asks ended without an answer and without need.
    """
    answer = recorded.answer
    if handed_on is None and not answer.choice and not was_asked_in(request, run):
        told = "the question ended without an answer: it was asked before questions stood in the audit log"
        _keep("not_approved", request, "airflow", told, run, {})
        logger.info("%s version %d: %s; nothing was changed", request.model_name, request.version, told)
        return None
    if problem := _forged(request, recorded, handed_on, run, approvers):
        _keep("not_approved", request, "airflow", f"not taken as an answer: {problem}", run, {})
        raise ReleaseRefused(
            f"{request.model_name} version {request.version}: the answer does not count: {problem}. What serves stays; "
            "trigger cxr_promote to ask again, and find out who may edit tasks in Airflow"
        )
    ended = ended_because(request, run)
    if handed_on is None and not answer.choice and not ended:
        raise DataDefect(
            f"{request.model_name} version {request.version}: expected an answer, or that it is not needed any more, "
            "found neither; see the log of task approve. Nothing was changed"
        )
    if ended:
        told = f"approved by {answer.who}, but {ended}" if answer.choice == APPROVE else f"the question ended: {ended}"
        _keep("not_approved", request, "airflow", told, run, {})
        if answer.choice == APPROVE:
            raise ReleaseRefused(
                f"{request.model_name} version {request.version} was {told}. What serves stays; trigger cxr_promote to "
                "decide on what is there now."
            )
        logger.info("%s version %d: %s; nothing was changed", request.model_name, request.version, told)
        return None
    if answer.choice == APPROVE:
        return _approved(request, answer, run)
    if answer.choice == REJECT:
        why = answer.reason or NO_REASON
        person = Person(answer.who, AIRFLOW_LOGIN)
        _keep("rejected", request, person, why, run, {"approval.rejected_by": answer.who})
        logger.info("%s version %d was rejected by %s: %s", request.model_name, request.version, answer.who, why)
        return None
    why = f"nobody answered within {request.limit_hours:g} h"
    _keep("not_approved", request, "airflow", why, run, {})
    raise NotApproved(
        f"{request.model_name} version {request.version} was not approved: {why}. What serves stays. To ask again, "
        f"trigger cxr_promote; to decide from a shell: cxr promote {request.model_name} {request.version} --reason TEXT"
    )


def _forged(
    request: ApprovalRequest, recorded: Recorded, handed_on: Answer | None, run: str, approvers: Collection[str]
) -> str:
    """Why question or answer are not those that the records tell of; '' where they are."""
    answer = recorded.answer
    if find_question(request, run) is None:
        return (
            "the audit log does not have the question that was handed on as asked in this run (nor as asked by a "
            "former version of this platform)"
        )
    if recorded.subject and (recorded.subject, recorded.body.strip()) != (request.subject, request.body.strip()):
        return "the person was shown another question than was handed on"
    if handed_on is not None and (handed_on.choice, handed_on.who) != (answer.choice, answer.who):
        said = f"{answer.choice or 'no answer'} by {answer.who or 'nobody'}"
        return (
            f"Airflow recorded {said}, the task handed on {handed_on.choice or 'no answer'} by "
            f"{handed_on.who or 'nobody'}: it was written by somebody else"
        )
    if answer.choice and answer.who not in approvers:
        return f"{answer.who or 'nobody'} is not among those who may answer now (CXR_APPROVERS: {', '.join(approvers)})"
    return ""


def _approved(request: ApprovalRequest, answer: Answer, run: str) -> RegisteredModel:
    why, person = answer.reason or NO_REASON, Person(answer.who, AIRFLOW_LOGIN)
    if changed := _changed(request):
        told = f"approved by {answer.who}, but {changed}"
        _keep("not_approved", request, person, told, run, {})
        raise ReleaseRefused(
            f"{request.model_name} version {request.version} was {told}. What serves stays; trigger cxr_promote to "
            "decide on what is there now."
        )
    _keep("approved", request, person, why, run, {"approval.approved_by": answer.who})
    champion = versions.version_with_alias(request.model_name, versions.CHAMPION)
    if champion is not None and int(champion.version) == request.version:
        return versions.registered_model(request.model_name, request.version)  # tried again after the alias moved
    return promote(request.model_name, request.version, who=person, why=why)


def _changed(request: ApprovalRequest) -> str:
    """What the person did not see when they approved; '' where all is as the evidence showed."""
    version_today = versions.find_version(request.model_name, request.version)
    if version_today.tags.get("gate.decision_sha256", "") != request.decision_sha256:
        return "the gate's decision on it has changed since"
    try:
        require_permission(request.model_name, request.version)
    except ServiceUnavailable:
        raise
    except CxrError as error:
        return str(error)
    return ""


def _keep(
    kind: trail.Kind, request: ApprovalRequest, who: str | Person, why: str, run: str, tags: dict[str, str]
) -> None:
    """The answer on the version, where the registry still has it, and once in the audit log."""
    outcome = kind.replace("_", " ")
    at = datetime.now(UTC).isoformat(timespec="seconds")
    version_today = rest.get_version(request.model_name, request.version)
    if version_today is not None and request.mlflow_run_id in ("", version_today.run_id):
        versions.set_version_tags(
            request.model_name,
            request.version,
            {"approval.outcome": outcome, "approval.reason": why, "approval.at": at, **tags},
        )
    known = (
        entry for entry in trail.entries(request.model_name) if entry.version == request.version and entry.kind == kind
    )
    if not any(entry.detail.get("run") == run for entry in known):
        trail.record(
            kind,
            model=request.model_name,
            version=request.version,
            who=who,
            why=why,
            fingerprint=request.dataset_fingerprint,
            detail={
                "run": run,
                "decision_sha256": request.decision_sha256,
                "mlflow_run_id": request.mlflow_run_id,
            },
        )
